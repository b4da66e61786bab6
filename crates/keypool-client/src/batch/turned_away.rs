//! Keys that turned a task away: whether they rest for it, and what becomes of the task where they do not.

use std::{sync::Arc, time::Duration};

use tower_keypool::{Exhausted, KeyId, KeyPool, OutReason, ServedBy, Verdict, VerdictKind};

use super::{
    attempt::{Bad, NO_MODEL, Tried},
    desk::Stop,
    events::FaultKind,
    line::A_MOMENT,
    work::Work,
    worker::{Worker, demand},
};

/// So often at least a task is turned away by a limit that keeps no key from the next one, before it is the task's.
const LIMITS: u32 = 10;
/// The same of keys that are refused: where several are, the pool believes the third request in a row.
const REFUSALS: u32 = 3;

/// Whether the key that turned a task away last is kept from the next one by that.
fn is_out(pool: &KeyPool, work: &Work, tried: &Tried) -> bool {
    let Some(served) = &tried.served_by else { return false };
    let last = served.earlier().last();
    let Some(key) = served.key().or(last.map(|attempt| &attempt.key)) else { return false };
    let model = served.used_model().map_or_else(|| work.model.clone(), Into::into);
    let out = pool.outlook(demand(work, &model, Some(key)));
    out.is_some_and(|out| out.reasons().any(|(reason, _)| is_rest(reason)))
}

/// Whether it is more than a window, a slot or another request that keeps a key out.
fn is_rest(reason: OutReason) -> bool {
    use OutReason::{
        Busy, Elsewhere, Full, HeldElsewhere, Interval, LaterPriority, Queued, StoreUnreachable, Unwritten,
    };
    !matches!(
        reason,
        Busy | Elsewhere | Full(..) | HeldElsewhere | Interval | LaterPriority | Queued | StoreUnreachable | Unwritten
    )
}

pub(super) fn is_disabled(reason: OutReason) -> bool {
    use OutReason::{DisabledByHand, DisabledInvalid, DisabledSpent, DisabledSuspended};
    matches!(reason, DisabledByHand | DisabledInvalid | DisabledSpent | DisabledSuspended)
}

/// Whether this and keys that are off is all that keeps them out.
fn is_all(out: &Exhausted, of: OutReason) -> bool {
    let mut any = false;
    out.reasons().all(|(reason, _)| {
        any |= reason == of;
        reason == of || reason == OutReason::Elsewhere || is_disabled(reason)
    }) && any
}

/// Whether all keys are held since many failed at once, or are off.
pub(super) fn is_held(out: &Exhausted) -> bool {
    is_all(out, OutReason::Held)
}

/// A task that so many keys came to rest for may be what they rest for, as one is that is larger than a minute allows: others
/// go before it, lest it rests each key that comes back.
const ITS_OWN: u32 = 2;

/// Whether all keys are held, off, or rest for refusals of their own.
pub(super) fn is_refused(out: &Exhausted) -> bool {
    all_rest(out, |reason| matches!(reason, OutReason::Held | OutReason::Resting))
}

/// Whether they are, or rest since the provider said that a limit was reached.
fn is_told_to_wait(out: &Exhausted) -> bool {
    all_rest(out, |reason| matches!(reason, OutReason::Held | OutReason::Resting | OutReason::RateLimited))
}

/// Whether some rest so, and all others are off.
fn all_rest(out: &Exhausted, so: impl Fn(OutReason) -> bool) -> bool {
    let mut any = false;
    out.reasons().all(|(reason, _)| {
        any |= so(reason);
        so(reason) || reason == OutReason::Elsewhere || is_disabled(reason)
    }) && any
}

/// How often a task may be turned away by keys that do not rest for it.
fn most(tried: &Tried, retries: u32, served: bool) -> u32 {
    // Where nobody was served yet it is the keys, as far as anybody knows.
    let refusals = if served { REFUSALS } else { LIMITS };
    let kind = tried.served_by.as_ref().map(ServedBy::verdict).map(Verdict::fault);
    match kind {
        Some(VerdictKind::RateLimited) => retries.max(LIMITS),
        Some(VerdictKind::InvalidKey | VerdictKind::Suspended) => retries.max(refusals),
        _ if matches!(&tried.outcome, Err(bad) if bad.is_limited_account()) => retries.max(refusals),
        _ => retries,
    }
}

/// Whether its keys are said to be no good.
fn is_refusal(tried: &Tried) -> bool {
    let kind = tried.served_by.as_ref().map(ServedBy::verdict).map(Verdict::fault);
    matches!(kind, Some(VerdictKind::InvalidKey | VerdictKind::Suspended))
}

/// The key that turned a task away without a cause, where the task names nothing of anybody's.
fn unexplained<'a>(work: &Work, tried: &'a Tried) -> Option<&'a KeyId> {
    let served = tried.served_by.as_ref().filter(|served| !served.verdict().is_named())?;
    served.key().filter(|_| work.names.is_none() && is_refusal(tried))
}

/// What was said of the key is the task's own.
fn blame(tried: &mut Tried) {
    if let Err(bad) = &mut tried.outcome {
        let kind = if bad.without_model.is_some() { NO_MODEL } else { "refused" };
        (bad.whose, bad.kind) = (FaultKind::Task, kind);
    }
}

impl Worker {
    /// Whether one task is tried before the others once these keys are back: nobody knows how many the provider takes then. What a
    /// window allows the pool knows, and slots are few and have a pace of their own.
    pub(super) fn is_for_one(&self, out: &Exhausted) -> bool {
        is_refused(out) || (self.key.is_none() && is_told_to_wait(out))
    }

