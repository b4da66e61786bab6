//! What an answer means for the key that was used.
//!
//! [`CooldownLayer`] classifies answers and reports them to the pool, which then does not use a key, a project or a model for a while.

mod body;
mod future;
mod layer;
mod reader;
mod service;

pub use body::CooldownBody;
pub use future::CooldownFuture;
pub use layer::CooldownLayer;
pub use service::Cooldown;
