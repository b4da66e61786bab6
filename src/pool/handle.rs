//! The handle of a pool.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, broadcast};
use tower::retry::budget::TpsBudget;

use super::{
    acquire::Acquire,
    builder::KeyPoolBuilder,
    events::{Event, Events},
    lease::Lease,
    persist::StoreLink,
    request::KeyRequest,
    select::{Selection, find},
    snapshot::{Snapshot, Stats},
    state::{Effects, Now, State},
    unavailable::{Unavailable, UnavailableReason},
};
use crate::{
    Error,
    classify::{Classifier, Failure},
    key::{KeyId, Tier},
    provider::Provider,
    time::{Clock, WallReading},
};

/// A pool of keys, used as if they were one. A handle is cheap to clone; all clones share one pool.
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool, Limits};
///
/// let pool = KeyPool::builder(Gemini::new())
///     .key(Key::free("AIza-not-a-real-key-001").project("a"))
///     .key(Key::paid("AIza-not-a-real-key-002").max_concurrent(8))
///     .limits("gemini-2.5-flash", Limits::new().per_minute(10).per_day(250).tokens_per_minute(250_000))
///     .build()?;
/// let lease = pool.try_acquire("gemini-2.5-flash")?;
/// assert_eq!(lease.project(), "a");
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone)]
pub struct KeyPool {
    pub(crate) shared: Arc<Shared>,
}

/// The part of a pool that all handles, leases and waiters share.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) provider: Box<dyn Provider>,
    pub(crate) classifier: Classifier,
    pub(crate) clock: Clock,
    pub(crate) wall: WallReading,
    pub(crate) link: Option<StoreLink>,
    /// How long a request waits for a key unless it sets its own wait.
    pub(crate) wait: Duration,
    /// The shared budget of retries after faults of the provider: a fifth of the successes, plus 10 per second.
    pub(crate) retry_budget: Arc<TpsBudget>,
    pub(crate) events: broadcast::Sender<Event>,
    /// Notified when the last lease of a pool that is shut down ends.
    pub(crate) idle: Notify,
}

impl Shared {
    pub(crate) fn now(&self) -> Now {
        let tick = self.clock.now();
        Now { tick, wall_ms: self.wall.at(tick, &self.clock) }
    }

    /// Runs a closure under the lock, and performs its effects after the lock is released.
    pub(crate) fn with<R>(&self, run: impl FnOnce(&mut State, Now) -> R) -> R {
        let now = self.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = run(&mut state, now);
        let effects = (!state.effects.is_empty()).then(|| std::mem::take(&mut state.effects));
        drop(state);
        if let Some(effects) = effects {
            self.perform(effects);
        }
        result
    }

    fn perform(&self, effects: Effects) {
        for waker in effects.wakers {
            waker.wake();
        }
        for event in effects.events {
            super::events::log(&event);
            // There may be no listener.
            let _ = self.events.send(event);
        }
        if effects.idle {
            self.idle.notify_waiters();
        }
        if let Some(link) = &self.link {
            link.add(effects.records, effects.urgent);
        }
    }

