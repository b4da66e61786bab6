//! Bodies that can be sent again.
//!
//! A request is sent once more with another key, so its body must be available again. [`ReplayLayer`] collects the body
//! of each request, up to a limit, before it calls the service below. A collected [`ReplayBody`] is cloned by reference
//! ([`TryClone`]). A larger body streams through once and cannot be sent again.
//!
//! The layers below read the collected bytes in the request's extension [`CollectedBody`]: the model that it names, and how
//! long it is.

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

/// An extension of a request whose body is too large to be sent again.
#[derive(Clone, Copy)]
pub(crate) struct TooLarge;
