//! A request for an answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Content, GenerationConfig, Other, Part, SafetySetting, Tool};

/// A request for an answer: the body of `generateContent`.
///
/// ```
/// use keypool_client::api::{Content, GenerateContentRequest};
///
/// let request = GenerateContentRequest::new([Content::user(["What is a key?"])]);
/// assert_eq!(serde_json::to_value(&request)?["contents"][0]["role"], "user");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateContentRequest {
    /// The conversation, oldest turn first.
    #[serde(default)]
    pub contents: Vec<Content>,
    /// What the model goes by all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Content>,
    /// How the answer is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_config: Option<GenerationConfig>,
    /// What is blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub safety_settings: Vec<SafetySetting>,
    /// What the model may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// How it uses that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<Value>,
    /// What else there is: `cachedContent`, `labels`, …
    #[serde(flatten)]
    pub other: Other,
}

impl GenerateContentRequest {
    /// A request with this conversation.
    pub fn new(contents: impl IntoIterator<Item = Content>) -> Self {
        Self { contents: contents.into_iter().collect(), ..Self::default() }
    }

    /// A request with one prompt.
    pub fn prompt(prompt: impl Into<Part>) -> Self {
        Self::new([Content::user([prompt.into()])])
    }

    /// How the answer is made, to be set.
    pub fn config(&mut self) -> &mut GenerationConfig {
        self.generation_config.get_or_insert_default()
    }
}
