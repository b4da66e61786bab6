//! Many prompts: each task has one result, which survives a crash.
//!
//! A reader fills a bounded queue, workers take tasks from it and send them, a writer appends their results (`run.rs`). What a
//! worker makes of an answer or an error is in `worker.rs`, what it does while nobody can be asked in `outage.rs`, whether an answer
//! is good in `check.rs`. How results outlive a crash is in `output/journal.rs`.

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
    summary::{Prices, RunOutcome, Summary},
    task::{Task, TaskId},
};
use crate::client::{Client, Error, ErrorKind, PromptOptions};

/// Sends many tasks over a [`Client`], each until it has its result, and writes the results to an [`Output`].
///
/// A fault of a key sends a task again, over another key, and is never counted. What is wrong with an answer (a 5xx that stays, a
/// timeout, no JSON, blocked, empty) is tried again [`max_retries`](Self::max_retries) times. What the provider refuses as invalid,
/// and an answer that was cut at the limit of output tokens, is not: it would come out the same.
///
/// While no key is ready, or the provider cannot be reached, the run waits, and [`Progress`] says for what.
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

/// What is set for a run.
#[derive(Debug)]
struct Settings {
    options: PromptOptions,
    json: JsonCheck,
    workers: Option<usize>,
    slots: Option<Slots>,
    max_retries: u32,
    retry_invalid: bool,
    retry_max_tokens: bool,
    until_exhausted: bool,
    max_wait: Option<Duration>,
    error_log: Option<ErrorLog>,
    prices: Option<Prices>,
}

/// Workers that have a key each.
#[derive(Clone, Copy, Debug)]
struct Slots {
    workers_per_key: usize,
    interval: Duration,
}

/// Nobody means a longer time.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

impl Batch {
    /// A run over this client; the model is for tasks that name none.
    pub fn new(client: &Client, model: impl Into<std::sync::Arc<str>>) -> Self {
        let settings = Settings {
            options: PromptOptions::new().model(model),
            json: JsonCheck::Off,
            workers: None,
            slots: None,
            max_retries: 3,
            retry_invalid: false,
            retry_max_tokens: false,
            until_exhausted: false,
            max_wait: None,
            error_log: None,
            prices: None,
        };
        Self { client: client.clone(), settings }
    }

    /// Options for tasks that do not say otherwise; a model in them replaces that of the run.
    pub fn options(mut self, options: PromptOptions) -> Self {
        self.settings.options = options.or(&self.settings.options);
        self
    }

    /// At most so many requests at the same time, at least 1. 8 for each key unless set, and 32 to 512 in all: most of them wait
    /// until the limits of the keys have room.
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = Some(workers);
        self
    }

    /// In place of [`workers`](Self::workers): each key has so many workers of its own, at least 1, each of which starts a request
    /// no sooner than `interval` after the one before. Keys that come later have theirs, too.
    pub fn slots(mut self, workers_per_key: usize, interval: Duration) -> Self {
        self.settings.slots = Some(Slots { workers_per_key, interval });
        self
    }

    /// How often a task is sent again because of what is wrong with its answer; 3 unless set.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.settings.max_retries = retries;
        self
    }

    /// Sends again what the provider refused as invalid, too, [`max_retries`](Self::max_retries) times.
    pub fn retry_invalid(mut self) -> Self {
        self.settings.retry_invalid = true;
        self
    }

    /// Sends again what was cut at the limit of output tokens, too, [`max_retries`](Self::max_retries) times.
    pub fn retry_max_tokens(mut self) -> Self {
        self.settings.retry_max_tokens = true;
        self
    }

    /// The answers are JSON: it is found by [`json::find`](crate::json::find) and takes the place of the text in the result. The
    /// provider is asked for it.
    pub fn parse_json(mut self) -> Self {
        if !self.settings.json.is_on() {
            self.settings.json = JsonCheck::Any;
        }
        self.settings.options = PromptOptions::new().json().or(&self.settings.options);
        self
    }

    /// The answers are JSON of this JSON Schema; others are wrong.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is not a schema.
    pub fn json_schema(mut self, schema: Value) -> Result<Self, Error> {
        self.settings.json = JsonCheck::of_schema(&schema)?;
        self.settings.options = PromptOptions::new().json_schema(schema).or(&self.settings.options);
        Ok(self)
    }

    /// Ends when the day's quota of all keys is used up for the model of a task, in place of waiting for the next day.
    pub fn until_exhausted(mut self) -> Self {
        self.settings.until_exhausted = true;
        self
    }

    /// Ends when there was no answer for so long, since no key was ready or the provider could not be reached; unless set, it
    /// waits.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.settings.max_wait = Some(wait);
        self
    }

    /// Writes a line for each fault.
    pub fn error_log(mut self, log: ErrorLog) -> Self {
        self.settings.error_log = Some(log);
        self
    }

    /// What tokens cost; without prices the summary has no cost.
    pub fn prices(mut self, prices: Prices) -> Self {
        self.settings.prices = Some(prices);
        self
    }

    /// Starts it on the current tokio runtime. It is aborted if the [`Run`] is dropped.
    ///
    /// # Errors
    /// [`BatchError::Settings`] for numbers that cannot be.
    pub fn start(self, input: Input, output: Output) -> Result<Run, BatchError> {
        self.settings.check()?;
        let engine = Engine::new(&self.client, self.settings);
        Ok(Run::start(engine, input, output))
    }

    /// Starts it, and waits for its end.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`BatchError::Output`] if a result could not be written: the run ends then.
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
        if self.slots.is_some_and(|slots| slots.interval > LONGEST) {
            return invalid("the interval between requests is longer than a year");
        }
        Ok(())
    }
}
