//! The layer that judges answers.

use std::borrow::Borrow;

use tower_layer::Layer;

use super::Cooldown;
use crate::{pool::KeyPool, provider::UsageFormat};

/// Judges every answer and tells the pool, so that a key rests from the moment its limit is hit. Stands below
/// [`KeyRotationLayer`](crate::KeyRotationLayer), directly above the client.
///
/// Whatever repeats a request belongs above both: the first answer that is judged is what came of the lease.
///
/// What came of a request is left on the answer as [`ServedBy`](crate::ServedBy). A request that comes without a lease
/// passes untouched.
#[derive(Clone, Copy, Debug)]
pub struct CooldownLayer {
    usage: UsageFormat,
}

impl CooldownLayer {
    /// Judges for this pool.
    pub fn new(pool: impl Borrow<KeyPool>) -> Self {
        Self { usage: pool.borrow().provider().usage() }
    }
}

impl<S> Layer<S> for CooldownLayer {
    type Service = Cooldown<S>;

    fn layer(&self, inner: S) -> Cooldown<S> {
        Cooldown::new(inner, self.usage)
    }
}
