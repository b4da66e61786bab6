//! The layer that asks for another model when the one asked for is out.
//!
//! Each request begins with the best model that its list allows, so that the best is used again as soon as it is
//! ready. It steps down when no key may carry the model's lane now or within the wait, when the account has no
//! entitlement to it, when the provider does not have it, and by switch when it is overloaded still after all retries.
//! It never steps down for a fault of the caller's, nor to a model that the provider knows to be of no use there.
//!
//! A model of a list that the provider does not know is passed by for a while.
//!
//! A step is made only where a key stands ready for the next model: otherwise the caller receives what the first one
//! answered.

mod future;
mod layer;
mod models;
mod plan;
mod service;
mod step;
mod unknown;

pub use future::ModelFallbackFuture;
pub use layer::ModelFallbackLayer;
pub use models::Models;
pub(crate) use plan::Plan;
pub use service::ModelFallback;
pub(crate) use step::steps_down;
