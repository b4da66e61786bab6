//! The whole stack as one layer, with sensible defaults.
//!
//! ```text
//! ReplayLayer            keeps the body for another attempt
//! ModelFallbackLayer     another model, where a list says so
//! RetryPolicy            decides what is sent again
//! KeyRotationLayer       gives each attempt a key
//! CooldownLayer          judges what comes back
//! ```

mod attempt;
mod future;
mod layer;
mod resend;
mod service;
mod spare;
#[cfg(test)]
mod tests;

pub use future::KeyPoolFuture;
pub use layer::KeyPoolLayer;
pub use service::{KeyPoolBody, KeyPoolService};
