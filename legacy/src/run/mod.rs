//! The closure form: for an SDK that brings its own HTTP.
//!
//! The same rule as [`RetryPolicy`](crate::RetryPolicy), the same step down as
//! [`ModelFallbackLayer`](crate::ModelFallbackLayer), over any call that takes a key.

mod error;
mod leased_key;
mod runner;
mod walk;

pub use error::RunError;
pub use leased_key::LeasedKey;
pub use runner::Runner;
