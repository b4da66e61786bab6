//! Selects a key for each request.
//!
//! [`KeyRotationLayer`] takes a key from the pool, waits for one if the request may wait, and puts it in the request.
//! It holds the [`Lease`](crate::Lease) until the response body ends or is dropped.

mod body;
mod future;
mod layer;
pub(crate) mod needs;
mod service;

pub use body::LeaseBody;
pub use future::KeyRotationFuture;
pub use layer::KeyRotationLayer;
pub use service::KeyRotation;
