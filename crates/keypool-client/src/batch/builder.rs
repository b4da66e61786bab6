//! What a batch goes by.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tower_keypool::{KeyId, KeyPool, KeyState, Retry};

use super::{
    Fault, JsonCheck, Output, Plan, Prices, Run, Task,
    crew::{self, Crew},
    dialect::{Defaults, Dialect},
    events::Listener,
    feeder::{self, Feeder, Making, Source},
    input::Format,
    plan::UsedToday,
    shared::Shared,
    writer,
};
use crate::client::Client;

/// What a run goes by.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) defaults: Defaults,
    pub(crate) slots: Option<Slots>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) max_retries: u32,
    pub(crate) retry_invalid: bool,
    pub(crate) max_wait: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) json: Option<JsonCheck>,
    pub(crate) prices: Option<Prices>,
    pub(crate) on_fault: Option<Listener>,
    /// How many tasks there are, where somebody counted.
    pub(crate) tasks: Option<u64>,
    /// And how many of them name which model.
    pub(crate) models: BTreeMap<Option<Arc<str>>, u64>,
    pub(crate) used_today: BTreeMap<Arc<str>, UsedToday>,
}

/// Worker slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    pub(crate) per_key: usize,
    pub(crate) interval: Duration,
}

impl Default for Slots {
    fn default() -> Self {
        Self { per_key: 4, interval: Duration::from_secs(12) }
    }
}

impl Options {
    /// Requests a second that slots allow, were there no other limit: of each key, and of all.
    fn slots_per_second(&self, pool: &KeyPool) -> Option<(f64, f64)> {
        let slots = self.slots.filter(|slots| !slots.interval.is_zero())?;
        let keys = pool.snapshot().keys.iter().filter(|key| key.state != KeyState::Disabled).count();
        let per_key = slots.per_key as f64 / slots.interval.as_secs_f64();
        Some((per_key, per_key * keys as f64))
    }

    /// The models that tasks ask, and how many ask each: that of tasks that name none, where nothing else is known.
    pub(crate) fn models(&self) -> BTreeMap<Arc<str>, u64> {
        let mut models = BTreeMap::new();
        for (model, tasks) in &self.models {
            *models.entry(Arc::clone(model.as_ref().unwrap_or(&self.defaults.model))).or_default() += tasks;
        }
        if models.is_empty() {
            models.insert(Arc::clone(&self.defaults.model), 1);
        }
        models
    }

    /// What the limits allow for them.
    pub(crate) fn plan(&self, client: &Client) -> Plan {
        let (slots, none) = (self.slots_per_second(client.pool()), UsedToday::default());
        let of_model = |(model, tasks): (Arc<str>, u64)| {
            let models = client.models_in_place().chain(&model);
            (Plan::of(client.pool(), &models, slots, self.used_today.get(&model).unwrap_or(&none)), tasks)
        };
        Plan::sum(self.models().into_iter().map(of_model).collect())
    }
}

/// Many tasks over a client: see the [module](crate::batch).
///
/// As fast as the keys' limits allow, unless slots are asked for.
#[derive(Clone)]
#[must_use = "nothing is sent until `run`"]
pub struct Batch {
    client: Client,
    options: Options,
    output: Option<Arc<Output>>,
}

impl Batch {
    /// A batch over this client, which brings model and fallback models.
    #[expect(clippy::needless_pass_by_value, reason = "it is cheap, and reads as what it is")]
    pub fn new(client: Client) -> Self {
        // What the provider or the model does wrong is counted here, and every attempt is told; keys take each other's
        // place as ever.
        let client = client.going_by(Retry::new().max_retries(0).without_budget());
        let defaults =
            Defaults { model: Arc::clone(client.model()), system: None, temperature: Some(1.0), json: false };
        let options = Options {
            defaults,
            slots: None,
            concurrency: None,
            max_retries: 3,
            retry_invalid: false,
            max_wait: None,
            timeout: Duration::from_secs(600),
            json: None,
            prices: None,
            on_fault: None,
            tasks: None,
            models: BTreeMap::new(),
            used_today: BTreeMap::new(),
        };
        Self { client, options, output: None }
    }

