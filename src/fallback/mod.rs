//! Another model in place of one that cannot serve.
//!
//! [`ModelFallbackLayer`] sends a request again with the next model of a list when the model cannot serve it with any key. It
//! stands above the retry, so that a model is left only after all keys. Nothing is remembered between requests.

mod future;
mod layer;
mod lists;
mod service;

pub use future::ModelFallbackFuture;
pub use layer::ModelFallbackLayer;
pub use service::ModelFallback;

#[cfg(test)]
mod tests;
