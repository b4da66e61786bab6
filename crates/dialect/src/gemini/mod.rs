//! Gemini's own API, as the upstream.
//!
//! [`Listener`] understands its answers; the functions here write requests and read what is no conversation.

mod answer;
mod args;
mod by_call;
mod config;
mod cost;
mod count;
mod embed;
mod fault;
mod few;
mod fit;
mod media_type;
mod medium;
mod models;
mod names;
mod path;
mod picture;
mod request;
mod schema;
mod sources;
mod thinking;
mod tools;
mod turn;

pub use answer::{Listener, is_switched_off};
pub use embed::{MOST_AT_ONCE, embedded, embedding};
pub use fault::fault;
pub use fit::fit;
pub use models::{Page, model, page};
pub use path::{name, path_of};
pub use picture::{drawing, drawn, has_aspect, verb_of_drawing};
pub use request::{about_tokens, counted, generate};

use crate::{Fault, Kind};

/// The tokens that `:countTokens` counted.
///
/// # Errors
/// When the answer makes no sense.
pub fn tokens(body: &[u8]) -> Result<u64, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        #[serde(default)]
        total_tokens: u64,
    }
    let counted: Counted = serde_json::from_slice(body).map_err(|_| nonsense())?;
    Ok(counted.total_tokens)
}

fn nonsense() -> Fault {
    Fault::new(Kind::BadGateway, "the upstream's answer is not what it should be")
}
