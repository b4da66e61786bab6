//! How a pool is made.
use super::{KeyPool, Shared, state::State};
use crate::{error::KeyError, key::Key, limit::Limits, provider::Provider, time::Clock};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Makes a [`KeyPool`].
pub struct KeyPoolBuilder {
    provider: Arc<dyn Provider>,
    keys: Vec<Key>,
    clock: Option<Clock>,
    wait: Duration,
}

impl KeyPoolBuilder {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, keys: Vec::new(), clock: None, wait: Duration::ZERO }
    }
    /// Adds a key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }
    /// Adds keys.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys.extend(keys);
        self
    }
    /// Limits of every owner for a model (`*`: every model without its own).
    #[must_use]
    pub fn limits(self, _model: impl Into<String>, _limits: Limits) -> Self {
        self
    }
    /// Lives by this clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }
    /// How long a demand waits for a key that does not say so itself. Zero unless set.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
    /// Builds it. Needs no runtime and spawns nothing.
    ///
    /// # Errors
    /// The first key that cannot be taken.
    pub fn build(self) -> Result<KeyPool, KeyError> {
        let state = State::new(self.keys, &*self.provider)?;
        Ok(KeyPool(Arc::new(Shared {
            provider: self.provider,
            clock: self.clock.unwrap_or_default(),
            wait: self.wait,
            state: Mutex::new(state),
        })))
    }
}
