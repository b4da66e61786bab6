//! Workers, which send tasks.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tower_keypool::{
    ErrorClass, Failure, KeyId, Limit, Scope, Span, Unavailable, Unit, pool::UnavailableReason as Reason,
};

use super::{
    Settings,
    check::Wrong,
    outage::{Advice, Outage, Unavailability},
    queue::Queue,
    result::{TaskError, TaskResult},
    run::Control,
    summary::{RunOutcome, Summary},
    task::TaskId,
};
use crate::{
    client::{
        Answer, Client, Dispatch, Error, ErrorKind, InFlight, Prompt, UnavailableCause, cooling, cooling_classes,
        failure_text, with_classes,
    },
    raw::RawObject,
    time::{now, time_left},
};

/// How long a worker waits in the pool's queue before it checks whether the run has stopped.
const POOL_WAIT: Duration = Duration::from_secs(2);
/// Maximum wait outside of that queue, unless something changes.
const MAX_WAIT: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The state that all workers share.
pub(super) struct Engine {
    pub(super) client: Client,
    pub(super) settings: Settings,
    pub(super) queue: Queue,
    pub(super) outage: Outage,
    workers: Mutex<Vec<Worker>>,
    pub(super) control: Control,
    pub(super) started: Instant,
    pub(super) read_all: AtomicBool,
    summary: Mutex<Summary>,
    outcome: Mutex<Option<RunOutcome>>,
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    /// The worker's number among those with their own key.
    slot: Option<usize>,
    /// The worker's own key.
    key: Option<KeyId>,
    pub(super) in_flight: InFlight,
}

/// A task in progress.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) prompt: Prompt,
    /// The task's own fields.
    pub(super) fields: RawObject,
    /// The result so far.
    pub(super) result: TaskResult,
    /// Number of retries because of unusable answers.
    pub(super) retries: u32,
    /// Time at which the request was started.
    started: Instant,
    /// Time of the first response of another server than the provider, or the first one that the model is overloaded.
    first_outage: Option<Instant>,
    /// Time at which the provider first said that a minute allows fewer tokens than the prompt has.
    too_large: Option<Instant>,
}

/// How a task leaves a worker.
enum End {
    Result(Box<TaskResult>),
    /// Another worker may take the task; this one pauses.
    PutBack(Duration),
    /// The run stops, and the task is left for a later run.
    Left,
}

/// The next step after an answer or an error.
enum Next {
    End(End),
    /// Retry after a pause.
    Again(Duration),
    /// Retry after a change in the pool, or after this time.
    AfterChange(Duration),
}

impl Next {
    /// Returns the next step without a key: a worker with its own key puts the task back, because another worker may
    /// have a key.
    fn without_key(slot: Option<usize>, pause: Duration) -> Self {
        if slot.is_some() { Self::End(End::PutBack(pause)) } else { Self::AfterChange(pause) }
    }
}

impl Engine {
    pub(super) fn new(client: &Client, settings: Settings) -> Arc<Self> {
        let pool_wait = settings.max_wait.map_or(POOL_WAIT, |wait| wait.min(POOL_WAIT));
        Arc::new(Self {
            // Retries because of an answer are counted here.
            client: client.with(pool_wait, 1),
            queue: Queue::new(),
            outage: Outage::new(),
            workers: Mutex::default(),
            control: Control::new(),
            started: now(),
            read_all: AtomicBool::new(false),
            summary: Mutex::default(),
            outcome: Mutex::default(),
            settings,
        })
    }

    /// Returns the workers to start: all of them at first, and later those of added keys.
    pub(super) fn new_workers(&self) -> Vec<Worker> {
        let pool = self.client.pool();
        let mut workers = self.workers();
        let before = workers.len();
        if let Some(slots) = self.settings.slots {
            for key in pool.snapshot(0, usize::MAX).keys {
                if workers[..before].iter().all(|worker| worker.key.as_ref() != Some(&key.id)) {
                    for _ in 0..slots.workers_per_key {
                        let (slot, key) = (Some(self.outage.add_slot()), Some(key.id.clone()));
                        workers.push(Worker { slot, key, in_flight: InFlight::default() });
                    }
                }
            }
        } else {
            let wanted = self.settings.workers.unwrap_or_else(|| (8 * pool.stats().keys).clamp(32, 512));
            let any_key = || Worker { slot: None, key: None, in_flight: InFlight::default() };
            workers.resize_with(before.max(wanted), any_key);
        }
        workers[before..].to_vec()
    }

