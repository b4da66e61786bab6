//! Where a worker stands until there is a key for its task.

use std::{sync::Arc, time::Duration};

use tower_keypool::{Affinity, Demand, Exhausted, KeyId, Lease, OutReason};

use super::{
    work::Work,
    worker::{Worker, demand},
};

/// How long a task stands in the pool's own line: a minute's window, and what belongs to it.
pub(super) const IN_LINE: Duration = Duration::from_secs(65);
/// The same where nobody knows when a slot's own key comes free, such as one that is lent to this process: it is asked for
/// anew, and its task may go to another slot meanwhile.
const UNTIL_LENT: Duration = Duration::from_millis(200);
/// The same where nothing is left of the day, as far as the store said, and yet an owner may be lent.
const UNTIL_ASKED: Duration = Duration::from_secs(1);
/// The same where nobody knows when any comes free: by then it may be known that none does today.
const UNTIL_KNOWN: Duration = Duration::from_secs(10);
/// The same where another model may take the place of this one.
const BEFORE_ANOTHER: Duration = Duration::from_secs(5);
/// A key that is out only while others wait, or between two starts; nobody asks the pool anew more often.
pub(super) const A_MOMENT: Duration = Duration::from_millis(100);

/// So many other keys are looked at for a task that failed with one.
const MOST_OTHERS: usize = 16;

/// A model that no key may carry for now, and the next one that is asked for.
pub(super) struct Step<'a> {
    pub(super) from: &'a Arc<str>,
    pub(super) to: &'a Arc<str>,
    pub(super) why: Exhausted,
}

/// What a task's line came to.
pub(super) enum Line {
    Lease(Arc<str>, Lease),
    Stopped,
    /// No key for a while; and how long it was waited for.
    Out(Exhausted, Duration),
    /// Not for want of a key: none has its model.
    NoModel(Exhausted),
    /// Never, or not at all.
    Failed(tower_keypool::Error),
}

