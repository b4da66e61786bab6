//! What an answer cost.

use serde::{Deserialize, Serialize};

use super::Other;

/// What an answer cost, in tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageMetadata {
    /// The prompt's, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_token_count: Option<u64>,
    /// Those that tools put beside the prompt, such as pages that were searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_prompt_token_count: Option<u64>,
    /// The answer's, thoughts apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates_token_count: Option<u64>,
    /// The thoughts'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thoughts_token_count: Option<u64>,
    /// Those of the prompt that came from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_content_token_count: Option<u64>,
    /// All together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_token_count: Option<u64>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

impl UsageMetadata {
    /// Tokens of the prompt, and of what tools put beside it.
    pub fn input(&self) -> u64 {
        self.prompt_token_count.unwrap_or_default() + self.tool_use_prompt_token_count.unwrap_or_default()
    }

    /// Tokens of the answer, thoughts included.
    pub fn output(&self) -> u64 {
        self.candidates_token_count.unwrap_or_default() + self.thoughts_token_count.unwrap_or_default()
    }
}
