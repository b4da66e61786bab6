//! Replay: the only owner of the caller's body. It streams the first attempt while keeping its chunks for another, and
//! finds the model where a provider keeps it in the body.

mod body;
mod body_scan;
mod budget;
mod chunks;
mod cut;
mod derive;
mod future;
mod json_text;
mod layer;
mod model_scan;
mod service;
mod source;
mod sync;
mod text_scan;
mod try_clone;

pub use body::ReplayBody;
pub use future::ReplayFuture;
pub use layer::ReplayLayer;
pub use service::ReplayService;
pub use try_clone::TryClone;
