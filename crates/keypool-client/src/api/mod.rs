//! The Gemini API's own types, by its names. What they do not know they carry along: fields that a newer API sends, or a
//! caller wants to send, are in `other` and survive a round trip.

mod config;
mod content;
mod embed;
mod model;
mod request;
mod response;
mod tool;
mod usage;

pub use config::{GenerationConfig, SafetySetting, ThinkingConfig};
pub use content::{Blob, Content, FileData, Part};
pub use embed::{ContentEmbedding, EmbedContentRequest};
pub use model::Model;
pub use request::GenerateContentRequest;
pub use response::{Candidate, CountTokensResponse, GenerateContentResponse, PromptFeedback, is_block};
pub use tool::{FunctionCall, FunctionDeclaration, FunctionResponse, Tool};
pub use usage::UsageMetadata;

use serde::{Deserialize, Deserializer};

/// Fields beside those that a type names.
pub type Other = serde_json::Map<String, serde_json::Value>;

/// `null` says as little as nothing.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