    pub(super) fn workers(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run with this outcome, unless it is ending already.
    pub(super) fn end(&self, outcome: RunOutcome) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
        self.control.stop();
    }

    pub(super) fn outcome(&self) -> Option<RunOutcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Processes tasks until none is left or the run stops.
    pub(super) async fn work(self: Arc<Self>, worker: Worker, results: mpsc::Sender<TaskResult>) {
        let mut stop = self.control.listen();
        let mut next_start = now();
        loop {
            tokio::select! {
                biased;
                () = draining(&mut stop) => return,
                () = self.queue.drained() => return,
                () = sleep_until(next_start) => {}
            }
            let task = tokio::select! {
                biased;
                () = draining(&mut stop) => return,
                task = self.queue.next() => task,
            };
            let Some(mut job) = task else { return };
            let processed = self.process(&mut job, &worker, &mut next_start, &mut stop);
            let end = AssertUnwindSafe(processed).catch_unwind().await.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let message = text.or_else(|| panic.downcast_ref().copied()).unwrap_or("a panic");
                self.log(&job.result, "internal", message);
                job.end(Some(TaskError::new("internal", message)))
            });
            worker.in_flight.set(false);
            match end {
                End::Result(result) => {
                    // This fails if the output has failed, which ends the run.
                    if let Ok(room) = results.reserve().await {
                        self.count(&result);
                        room.send(*result);
                    }
                    self.queue.done();
                }
                End::PutBack(pause) => {
                    self.queue.put_back(job);
                    tokio::select! {
                        biased;
                        () = draining(&mut stop) => return,
                        () = self.queue.drained() => return,
                        () = self.outage.wait_for_change(pause) => {}
                    }
                }
                End::Left => self.queue.done(),
            }
        }
    }

    fn count(&self, result: &TaskResult) {
        let mut summary = self.summary();
        summary.count(result);
        let is_all_refused = summary.is_all_refused();
        drop(summary);
        if let Some(error) = result.error.as_ref().filter(|_| is_all_refused) {
            self.end(RunOutcome::Refused { message: error.message.clone() });
        }
    }

    /// Sends a task until it has a result.
    async fn process(
        &self,
        job: &mut Job,
        worker: &Worker,
        next_start: &mut Instant,
        stop: &mut watch::Receiver<Stop>,
    ) -> End {
        loop {
            let has_expired = tokio::select! {
                biased;
                () = draining(stop) => return End::Left,
                has_expired = self.outage.wait_until_reachable(self.wait_left()) => has_expired,
            };
            if has_expired {
                let next = self.wait_on(Next::Again(Duration::ZERO), UnavailableCause::Provider);
                let Next::End(end) = next else { continue };
                return end;
            }
            let before = *next_start;
            if let (Some(slots), Some(slot)) = (self.settings.slots, worker.slot) {
                *next_start = now() + slots.interval;
                self.outage.slot_tries(slot);
            }
            job.started = now();
            let Some(answer) = self.call(job, worker, stop).await else { return End::Left };
            self.count_attempts(job, &answer);
            if job.result.key_id.is_none() {
                // The request was not sent.
                *next_start = before;
            }
            let next = match answer {
                Ok(answer) => self.answered(job, answer),
                Err(error) => self.failed(job, worker, &error),
            };
            worker.in_flight.set(false);
            let paused = async {
                match next {
                    Next::End(end) => return Some(end),
                    Next::Again(pause) => sleep_until((*next_start).max(now() + pause)).await,
                    Next::AfterChange(pause) => self.outage.wait_for_change(pause).await,
                }
                None
            };
            tokio::select! {
                biased;
                end = paused => if let Some(end) = end { return end },
                () = draining(stop) => return End::Left,
            }
        }
    }

    /// Sends a task once. Returns `None` if the run stops before the request is at the provider.
    async fn call(
        &self,
        job: &Job,
        worker: &Worker,
        stop: &mut watch::Receiver<Stop>,
    ) -> Option<Result<Answer, Error>> {
        const LOOK: Duration = Duration::from_millis(100);
        let dispatch = Dispatch { key: worker.key.clone(), in_flight: worker.in_flight.clone() };
        let mut call = std::pin::pin!(self.client.dispatch(&job.prompt, Some(&dispatch)));
        tokio::select! {
            biased;
            answer = &mut call => return Some(answer),
            () = draining(stop) => {}
        }
        // Waits for a request that is at the provider, since it must be paid for.
        while worker.in_flight.get() {
            tokio::select! {
                biased;
                answer = &mut call => return Some(answer),
                () = sleep(LOOK) => {}
            }
        }
        None
    }

    /// Counts and logs the attempts of a call.
    fn count_attempts(&self, job: &mut Job, answer: &Result<Answer, Error>) {
        let attempts = match answer {
            Ok(answer) => &answer.attempts,
            Err(error) => error.attempts(),
        };
        job.result.key_id = attempts.last().map(|last| last.key().clone());
        for attempt in attempts.iter() {
            let failure = attempt.outcome().failure();
            let was_sent = failure.is_none_or(tower_keypool::Failure::may_have_been_sent);
            let key_failed = attempt.class().is_some_and(ErrorClass::is_key_fault);
            job.result.attempts += u32::from(was_sent);
            job.result.key_faults += u32::from(key_failed);
            self.summary().count_attempt(was_sent, key_failed);
            if let Some(log) = &self.settings.error_log {
                log.attempt(self.client.pool().clock().wall(), &job.result.id, attempt);
            }
        }
        if let Some(last) = attempts.last() {
            job.result.seconds = (last.elapsed().as_secs_f64() * 1e3).round() / 1e3;
            job.result.model = last.model().map(Into::into).or(job.result.model.take());
        }
    }

    fn answered(&self, job: &mut Job, answer: Answer) -> Next {
        self.outage.answered(job.started);
        if let Some(usage) = answer.usage {
            let mut summary = self.summary();
            summary.input_tokens += usage.input_tokens;
            summary.output_tokens += usage.output_tokens;
        }
        let checked = self.settings.json.check(&answer);
        let result = &mut job.result;
        result.usage = answer.usage;
        result.finish_reason = answer.finish_reason;
        result.parts = answer.parts;
        result.json = None;
        result.text = Some(answer.text).filter(|text| !text.is_empty());
        match checked {
            Ok(None) => Next::End(job.end(None)),
            Ok(Some(json)) => {
                result.text = None;
                result.json = Some(json);
                Next::End(job.end(None))
            }
            Err(Wrong { error, is_worth_a_retry }) => {
                self.log(&job.result, error.kind, &error.message);
                self.again_or_end(job, error, is_worth_a_retry, Duration::ZERO)
            }
        }
    }

    fn failed(&self, job: &mut Job, worker: &Worker, error: &Error) -> Next {
        worker.in_flight.set(false);
        match error.kind() {
            ErrorKind::Unavailable => return self.unavailable(job, worker.slot, error),
            kind @ (ErrorKind::Connect | ErrorKind::Store) => {
                self.log(&job.result, kind.as_str(), &error.to_string());
                let what = if kind == ErrorKind::Store { "the store" } else { "the network" };
                self.outage.unreachable(what, &error.to_string());
                return self.wait_on(Next::Again(Duration::ZERO), UnavailableCause::Provider);
            }
            ErrorKind::ShutDown => {
                self.end(RunOutcome::Stopped);
                return Next::End(End::Left);
            }
            // Error responses are logged already.
            kind if error.status().is_none() => self.log(&job.result, kind.as_str(), &error.to_string()),
            _ => {}
        }
        let is_cut = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Closed);
        // These are about the model and not about the task.
        let is_overload = matches!(error.status().map(|status| status.as_u16()), Some(503 | 529));
        if is_overload {
            self.outage.reached();
            let first = *job.first_outage.get_or_insert_with(now);
            if !self.outage.has_answered(first) && cooling_classes(self.client.pool()).contains(&ErrorClass::Transient)
            {
                // A long outage does not use up the retries.
                job.retries = job.retries.saturating_sub(1);
            }
        } else if !is_cut && !error.attempts().is_empty() {
            self.outage.answered(job.started);
        }
        let is_worth_a_retry = match error.kind() {
            // A page of another server: a later run tries again.
            ErrorKind::Unreadable if error.status().is_some_and(|status| status.is_client_error()) => false,
            ErrorKind::Invalid | ErrorKind::Refused => self.settings.retry_invalid && !error.attempts().is_empty(),
            ErrorKind::ModelNotFound => false,
            _ => true,
        };
        let code = error.code().map(str::to_owned).or_else(|| Some(error.status()?.as_u16().to_string()));
        let told = TaskError { code, ..TaskError::new(error.kind().as_str(), error.to_string()) };
        if is_cut && self.outage.since_last_answer() >= now().saturating_duration_since(job.started) {
            // The task waits longer than the others, so that another one tries next.
            let least = 2 * self.outage.unreachable("the network", &error.to_string()).0;
            let next = self.again_or_end(job, told, true, least);
            return self.wait_on(next, UnavailableCause::Provider);
        }
        self.again_or_end(job, told, is_worth_a_retry, error.retry_after().unwrap_or_default())
    }

    /// Logs an error that is not an error response of the provider.
    pub(super) fn log(&self, result: &TaskResult, kind: &str, message: &str) {
        if let Some(log) = &self.settings.error_log {
            let (key, task) = (result.key_id.as_ref(), &result.id);
            log.line(self.client.pool().clock().wall(), key, task, &format!("{kind}: {message}"));
        }
    }

    fn again_or_end(&self, job: &mut Job, error: TaskError, is_worth_a_retry: bool, least: Duration) -> Next {
        if !is_worth_a_retry || job.retries >= self.settings.max_retries {
            return Next::End(job.end(Some(error)));
        }
        job.retries += 1;
        let backoff = FIRST_BACKOFF.saturating_mul(1 << (job.retries - 1).min(16)).min(MAX_BACKOFF);
        Next::Again(backoff.mul_f64(0.5 + fastrand::f64() / 2.0).max(least.min(MAX_BACKOFF)))
    }

    /// Handles a task that no key served.
    fn unavailable(&self, job: &mut Job, slot: Option<usize>, error: &Error) -> Next {
        let cause = error.unavailable_cause().unwrap_or(UnavailableCause::Provider);
        if let Some(last) = error.attempts().last() {
            let failure = last.outcome().failure();
            let of_library = failure.filter(|_| error.status().is_none());
            let what = of_library.map_or_else(|| error.message().to_owned(), failure_text);
            match failure.map(|failure| (failure.class(), failure.scope())) {
                // No key can help: the provider refuses our address, or another server responds.
                Some((ErrorClass::Egress, _)) => {
                    let first = *job.first_outage.get_or_insert_with(now);
                    let (pause, was_test) = self.outage.unreachable("the network", &what);
                    if was_test && self.outage.has_answered(first) {
                        // Others were answered, and this one was sent alone: the response is about this prompt.
                        return self.again_or_end(job, TaskError::new("refused", what), true, pause);
                    }
                }
                // The failure belongs to the request and not to a key.
                Some((_, Scope::Request)) => return Next::End(job.end(Some(TaskError::new("refused", what)))),
                // Keys failed; others may be ready.
                _ => self.outage.reached(),
            }
            let tokens = job.prompt.tokens();
            let failures = error.attempts().iter().filter_map(|attempt| attempt.outcome().failure());
            let of_minute = |limit: &&Limit| limit.unit == Unit::InputTokens && limit.span == Span::MINUTE;
            let limits = failures.flat_map(Failure::limits).filter(of_minute);
            if let Some(most) = limits.map(|limit| limit.amount).max().filter(|most| (1..tokens).contains(most)) {
                // The first time, the pool did not know the limit; then it waits for an empty minute.
                if now() - *job.too_large.get_or_insert_with(now) > MAX_WAIT / 2 {
                    let message =
                        format!("the prompt has about {tokens} tokens; the provider allows {most} per minute");
                    return self.refused(job, "invalid", message);
                }
            }
            return self.wait_on(Next::without_key(slot, Duration::ZERO), cause);
        }
        let why = error.as_unavailable().map(Unavailability::of).unwrap_or_default();
        let pause = match error.retry_after() {
            // The request was in the pool's queue, and goes back there at once.
            Some(after) if slot.is_none() && after <= POOL_WAIT => Duration::ZERO,
            Some(after) => after.min(MAX_WAIT),
            None => POOL_WAIT,
        };
        let next = Next::without_key(slot, pause.min(self.wait_left()));
        let pool = self.client.pool();
        let (why, text, is_every_slot) = match (slot, self.settings.slots) {
            (Some(slot), Some(slots)) => {
                // The error is only about the slot's own key.
                let (why, is_every_slot) = self.outage.slot_without_key(slot, why);
                let model = error.as_unavailable().and_then(Unavailable::model).unwrap_or_default();
                let text = with_classes(why.text(model, slots.workers_per_key), &cooling_classes(pool));
                (why, text, is_every_slot)
            }
            _ => (why, error.message().to_owned(), true),
        };
        self.outage.no_key(&text, &why);
        if !is_every_slot {
            // Keys of other slots may be ready.
            return self.wait_on(next, cause);
        }
        let message = match why.retry_after {
            Some(after) => format!("{text}; try again in {}", time_left(after.as_secs().max(1))),
            None => text,
        };
        // The pool disables no key if the provider rejects many at once, and else a rejected key after another try.
        let stats = pool.stats();
        let is_rejected = |class| {
            matches!(class, ErrorClass::Unclear | ErrorClass::Billing)
                || class == ErrorClass::KeyRejected && stats.disabling_paused
        };
        let is_every_key_rejected = cause == UnavailableCause::Keys
            && stats.succeeded == 0
            && !self.is_active()
            && !(why.has(Reason::Busy) || why.has(Reason::Trial))
            && cooling(pool, usize::MAX).iter().all(|breaker| breaker.class.is_some_and(is_rejected));
        match why.advice(pool) {
            Advice::Exhausted(after) if self.settings.until_exhausted => {
                self.end(RunOutcome::Exhausted { seconds: after.as_secs(), message });
                Next::End(End::Left)
            }
            Advice::TooLarge => self.refused(job, "invalid", message),
            Advice::NoModel => self.refused(job, "model_unavailable", message),
            Advice::Wait | Advice::Exhausted(_) if !is_every_key_rejected => self.wait_on(next, cause),
            Advice::NoKeys | Advice::Wait | Advice::Exhausted(_) => {
                self.end(RunOutcome::NoKeys { message });
                Next::End(End::Left)
            }
        }
    }

    /// Ends a task that is not sent.
    fn refused(&self, job: &mut Job, kind: &'static str, message: String) -> Next {
        self.log(&job.result, kind, &message);
        Next::End(job.end(Some(TaskError::new(kind, message))))
    }

    /// Returns how much longer the run may wait. It does not wait while a request is at the provider.
    fn wait_left(&self) -> Duration {
        let Some(wait) = self.settings.max_wait else { return Duration::MAX };
        if self.is_active() { wait } else { wait.saturating_sub(self.outage.since_last_answer()) }
    }

    fn is_active(&self) -> bool {
        self.workers().iter().any(|worker| worker.in_flight.get())
    }

    /// Returns the next step, or ends the run if it has waited too long for this cause.
    fn wait_on(&self, next: Next, cause: UnavailableCause) -> Next {
        if !self.wait_left().is_zero() {
            return next;
        }
        let message = self.outage.waits_for().unwrap_or_default();
        self.end(match cause {
            UnavailableCause::Quota => RunOutcome::WaitedTooLong { message },
            UnavailableCause::Keys => RunOutcome::NoKeys { message },
            UnavailableCause::Provider => RunOutcome::Unreachable { message },
        });
        Next::End(End::Left)
    }
}

impl Job {
    /// Returns the size of the prompt, in bytes.
    pub(super) fn size(&self) -> usize {
        self.prompt.size()
    }

    /// Completes the result.
    fn end(&mut self, error: Option<TaskError>) -> End {
        let mut result = self.result.clone();
        result.success = error.is_none();
        result.error = error;
        result.fields = std::mem::take(&mut self.fields);
        End::Result(Box::new(result))
    }

    pub(super) fn new(id: TaskId, index: u64, hash: u64, prompt: Prompt, fields: RawObject) -> Self {
        let mut result = TaskResult::new(id, index, hash);
        result.model.clone_from(&prompt.options.model);
        Self { prompt, fields, result, retries: 0, started: now(), first_outage: None, too_large: None }
    }
}

/// Whether and how a run stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Stop {
    No,
    /// Requests that are at the provider are completed.
    Drain,
    Abort,
}

/// Waits until the run stops.
pub(super) async fn draining(stop: &mut watch::Receiver<Stop>) {
    // The sender lives as long as the run.
    let _ = stop.wait_for(|stop| *stop >= Stop::Drain).await;
}
