//! A worker: takes a task and a key, sends the one with the other, and looks at what comes back.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tower_keypool::{Affinity, Demand, Exhausted, KeyId, Lease, OutReason};

use super::{
    TaskError, TaskResult,
    attempt::{self, Bad, Good, Tried},
    desk::{Heard, Stop, Work},
    events::FaultKind,
    pace::Pace,
    shared::Shared,
    writer::ToWrite,
};

/// How long a task stands in the pool's own line: a minute's window, and what belongs to it.
const IN_LINE: Duration = Duration::from_secs(65);
/// The same where nobody knows when a slot's own key comes free, such as one that is lent to this process: it is asked for
/// anew, and its task may go to another slot meanwhile.
const UNTIL_LENT: Duration = Duration::from_millis(200);
/// The same where nothing is left of the day, as far as the store said, and yet an owner may be lent.
const UNTIL_ASKED: Duration = Duration::from_secs(1);
/// The same where another model may take the place of this one.
const BEFORE_ANOTHER: Duration = Duration::from_secs(5);
/// A slot whose key is out looks again this often: it may be lifted by hand.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A key that is out only while others wait, or between two starts; nobody asks the pool anew more often.
const A_MOMENT: Duration = Duration::from_millis(100);

/// A worker; one with a key is a slot of that key.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
    pub(crate) key: Option<KeyId>,
    pub(crate) pace: Option<Pace>,
    pub(crate) results: mpsc::Sender<ToWrite>,
}

/// So many other keys are looked at for a task that failed with one.
const MOST_OTHERS: usize = 16;

/// What a task's line came to.
enum Line {
    Lease(Arc<str>, Lease),
    Stopped,
    /// No key for a while; and how long it was waited for.
    Out(Exhausted, Duration),
    /// Never, or not at all.
    Failed(tower_keypool::Error),
}

/// What a task needs of a key.
pub(crate) fn demand(work: &Work, model: &Arc<str>, key: Option<&KeyId>) -> Demand {
    let demand = Demand::new(Arc::clone(model)).about_tokens(work.body.len() as u64 / 4);
    match key {
        Some(key) => demand.affinity(Affinity::MustKey(key.clone())),
        None => demand,
    }
}

impl Worker {
    /// Works until nothing is left.
    pub(crate) async fn run(mut self) {
        let Some(key) = self.key.clone() else { return self.work().await };
        let shared = Arc::clone(&self.shared);
        shared.desk.enter(&key);
        self.work().await;
        shared.desk.leave(&key);
    }

