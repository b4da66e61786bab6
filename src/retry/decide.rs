//! What next, after this verdict: the one place where that is decided.

use std::time::Duration;

use super::future::NextLease;
use crate::{
    error::Error,
    pool::{Attempt, Demand, Exhausted, KeyPool, Lease, Seat},
    rule::Retry,
    time::Tick,
    verdict::{EXIT, Elsewhere, Scope, Until, Verdict, VerdictKind},
};

/// Who had a key and lost it before it was used waits this long for another, also where it would wait for nothing else.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Whoever waits for less waits so long in all, from when it came, for a model that is overloaded at all keys.
const OVERLOADED: Duration = Duration::from_secs(10);

/// How far one request has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// When it came.
    begun: Tick,
    /// How often it was retried after a pause.
    pauses: u32,
    /// Until when it may stand waiting for a key.
    wait: Duration,
    /// It was sent again at once because its connection had been closed.
    reconnected: bool,
}

/// What to do next.
#[expect(clippy::large_enum_variant, reason = "moved once, where a box would cost an allocation")]
pub(crate) enum Step {
    /// Hand the answer to the caller.
    Stop,
    /// The same; and no key was to be had for another attempt, for this reason.
    OutOfKeys(Error),
    /// Send it again once there is a lease.
    Again(NextLease),
}

impl Course {
    pub(crate) fn new(begun: Tick, wait: Duration) -> Self {
        Self { begun, pauses: 0, wait, reconnected: false }
    }

    /// Until when it may stand waiting for a key at all.
    pub(crate) fn until(&self, rule: &Retry) -> Tick {
        self.begun.plus(rule.deadline.map_or(self.wait, |deadline| deadline.min(self.wait)))
    }

    /// Decides, and takes the next lease while the answer is still in hand: where none can be had in time, the caller
    /// gets that answer. `demand.particulars.earlier` holds every attempt so far; `seat` is that of the answer in hand.
    pub(crate) fn next(
        &mut self,
        rule: &Retry,
        pool: &KeyPool,
        verdict: &Verdict,
        mut demand: Demand,
        seat: Option<Seat>,
    ) -> Step {
        // A lease that is never used after all counts for nothing.
        demand.ahead = true;
        let spent = pool.clock().tick().since(self.begun);
        let left = rule.deadline.map(|deadline| deadline.saturating_sub(spent));
        let over = left == Some(Duration::ZERO) || demand.ends_with(verdict);
        if over || capped(verdict, demand.particulars.earlier.as_deref().unwrap_or_default()) {
            return Step::Stop;
        }
        let wait = self.wait.saturating_sub(spent);
        let for_a_key = left.map_or(wait, |left| left.min(wait));
        // The way out rests: a key with another one may serve at once, and that is no retry of the provider's fault.
        let by_another = verdict.scope_of() == Scope::Exit && verdict.until_of() != Until::Now;
        if by_another && pool.has_several_exits() {
            if let Some(lease) = pool.lease_now(&demand) {
                return Step::Again(NextLease::held(lease, Duration::ZERO));
            }
            if verdict.elsewhere_of() == Elsewhere::No {
                return seek(pool, demand, Duration::ZERO, for_a_key);
            }
        }
        match verdict.elsewhere_of() {
            Elsewhere::No | Elsewhere::OtherModel => Step::Stop,
            Elsewhere::OtherKey if pool.has_asked_enough(&demand) || pool.is_for_no_tier(&demand) => Step::Stop,
            Elsewhere::OtherOwner if pool.is_found_nowhere(&demand) => Step::Stop,
            Elsewhere::OtherKey | Elsewhere::OtherOwner => seek(pool, demand, Duration::ZERO, for_a_key),
            // Nothing went out, and nobody is to blame: it stands where it stood before it had that key.
            Elsewhere::AfterPause if verdict.is_void() => {
                if self.pauses >= rule.max_retries {
                    return Step::Stop;
                }
                self.pauses += 1;
                seek_again(pool, demand, Duration::ZERO, for_a_key.max(A_MOMENT), seat)
            }
            Elsewhere::AfterPause => {
                // A connection that the provider had just given up: the next one costs no pause and is not counted.
                if verdict.is_closed() && rule.max_retries > 0 && !std::mem::replace(&mut self.reconnected, true) {
                    return seek_again(pool, demand, Duration::ZERO, for_a_key, seat);
                }
                // Longer than a pause may be, only where a deadline says that there is time.
                let patience = left.unwrap_or_else(|| rule.backoff.longest());
                let asked = verdict.retry_after().unwrap_or_default();
                if self.pauses >= rule.max_retries {
                    return Step::Stop;
                }
                if asked > patience {
                    return self.elsewhere_at_once(rule, pool, &demand);
                }
                let pause = rule.pause(self.pauses).max(asked).min(patience);
                // A key is waited for as long as the request may wait, and over the pause, which passes anyway; a way out
                // that rests no longer than the former.
                let waited = if verdict.code_of() == EXIT { for_a_key } else { pause.max(for_a_key) };
                let longest = left.unwrap_or_else(|| for_a_key.max(OVERLOADED.saturating_sub(spent)));
                let (pause, patience) = match pool.overloaded_for(&demand) {
                    // The provider's faults keep all keys out of the model: that is over with a pause, not with a key; and
                    // answers that are still to come may make it longer.
                    Some(rest) if rest <= longest => {
                        let pause = if rest > waited { rest.saturating_add(pause).min(longest) } else { pause };
                        (pause, pause.saturating_add(for_a_key.max(rest)).min(longest))
                    }
                    _ => (pause, waited),
                };
                // Counted and paid for only where it happens.
                let step = match self.elsewhere_at_last(rule, pool, verdict, &demand) {
                    Some(lease) => Step::Again(NextLease::held(lease, pause)),
                    None => seek_again(pool, demand, pause, patience, seat),
                };
                if matches!(step, Step::Again(_)) {
                    if !rule.withdraw() {
                        return Step::Stop;
                    }
                    self.pauses += 1;
                }
                step
            }
        }
    }
}

