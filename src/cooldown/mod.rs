//! Classifies responses and cools down what failed.
//!
//! [`CooldownLayer`] classifies responses and reports them to the pool, which then stops using a key, a project or a
//! model for a while.

mod body;
mod future;
mod layer;
mod reader;
mod service;

pub use body::CooldownBody;
pub use future::CooldownFuture;
pub use layer::CooldownLayer;
pub use reader::can_decode;
pub use service::Cooldown;