    async fn work(&mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            if let Some(pace) = &self.pace {
                let left = pace.left(shared.desk.elapsed());
                if !left.is_zero() {
                    tokio::select! {
                        () = tokio::time::sleep(left) => {}
                        () = shared.desk.until_stopped() => return,
                    }
                }
            }
            let Some(work) = shared.desk.take(self.key.as_ref()).await else { return };
            match self.stand_in_line(&work).await {
                Line::Lease(..) if !shared.desk.may_go(&work) => {
                    // The way went down meanwhile, and the lease was used for nothing.
                    shared.desk.put_back(work, Duration::ZERO);
                    tokio::task::yield_now().await;
                }
                Line::Lease(model, lease) => {
                    if let Some(pace) = &mut self.pace {
                        pace.started(shared.desk.elapsed());
                    }
                    let under_way = shared.under_way(self.number);
                    let tried = attempt::send(&shared, &work, &model, lease, self.key.as_ref()).await;
                    drop(under_way);
                    self.settle(work, &model, tried).await;
                }
                Line::Stopped => {
                    shared.desk.put_back(work, Duration::ZERO);
                    return;
                }
                Line::Out(why, waited) => {
                    self.out(work, why, waited).await;
                    // Who was turned away at once does not ask again at once.
                    if self.key.is_none() && waited < A_MOMENT {
                        shared.desk.pause(A_MOMENT).await;
                    }
                }
                Line::Failed(error) => self.refused(work, &error).await,
            }
        }
    }

    /// Waits for a key, for the task's model or one that may take its place.
    async fn stand_in_line(&self, work: &Work) -> Line {
        let shared = &self.shared;
        let pool = shared.client.pool();
        let chain = shared.client.models_in_place().chain(&work.model);
        let (mut out, mut waited) = (None::<Exhausted>, Duration::ZERO);
        for (n, model) in chain.iter().enumerate() {
            let last = n + 1 == chain.len();
            let most = if last { IN_LINE } else { BEFORE_ANOTHER };
            let demand = demand(work, model, self.key.as_ref()).ahead();
            let refused = match pool.try_acquire(demand.clone()) {
                Ok(lease) => return Line::Lease(Arc::clone(model), self.apart(work, &demand, lease)),
                Err(error) => error,
            };
            let refused = match refused.exhausted().and_then(|out| self.patience(work, model, out, most)) {
                Some(line) => {
                    // Meanwhile another slot's key may show how things are.
                    shared.desk.step_aside(work, self.key.is_some());
                    let begun = shared.desk.elapsed();
                    let lease = tokio::select! {
                        lease = pool.acquire(demand.clone().wait(line)) => lease,
                        () = shared.desk.until_stopped() => return Line::Stopped,
                    };
                    waited += shared.desk.elapsed().saturating_sub(begun);
                    match lease {
                        Ok(lease) => return Line::Lease(Arc::clone(model), self.apart(work, &demand, lease)),
                        Err(error) => error,
                    }
                }
                None => refused,
            };
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

    /// How long a task may stand in the pool's line.
    fn in_line(&self, most: Duration) -> Duration {
        self.shared.options.max_wait.map_or(most, |wait| wait.clamp(A_MOMENT, most))
    }

    /// How long this one stands there: not at all where a key comes too late, or none does.
    fn patience(&self, work: &Work, model: &str, out: &Exhausted, most: Duration) -> Option<Duration> {
        let (next, wait) = (out.may_serve_in(), self.in_line(most));
        // Whether it is busy, lent to another process or kept for others: a slot's own line may not move.
        if self.key.is_some() && out.next_in().is_none() && out.may_end_any_time() {
            return Some(wait.min(UNTIL_LENT));
        }
        if next.is_some_and(|next| next <= wait) {
            return Some(wait);
        }
        if !out.may_end_any_time() {
            return None;
        }
        Some(if self.day_is_over(work, model, out).is_some() { wait.min(UNTIL_ASKED) } else { wait })
    }

    /// When the day ends whose requests are all used up, as the store said: the pool, which no owner is lent, knows of none.
    fn day_is_over(&self, work: &Work, model: &str, out: &Exhausted) -> Option<Duration> {
        let lent = out.reasons().any(|(reason, _)| reason == OutReason::HeldElsewhere);
        let options = &self.shared.options;
        if !lent || *options.defaults.model != *model {
            return None;
        }
        let plan = options.plan(self.shared.client.pool());
        let over = *work.model == *model && plan.left_today == Some(0);
        over.then(|| Duration::try_from_secs_f64(plan.day_ends).unwrap_or_default())
    }

    /// Another key than those that the task failed with, where one of the same priority is ready; which it is not worth to
    /// wait for, or to pay for.
    fn apart(&self, work: &Work, demand: &Demand, lease: Lease) -> Lease {
        if self.key.is_some() || !work.tried.contains(lease.key_id()) {
            return lease;
        }
        let keys = &self.shared.keys;
        let Some(at) = keys.iter().position(|(id, _)| id == lease.key_id()) else { return lease };
        let alike = |(id, priority): &&(KeyId, u16)| *priority == keys[at].1 && !work.tried.contains(id);
        let others = keys[at..].iter().chain(&keys[..at]).filter(alike).take(MOST_OTHERS);
        let pool = self.shared.client.pool();
        let taken = others.map(|(id, _)| demand.clone().affinity(Affinity::MustKey(id.clone())));
        taken.map(|demand| pool.try_acquire(demand)).find_map(Result::ok).unwrap_or(lease)
    }

    /// No key for this task, for now.
    async fn out(&self, work: Work, why: Exhausted, waited: Duration) {
        let shared = &self.shared;
        let Some(key) = &self.key else {
            // Who stood in line for long may do so again; others would only ask anew.
            let in_line = !waited.is_zero();
            return self.park(work, why, in_line);
        };
        let pause = match why.next_in() {
            None if why.may_end_any_time() => A_MOMENT,
            next => next.or(why.may_serve_in()).map_or(LOOK_AGAIN, |next| next.clamp(A_MOMENT, LOOK_AGAIN)),
        };
        // Another key's slot may carry it; where there is none, it waits with its model.
        match self.outlook(&work) {
            Some(all) => self.park(work, all, true),
            None => shared.desk.put_back(work, Duration::ZERO),
        }
        let resting = shared.resting(key);
        shared.desk.leave(key);
        shared.desk.pause(pause).await;
        shared.desk.enter(key);
        drop(resting);
    }

    /// Why no key at all may carry it; `None`: one may.
    fn outlook(&self, work: &Work) -> Option<Exhausted> {
        let pool = self.shared.client.pool();
        let chain = self.shared.client.models_in_place().chain(&work.model);
        let all: Option<Vec<_>> = chain.iter().map(|model| pool.outlook(demand(work, model, None))).collect();
        all?.into_iter().min_by_key(soonest)
    }

    /// No key for a while: the task waits with its model until when, which is known, or for good. `near`: not where one may
    /// come while it stands in line.
    fn park(&self, work: Work, why: Exhausted, near: bool) {
        let desk = &self.shared.desk;
        if let Some(ends) = self.day_is_over(&work, &work.model, &why) {
            return desk.park(work, why.not_before(ends), Some(ends));
        }
        let next = why.may_serve_in();
        if why.may_end_any_time() || (near && next.is_some_and(|next| next <= self.in_line(IN_LINE))) {
            return desk.put_back(work, Duration::ZERO);
        }
        // Who is told of the end is told when to come back.
        let why = match next {
            Some(next) if why.next_in().is_none() => why.not_before(next),
            _ => why,
        };
        desk.park(work, why, next);
    }

    /// A task that no key will ever carry.
    async fn refused(&self, work: Work, error: &tower_keypool::Error) {
        if error.is_shut_down() {
            self.shared.desk.stop(Stop::Failed(error.to_string().into()));
            return self.shared.desk.put_back(work, Duration::ZERO);
        }
        let bad = Bad {
            whose: FaultKind::Task,
            invalid: true,
            kind: "invalid",
            message: error.to_string(),
            code: None,
            text: None,
            fatal: false,
        };
        let tried = Tried {
            outcome: Err(bad),
            served_by: error.served_by().cloned(),
            usage: None,
            finish_reason: None,
            took: Duration::ZERO,
        };
        let model = Arc::clone(&work.model);
        self.settle(work, &model, tried).await;
    }

    /// Says what came of an attempt: done, or again.
    async fn settle(&self, mut work: Work, model: &Arc<str>, tried: Tried) {
        let shared = &self.shared;
        shared.book(&mut work, &tried, self.number);
        shared.desk.heard(&work, heard(&tried));
        let Err(bad) = &tried.outcome else { return self.done(work, model, tried).await };
        if bad.fatal {
            shared.desk.stop(Stop::Failed(bad.message.clone().into()));
            return shared.desk.put_back(work, Duration::ZERO);
        }
        match bad.whose {
            FaultKind::Key => {
                shared.desk.put_back(work, Duration::ZERO);
                // However quickly it was turned away.
                return tokio::task::yield_now().await;
            }
            FaultKind::Network => {
                if !shared.unreached(bad) {
                    shared.desk.stop(self.nothing_goes_out(&work, model, bad));
                }
                shared.desk.put_back(work, Duration::ZERO);
                return tokio::task::yield_now().await;
            }
            FaultKind::Model | FaultKind::Task => {}
        }
        work.faults += 1;
        if work.faults > shared.options.max_retries || (bad.invalid && !shared.options.retry_invalid) {
            return self.done(work, model, tried).await;
        }
        shared.tally(|tally| tally.statistics.retries += 1);
        let pause = if bad.whose == FaultKind::Model { shared.backoff(work.faults) } else { Duration::ZERO };
        if let Some(key) = tried.served_by.as_ref().and_then(tower_keypool::ServedBy::key)
            && !work.tried.contains(key)
        {
            work.tried.push(key.clone());
        }
        shared.desk.put_back(work, pause);
    }

    /// Why the run ends where nothing went out for too long: exits that rest open again, and the pool says when.
    fn nothing_goes_out(&self, work: &Work, model: &Arc<str>, bad: &Bad) -> Stop {
        let demand = demand(work, model, self.key.as_ref()).ahead();
        let refused = self.shared.client.pool().try_acquire(demand).err();
        let out = refused.as_ref().and_then(|error| error.exhausted()).filter(|out| out.exits().next().is_some());
        out.map_or_else(|| Stop::Failed(self.shared.never_reached(bad).into()), |out| Stop::OutOfQuota(out.clone()))
    }

    /// A task has its result.
    async fn done(&self, work: Work, model: &Arc<str>, tried: Tried) {
        let Tried { outcome, served_by, usage, finish_reason, took } = tried;
        let used =
            served_by.as_ref().and_then(|served| served.used_model()).map_or_else(|| Arc::clone(model), Into::into);
        let mut result = TaskResult {
            id: work.id,
            index: work.index,
            success: outcome.is_ok(),
            text: None,
            json: None,
            parts: None,
            error: None,
            key_id: served_by.as_ref().and_then(|served| served.key()).cloned(),
            model: used,
            attempts: work.attempts,
            key_faults: work.key_faults,
            usage,
            finish_reason,
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
            hash: work.hash,
            task: work.fields,
        };
        match outcome {
            Ok(Good { text, json, parts }) => {
                (result.text, result.json) = (text, json);
                result.parts = (!parts.is_empty()).then(|| parts.into());
            }
            Err(Bad { kind, message, code, text, .. }) => {
                result.text = text;
                result.error = Some(TaskError { kind, message, code });
            }
        }
        let (waits, written) = oneshot::channel();
        if self.results.send((result, Some(waits))).await.is_ok() {
            // Before the next one is taken; a writer that failed has said so.
            let _ = written.await;
        } else {
            // The writer is gone: nothing can be kept any more.
            self.shared.desk.stop(Stop::Failed("the output is gone".into()));
            self.shared.desk.done();
        }
    }
}

/// What an attempt showed of the way to the provider, and of the task's model.
fn heard(tried: &Tried) -> Heard {
    match &tried.outcome {
        Err(bad) if bad.whose == FaultKind::Network || bad.fatal => Heard::Nothing,
        // Without an attempt there was no key, or the task cannot be sent.
        Err(_) if tried.took.is_zero() && tried.served_by.is_none() => Heard::Nothing,
        Err(bad) if bad.whose == FaultKind::Key => {
            let sent = tried.served_by.as_ref().is_some_and(|served| served.attempts() > 0);
            if sent { Heard::Reached } else { Heard::Nothing }
        }
        _ => Heard::Carried,
    }
}

/// For whom it takes longer comes later.
fn soonest(out: &Exhausted) -> Duration {
    if out.may_end_any_time() { Duration::ZERO } else { out.may_serve_in().unwrap_or(Duration::MAX) }
}
