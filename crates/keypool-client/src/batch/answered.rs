//! What an answer holds, in any provider's form.

use serde::{
    Deserialize,
    de::{Error, IgnoredAny},
};
use serde_json::{Value, value::RawValue};
use tower_keypool::Usage;

use super::{Json, dialect::Dialect, gemini_usage::GeminiUsage};
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
#[serde(rename_all = "camelCase", expecting = "an answer")]
struct Gemini {
    candidates: Option<Vec<GeminiCandidate>>,
    prompt_feedback: Option<GeminiFeedback>,
    usage_metadata: Option<GeminiUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a candidate")]
struct GeminiCandidate {
    content: Option<GeminiContent>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "a content")]
struct GeminiContent {
    parts: Option<Vec<GeminiPart>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a part")]
struct GeminiPart {
    text: Option<String>,
    thought: Option<bool>,
    function_call: Option<Json>,
    inline_data: Option<Json>,
    executable_code: Option<Json>,
    code_execution_result: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "feedback on the prompt")]
struct GeminiFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "an answer")]
struct OpenAi {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(expecting = "a choice")]
struct Choice {
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "a message")]
struct Message {
    content: Option<Box<RawValue>>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Json>>,
    function_call: Option<Json>,
    audio: Option<Json>,
}

#[derive(Deserialize)]
#[serde(expecting = "an answer")]
struct Anthropic {
    content: Option<Vec<Json>>,
    stop_reason: Option<String>,
    usage: Option<Value>,
    error: Option<IgnoredAny>,
}

impl Answered {
    /// Reads the body of a good answer.
    pub(crate) fn read(dialect: Dialect, body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut read = match dialect {
            Dialect::Gemini => parsed::<Gemini>(body)?.into(),
            Dialect::OpenAi { .. } => match parsed::<OpenAi>(body)? {
                OpenAi { choices: None, error: None, .. } => return Err(missing("choices")),
                answer => answer.into(),
            },
            Dialect::Anthropic => match parsed::<Anthropic>(body)? {
                Anthropic { content: None, error: None, .. } => return Err(missing("content")),
                answer => answer.into(),
            },
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

/// Text is looked at for UTF-8 once, and not at each of its pieces.
fn parsed<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        // It says where.
        Err(_) => serde_json::from_slice(body),
    }
}

fn missing(field: &'static str) -> serde_json::Error {
    serde_json::Error::missing_field(field)
}

/// A count, which some write as a text or with a point.
fn count(of: &Value, name: &str) -> Option<u64> {
    let number = |said: &Value| said.as_u64().or_else(|| said.as_f64().map(|number| number as u64));
    match &of[name] {
        Value::String(text) => text.trim().parse().ok(),
        said => number(said),
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
                let output = said.candidates.unwrap_or_default().saturating_add(said.thoughts.unwrap_or_default());
                let mut usage = usage(Some(said.prompt.unwrap_or_default()), Some(output));
                usage.cached_tokens = said.cached;
                usage
            }),
            ..Self::default()
        };
        if let Some(first) = answer.candidates.unwrap_or_default().into_iter().next() {
            read.finish_reason = first.finish_reason;
            for part in first.content.and_then(|content| content.parts).unwrap_or_default() {
                match part.text.filter(|_| part.thought != Some(true)) {
                    Some(text) if read.text.is_empty() => read.text = text,
                    Some(text) => read.text.push_str(&text),
                    None => {}
                }
                let named = [
                    ("functionCall", part.function_call),
                    ("inlineData", part.inline_data),
                    ("executableCode", part.executable_code),
                    ("codeExecutionResult", part.code_execution_result),
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
            usage: answer.usage.map(|said| usage(count(&said, "prompt_tokens"), count(&said, "completion_tokens"))),
            ..Self::default()
        };
        if let Some(first) = answer.choices.unwrap_or_default().into_iter().next() {
            read.finish_reason = first.finish_reason;
            if let Some(message) = first.message {
                read.message(message);
            }
        }
        read
    }
}

impl Answered {
    /// What is said in the form that compatible providers have, which not all write alike.
    fn message(&mut self, message: Message) {
        self.blocked = message.refusal;
        let content = message.content.as_deref().map_or("null", RawValue::get);
        match serde_json::from_str::<Vec<Json>>(content) {
            Ok(parts) => parts.into_iter().for_each(|part| self.part(part)),
            Err(_) => Json::read(content).into_iter().for_each(|whole| self.part(whole)),
        }
        self.parts.extend(message.tool_calls.unwrap_or_default());
        // As it was before there were several.
        self.parts.extend(message.function_call.map(|call| call.under("function_call")));
        if let Some(audio) = message.audio {
            if self.text.is_empty() {
                self.text.push_str(audio["transcript"].as_str().unwrap_or_default());
            }
            self.parts.push(audio.under("audio"));
        }
        self.blocked = self.blocked.take().filter(|refusal| !refusal.trim().is_empty());
    }

    fn part(&mut self, part: Json) {
        match (part["type"].as_str(), &*part) {
            (_, Value::Null) | (Some("thinking" | "reasoning"), _) => {}
            (_, Value::String(text)) => self.text.push_str(text),
            (Some("refusal"), part) => self.blocked = part["refusal"].as_str().map(str::to_owned),
            (Some("text" | "output_text"), part) => self.text.push_str(part["text"].as_str().unwrap_or_default()),
            _ => self.parts.push(part),
        }
    }
}

impl From<Anthropic> for Answered {
    fn from(answer: Anthropic) -> Self {
        let mut read = Self {
            finish_reason: answer.stop_reason,
            usage: answer.usage.map(|said| usage(count(&said, "input_tokens"), count(&said, "output_tokens"))),
            ..Self::default()
        };
        for block in answer.content.unwrap_or_default() {
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