    /// Creates windows for each model that a key or a limit names, before its first response.
    pub(crate) fn configure<'a>(&self, models: impl Iterator<Item = &'a Arc<str>>, running: bool) {
        let mut models: Vec<_> = models.collect();
        models.sort_unstable();
        models.dedup();
        for name in models {
            if self.with_quietly(|state| state.models.configure(name, running)) {
                self.assume(name);
            }
        }
    }

    /// Looks up the provider's assumed limits of a model, outside the lock.
    pub(crate) fn assume(&self, name: &str) {
        let limits = [Tier::Free, Tier::Paid].map(|tier| (tier, self.provider.assumed_limits(name, tier)));
        if limits.iter().all(|(_, limits)| limits.is_none()) {
            return;
        }
        self.with_quietly(|state| {
            let model = state.models.introduce(name);
            if state.models.is_shared(model) {
                return;
            }
            for (tier, limits) in limits {
                if let Some(limits) = limits {
                    state.settings.assumed.insert((model, tier), limits);
                }
            }
        });
    }

    fn with_quietly<R>(&self, run: impl FnOnce(&mut State) -> R) -> R {
        run(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyPool {
    /// Returns a builder of a pool for a [`Provider`], which may be boxed.
    pub fn builder(provider: impl Into<Box<dyn Provider>>) -> KeyPoolBuilder {
        KeyPoolBuilder::new(provider.into())
    }

    /// Returns a key that is ready now, without waiting.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with the reasons and the time until a key may be
    /// ready; [`ErrorKind::Config`](crate::ErrorKind::Config) if the request must be reserved in the pool's store, which
    /// takes time; [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown).
    pub fn try_acquire(&self, request: impl Into<KeyRequest>) -> Result<Lease, Error> {
        let request = request.into().wait(Duration::ZERO);
        // The store is not called: its reservation would count although no caller waits for the reply.
        if self.shared.link.is_some() && !request.uncounted {
            return Err(Error::config("the store must reserve the request: use `acquire`, not `try_acquire`"));
        }
        super::acquire::at_once(&self.shared, &request)
    }

    /// Returns a key as soon as one is ready, within the wait of the request or the pool. Send the request at once:
    /// limits count it from now on, and a shared store assumes that it is sent within a second.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if no key is ready within the wait, or waiting cannot
    /// help; [`ErrorKind::Store`](crate::ErrorKind::Store) if the store is unavailable; and
    /// [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown).
    ///
    /// # Panics
    /// If it must wait outside a tokio runtime with timers enabled.
    pub fn acquire(&self, request: impl Into<KeyRequest>) -> Acquire {
        Acquire::new(Arc::clone(&self.shared), request.into())
    }

    /// Returns the state of `limit` keys from `offset` on, with their projects. Keys are in the order of their slots; a
    /// new key reuses the slot of a removed one.
    pub fn snapshot(&self, offset: usize, limit: usize) -> Snapshot {
        self.shared.with(|state, now| super::snapshot::snapshot(state, offset, limit, now))
    }

    /// Returns the pool's counters. The cost does not depend on the number of keys.
    pub fn stats(&self) -> Stats {
        self.shared.with(|state, _| state.current_stats())
    }

    /// Returns the events from now on.
    pub fn events(&self) -> Events {
        Events(self.shared.events.subscribe())
    }

    /// Classifies a response of the provider by the pool's rules; `None` if it is successful. `body` is a body, or an
    /// event of a stream with its `data:`. Up to 64 KiB of it are read; it must not be compressed.
    ///
    /// The failure keeps the provider's message, which may contain the key. [`Lease::report`] redacts it; to log it
    /// before, redact the body with [`Secret::redact`](crate::Secret::redact).
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use tower_keypool::{ErrorClass, Gemini, Key, KeyPool};
    ///
    /// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).build()?;
    /// let body = br#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded."}}"#;
    /// let failure = pool.classify(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body);
    /// assert_eq!(failure.map(|failure| failure.class()), Some(ErrorClass::RateLimit));
    /// assert_eq!(pool.classify(StatusCode::OK, &HeaderMap::new(), b"{}"), None);
    /// # Ok::<(), tower_keypool::Error>(())
    /// ```
    pub fn classify(&self, status: http::StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Option<Failure> {
        self.shared.classifier.classify(status, headers, body, self.shared.clock.wall())
    }

    /// Returns the provider.
    pub fn provider(&self) -> &dyn Provider {
        &*self.shared.provider
    }

    /// Reports whether all requests that count fail now, since the store is unavailable.
    #[doc(hidden)]
    pub fn store_refuses_requests(&self) -> bool {
        self.shared.link.as_ref().is_some_and(StoreLink::refuses_requests)
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Stops granting keys, fails waiting requests, waits without a limit until the last lease is dropped, and writes
    /// pending records. If you stop it with a timeout, the pending records are not written.
    pub async fn shutdown(&self) {
        self.shared.with(|state, _| {
            state.shut_down = true;
            state.effects.wakers.extend(state.queue.wakers());
        });
        loop {
            let ended = self.shared.idle.notified();
            if self.shared.with(|state, _| state.stats.in_flight == 0) {
                break;
            }
            ended.await;
        }
        super::persist::flush(&self.shared, true).await;
    }

    /// Returns the error of a request that gives up after these attempts: why, and when another request may be served.
    pub(crate) fn gave_up(&self, attempts: super::Attempts) -> Error {
        let model = attempts.last().and_then(|attempt| attempt.model.clone());
        let request = KeyRequest { model, cost: attempts.cost, ..KeyRequest::default() };
        let unavailable =
            self.shared.with(|state, now| match find(state, &Selection::new(state, &request, true), now) {
                Ok(_) => Unavailable {
                    model: request.model.clone(),
                    keys: state.registry.len(),
                    reasons: vec![(UnavailableReason::Tried, attempts.len())],
                    retry_after: Some(Duration::from_secs(1)),
                },
                Err(blocked) => blocked.to_unavailable(state, &request, now),
            });
        Error::unavailable(unavailable).with_attempts(attempts)
    }

    /// Returns the error of a request that got no key. After attempts it reports when another request may be served,
    /// not that these keys were tried.
    pub(crate) fn no_key(&self, error: Error, attempts: super::Attempts) -> Error {
        match error.kind() {
            crate::ErrorKind::Unavailable if !attempts.is_empty() => self.gave_up(attempts),
            _ => error.with_attempts(attempts),
        }
    }

    /// Reports whether a key that was not tried, by its id and project, may serve the model, now or after a cooldown.
    pub(crate) fn others_may_serve(&self, model: Option<&str>, was_tried: impl Fn(&KeyId, &str) -> bool) -> bool {
        self.shared.with(|state, now| super::outcome::others_may_serve(state, model, was_tried, now))
    }

    /// Reports whether a key of these attempts has served a request since the start.
    pub(crate) fn has_served(&self, attempts: &super::Attempts) -> bool {
        self.shared.with(|state, _| {
            let entry = |key| state.registry.get(state.registry.find(key)?);
            attempts.iter().any(|attempt| entry(attempt.key()).is_some_and(|entry| entry.counts.succeeded > 0))
        })
    }

    pub(crate) fn forgive(&self, attempts: &super::Attempts) {
        self.shared.with(|state, now| super::outcome::forgive(state, attempts, now));
    }
}

impl fmt::Debug for KeyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPool").field("provider", &self.shared.provider.name()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
