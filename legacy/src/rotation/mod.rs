//! The layer that gives each request a key, and holds the key's slot until the answer's body ends.
//!
//! A request's [`Demand`](crate::Demand) is taken from its extensions, or read from its head; the pool grants a lease
//! for it; the caller's own credentials and every hop-by-hop header go, the key comes in, and the request goes on to
//! the provider's base and nowhere else.
//!
//! `poll_ready` only forwards. Where a key is ready, the very instance that was polled ready is called. Where the
//! request must wait for one, the ready instance is given back first and a fresh clone is polled ready once the key is
//! there, so that a waiting request blocks nobody below.

mod body;
mod future;
mod headers;
mod layer;
mod outgoing;
mod service;
mod target;

pub use body::LeaseBody;
pub use future::KeyRotationFuture;
pub(crate) use future::{answered, failed};
pub(crate) use headers::Names;
pub use layer::KeyRotationLayer;
pub use service::KeyRotation;
