//! A run: a stream of results, and how it stands.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::mpsc;
use tower_keypool::Exhausted;

use super::{Plan, Statistics, TaskResult, desk::Stop, input::InputError, shared::Shared};

/// How a run ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// Every task is done; some may have failed.
    Done,
    /// It was stopped.
    Stopped,
    /// No key within the time that may be waited: until when.
    OutOfQuota(Exhausted),
    /// Every key is switched off.
    NoKey(Exhausted),
    /// What answers at the provider's address is no provider: the first tasks all met the same, and are not blamed for it.
    Astray(String),
    /// Input or output failed, or the way to the provider.
    Failed(String),
}

/// A run. It is a [`Stream`] of results, each of which is in the output by then. Whoever drops it ends it at once.
pub struct Run {
    pub(crate) shared: Arc<Shared>,
    pub(crate) results: mpsc::Receiver<Box<TaskResult>>,
    pub(crate) tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Run {
    /// The next result; `None` once the run has ended.
    pub async fn next(&mut self) -> Option<TaskResult> {
        self.results.recv().await.map(|result| *result)
    }

    /// How it stands.
    pub fn statistics(&self) -> Statistics {
        Watch(Arc::clone(&self.shared)).statistics()
    }

    /// For whoever looks at it from elsewhere.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }

    /// Runs to the end, letting results go to the output alone.
    pub async fn finish(mut self) -> (Ended, Statistics) {
        self.results.close();
        for task in &mut self.tasks {
            // One that panicked has said so.
            let _ = task.await;
        }
        (self.ended(), self.statistics())
    }

    /// How it ended.
    pub fn ended(&self) -> Ended {
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(failure) = failure {
            return Ended::Failed(failure);
        }
        match self.shared.desk.stopped() {
            None => Ended::Done,
            Some(Stop::Asked) => Ended::Stopped,
            Some(Stop::OutOfQuota(why)) => Ended::OutOfQuota(why),
            Some(Stop::NoKey(why)) => Ended::NoKey(why),
            Some(Stop::Astray(why)) => Ended::Astray(why.to_string()),
            Some(Stop::Failed(why)) => Ended::Failed(why.to_string()),
        }
    }
}

impl Stream for Run {
    type Item = TaskResult;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TaskResult>> {
        self.results.poll_recv(cx).map(|result| result.map(|result| *result))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

/// Looks at a run, and may stop it.
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

impl Watch {
    /// How it stands.
    pub fn statistics(&self) -> Statistics {
        let mut all = self.0.statistics();
        let snapshot = self.0.client.pool().snapshot();
        if all.by_slot.is_empty() {
            // Without slots it is keys that rest.
            all.paused = snapshot.resting_keys + snapshot.disabled_keys;
        }
        if all.resting.is_empty() && all.active == 0 && all.left() > 0 {
            // In the pool's own line nobody is told.
            if let Some((waits, lent)) = self.0.all_wait() {
                all.resting.push(waits);
                // A slot says for itself that it waits.
                all.paused += if all.by_slot.is_empty() { lent } else { 0 };
            }
        }
        let mut plan = self.plan();
        plan.done(&all.models);
        plan.quiet(self.0.quiet());
        all.possible_per_second = plan.per_second();
        (all.left_today, all.per_day) = (plan.left_today, plan.per_day);
        let part = self.0.part(&all, &snapshot);
        let nobody_knows = all.active == 0 && all.resting.iter().any(|resting| resting.seconds.is_none());
        if all.unreachable.is_some() || nobody_knows {
            return all;
        }
        // What others have of the keys' limits is not this run's: it is as if their tasks were to be done, too.
        let (left, active) = (all.left(), all.active as u64);
        let Some(part) = part.filter(|_| left > 0) else { return all };
        let tasks = left.min(active) + (left.saturating_sub(active) as f64 / part).ceil() as u64;
        all.eta = plan.expected_with(tasks, active, self.0.pace(&all)).map(|time| time.as_secs_f64());
        all
    }

    /// What the limits allow for the models that tasks ask, as far as they are known; see
    /// [`expecting_of`](super::Batch::expecting_of).
    pub fn plan(&self) -> Plan {
        self.0.options.plan(&self.0.client)
    }

    /// Ends it: what is under way comes to its end, nothing more is begun.
    pub fn stop(&self) {
        self.0.desk.stop(Stop::Asked);
    }

    /// Keys of the pool were changed: whatever waits for one asks anew, at once.
    pub fn look_again(&self) {
        self.0.look_again();
    }

    /// What was no task in the input.
    pub fn refused(&self) -> Vec<InputError> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").finish()
    }
}
