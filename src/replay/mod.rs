//! Request bodies that can be sent again.
//!
//! A retry with another key needs the request body again. [`ReplayLayer`] collects the body of each request, up to a
//! limit, before it calls the inner service. A collected [`ReplayBody`] is cloned by reference ([`TryClone`]). A larger
//! body streams through once and cannot be sent again.
//!
//! The inner layers read the collected bytes, for example the model, from the request's extension [`CollectedBody`].

mod body;
mod collected;
mod future;
mod layer;
mod service;

pub use body::{ReplayBody, TryClone};
pub use collected::CollectedBody;
pub(crate) use collected::with_model;
pub use future::ReplayFuture;
pub use layer::ReplayLayer;
pub use service::Replay;

/// The extension of a request whose body is too large to be sent again.
#[derive(Clone, Copy)]
pub(crate) struct TooLarge;
