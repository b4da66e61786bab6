//! Batches of prompts: each task has one result, which survives a crash.
//!
//! A reader fills a bounded queue, workers take tasks from it and send them, and a writer appends their results
//! (`run.rs`). The handling of answers and errors is in `worker.rs`, the waiting while no request can be sent in
//! `outage.rs`, the checks of answers in `check.rs`, and the file of results in `output/journal.rs`.

mod check;
mod error_log;
mod input;
mod outage;
mod output;
mod progress;
mod queue;
mod result;
mod run;
mod summary;
mod task;
mod worker;

use std::time::Duration;

use serde_json::Value;

#[cfg(feature = "progress")]
pub use self::progress::Bar;
use self::{check::JsonCheck, worker::Engine};
pub use self::{
    error_log::ErrorLog,
    input::{Input, InputFormat},
    output::{Output, OutputError, OutputOptions},
    progress::Progress,
    result::{TaskError, TaskResult},
    run::{BatchError, Control, Run},
    summary::{RunOutcome, Summary},
    task::{Task, TaskId},
};
use crate::client::{Client, Error, ErrorKind, PromptOptions};

/// A batch engine. It sends tasks with a [`Client`] until each has a result, and writes the results to an [`Output`].
///
/// A task that fails because of its key is sent again with another key, and this is never counted as a retry. A task
/// without a usable answer (5xx, timeout, no JSON, blocked, empty) is retried [`max_retries`](Self::max_retries) times.
/// A request that the provider refuses as invalid and an answer that was cut at the limit of output tokens are not
/// retried, since the result would be the same.
///
/// While no key is ready or the provider cannot be reached, the run waits, and [`Progress`] describes the wait.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use gemini_sim::GeminiSim;
/// use keypool_batch::{Batch, Client, Input, InputFormat, Output};
/// use tower_keypool::{Gemini, Key, KeyPool};
///
/// let sim = GeminiSim::builder().key("AIza-not-a-real-key-001").build();
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).build()?;
/// let client = Client::builder(&pool).service(sim.service());
///
/// let input = Input::read("Name a river.\nName a lake.\n".as_bytes(), InputFormat::Lines)?;
/// let summary = Batch::new(&client, "gemini-2.5-flash").run(input, Output::writer(std::io::sink())).await?;
/// assert_eq!((summary.ok, summary.failed), (2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use]
pub struct Batch {
    client: Client,
    settings: Settings,
}

/// The settings of a run.
#[derive(Debug)]
struct Settings {
    options: PromptOptions,
    json: JsonCheck,
    workers: Option<usize>,
    slots: Option<Slots>,
    max_retries: u32,
    retry_invalid: bool,
    until_exhausted: bool,
    max_wait: Option<Duration>,
    error_log: Option<ErrorLog>,
}

/// Settings of workers with their own key.
#[derive(Clone, Copy, Debug)]
struct Slots {
    workers_per_key: usize,
    interval: Duration,
}

/// Maximum interval between requests.
const MAX_INTERVAL: Duration = Duration::from_secs(366 * 86_400);

impl Batch {
    /// Creates a batch with a client. The model is the default for tasks that do not name one. If it is empty, the
    /// run ends at the first task without a model, which gets no result.
    pub fn new(client: &Client, model: impl Into<std::sync::Arc<str>>) -> Self {
        let model = Some(model.into()).filter(|model| !model.is_empty());
        let settings = Settings {
            options: PromptOptions { model, ..PromptOptions::new() },
            json: JsonCheck::Off,
            workers: None,
            slots: None,
            max_retries: 3,
            retry_invalid: false,
            until_exhausted: false,
            max_wait: None,
            error_log: None,
        };
        Self { client: client.clone(), settings }
    }

    /// Sets default options for tasks. A model in them replaces the one of the run.
    pub fn options(mut self, options: PromptOptions) -> Self {
        self.settings.options = options.or(&self.settings.options);
        self
    }

    /// Sets the maximum number of simultaneous requests, at least 1. The default is 8 for each key, but 32 to 512 in
    /// total: most of them wait until the limits of the keys allow more.
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = Some(workers);
        self
    }

    /// Gives each key its own workers, at least 1, instead of [`workers`](Self::workers). `interval` is the minimum
    /// time between the starts of two requests of a worker. Keys that are added later get workers, too.
    pub fn slots(mut self, workers_per_key: usize, interval: Duration) -> Self {
        self.settings.slots = Some(Slots { workers_per_key, interval });
        self
    }

    /// Sets the maximum number of retries of a task without a usable answer; default: 3.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.settings.max_retries = retries;
        self
    }

    /// Also retries tasks that the provider refused as invalid, [`max_retries`](Self::max_retries) times.
    pub fn retry_invalid(mut self) -> Self {
        self.settings.retry_invalid = true;
        self
    }

    /// Requires JSON answers, and requests them from the provider. The JSON is extracted by
    /// [`json::find`](crate::json::find) and replaces the text in the result.
    pub fn parse_json(mut self) -> Self {
        if !self.settings.json.is_on() {
            self.settings.json = JsonCheck::Any;
        }
        self.settings.options = PromptOptions::new().json().or(&self.settings.options);
        self
    }

    /// Requires JSON answers that match this JSON Schema, and requests them from the provider.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the schema is invalid.
    pub fn json_schema(mut self, schema: Value) -> Result<Self, Error> {
        self.settings.json = JsonCheck::of_schema(&schema)?;
        self.settings.options = PromptOptions::new().json_schema(schema).or(&self.settings.options);
        Ok(self)
    }

    /// Ends the run when the daily quota or the credit of all keys for the model of a task is used up, instead of
    /// waiting for the next day.
    pub fn until_exhausted(mut self) -> Self {
        self.settings.until_exhausted = true;
        self
    }

    /// Ends the run when it has waited this long without a response, because no key was ready or the provider could not
    /// be reached. By default, it waits without a limit.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.settings.max_wait = Some(wait);
        self
    }

    /// Sets the log for errors.
    pub fn error_log(mut self, log: ErrorLog) -> Self {
        self.settings.error_log = Some(log);
        self
    }

    /// Starts the run on the current tokio runtime. It is aborted if the [`Run`] is dropped.
    ///
    /// # Errors
    /// [`BatchError::Settings`] if a setting is invalid.
    pub fn start(self, input: Input, output: Output) -> Result<Run, BatchError> {
        self.settings.check()?;
        let engine = Engine::new(&self.client, self.settings);
        Ok(Run::start(engine, input, output))
    }

    /// Starts the run, and waits for its end.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start), and [`BatchError::Output`] if a result could not be written, which ends
    /// the run.
    pub async fn run(self, input: Input, output: Output) -> Result<Summary, BatchError> {
        self.start(input, output)?.finish().await
    }
}

impl Settings {
    fn check(&self) -> Result<(), Error> {
        self.options.check()?;
        let invalid = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
        if self.workers == Some(0) {
            return invalid("a run needs at least one worker");
        }
        if self.slots.is_some_and(|slots| slots.workers_per_key == 0) {
            return invalid("a key needs at least one worker");
        }
        if self.slots.is_some_and(|slots| slots.interval > MAX_INTERVAL) {
            return invalid("the interval between requests is longer than a year");
        }
        Ok(())
    }
}
