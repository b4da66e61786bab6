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

/// A request that had a key and lost it before it was sent waits at least this long for another key.
const A_MOMENT: Duration = Duration::from_secs(1);

/// A request may wait this long in all, from when it came, for a model that is overloaded at all keys, also where it waits for
/// nothing else.
const OVERLOADED: Duration = Duration::from_secs(10);

/// How far one request has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// When it came.
    begun: Tick,
    /// How often it was retried after a pause.
    pauses: u32,
    /// How long it may stand waiting for a key, from when it came.
    wait: Duration,
    /// It was sent again at once because its connection had been closed.
    reconnected: bool,
}

/// What to do next.
#[expect(clippy::large_enum_variant, reason = "moved once, where a box would cost an allocation")]
pub(crate) enum Step {
    /// Hand the answer to the caller.
    Stop,
    /// Hand the answer to the caller: no key was to be had for another attempt, for this reason.
    OutOfKeys(Error),
    /// Send it again once there is a lease.
    Again(NextLease),
}

/// How much time a request has, at one decision.
#[derive(Clone, Copy)]
struct Time {
    /// What passed since it came.
    spent: Duration,
    /// What is left until the rule's deadline, where it has one.
    to_deadline: Option<Duration>,
    /// What is left of its wait for keys, which ends with the deadline at the latest.
    for_a_key: Duration,
}

/// How long the next attempt waits, from the decision on.
struct Waits {
    /// Before it is sent, though it may have its key.
    pause: Duration,
    /// Until it must have a key; the pause is part of that.
    for_a_key: Duration,
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
        let time = self.time(rule, pool.clock().tick());
        let over = time.to_deadline == Some(Duration::ZERO) || demand.ends_with(verdict);
        if over || is_not_worth_another(verdict, demand.particulars.earlier.as_deref().unwrap_or_default()) {
            return Step::Stop;
        }
        // The exit rests: a key with another one may serve at once, and that is no retry of the provider's fault.
        let exit_rests = verdict.scope_of() == Scope::Exit && verdict.until_of() != Until::Now;
        if exit_rests && pool.has_several_exits() {
            if let Some(lease) = pool.lease_now(&demand) {
                return Step::Again(NextLease::held(lease, Duration::ZERO));
            }
            if verdict.elsewhere_of() == Elsewhere::No {
                return seek(pool, demand, Waits::none_but(time.for_a_key));
            }
        }
        match verdict.elsewhere_of() {
            Elsewhere::No | Elsewhere::OtherModel => Step::Stop,
            Elsewhere::OtherKey if pool.has_asked_enough(&demand) || pool.is_for_no_tier(&demand) => Step::Stop,
            Elsewhere::OtherOwner if pool.is_found_nowhere(&demand) => Step::Stop,
            Elsewhere::OtherKey | Elsewhere::OtherOwner => seek(pool, demand, Waits::none_but(time.for_a_key)),
            // Nothing went out, and nobody is to blame: the request stands where it stood before it had that key.
            Elsewhere::AfterPause if verdict.is_void() => {
                if self.pauses >= rule.max_retries {
                    return Step::Stop;
                }
                self.pauses += 1;
                seek_again(pool, demand, Waits::none_but(time.for_a_key.max(A_MOMENT)), seat)
            }
            // The connection had just been given up by the provider: another one costs no pause and is not counted.
            Elsewhere::AfterPause if verdict.is_closed() && rule.max_retries > 0 && !self.reconnected => {
                self.reconnected = true;
                seek_again(pool, demand, Waits::none_but(time.for_a_key), seat)
            }
            Elsewhere::AfterPause => self.after_a_pause(rule, pool, verdict, demand, seat, time),
        }
    }

    fn time(&self, rule: &Retry, now: Tick) -> Time {
        let spent = now.since(self.begun);
        let to_deadline = rule.deadline.map(|deadline| deadline.saturating_sub(spent));
        let wait = self.wait.saturating_sub(spent);
        Time { spent, to_deadline, for_a_key: to_deadline.map_or(wait, |left| left.min(wait)) }
    }

    /// A retry of the provider's fault. It is counted, and paid for out of the rule's budget, only where it happens.
    fn after_a_pause(
        &mut self,
        rule: &Retry,
        pool: &KeyPool,
        verdict: &Verdict,
        demand: Demand,
        seat: Option<Seat>,
        time: Time,
    ) -> Step {
        if self.pauses >= rule.max_retries {
            return Step::Stop;
        }
        // Only a deadline says that there is time for more than the longest pause of the rule.
        let longest = time.to_deadline.unwrap_or_else(|| rule.backoff.longest());
        let asked = verdict.retry_after().unwrap_or_default();
        if asked > longest {
            return self.elsewhere_at_once(rule, pool, &demand);
        }
        let pause = rule.pause(self.pauses).max(asked).min(longest);
        let waits = time.waits(pool, verdict, &demand, pause);
        let step = match self.elsewhere_at_last(rule, pool, verdict, &demand) {
            Some(lease) => Step::Again(NextLease::held(lease, waits.pause)),
            None => seek_again(pool, demand, waits, seat),
        };
        if matches!(step, Step::Again(_)) {
            if !rule.withdraw() {
                return Step::Stop;
            }
            self.pauses += 1;
        }
        step
    }

    /// For the last retry a key that was not tried yet, of whatever priority: it may stand with another cluster, project
    /// or model of the provider's.
    fn elsewhere_at_last(&self, rule: &Retry, pool: &KeyPool, verdict: &Verdict, demand: &Demand) -> Option<Lease> {
        let worth = worth(verdict, demand.particulars.earlier.as_deref().unwrap_or_default());
        let is_last = rule.max_retries.saturating_sub(self.pauses).min(worth.unwrap_or(u32::MAX)) <= 1;
        if is_last { untried(pool, demand) } else { None }
    }

    /// The provider asks for a longer pause than there is time for: one other key is tried at once, and that is the last
    /// retry.
    fn elsewhere_at_once(&mut self, rule: &Retry, pool: &KeyPool, demand: &Demand) -> Step {
        let Some(lease) = untried(pool, demand) else { return Step::Stop };
        if !rule.withdraw() {
            return Step::Stop;
        }
        self.pauses = rule.max_retries;
        Step::Again(NextLease::held(lease, Duration::ZERO))
    }
}

