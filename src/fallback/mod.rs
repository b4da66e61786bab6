//! Another model in place of one that cannot serve.
//!
//! [`ModelFallbackLayer`] sends a request again with the next model of a list when the model cannot serve it with any key. It
//! belongs above the retry, so that every key is tried before the next model. Nothing is remembered between requests.

mod future;
mod layer;
mod lists;
mod service;

pub use future::ModelFallbackFuture;
pub use layer::ModelFallbackLayer;
pub use service::ModelFallback;

#[cfg(test)]
mod tests;
