//! Gemini's native API: requests are encoded for it, its answers decoded.

pub(crate) mod embed;
mod names;
mod request;
mod response;
mod schema;
mod sources;
mod thinking;

pub(crate) use request::path;
pub use request::{Encoder, NativeRequest};
pub use response::Decoder;

/// A model's name without what callers put in front of it.
pub(crate) fn bare_model(model: &str) -> &str {
    let model = model.trim();
    ["models/", "google/", "gemini/"].iter().find_map(|front| model.strip_prefix(front)).unwrap_or(model)
}
