//! A worker: takes a task and a key, sends the one with the other, and looks at what comes back.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tower_keypool::{Affinity, Demand, Exhausted, KeyId, Lease};

use super::{
    TaskError, TaskResult,
    attempt::{self, Bad, Good, Tried},
    desk::{Stop, Work},
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
/// The same where another model may take the place of this one.
const BEFORE_ANOTHER: Duration = Duration::from_secs(5);
/// A slot whose key is out looks again this often: it may be lifted by hand.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A key that is out only while others wait, or between two starts.
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
    /// No key for a while.
    Out(Exhausted),
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
                Line::Out(why) => self.out(work, why).await,
                Line::Failed(error) => self.refused(work, &error).await,
            }
        }
    }

    /// Waits for a key, for the task's model or one that may take its place.
    async fn stand_in_line(&self, work: &Work) -> Line {
        let pool = self.shared.client.pool();
        let chain = self.shared.client.models_in_place().chain(&work.model);
        let mut out: Option<Exhausted> = None;
        for (n, model) in chain.iter().enumerate() {
            let wait = if n + 1 < chain.len() { BEFORE_ANOTHER } else { IN_LINE };
            let wait = self.shared.options.max_wait.map_or(wait, |most| most.clamp(A_MOMENT, wait));
            let demand = demand(work, model, self.key.as_ref()).wait(wait).ahead();
            let refused = match pool.try_acquire(demand.clone()) {
                Ok(lease) => return Line::Lease(Arc::clone(model), self.apart(work, &demand, lease)),
                Err(error) => error,
            };
            let in_time = refused
                .exhausted()
                .is_some_and(|out| out.next_in().is_some_and(|next| next <= wait) || out.may_end_any_time());
            let refused = if in_time {
                // Whether it is busy, lent to another process or kept for others: its own line may not move.
                let known = refused.exhausted().is_some_and(|out| out.next_in().is_some());
                let line = if self.key.is_none() || known { wait } else { wait.min(UNTIL_LENT) };
                let line = demand.clone().wait(line);
                tokio::select! {
                    lease = pool.acquire(line) => match lease {
                        Ok(lease) => return Line::Lease(Arc::clone(model), self.apart(work, &demand, lease)),
                        Err(error) => error,
                    },
                    () = self.shared.desk.until_stopped() => return Line::Stopped,
                }
            } else {
                refused
            };
            let sooner = |held: &Exhausted, new: &Exhausted| match (held.next_in(), new.next_in()) {
                (Some(held), Some(new)) => new < held,
                (held, _) => held.is_none(),
            };
            match refused.exhausted() {
                // No key has this model, and none will: that is the task's.
                Some(_) if refused.status() == http::StatusCode::NOT_FOUND && n + 1 == chain.len() && out.is_none() => {
                    return Line::Failed(refused);
                }
                Some(now) if out.as_ref().is_none_or(|held| sooner(held, now)) => out = Some(now.clone()),
                None if n + 1 == chain.len() && out.is_none() => return Line::Failed(refused),
                _ => {}
            }
        }
        out.map_or(Line::Stopped, Line::Out)
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
    async fn out(&self, work: Work, why: Exhausted) {
        let shared = &self.shared;
        let Some(key) = &self.key else {
            if why.may_end_any_time() {
                // It stood in line for long, and others stand there still.
                return shared.desk.put_back(work, Duration::ZERO);
            }
            return self.park(work, why);
        };
        let pause = match why.next_in() {
            Some(next) => next.clamp(A_MOMENT, LOOK_AGAIN),
            None if why.may_end_any_time() => A_MOMENT,
            None => LOOK_AGAIN,
        };
        // Another key's slot may carry it; where there is none, it waits with its model.
        match shared.client.pool().outlook(demand(&work, &work.model, None)) {
            Some(all) if !all.may_end_any_time() && all.next_in().is_none_or(|next| next > IN_LINE) => {
                shared.desk.park(work, all);
            }
            _ => shared.desk.put_back(work, Duration::ZERO),
        }
        let resting = shared.resting(key);
        shared.desk.leave(key);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.desk.until_stopped() => {}
        }
        shared.desk.enter(key);
        drop(resting);
    }

    /// No key for a while, which is known: until when. Or for good.
    fn park(&self, work: Work, why: Exhausted) {
        let (desk, pool) = (&self.shared.desk, self.shared.client.pool());
        if why.next_in().is_some() {
            return desk.park(work, why);
        }
        // As long as others stand in line before it no time can be told, and none is no reason to end.
        match pool.outlook(demand(&work, &work.model, None)) {
            None => desk.put_back(work, Duration::ZERO),
            Some(now) if now.may_end_any_time() => desk.put_back(work, A_MOMENT),
            Some(now) if now.next_in().is_none() && pool.snapshot().waiters > 0 => desk.put_back(work, A_MOMENT),
            Some(now) => desk.park(work, now),
        }
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
        let Err(bad) = &tried.outcome else {
            shared.network_works();
            return self.done(work, model, tried).await;
        };
        if bad.fatal {
            shared.desk.stop(Stop::Failed(bad.message.clone().into()));
            return shared.desk.put_back(work, Duration::ZERO);
        }
        match bad.whose {
            FaultKind::Key => return shared.desk.put_back(work, Duration::ZERO),
            FaultKind::Network => {
                if let Some(pause) = shared.network_pause() {
                    return shared.desk.put_back(work, pause);
                }
                shared.desk.stop(self.nothing_goes_out(&work, model, &bad.message));
                return shared.desk.put_back(work, Duration::ZERO);
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
    fn nothing_goes_out(&self, work: &Work, model: &Arc<str>, said: &str) -> Stop {
        let demand = demand(work, model, self.key.as_ref()).ahead();
        let refused = self.shared.client.pool().try_acquire(demand).err();
        let out = refused.as_ref().and_then(|error| error.exhausted()).filter(|out| out.exits().next().is_some());
        out.map_or_else(|| Stop::Failed(said.into()), |out| Stop::OutOfQuota(out.clone()))
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
        if self.results.send((result, waits)).await.is_ok() {
            // Before the next one is taken; a writer that failed has said so.
            let _ = written.await;
        } else {
            // The writer is gone: nothing can be kept any more.
            self.shared.desk.stop(Stop::Failed("the output is gone".into()));
            self.shared.desk.done();
        }
    }
}
