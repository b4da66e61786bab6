//! What an answer says that it cost.

use serde::Deserialize;

use super::count::{Count, or_nothing};
use crate::Usage;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    prompt_token_count: Count,
    tool_use_prompt_token_count: Count,
    cached_content_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
    #[serde(deserialize_with = "or_nothing")]
    prompt_tokens_details: Vec<Modality>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Modality {
    modality: String,
    token_count: Count,
}

impl From<Metadata> for Usage {
    fn from(metadata: Metadata) -> Self {
        let audio = metadata.prompt_tokens_details.iter().filter(|detail| detail.modality == "AUDIO");
        Self {
            input: metadata.prompt_token_count.0.saturating_add(metadata.tool_use_prompt_token_count.0),
            cached: metadata.cached_content_token_count.0,
            input_audio: audio.fold(0, |all, detail| all.saturating_add(detail.token_count.0)),
            output: metadata.candidates_token_count.0.saturating_add(metadata.thoughts_token_count.0),
            thoughts: metadata.thoughts_token_count.0,
        }
    }
}