impl Time {
    /// How long a retry waits whose pause, by the rule and the provider, is this long.
    fn waits(self, pool: &KeyPool, verdict: &Verdict, demand: &Demand, pause: Duration) -> Waits {
        // A key may come for as long as the request may wait, and also during the pause, which passes anyway. An exit that
        // rests is waited for no longer than for a key.
        let for_a_key = if verdict.code_of() == EXIT { self.for_a_key } else { pause.max(self.for_a_key) };
        let longest = self.to_deadline.unwrap_or_else(|| self.for_a_key.max(OVERLOADED.saturating_sub(self.spent)));
        match pool.overloaded_for(demand) {
            // The provider's faults rest the model at all keys. That is over after a pause, and not with a key; and answers
            // that are still to come may make the rest longer.
            Some(rest) if rest <= longest => {
                let pause = if rest > for_a_key { rest.saturating_add(pause).min(longest) } else { pause };
                Waits { pause, for_a_key: pause.saturating_add(self.for_a_key.max(rest)).min(longest) }
            }
            _ => Waits { pause, for_a_key },
        }
    }
}

impl Waits {
    /// It is sent as soon as it has a key, for which it waits this long.
    fn none_but(for_a_key: Duration) -> Self {
        Self { pause: Duration::ZERO, for_a_key }
    }
}

/// A key that was not tried yet, where one is ready.
fn untried(pool: &KeyPool, demand: &Demand) -> Option<Lease> {
    let mut demand = demand.clone();
    demand.particulars.untried = true;
    pool.lease_now(&demand)
}

/// How many more retries such an answer is worth, where its verdict has a cap.
fn worth(verdict: &Verdict, attempts: &[Attempt]) -> Option<u32> {
    let alike = |attempt: &&Attempt| attempt.kind == verdict.kind() && attempt.code == verdict.code_of();
    // The attempt in hand is one of them.
    let retried = || attempts.iter().filter(alike).count().saturating_sub(1);
    verdict.retry_cap_of().map(|cap| u32::from(cap).saturating_sub(retried() as u32))
}

/// Whether such an answer came as often as it is worth.
fn is_not_worth_another(verdict: &Verdict, attempts: &[Attempt]) -> bool {
    worth(verdict, attempts) == Some(0)
}

/// The error that the caller receives in the place of the answer in hand, where no key is left. It does where it wants that
/// (`Retry::wants_exhausted`), and where the answer would only tell it that some key is no good. Keys must be the cause: that a
/// resource belongs to another owner, or that the provider failed, is an answer as good as any.
pub(crate) fn instead(rule: &Retry, pool: &KeyPool, verdict: &Verdict, mut demand: Demand) -> Option<Error> {
    // The provider did not answer: which exit rests, or when a key is there, says more.
    let no_way = verdict.code_of() == EXIT || verdict.is_void();
    let of_a_key = verdict.elsewhere_of() == Elsewhere::OtherKey;
    if !(no_way || of_a_key && (rule.wants_exhausted() || looks_like_the_callers_mistake(verdict))) {
        return None;
    }
    // A request that is too large for a whole window gains nothing by waiting, and the provider says for which window.
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
fn looks_like_the_callers_mistake(verdict: &Verdict) -> bool {
    let status = verdict.status_of().map_or(0, |status| status.as_u16());
    let of_a_key =
        matches!(verdict.kind(), VerdictKind::InvalidKey | VerdictKind::Suspended | VerdictKind::QuotaExhausted);
    of_a_key && (400..500).contains(&status) && status != 429
}

/// Takes a lease now, or finds out whether one comes in time.
fn seek(pool: &KeyPool, mut demand: Demand, Waits { pause, for_a_key }: Waits) -> Step {
    // A later priority opens by how long this waits.
    demand.wait = Some(for_a_key);
    loop {
        match pool.try_lease(&demand, pool.clock().now()) {
            Ok(lease) => return Step::Again(NextLease::held(lease, pause)),
            Err(error) if error.may_end_within(for_a_key) => {
                demand.wait = Some(for_a_key.saturating_sub(pause));
                return Step::Again(NextLease::awaited(pool, demand, pause));
            }
            Err(error) if demand.particulars.anew || for_a_key.is_zero() => {
                pool.count_exhausted();
                return Step::OutOfKeys(error);
            }
            // Every key that could come was asked. Those that met a limit may be asked again if they are back in time.
            Err(_) => demand.particulars.anew = true,
        }
    }
}

/// Takes a lease as [`seek`] does, where the key of the answer in hand may serve again: where no other key is ready that key's
/// slot, `seat`, is given up for it.
fn seek_again(pool: &KeyPool, demand: Demand, waits: Waits, seat: Option<Seat>) -> Step {
    if let Some(lease) = pool.lease_now(&demand) {
        return Step::Again(NextLease::held(lease, waits.pause));
    }
    if let Some(seat) = seat {
        pool.end(seat);
    }
    seek(pool, demand, waits)
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
