//! How a pool is made.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use super::{
    ERRORS, KeyPool, Shared,
    configured::{GivenLimits, by_lane_names, lane_name},
    dates::keeps_many_dates,
    event,
    journal::Journal,
    locks::Mutex,
    rank::Strategy,
    recent_names::RecentNames,
    rest::RestTable,
    sharing::{Share, Standing},
    shown::mask_reasons,
    state::{MAX_CONFIGURED, State},
    write_behind::Written,
};
use crate::{
    error::KeyError,
    key::{Exit, Key, Tier},
    limit::{Limits, MIDNIGHT_GUARD, Zone},
    provider::Provider,
    rule::Retry,
    store::Image,
    time::Clock,
};

/// When a later priority opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Spill {
    /// When every key of the earlier ones rests, is disabled or has a full window. Busy keys are waited for.
    #[default]
    Limits,
    /// When no key of the earlier ones is ready, for whatever reason.
    Any,
}

impl Spill {
    pub(super) fn is_any(self) -> bool {
        self == Self::Any
    }
}

/// What the pool goes by.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) strategy: Strategy,
    pub(super) spill: Spill,
    pub(super) spill_after: Duration,
    pub(super) rests: RestTable,
    pub(super) guard: Duration,
    pub(super) fixed_limits: bool,
    pub(super) known_limits: bool,
    pub(super) unjudged: Unjudged,
    /// Exits that are the same address from every machine.
    pub(super) same_exits: Vec<Exit>,
}

/// What a lease says of its key that is dropped unjudged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Unjudged {
    /// Nothing: its start counts, no more.
    #[default]
    Nothing,
    /// That it served well.
    Success,
}

/// Makes a [`KeyPool`].
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool, Limits, Strategy};
///
/// let pool = KeyPool::builder(Gemini::new())
///     .key(Key::free("AIza-not-a-real-key-001").owner("project-a"))
///     .key(Key::paid("AIza-not-a-real-key-002").max_concurrent(8))
///     .limits("gemini-2.5-flash", Limits::new().per_minute(10).per_day(250).tokens_per_minute(250_000))
///     .strategy(Strategy::LeastLoaded)
///     .build()?;
/// assert_eq!(pool.snapshot().total_keys, 2);
/// # Ok::<(), tower_keypool::KeyError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct KeyPoolBuilder {
    pub(super) provider: Arc<dyn Provider>,
    keys: Vec<Key>,
    limits: GivenLimits,
    clock: Option<Clock>,
    wait: Duration,
    retry: Option<Retry>,
    settings: Settings,
}

/// What a pool on a store begins with.
pub(super) struct Opened {
    pub(super) image: Image,
    /// Processes of several machines work on the store.
    pub(super) spans_machines: bool,
    /// None where nobody writes.
    pub(super) written: Option<Written>,
    /// Where owners are shared with other processes.
    pub(super) share: Option<Box<Share>>,
    pub(super) sharing: Option<watch::Receiver<Standing>>,
}

impl KeyPool {
    /// Begins a pool for a provider that was chosen while the program runs.
    pub fn builder_for(provider: Arc<dyn Provider>) -> KeyPoolBuilder {
        KeyPoolBuilder::new(provider)
    }
}

