//! Embeddings.

use serde::{Deserialize, Serialize};

use super::{Content, Other};

/// What is to be embedded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbedContentRequest {
    /// By which model: `models/…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What.
    pub content: Content,
    /// How many numbers; the model's own unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_dimensionality: Option<u32>,
    /// What for: `RETRIEVAL_QUERY`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

/// A text as numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentEmbedding {
    /// The numbers.
    #[serde(default)]
    pub values: Vec<f32>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}