    /// Whether nobody need come back for these keys: all are refused, none of them ever served anybody, and each was asked by
    /// several tasks, or whether they stay so shows later than may be waited.
    pub(super) fn is_hopeless(&self, work: &Work, out: &Exhausted, next: Duration) -> bool {
        let shared = &self.shared;
        let keys = || out.reasons().filter(|(reason, _)| !is_disabled(*reason)).map(|(_, keys)| keys).sum();
        is_refused(out)
            && (shared.desk.left_of_wait(&work.model).is_some_and(|left| left < next)
                || shared.desk.is_turned_away_by(&work.model, keys()))
            && !shared.client.pool().ever_served()
    }

    /// A key's fault costs the task nothing: it goes to another key, or waits until the key has rested. Where the key would
    /// be lent again at once, because what was said rests nobody, it is the task that it is said to.
    pub(super) async fn turned_away(&self, mut work: Box<Work>, model: &Arc<str>, mut tried: Tried) {
        let shared = &self.shared;
        if tried.served_by.as_ref().is_none_or(|served| served.attempts() == 0) {
            // Its key was gone before it was used.
            return shared.desk.put_back(work, A_MOMENT);
        }
        if let Some(bad) = self.own_limit(&mut work, &tried) {
            tried.outcome = Err(bad);
            return self.done(work, model, tried).await;
        }
        let key = unexplained(&work, &tried).cloned();
        if let Some(key) = &key {
            if self.own_refusal(&mut work, key) {
                blame(&mut tried);
                return self.done(work, model, tried).await;
            }
            shared.desk.turned_away_by(&work, key);
        }
        let unexplained = key.is_some() && !shared.desk.was_carried(&work.model);
        if is_out(shared.client.pool(), &work, &tried) {
            if work.key_faults >= ITS_OWN || unexplained {
                shared.desk.put_behind(work);
            } else {
                shared.desk.put_back(work, Duration::ZERO);
            }
            // However quickly it was turned away.
            return tokio::task::yield_now().await;
        }
        work.unheld += 1;
        // Those that were refused before others were carried are refused for themselves.
        if work.unheld == 1 && is_refusal(&tried) {
            shared.desk.turned_away_in_vain(&work);
        }
        if work.unheld > most(&tried, shared.options.max_retries, shared.desk.was_carried(&work.model)) {
            blame(&mut tried);
            return self.done(work, model, tried).await;
        }
        shared.tally(|tally| tally.statistics.retries += 1);
        let pause = shared.backoff(work.unheld);
        shared.desk.put_back(work, pause);
    }

    /// Why no key may carry a task, where that is that none has its model or one that may take its place: as it was told
    /// itself, or enough others were.
    pub(super) fn without_model(&self, work: &Work) -> Option<Exhausted> {
        if !self.shared.desk.is_without(work) {
            return None;
        }
        let pool = self.shared.client.pool();
        let chain = self.chain(work);
        let mut out = None;
        for model in &chain {
            let why = pool.outlook(demand(work, model, None)).filter(|why| is_all(why, OutReason::ModelUnavailable))?;
            out.get_or_insert(why);
        }
        out
    }

    /// Whether keys are left that were not asked for the model, once those of this attempt told that they have it not; and some of
    /// these were asked for the first time.
    pub(super) fn others_may_have_model(&self, work: &mut Work, tried: &Tried) -> bool {
        let Some(served) = &tried.served_by else { return true };
        let before = work.tried.len();
        let earlier = served.earlier().iter().filter(|attempt| attempt.kind == VerdictKind::ModelUnavailable);
        for key in earlier.map(|attempt| &attempt.key).chain(served.key()) {
            if !work.tried.contains(key) {
                work.tried.push(key.clone());
            }
        }
        work.tried.len() > before && work.tried.len() < self.shared.keys().len()
    }

    /// Such a task ends: what another one was told it would be told as well.
    pub(super) async fn has_no_model(&self, work: Box<Work>, why: &Exhausted) {
        let bad = Bad { invalid: true, ..Bad::new(FaultKind::Task, NO_MODEL, why.to_string()) };
        self.failed_unsent(work, bad, None).await;
    }

    /// A task that no key will ever carry.
    pub(super) async fn refused(&self, work: Box<Work>, error: &tower_keypool::Error) {
        if error.is_shut_down() {
            self.shared.desk.stop(Stop::Failed(error.to_string().into()));
            return self.shared.desk.put_back(work, Duration::ZERO);
        }
        let has_no_model = error.exhausted().is_some_and(|out| is_all(out, OutReason::ModelUnavailable));
        let kind = if has_no_model { NO_MODEL } else { "invalid" };
        let bad = Bad { invalid: true, ..Bad::new(FaultKind::Task, kind, error.to_string()) };
        self.failed_unsent(work, bad, error.served_by().cloned()).await;
    }

    /// One that was not sent.
    pub(super) async fn failed_unsent(&self, work: Box<Work>, bad: Bad, served_by: Option<ServedBy>) {
        let tried = Tried { outcome: Err(bad), served_by, usage: None, finish_reason: None, took: Duration::ZERO };
        let model = Arc::clone(&work.model);
        self.settle(work, &model, tried).await;
    }

    /// Whether a slot of another key may carry it before this one's key is back.
    pub(super) fn another_is_sooner(&self, work: &Work, next: Duration) -> bool {
        if self.key.is_none() || next <= A_MOMENT {
            return false;
        }
        let all = self.outlook(work);
        all.is_none_or(|all| all.may_serve_in().is_some_and(|soonest| soonest + A_MOMENT < next))
    }
}
