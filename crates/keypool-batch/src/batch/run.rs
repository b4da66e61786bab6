//! A run: the reader, the workers and the writer.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinHandle, JoinSet},
    time::sleep_until,
};
use tower_keypool::{Event, pool::BreakerState};

use super::{
    Input, Output, OutputError, Progress, RunOutcome, Summary,
    input::Item,
    output::{Earlier, Order, hash_of},
    result::{INPUT, TaskError, TaskResult},
    task::{Task, TaskId, hash_text},
    worker::{Engine, Job, Stop, draining},
};
use crate::{client::Error, time::now};

/// Maximum time until a result survives a power cut.
const SYNC: Duration = Duration::from_secs(1);
/// Maximum number of results that are written at once.
const MAX_WRITTEN: usize = 1_024;
/// Maximum number of items that are read at once.
const MAX_READ: usize = 256;

/// A started run. It is aborted when this is dropped.
pub struct Run {
    engine: Arc<Engine>,
    task: JoinHandle<Result<Summary, BatchError>>,
    ended: watch::Receiver<()>,
    _abort: AbortOnDrop,
}

/// The reason why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A setting is invalid.
    #[error(transparent)]
    Settings(#[from] Error),
    /// The output cannot be used, or a result could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// A handle that stops a run. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Control(Arc<watch::Sender<Stop>>);

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Control {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Stop::No)))
    }

    /// Drains the run: no more requests are started, and those that are at the provider are completed. A later run does
    /// the tasks that are left.
    pub fn stop(&self) {
        self.set(Stop::Drain);
    }

    /// Ends the run at once. Responses in transit are lost; results that are complete are written.
    pub fn abort(&self) {
        self.set(Stop::Abort);
    }

    fn set(&self, stop: Stop) {
        self.0.send_if_modified(|now| {
            let more = stop > *now;
            if more {
                *now = stop;
            }
            more
        });
    }

    pub(super) fn listen(&self) -> watch::Receiver<Stop> {
        self.0.subscribe()
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Run {
    pub(super) fn start(engine: Arc<Engine>, input: Input, output: Output) -> Self {
        let (end, ended) = watch::channel(());
        let run = run(Arc::clone(&engine), input, output);
        let task = tokio::spawn(async move {
            let summary = run.await;
            drop(end);
            summary
        });
        let abort = AbortOnDrop(task.abort_handle());
        Self { engine, task, ended, _abort: abort }
    }

    /// Returns a handle that stops the run.
    pub fn control(&self) -> Control {
        self.engine.control.clone()
    }

    /// Returns the progress.
    pub fn progress(&self) -> Progress {
        let engine = &self.engine;
        let breakers = engine.client.pool().snapshot(0, 0).open_breakers;
        let cooling = breakers.iter().filter(|breaker| breaker.state == BreakerState::Cooling);
        let workers = engine.workers();
        let active = workers.iter().filter(|worker| worker.in_flight.get()).count();
        let summary = engine.summary();
        Progress {
            active,
            workers: workers.len(),
            queued: engine.queue.len(),
            ok: summary.ok,
            failed: summary.failed,
            skipped: summary.skipped,
            cooling: cooling.map(|breaker| breaker.count).sum(),
            total: engine.read_all.load(Ordering::Acquire).then_some(summary.tasks),
            seconds: now().duration_since(engine.started).as_secs_f64(),
            waits_for: engine.outage.waits_for().filter(|_| active == 0),
        }
    }

    /// Waits until the run has ended.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Waits until the run has ended, and returns its summary.
    ///
    /// # Errors
    /// [`BatchError::Output`] if a result could not be written.
    pub async fn finish(self) -> Result<Summary, BatchError> {
        match self.task.await {
            Ok(summary) => summary,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Starts the reader, the workers and the writer, and waits for all of them.
async fn run(engine: Arc<Engine>, input: Input, mut output: Output) -> Result<Summary, BatchError> {
    let (results, written) = mpsc::channel(MAX_WRITTEN);
    let order = Arc::<Mutex<Order>>::default();
    let earlier = output.take_earlier();
    let writer = tokio::spawn(write(Arc::clone(&engine), output, written));
    let mut running = JoinSet::new();
    let workers = engine.new_workers();
    if workers.is_empty() {
        engine.end(RunOutcome::NoKeys { message: "the pool has no key".to_owned() });
    }
    for worker in workers {
        running.spawn(Arc::clone(&engine).work(worker, results.clone()));
    }
    running.spawn(read(Arc::clone(&engine), input, earlier, Arc::clone(&order), results.clone()));
    let mut stop = engine.control.listen();
    let mut events = engine.client.pool().events();
    loop {
        tokio::select! {
            joined = running.join_next() => if joined.is_none() { break },
            _ = stop.wait_for(|stop| *stop == Stop::Abort) => break,
            Some((event, _)) = events.next() => {
                // Keys may be ready sooner than expected.
                if matches!(event, Event::KeyAdded { .. } | Event::Closed { .. }) {
                    engine.outage.notify_change();
                }
                if matches!(event, Event::KeyAdded { .. }) {
                    for worker in engine.new_workers() {
                        running.spawn(Arc::clone(&engine).work(worker, results.clone()));
                    }
                }
            }
        }
    }
    drop(results);
    running.shutdown().await;
    let mut output = writer.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    let order = std::mem::take(&mut *order.lock().unwrap_or_else(PoisonError::into_inner));
    blocking(move || output.finish(&order)).await?;
    let mut summary = engine.summary().clone();
    summary.end(now().duration_since(engine.started));
    summary.error_log_failed = engine.settings.error_log.as_ref().is_some_and(super::ErrorLog::has_failed);
    let is_done = summary.left == 0 && engine.read_all.load(Ordering::Acquire);
    summary.outcome = match engine.outcome() {
        _ if is_done => RunOutcome::Finished,
        Some(outcome) => outcome,
        None if *stop.borrow() != Stop::No => RunOutcome::Stopped,
        None => RunOutcome::Finished,
    };
    Ok(summary)
}

/// Runs a slow operation outside of the runtime's threads.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Fills the queue until the input ends or the run stops.
async fn read(
    engine: Arc<Engine>,
    mut input: Input,
    earlier: Earlier,
    order: Arc<Mutex<Order>>,
    results: mpsc::Sender<TaskResult>,
) {
    let mut stop = engine.control.listen();
    let has_model = |task: &Task| task.prompt.options.model.is_some() || engine.settings.options.model.is_some();
    let filled = async {
        let mut index = 0;
        'input: loop {
            let most = if input.is_slow { 1 } else { MAX_READ };
            let taken = tokio::task::spawn_blocking(move || {
                let items: Vec<Item> = std::iter::from_fn(|| input.next()).take(most).collect();
                (input, items)
            });
            let Ok((back, items)) = taken.await else {
                engine.summary().input_error = Some("the reader panicked".to_owned());
                break;
            };
            input = back;
            if items.is_empty() {
                break;
            }
            for item in items {
                // A later run, with a model, would skip a task that has a result.
                if item.task.as_ref().is_ok_and(|task| !has_model(task)) {
                    engine.summary().input_error = Some(format!("{}: the task has no model: use --model", item.place));
                    break 'input;
                }
                if item.is_fatal {
                    engine.summary().input_error = item.task.as_ref().err().map(|why| format!("{}: {why}", item.place));
                }
                if let Some(result) = admit(&engine, item, index, &earlier, &order).await {
                    engine.log(&result, INPUT, result.error.as_ref().map_or("", |error| &error.message));
                    engine.summary().count(&result);
                    let _ = results.send(result).await;
                }
                index += 1;
            }
        }
        engine.read_all.store(true, Ordering::Release);
        engine.queue.close();
    };
    tokio::select! {
        biased;
        () = draining(&mut stop) => {}
        () = filled => {}
    }
}

/// Puts a task into the queue, unless it has a result. Returns a result for an invalid item.
async fn admit(engine: &Engine, item: Item, index: u64, earlier: &Earlier, order: &Mutex<Order>) -> Option<TaskResult> {
    engine.summary().tasks += 1;
    let is_first = |(id, hash)| {
        let mut order = order.lock().unwrap_or_else(PoisonError::into_inner);
        order.entry(id).or_insert((index, hash)).0 == index
    };
    let why = match item.task {
        Ok(mut task) => {
            let id = task.id.take().unwrap_or(TaskId::Number(index as i64));
            let key @ (_, hash) = (hash_of(&id, false), task.hash());
            if is_first(key) {
                if let Some(success) = earlier.find(key, false) {
                    let mut summary = engine.summary();
                    summary.skipped += 1;
                    summary.skipped_failed += u64::from(!success);
                    return None;
                }
                let options = task.prompt.options.clone().or(&engine.settings.options);
                let prompt = task.prompt.options(options);
                engine.queue.push(Job::new(id, index, hash, prompt, task.fields)).await;
                return None;
            }
            format!("another task has the id {id}")
        }
        Err(why) => why,
    };
    let id = TaskId::from(item.place.to_string());
    let message = format!("{}: {why}", item.place);
    let key @ (_, hash) = (hash_of(&id, true), hash_text(&message));
    is_first(key);
    if earlier.find(key, true).is_some() {
        let mut summary = engine.summary();
        summary.skipped += 1;
        summary.skipped_failed += 1;
        return None;
    }
    let mut result = TaskResult::new(id, index, hash);
    result.error = Some(TaskError::new(INPUT, message));
    Some(result)
}

/// Appends results until no more come.
async fn write(
    engine: Arc<Engine>,
    mut output: Output,
    mut results: mpsc::Receiver<TaskResult>,
) -> Result<Output, OutputError> {
    // Time at which the appended lines must be synced.
    let mut sync_at = None;
    loop {
        let mut taken = Vec::new();
        let count = tokio::select! {
            count = results.recv_many(&mut taken, MAX_WRITTEN) => Some(count),
            () = sleep_until(sync_at.unwrap_or_else(now)), if sync_at.is_some() => None,
        };
        if count == Some(0) {
            return Ok(output);
        }
        let is_due = *sync_at.get_or_insert_with(|| now() + SYNC) <= now();
        let (back, written) = blocking(move || {
            let mut lines = Vec::new();
            for result in &taken {
                result.write(&mut lines);
            }
            let written = output.append(&lines).and_then(|()| if is_due { output.sync() } else { Ok(()) });
            (output, written)
        })
        .await;
        output = back;
        sync_at = sync_at.filter(|_| !is_due);
        if let Err(error) = written {
            engine.control.abort();
            return Err(error);
        }
    }
}