    /// The model of tasks that name none; the client's unless set.
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.options.defaults.model = model.into();
        self
    }

    /// What the model goes by in tasks that say nothing of it.
    pub fn system(mut self, instruction: impl Into<String>) -> Self {
        self.options.defaults.system = Some(instruction.into());
        self
    }

    /// How free answers are to tasks that say nothing of it; 1.0 unless set, `None`: the model's own.
    pub fn temperature(mut self, temperature: impl Into<Option<f64>>) -> Self {
        self.options.defaults.temperature = temperature.into();
        self
    }

    /// So many slots a key, each with one task at a time; 4 unless set. Turns slots on.
    pub fn workers_per_key(mut self, slots: usize) -> Self {
        self.options.slots.get_or_insert_default().per_key = slots.max(1);
        self
    }

    /// So long from a slot's start to its next, in seconds; 12.0 unless set. Turns slots on.
    pub fn rate_limit_per_slot(mut self, seconds: f64) -> Self {
        let interval = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.options.slots.get_or_insert_default().interval = interval;
        self
    }

    /// At most so many requests at a time, without slots; unless set as many as the limits can keep busy.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.options.concurrency = Some(requests.max(1));
        self
    }

    /// How often a task is tried again after a fault of its own (no JSON, blocked, empty) or the model's; 3 unless set.
    /// Faults of keys are not counted.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.options.max_retries = retries;
        self
    }

    /// Whether what the provider calls invalid is sent again; not unless set.
    pub fn retry_invalid(mut self, again: bool) -> Self {
        self.options.retry_invalid = again;
        self
    }

    /// How long the run waits for a key before it ends, from the last answer on; as long as it takes, unless set.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.options.max_wait = Some(wait);
        self
    }

    /// Ends once no key may serve any more for longer than a minute's window.
    pub fn until_exhausted(self) -> Self {
        self.max_wait(Duration::from_secs(65))
    }

    /// How long one attempt may take, to its answer's end; 10 minutes unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Answers are to be JSON: results have `json` in the place of `text`.
    pub fn parse_json(self) -> Self {
        self.json(JsonCheck::any())
    }

    /// The same, of a form.
    pub fn json(mut self, check: JsonCheck) -> Self {
        self.options.json = Some(check);
        self.options.defaults.json = true;
        self
    }

    /// What tokens cost; by list price unless set.
    pub fn prices(mut self, prices: Prices) -> Self {
        self.options.prices = Some(prices);
        self
    }

    /// Is told of everything that goes wrong on the way. It must not block.
    pub fn on_fault(mut self, listener: impl Fn(&Fault) + Send + Sync + 'static) -> Self {
        self.options.on_fault = Some(Arc::new(listener));
        self
    }

    /// Where results go; tasks that are done there are left out.
    pub fn output(mut self, output: Output) -> Self {
        self.output = Some(Arc::new(output));
        self
    }

    /// How many tasks there are, for the expected end.
    pub fn expecting(mut self, tasks: u64) -> Self {
        self.options.tasks = Some(tasks);
        self
    }

    /// How many tasks name which model ([`Survey::models`](super::input::Survey::models)), for what the limits allow and the
    /// expected end; the model of tasks that name none unless set.
    pub fn expecting_of(mut self, models: impl IntoIterator<Item = (Option<Arc<str>>, u64)>) -> Self {
        self.options.models = models.into_iter().collect();
        self
    }

    /// The models that tasks ask, as far as that is known.
    pub fn models(&self) -> impl Iterator<Item = Arc<str>> {
        self.options.models().into_keys()
    }

    /// What the owner of each of these keys has used of today's requests for this model, for what is told of the
    /// day: a pool that shares its limits with other processes learns that with an owner's lease, which it has for none
    /// before the first request. Where the pool knows of more, that holds; after the day's end none of this does.
    pub fn used_today(mut self, model: &str, used: impl IntoIterator<Item = (KeyId, u64)>) -> Self {
        self.options.used_today.insert(model.into(), UsedToday::new(self.client.pool(), used));
        self
    }

    #[cfg(test)]
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// What the known limits allow.
    pub fn plan(&self) -> Plan {
        self.options.plan(&self.client)
    }

    /// Runs these tasks. They are taken as they are needed, never all at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run<I>(self, tasks: I) -> Run
    where
        I: IntoIterator<Item: Into<Task> + 'static>,
        I::IntoIter: Send + 'static,
    {
        let tasks = tasks.into_iter().map(Into::into);
        self.start(Source::Given(Box::new(tasks)))
    }

    /// Runs the tasks of a file; `column`: the column of CSV that holds the prompt.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run_file(self, path: impl Into<PathBuf>, format: Option<Format>, column: &str) -> Run {
        self.start(feeder::reading(Some(path.into()), format, column.to_owned()))
    }

    /// Runs the tasks of standard input.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run_stdin(self, format: Option<Format>, column: &str) -> Run {
        self.start(feeder::reading(None, format, column.to_owned()))
    }

    fn start(self, source: Source) -> Run {
        let Self { client, options, output } = self;
        let making = Making { dialect: Dialect::of(client.pool()), defaults: options.defaults.clone() };
        let wanted = crew::wanted(&client, &options);
        let shared = Arc::new(Shared::new(client, options, wanted));
        let (listener, results) = mpsc::channel(256);
        let (done, written) = mpsc::channel(1024);
        let crew = Crew::begin(Arc::clone(&shared), done.clone());
        let feeder = Feeder { making, output: output.clone(), results: done, shared: Arc::clone(&shared) };
        let writing = writer::write(written, output, listener, Arc::clone(&shared));
        let tasks = vec![tokio::spawn(crew.work()), tokio::spawn(feeder.feed(source)), tokio::spawn(writing)];
        Run { shared, results, tasks }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("client", &self.client).field("output", &self.output).finish_non_exhaustive()
    }
}