impl Course {
    /// For the last retry a key that was not tried yet, of whatever priority: it may stand with another cluster, project
    /// or model of the provider's.
    fn elsewhere_at_last(&self, rule: &Retry, pool: &KeyPool, verdict: &Verdict, demand: &Demand) -> Option<Lease> {
        let worth = worth(verdict, demand.particulars.earlier.as_deref().unwrap_or_default());
        let is_last = rule.max_retries.saturating_sub(self.pauses).min(worth.unwrap_or(u32::MAX)) <= 1;
        if is_last { untried(pool, demand) } else { None }
    }

    /// Whoever failed wants more time than there is: one other key is asked, once, before the caller is told so.
    fn elsewhere_at_once(&mut self, rule: &Retry, pool: &KeyPool, demand: &Demand) -> Step {
        let Some(lease) = untried(pool, demand) else { return Step::Stop };
        if !rule.withdraw() {
            return Step::Stop;
        }
        self.pauses = rule.max_retries;
        Step::Again(NextLease::held(lease, Duration::ZERO))
    }
}

/// A key that was not tried yet, where one is ready.
fn untried(pool: &KeyPool, demand: &Demand) -> Option<Lease> {
    let mut demand = demand.clone();
    demand.particulars.untried = true;
    pool.lease_now(&demand)
}

/// How often such an answer is worth another retry, where there is a cap.
fn worth(verdict: &Verdict, attempts: &[Attempt]) -> Option<u32> {
    let alike = |attempt: &&Attempt| attempt.kind == verdict.kind() && attempt.code == verdict.code_of();
    // The attempt in hand is one of them.
    let retried = || attempts.iter().filter(alike).count().saturating_sub(1);
    verdict.retry_cap_of().map(|cap| u32::from(cap).saturating_sub(retried() as u32))
}

/// Whether such an answer came as often as it is worth retrying.
fn capped(verdict: &Verdict, attempts: &[Attempt]) -> bool {
    worth(verdict, attempts) == Some(0)
}

/// The error that the caller receives in the place of the answer in hand, where no key is left and it wants that, or where
/// the answer would only tell it that some key is no good. Only where keys are the cause: that a resource belongs to
/// another owner, or that the provider failed, is an answer as good as any.
pub(crate) fn instead(rule: &Retry, pool: &KeyPool, verdict: &Verdict, mut demand: Demand) -> Option<Error> {
    // Nothing came of the provider: which way out rests, or when a key is there, says more.
    let no_way = verdict.code_of() == EXIT || verdict.is_void();
    let of_a_key = verdict.elsewhere_of() == Elsewhere::OtherKey;
    if !(no_way || of_a_key && (rule.wants_exhausted() || blames_who_asked(verdict))) {
        return None;
    }
    // What is too large for a whole window is none the better for waiting, and the provider says for which.
    if demand.particulars.earlier.as_deref().and_then(<[Attempt]>::last).is_some_and(|last| last.overfull) {
        return None;
    }
    // "Tried already" holds for this request only; the caller wants to know when a next one may be served. Where one may
    // be now, several owners have said the same: the answer speaks of the request.
    demand.ahead = true;
    demand.particulars.earlier = None;
    let error = pool.try_lease(&demand, pool.clock().now()).err()?;
    if verdict.kind() == VerdictKind::ModelUnavailable && error.exhausted().is_none_or(|out| !out.is_told()) {
        // A retired model is nothing to wait for, and the provider's answer says so.
        return None;
    }
    let waits = error.exhausted().is_some_and(Exhausted::waits_for_a_limit);
    (no_way || rule.wants_exhausted() || waits).then_some(error)
}

