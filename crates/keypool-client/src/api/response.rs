//! An answer.

use serde::{Deserialize, Serialize};

use super::{Content, FunctionCall, Other, Part, UsageMetadata, or_none};

/// An answer: what `generateContent` gives, and each piece of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateContentResponse {
    /// What the model says; none where the prompt was blocked.
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// Whether the prompt was blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_feedback: Option<PromptFeedback>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_metadata: Option<UsageMetadata>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// The provider's own name for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

impl GenerateContentResponse {
    /// The first candidate: by its number, since a piece of a stream may hold another one alone.
    fn first(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.index.unwrap_or_default() == 0)
    }

    /// The parts of the first candidate.
    pub fn parts(&self) -> &[Part] {
        self.first().and_then(|first| first.content.as_ref()).map_or(&[], |content| &content.parts)
    }

    /// The text of the first candidate, without thoughts.
    pub fn text(&self) -> String {
        self.parts().iter().filter_map(Part::spoken).collect()
    }

    /// The calls that it wants made.
    pub fn function_calls(&self) -> impl Iterator<Item = &FunctionCall> {
        self.parts().iter().filter_map(|part| part.function_call.as_ref())
    }

    /// Why the first candidate ended: `STOP`, `MAX_TOKENS`, …
    pub fn finish_reason(&self) -> Option<&str> {
        self.first()?.finish_reason.as_deref()
    }

    /// Why the prompt was blocked, where it was.
    pub fn block_reason(&self) -> Option<&str> {
        self.prompt_feedback.as_ref()?.block_reason.as_deref()
    }
}

/// Reasons for an end that say that what was to come is not allowed.
const BLOCKS: [&str; 8] =
    ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "content_filter", "refusal"];

/// Whether an answer that ended for this reason (`SAFETY`, `RECITATION`, …) lacks what was not allowed to be said.
pub fn is_block(finish_reason: &str) -> bool {
    // Of images there are as many reasons again: IMAGE_SAFETY, IMAGE_PROHIBITED_CONTENT, …
    BLOCKS.contains(&finish_reason) || finish_reason.starts_with("IMAGE_")
}

/// One of the answers that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// What is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Which one it is, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// What else there is: `safetyRatings`, `groundingMetadata`, …
    #[serde(flatten)]
    pub other: Other,
}

/// What became of the prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptFeedback {
    /// Why it was blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<String>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

/// How many tokens a request has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountTokensResponse {
    /// All of them.
    #[serde(default)]
    pub total_tokens: u64,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}