impl Worker {
    /// Waits for a key, for the task's model or one that may take its place.
    pub(super) async fn stand_in_line(&self, work: &Work) -> Line {
        let shared = &self.shared;
        let pool = shared.client.pool();
        let models = shared.client.models_in_place();
        let chain = if models.is_empty() { Vec::new() } else { self.chain(work) };
        let chain = if chain.is_empty() { std::slice::from_ref(&work.model) } else { &chain };
        let (mut out, mut waited) = (None::<Exhausted>, Duration::ZERO);
        let mut steps = Vec::new();
        let ways = self.ways(work);
        let taken = |steps: Vec<Step<'_>>, model: &Arc<str>, demand: &Demand, lease| {
            if chain.len() > 1 {
                shared.stepped(work, self.number, model, steps);
            }
            Line::Lease(Arc::clone(model), self.apart(work, demand, lease))
        };
        for (n, model) in chain.iter().enumerate() {
            let last = n + 1 == chain.len();
            let most = if last { IN_LINE } else { BEFORE_ANOTHER };
            let demand = demand(work, model, self.key.as_ref()).ahead();
            let refused = match self.lease_of_any(&demand, &ways) {
                Ok(lease) => return taken(steps, model, &demand, lease),
                Err(error) => error,
            };
            if let Some(why) = self.without_model(work) {
                return Line::NoModel(why);
            }
            let refused = match refused.exhausted().and_then(|out| self.patience(work, model, out, most)) {
                Some(line) => {
                    // Meanwhile another slot's key may show how things are.
                    shared.desk.step_aside(work, self.key.is_some());
                    let begun = shared.desk.elapsed();
                    let demand = match &*ways {
                        [way] if self.key.is_none() => demand.affinity(way.clone()),
                        _ => demand,
                    };
                    let lease = tokio::select! {
                        lease = pool.acquire(demand.clone().wait(line)) => lease,
                        () = shared.desk.until_stopped() => return Line::Stopped,
                    };
                    waited += shared.desk.elapsed().saturating_sub(begun);
                    match lease {
                        Ok(lease) => return taken(steps, model, &demand, lease),
                        Err(error) => error,
                    }
                }
                None => refused,
            };
            if let (Some(next), Some(out)) = (chain.get(n + 1), refused.exhausted()) {
                steps.push(Step { from: model, to: next, why: out.clone() });
            }
            match refused.exhausted() {
                // No key has this model, and none will: that is the task's.
                Some(_) if refused.status() == http::StatusCode::NOT_FOUND && last && out.is_none() => {
                    return Line::Failed(refused);
                }
                Some(now) if out.as_ref().is_none_or(|held| soonest(now) < soonest(held)) => out = Some(now.clone()),
                None if last && out.is_none() => return Line::Failed(refused),
                _ => {}
            }
        }
        out.map_or(Line::Stopped, |out| Line::Out(out, waited))
    }

    /// How long a task of this model may stand in the pool's line.
    pub(super) fn in_line(&self, model: &str, most: Duration) -> Duration {
        self.shared.desk.left_of_wait(model).map_or(most, |wait| wait.clamp(A_MOMENT, most))
    }

    /// How long this one stands there: not at all where a key comes too late, or none does.
    fn patience(&self, work: &Work, model: &str, out: &Exhausted, most: Duration) -> Option<Duration> {
        let (next, wait) = (out.may_serve_in(), self.in_line(&work.model, most));
        // Those of one owner do not keep all workers from the others.
        if self.key.is_none() && work.names.is_some() {
            return (self.ways(work).len() == 1 && next.is_some_and(|next| next <= UNTIL_LENT)).then_some(UNTIL_LENT);
        }
        // Whether it is busy, lent to another process or kept for others: a slot's own line may not move.
        if self.key.is_some() && out.next_in().is_none() && out.may_end_any_time() {
            return Some(wait.min(UNTIL_LENT));
        }
        // Those that rest for what the provider said are tried by one; and no slot keeps what another may carry sooner.
        if self.is_for_one(out) || next.is_some_and(|next| self.another_is_sooner(work, next)) {
            return None;
        }
        if let Some(next) = next.filter(|next| *next <= wait) {
            // By then it may be known that none of the others does today.
            return Some(wait.min(next + UNTIL_KNOWN));
        }
        if !out.may_end_any_time() {
            return None;
        }
        if self.day_is_over(work, model, out).is_none() {
            return Some(wait.min(UNTIL_KNOWN));
        }
        // Not for each task where another model stands in.
        (most > BEFORE_ANOTHER).then(|| wait.min(UNTIL_ASKED))
    }

    /// When the day ends whose requests are all used up, as the store said: the pool, which no owner is lent, knows of none.
    pub(super) fn day_is_over(&self, work: &Work, model: &str, out: &Exhausted) -> Option<Duration> {
        let lent = out.reasons().any(|(reason, _)| reason == OutReason::HeldElsewhere);
        let options = &self.shared.options;
        if !lent || *options.defaults.model != *model {
            return None;
        }
        let plan = options.plan(&self.shared.client);
        let over = *work.model == *model && plan.left_today == Some(0);
        over.then(|| Duration::try_from_secs_f64(plan.day_ends).unwrap_or_default())
    }

    /// Another key than those that the task failed with, where one of the same priority is ready; which it is not worth to
    /// wait for, or to pay for.
    fn apart(&self, work: &Work, demand: &Demand, lease: Lease) -> Lease {
        if self.key.is_some() || work.names.is_some() || !work.tried.contains(lease.key_id()) {
            return lease;
        }
        let keys = self.shared.keys();
        let Some(at) = keys.iter().position(|(id, _)| id == lease.key_id()) else { return lease };
        let alike = |(id, priority): &&(KeyId, u16)| *priority == keys[at].1 && !work.tried.contains(id);
        let others = keys[at..].iter().chain(&keys[..at]).filter(alike).take(MOST_OTHERS);
        let pool = self.shared.client.pool();
        let taken = others.map(|(id, _)| demand.clone().affinity(Affinity::MustKey(id.clone())));
        taken.map(|demand| pool.try_acquire(demand)).find_map(Result::ok).unwrap_or(lease)
    }
}

/// For whom it takes longer comes later.
pub(super) fn soonest(out: &Exhausted) -> Duration {
    if out.may_end_any_time() { Duration::ZERO } else { out.may_serve_in().unwrap_or(Duration::MAX) }
}
