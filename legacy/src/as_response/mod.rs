//! The layer that answers where there would be an error: for hosts whose error is `Infallible`, such as axum.

mod body;
mod future;
mod layer;
mod service;

pub use body::AnswerBody;
pub use future::ExhaustedAsResponseFuture;
pub use layer::ExhaustedAsResponseLayer;
pub use service::ExhaustedAsResponse;