/// Whether it says of a key that it is no good, with a status that the caller takes for its own mistake.
fn blames_who_asked(verdict: &Verdict) -> bool {
    let status = verdict.status_of().map_or(0, |status| status.as_u16());
    let of_a_key =
        matches!(verdict.kind(), VerdictKind::InvalidKey | VerdictKind::Suspended | VerdictKind::QuotaExhausted);
    of_a_key && (400..500).contains(&status) && status != 429
}

/// Takes a lease now, or finds out whether one comes within `patience`.
fn seek(pool: &KeyPool, mut demand: Demand, pause: Duration, patience: Duration) -> Step {
    // When a later priority opens hangs on it.
    demand.wait = Some(patience);
    loop {
        match pool.try_lease(&demand, pool.clock().now()) {
            Ok(lease) => return Step::Again(NextLease::held(lease, pause)),
            Err(error) if error.may_end_within(patience) => {
                demand.wait = Some(patience.saturating_sub(pause));
                return Step::Again(NextLease::awaited(pool, demand, pause));
            }
            Err(error) if demand.particulars.anew || patience.is_zero() => {
                pool.count_exhausted();
                return Step::OutOfKeys(error);
            }
            // Every key was asked that could come. Those that met a limit may be asked again when they are back in time.
            Err(_) => demand.particulars.anew = true,
        }
    }
}

/// The same where the key of the answer in hand may serve again: its slot is free as soon as it is wanted.
fn seek_again(pool: &KeyPool, demand: Demand, pause: Duration, patience: Duration, seat: Option<Seat>) -> Step {
    if let Some(lease) = pool.lease_now(&demand) {
        return Step::Again(NextLease::held(lease, pause));
    }
    if let Some(seat) = seat {
        pool.end(seat);
    }
    seek(pool, demand, pause, patience)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BodyError, Gemini, Key, Limit, Limits, Span, Unit, judge_error};

    #[tokio::test]
    async fn a_fault_of_the_providers_makes_nobody_wait_longer_for_a_key() {
        let key = Key::new("AIzaSy-not-a-real-key-000");
        let span = Span::Sliding(Duration::from_secs(20));
        let one = Limits::new().with(Limit { unit: Unit::Requests, span, amount: 1 });
        let pool = KeyPool::builder(Gemini::new()).key(key).limits("m", one).build().unwrap();
        let lease = pool.try_acquire("m").unwrap();
        assert!(lease.started());
        drop(lease);
        let begun = pool.clock().tick();
        for deadline in [None, Some(Duration::from_secs(60))] {
            let mut rule = Retry::new().seed(7);
            rule.deadline = deadline;
            let next = |wait| {
                let fault = Verdict::new(VerdictKind::Overloaded);
                Course::new(begun, Duration::from_secs(wait)).next(&rule, &pool, &fault, Demand::new("m"), None)
            };
            for wait in [0, 5, 15] {
                assert!(matches!(next(wait), Step::OutOfKeys(_)), "{deadline:?}: {wait} s, and none for 20 s");
            }
            assert!(matches!(next(25), Step::Again(_)), "{deadline:?}: one comes in time");
        }
    }

    #[tokio::test]
    async fn what_never_went_out_waits_for_another_key_no_longer_than_for_its_first() {
        let key = Key::new("AIzaSy-not-a-real-key-000");
        let span = Span::Sliding(Duration::from_secs(20));
        let one = Limits::new().with(Limit { unit: Unit::Requests, span, amount: 1 });
        let pool = KeyPool::builder(Gemini::new()).key(key).limits("m", one).build().unwrap();
        let void = judge_error(&BodyError::void());
        let begun = pool.clock().tick();
        let next = |wait| {
            let rule = Retry::new();
            Course::new(begun, wait).next(&rule, &pool, &void, Demand::new("m"), None)
        };
        assert!(matches!(next(Duration::ZERO), Step::Again(_)), "a key that is ready serves");
        let lease = pool.try_acquire("m").unwrap();
        assert!(lease.started());
        drop(lease);
        for wait in [0, 5, 15] {
            assert!(matches!(next(Duration::from_secs(wait)), Step::OutOfKeys(_)), "{wait} s, and none for 20 s");
        }
        assert!(matches!(next(Duration::from_secs(25)), Step::Again(_)), "one comes in time");
        let told = instead(&Retry::new(), &pool, &void, Demand::new("m")).expect("no key is to be had");
        assert!(told.is_exhausted() && told.retry_after().is_some(), "{told}");
    }
}
