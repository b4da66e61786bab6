//! Falls back to another model if a model cannot serve.
//!
//! [`ModelFallbackLayer`] retries a request with the next model of a list if no key can serve it with the current
//! model. Place it above the retry, so that every key is tried before the next model. The layer keeps no state between
//! requests.

mod body;
mod future;
mod layer;
mod lists;
mod plan;
mod service;

pub use body::BodyForModel;
pub use future::ModelFallbackFuture;
pub use layer::ModelFallbackLayer;
pub use service::ModelFallback;

#[cfg(test)]
mod tests;
