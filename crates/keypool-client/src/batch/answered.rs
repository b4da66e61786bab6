//! What an answer holds, in any provider's form.

use serde::Deserialize;
use tower_keypool::Usage;

use super::{Json, dialect::Dialect};
use crate::api::is_block;

/// What a good answer says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answered {
    pub(crate) text: String,
    /// Parts that are no text.
    pub(crate) parts: Vec<Json>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Option<Usage>,
    /// Why it was blocked.
    pub(crate) blocked: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gemini {
    #[serde(default)]
    candidates: Vec<GeminiCandidate>,
    prompt_feedback: Option<GeminiFeedback>,
    usage_metadata: Option<crate::api::UsageMetadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiCandidate {
    content: Option<GeminiContent>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct GeminiContent {
    #[serde(default)]
    parts: Vec<GeminiPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiPart {
    text: Option<String>,
    thought: Option<bool>,
    function_call: Option<Json>,
    inline_data: Option<Json>,
    executable_code: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
struct OpenAi {
    choices: Vec<Choice>,
    usage: Option<OpenAiUsage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Json>>,
}

#[derive(Deserialize)]
struct OpenAiUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Anthropic {
    content: Vec<Json>,
    stop_reason: Option<String>,
    usage: Option<AnthropicUsage>,
}

#[derive(Deserialize)]
struct AnthropicUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Answered {
    /// Reads the body of a good answer.
    pub(crate) fn read(dialect: Dialect, body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut read = match dialect {
            Dialect::Gemini => serde_json::from_slice::<Gemini>(body)?.into(),
            Dialect::OpenAi { .. } => serde_json::from_slice::<OpenAi>(body)?.into(),
            Dialect::Anthropic => serde_json::from_slice::<Anthropic>(body)?.into(),
        };
        let Self { blocked, finish_reason, .. } = &mut read;
        if let (None, Some(reason)) = (&blocked, &finish_reason)
            && is_block(reason)
        {
            *blocked = Some(reason.clone());
        }
        Ok(read)
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.text.trim().is_empty()
    }
}

fn usage(input: Option<u64>, output: Option<u64>) -> Usage {
    let mut usage = Usage::default();
    (usage.input_tokens, usage.output_tokens) = (input, output);
    usage
}

impl From<Gemini> for Answered {
    fn from(answer: Gemini) -> Self {
        let mut read = Self {
            blocked: answer.prompt_feedback.and_then(|feedback| feedback.block_reason),
            usage: answer.usage_metadata.map(|said| {
                let mut usage = usage(Some(said.input()), Some(said.output()));
                usage.cached_tokens = said.cached_content_token_count;
                usage
            }),
            ..Self::default()
        };
        if let Some(first) = answer.candidates.into_iter().next() {
            read.finish_reason = first.finish_reason;
            for part in first.content.map(|content| content.parts).unwrap_or_default() {
                if let Some(text) = part.text.filter(|_| part.thought != Some(true)) {
                    read.text.push_str(&text);
                }
                let named = [
                    ("functionCall", part.function_call),
                    ("inlineData", part.inline_data),
                    ("executableCode", part.executable_code),
                ];
                read.parts.extend(named.into_iter().filter_map(|(name, value)| Some(value?.under(name))));
            }
        }
        read
    }
}

impl From<OpenAi> for Answered {
    fn from(answer: OpenAi) -> Self {
        let mut read = Self {
            usage: answer.usage.map(|said| usage(said.prompt_tokens, said.completion_tokens)),
            ..Self::default()
        };
        if let Some(first) = answer.choices.into_iter().next() {
            read.finish_reason = first.finish_reason;
            read.text = first.message.content.unwrap_or_default();
            read.blocked = first.message.refusal;
            read.parts = first.message.tool_calls.unwrap_or_default();
        }
        read
    }
}

impl From<Anthropic> for Answered {
    fn from(answer: Anthropic) -> Self {
        let mut read = Self {
            finish_reason: answer.stop_reason,
            usage: answer.usage.map(|said| usage(said.input_tokens, said.output_tokens)),
            ..Self::default()
        };
        for block in answer.content {
            match block["type"].as_str() {
                Some("text") => read.text.push_str(block["text"].as_str().unwrap_or_default()),
                Some("thinking" | "redacted_thinking") => {}
                _ => read.parts.push(block),
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_providers_form_is_read() {
        let read = |dialect, body: &str| Answered::read(dialect, body.as_bytes()).unwrap();
        let gemini = read(
            Dialect::Gemini,
            r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"a"},{"text":"b"},{"functionCall":{"name":"f"}}]},
                "finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":5}}"#,
        );
        assert_eq!((&*gemini.text, gemini.parts.len(), gemini.finish_reason.as_deref()), ("ab", 1, Some("STOP")));
        assert_eq!(gemini.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((Some(3), Some(7))));
        let blocked = read(Dialect::Gemini, r#"{"promptFeedback":{"blockReason":"OTHER"}}"#);
        assert_eq!((blocked.blocked.as_deref(), blocked.is_empty()), (Some("OTHER"), true));
        let openai = Dialect::OpenAi { at_root: false };
        let filtered = r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#;
        assert_eq!(read(openai, filtered).blocked.as_deref(), Some("content_filter"));
        let said = r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        assert_eq!(read(openai, said).text, "x");
        let claude = r#"{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"y"},{"type":"tool_use","id":"t"}],
            "stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"#;
        let claude = read(Dialect::Anthropic, claude);
        assert_eq!((&*claude.text, claude.parts.len(), claude.finish_reason.as_deref()), ("y", 1, Some("tool_use")));
    }
}
