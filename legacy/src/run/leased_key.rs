//! The key that a closure is lent.

use std::fmt;

use crate::{
    key::KeyId,
    pool::{Granted, Usage},
};

/// A key, lent to one attempt of a closure. A clone is cheap and holds no slot: `run` does, until the attempt ends.
#[derive(Clone)]
pub struct LeasedKey(Granted);

impl LeasedKey {
    pub(super) fn new(granted: Granted) -> Self {
        Self(granted)
    }

    /// The key's name: the only form that is logged.
    pub fn key_id(&self) -> &KeyId {
        self.0.key_id()
    }

    /// The secret itself, for the call alone.
    pub fn expose(&self) -> &str {
        self.0.secret.expose()
    }

    /// The model to ask for: another than the one demanded after a step down.
    pub fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// Says what the answer cost; corrects what was reserved.
    pub fn usage(&self, usage: Usage) {
        self.0.usage(usage);
    }
}

impl fmt::Debug for LeasedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedKey").field("key", self.key_id()).field("model", &self.model()).finish_non_exhaustive()
    }
}
