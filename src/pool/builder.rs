//! The builder of a pool.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Notify, broadcast};
use tower::retry::budget::TpsBudget;

use super::{
    handle::{KeyPool, Shared},
    persist::StoreLink,
    quotas::Quotas,
    state::{Settings, State},
    strategy::Strategy,
    update,
};
use crate::{
    Error,
    classify::{Classifier, Rule},
    key::Key,
    limit::Limits,
    provider::Provider,
    store::Store,
    time::{Clock, WallReading},
};

/// Number of events that are kept for a slow listener.
const EVENTS: usize = 1_024;

/// A builder of a [`KeyPool`].
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::{ErrorClass, Gemini, Key, KeyPool, Limits, Rule, Strategy};
///
/// let pool = KeyPool::builder(Gemini::new())
///     .keys(["AIza-not-a-real-key-001", "AIza-not-a-real-key-002"].map(Key::free))
///     .limits("gemini-*", Limits::new().per_minute(10))
///     .rules([Rule::new(ErrorClass::Billing).status(402)])
///     .strategy(Strategy::RoundRobin)
///     .wait(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(pool.stats().keys, 2);
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[must_use]
pub struct KeyPoolBuilder {
    provider: Box<dyn Provider>,
    keys: Vec<Key>,
    limits: Vec<(Arc<str>, Limits)>,
    rules: Vec<Rule>,
    strategy: Strategy,
    wait: Duration,
    clock: Option<Clock>,
    store: Option<Box<dyn Store>>,
    fail_open: bool,
    allow_empty: bool,
}

impl KeyPoolBuilder {
    pub(crate) fn new(provider: Box<dyn Provider>) -> Self {
        Self {
            provider,
            keys: Vec::new(),
            limits: Vec::new(),
            rules: Vec::new(),
            strategy: Strategy::default(),
            wait: Duration::ZERO,
            clock: None,
            store: None,
            fail_open: false,
            allow_empty: false,
        }
    }

    /// Adds a key.
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds keys.
    pub fn keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys.extend(keys);
        self
    }

    /// Sets the limits of every project for a model; a name may end in `*`. If the project has limits of its own for the
    /// model (by name, pattern or `*`), only those apply. Of several matches in a list, the exact name applies, else the
    /// longest pattern.
    pub fn limits(mut self, model: impl Into<Arc<str>>, limits: Limits) -> Self {
        let model = model.into();
        self.limits.retain(|(held, _)| *held != model);
        self.limits.push((model, limits));
        self
    }

    /// Adds classification rules that are tried before the built-in ones.
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Sets how ready keys are ordered. The default is [`Strategy::LeastLoaded`].
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Sets how long a request waits for a key unless it sets its own wait. The default is zero.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the clock. The default is the system clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the store, which keeps reservations and cooldowns beyond the process. It may be boxed. It requires
    /// [`open`](Self::open).
    pub fn store(mut self, store: impl Into<Box<dyn Store>>) -> Self {
        self.store = Some(store.into());
        self
    }

    /// Continues with the local limits when the store is unavailable, even at the start, instead of failing. Off by
    /// default. Such requests are counted in [`Stats::unreserved`](crate::pool::Stats).
    pub fn fail_open(mut self) -> Self {
        self.fail_open = true;
        self
    }

    /// Allows a pool without keys. Keys can be added later.
    pub fn allow_empty(mut self) -> Self {
        self.allow_empty = true;
        self
    }

    /// Builds a pool that keeps its state in memory only.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`](crate::ErrorKind::InvalidKey) for a malformed secret;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for invalid limits or time zones, two keys with one id, a pool
    /// without keys, or a store, which requires [`open`](Self::open).
    pub fn build(self) -> Result<KeyPool, Error> {
        if self.store.is_some() {
            return Err(Error::config("a pool with a store must be built with `open().await`"));
        }
        self.make()
    }

    /// Builds a pool and loads its state from the store. It spawns a task that writes records to the store and reads
    /// those of other processes, until the pool is dropped. Keep the runtime that called `open` as long as the pool.
    ///
    /// # Errors
    /// As [`build`](Self::build), and [`ErrorKind::Store`](crate::ErrorKind::Store).
    ///
    /// # Panics
    /// If there is a store, outside a tokio runtime.
    pub async fn open(self) -> Result<KeyPool, Error> {
        let pool = self.make()?;
        super::persist::open(&pool.shared).await?;
        Ok(pool)
    }

    fn make(self) -> Result<KeyPool, Error> {
        if self.keys.is_empty() && !self.allow_empty {
            return Err(Error::config("the pool has no keys; call `allow_empty` to permit that"));
        }
        for (_, limits) in &self.limits {
            limits.check()?;
        }
        let provider = self.provider;
        let rules = self.rules.into_iter().chain(provider.rules().iter().cloned()).collect();
        let limited: Vec<_> = self.limits.iter().map(|(model, _)| Arc::clone(model)).collect();
        let settings = Settings {
            strategy: self.strategy,
            limits: self.limits,
            scheme: provider.scheme().to_owned(),
            provider: provider.name().into(),
            assumed: HashMap::new(),
        };
        let state = State::new(Quotas::new(provider.zone())?, settings);
        let shared = Shared {
            state: Mutex::new(state),
            classifier: Classifier::new(provider.name(), rules),
            provider,
            clock: self.clock.unwrap_or_default(),
            wall: WallReading::default(),
            link: self.store.map(|store| StoreLink::new(store, self.fail_open)),
            wait: self.wait,
            retry_budget: Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2)),
            events: broadcast::Sender::new(EVENTS),
            idle: Notify::new(),
        };
        let pool = KeyPool { shared: Arc::new(shared) };
        pool.shared.configure(limited.iter().chain(self.keys.iter().flat_map(Key::model_names)), false);
        pool.shared.with(|state, _| {
            state.registry.reserve(self.keys.len());
            state.quotas.reserve(self.keys.len());
        });
        for key in &self.keys {
            let added = pool.shared.with(|state, _| update::add(state, key, None));
            let (id, merged) = added.map_err(|error| error.of_key(&key.id()))?;
            if merged {
                tracing::warn!(key = %id, "this key is listed twice: the entries are merged");
            }
        }
        Ok(pool)
    }
}

impl std::fmt::Debug for KeyPoolBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPoolBuilder").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}