impl KeyPoolBuilder {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            keys: Vec::new(),
            limits: GivenLimits::default(),
            clock: None,
            wait: Duration::ZERO,
            retry: None,
            settings: Settings {
                strategy: Strategy::default(),
                spill: Spill::default(),
                spill_after: Duration::ZERO,
                rests: RestTable::default(),
                guard: Duration::from_millis(250),
                fixed_limits: false,
                known_limits: false,
                unjudged: Unjudged::default(),
                same_exits: Vec::new(),
            },
        }
    }

    /// Adds a key.
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(by_lane_names(&*self.provider, key));
        self
    }

    /// Adds keys. There is no cache to size: 100,000 keys need no option.
    pub fn keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys.extend(keys.into_iter().map(|key| by_lane_names(&*self.provider, key)));
        self
    }

    /// Limits of every owner for a model, however the provider lets it be spelled (`models/x`); `*`: for every model
    /// without its own; an empty name: for requests that name none. A key's own limits come first.
    pub fn limits(mut self, model: impl Into<String>, limits: Limits) -> Self {
        self.limits.set(lane_name(&*self.provider, &model.into()).into_owned(), limits);
        self
    }

    /// The same for owners of one tier alone; comes before [`limits`](Self::limits).
    pub fn tier_limits(mut self, model: impl Into<String>, tier: Tier, limits: Limits) -> Self {
        self.limits.set_for_tier(lane_name(&*self.provider, &model.into()).into_owned(), tier, limits);
        self
    }

    /// The order among ready keys of one priority; [`Strategy::LeastLoaded`] unless set.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.settings.strategy = strategy;
        self
    }

    /// When a later priority opens; [`Spill::Limits`] unless set.
    pub fn spill(mut self, spill: Spill) -> Self {
        self.settings.spill = spill;
        self
    }

    /// How long a demand waits for an earlier priority before a later one opens; zero unless set. A demand that may
    /// not wait that long never spills.
    pub fn spill_after(mut self, wait: Duration) -> Self {
        self.settings.spill_after = wait;
        self
    }

    /// How long each kind of verdict rests its scope.
    pub fn rests(mut self, table: RestTable) -> Self {
        self.settings.rests = table;
        self
    }

    /// How much longer than its span a sliding window holds, since requests do not travel equally fast; 250 ms unless
    /// set, 30 s at most.
    pub fn guard(mut self, guard: Duration) -> Self {
        self.settings.guard = guard;
        self
    }

    /// Turns learning off: only given limits hold, whatever answers say. Rests still do.
    pub fn fixed_limits(mut self, fixed: bool) -> Self {
        self.settings.fixed_limits = fixed;
        self
    }

    /// Assumes the provider's known limits for keys that name a tier, where nothing is given or learned; off unless
    /// set.
    pub fn known_limits(mut self, known: bool) -> Self {
        self.settings.known_limits = known;
        self
    }

    /// Limits that are known of a model in a tier, and of models whose name begins with this one and a `-`. They are assumed in
    /// the place of the provider's table where [`known_limits`](Self::known_limits) is on. No limits: nothing is assumed.
    pub fn known_limit(mut self, model: impl Into<String>, tier: Tier, limits: Limits) -> Self {
        self.limits.set_known(lane_name(&*self.provider, &model.into()).into_owned(), tier, limits);
        self
    }

    /// What a lease that is dropped unjudged says of its key; nothing unless set.
    pub fn unjudged(mut self, unjudged: Unjudged) -> Self {
        self.settings.unjudged = unjudged;
        self
    }

    /// Exits that are the same address from every machine: proxies. What one process learns of them holds for all that share a
    /// store, on all machines. Any other exit, the usual one too, is taken for an address of the machine: where processes of
    /// several machines share a store, each machine has its own rests of it.
    pub fn same_exits(mut self, exits: impl IntoIterator<Item = impl Into<Exit>>) -> Self {
        self.settings.same_exits = exits.into_iter().map(Into::into).collect();
        self
    }

    /// Lives by this clock; the system's unless set.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long a demand waits for a key that does not say so itself; zero (fail at once) unless set.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The clock that the pool will live by.
    pub(super) fn clock_in_use(&mut self) -> Clock {
        self.clock.get_or_insert_default().clone()
    }

    /// When a call or request is sent again that brings no rule of its own: those of [`KeyPool::run`],
    /// [`RetryPolicy`](crate::RetryPolicy) and [`KeyPoolLayer`](crate::KeyPoolLayer). [`Retry::new`] unless set.
    ///
    /// ```
    /// use tower_keypool::{Backoff, Gemini, KeyPool, Retry};
    ///
    /// let pool = KeyPool::builder(Gemini::new())
    ///     .retry(Retry::new().max_retries(5).backoff(Backoff::every_second()))
    ///     .build()?;
    /// # Ok::<(), tower_keypool::KeyError>(())
    /// ```
    pub fn retry(mut self, rule: Retry) -> Self {
        self.retry = Some(rule);
        self
    }

    /// What it describes, but for provider and clock.
    pub(super) fn into_parts(self) -> (Vec<Key>, GivenLimits, Settings, Duration, Retry) {
        (self.keys, self.limits, self.settings, self.wait, self.retry.unwrap_or_default())
    }

    /// Builds it. Needs no runtime and spawns nothing.
    ///
    /// # Errors
    /// The first key that cannot be taken, by its place among those given.
    pub fn build(self) -> Result<KeyPool, KeyError> {
        self.assemble(None)
    }

    /// Whether the limits can be; keys are looked at one by one.
    pub(super) fn check(&self) -> Result<(), KeyError> {
        if self.settings.guard > LONGEST_GUARD {
            return Err(KeyError::Guard(self.settings.guard));
        }
        self.limits.check()
    }

    pub(super) fn assemble(mut self, opened: Option<Opened>) -> Result<KeyPool, KeyError> {
        self.check()?;
        mask_reasons(&mut self.keys);
        let clock = self.clock.unwrap_or_default();
        // A zone that the tz database lacks cannot be had for a shipped provider; for others the day is UTC's.
        let zone = jiff::tz::TimeZone::get(self.provider.zone()).unwrap_or(jiff::tz::TimeZone::UTC);
        let zone = Zone::new(zone, MIDNIGHT_GUARD);
        let unjudged = self.settings.unjudged;
        let mut state = State::new(self.settings, Arc::clone(&self.provider), zone, self.limits, self.keys.len());
        state.roster.exits.same_everywhere(&state.settings.same_exits)?;
        state.wait = self.wait;
        state.expect_tokens();
        let now = clock.now();
        state.watch_wall(now);
        let (mut written, mut sharing) = (None, None);
        if let Some(opened) = opened {
            if keeps_many_dates(&opened.image) {
                state.keep_many_dates();
            }
            state.journal = Some(Box::new(Journal {
                share: opened.share,
                spans_machines: opened.spans_machines,
                ..Journal::begin(opened.image, now)
            }));
            (written, sharing) = (opened.written, opened.sharing);
        }
        for (number, key) in self.keys.into_iter().enumerate() {
            let own: Vec<String> = key.limits.iter().map(|(model, _)| model.clone()).filter(|m| m != "*").collect();
            state.add(Some(number), key, now, false)?;
            for model in own {
                state.configure_lane(&model);
            }
        }
        state.configure_lanes();
        warn_of_a_crowd(&state.models_without_a_lane());
        if let Some(journal) = &mut state.journal {
            journal.settled = true;
        }
        state.settle_in();
        state.recall_followers(now);
        state.reopen_lanes(now);
        state.recall_exits(now);
        let (limits_tokens, keeps_usage) = (state.plans.tokens(), state.journal.is_some());
        if let Some(journal) = &mut state.journal {
            // What was configured is there the next time, too: it waits for the first requests.
            journal.urgent = false;
        }
        let (events, _) = broadcast::channel(event::CAPACITY);
        let good_answers = AtomicU8::new(if self.provider.errs_with_success() { ERRORS } else { 0 });
        let pool = KeyPool(Arc::new(Shared {
            provider: self.provider,
            clock,
            wait: AtomicU64::new(millis(self.wait)),
            room: Arc::default(),
            retry: std::sync::Mutex::new(self.retry.unwrap_or_default()),
            unjudged,
            names: RecentNames::default(),
            came: Arc::clone(&state.roster.came),
            beside: std::sync::Mutex::default(),
            good_answers,
            met_unclear_refusals: AtomicBool::new(false),
            limits_tokens,
            keeps_usage,
            state: Mutex::new(state),
            events,
            idle: tokio::sync::Notify::new(),
            written,
            sharing,
        }));
        // What was found out about the keys is told.
        drop(pool.lock());
        Ok(pool)
    }
}

const LONGEST_GUARD: Duration = Duration::from_secs(30);

/// Models whose limits may not hold, since there is no room for them.
pub(super) fn warn_of_a_crowd(models: &[String]) {
    let Some((first, others)) = models.split_first() else { return };
    tracing::warn!(
        name: "keypool.models_crowded", model = first.as_str(), others = others.len(),
        "too many models have limits of their own ({MAX_CONFIGURED} at most have a place that is kept): these get one \
         when they are asked for, as long as there is room; then their limits do not hold",
    );
}

/// For an atomic number; half a billion years at most.
pub(super) fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for KeyPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPoolBuilder")
            .field("provider", &self.provider.name())
            .field("keys", &self.keys.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
