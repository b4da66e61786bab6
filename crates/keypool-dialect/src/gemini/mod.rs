//! Encoding of requests for Gemini's native API, and decoding of its responses.

pub(crate) mod embed;
mod names;
mod request;
mod response;
mod schema;
mod sources;
mod thinking;

pub use request::NativeRequest;
pub use response::Decoder;

/// Returns a model's name without the prefixes that callers put before it.
pub(crate) fn bare_model(model: &str) -> &str {
    let model = model.trim();
    ["models/", "google/", "gemini/"].iter().find_map(|front| model.strip_prefix(front)).unwrap_or(model)
}
