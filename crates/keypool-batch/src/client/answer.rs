//! Answers of models.

use serde::Serialize;
use serde_json::Value;
use tower_keypool::{Attempts, KeyId};

use super::body::Api;

/// The answer to a prompt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The model's text, without its thoughts.
    pub text: String,
    /// Other parts of the answer, such as function calls and images, in the provider's format.
    pub parts: Vec<Value>,
    /// How the answer ended.
    pub finish: Finish,
    /// The provider's own name for how the answer ended.
    pub finish_reason: Option<String>,
    /// The tokens that were used, if the provider reported them.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model: Option<String>,
    /// The key that was used.
    pub key: Option<KeyId>,
    /// The keys that were tried, each with its outcome.
    pub attempts: Attempts,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The answer is complete.
    Stop,
    /// The answer was cut at the limit of output tokens.
    MaxTokens,
    /// The provider blocked the answer, for this reason.
    Blocked(String),
    /// The answer is empty.
    Empty,
    /// Another reason, with the provider's name for it, such as `MALFORMED_FUNCTION_CALL`.
    Other(String),
}

/// Tokens that an answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt, including cached ones.
    pub input_tokens: u64,
    /// Tokens of the answer, including thoughts.
    pub output_tokens: u64,
}

/// A parser of an answer, whole or event by event.
#[derive(Debug)]
pub(super) struct Reader {
    api: Api,
    text: String,
    parts: Vec<Value>,
    blocked: Option<String>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Reader {
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            text: String::new(),
            parts: Vec::new(),
            blocked: None,
            finish_reason: None,
            usage: None,
            model: None,
        }
    }

    /// Reads a whole answer or one event, and returns its text.
    pub(super) fn read(&mut self, event: &Value) -> String {
        let before = self.text.len();
        match self.api {
            Api::Gemini => self.gemini(event),
            Api::Chat => self.chat(event),
            Api::Anthropic => self.anthropic(event),
        }
        self.text[before..].to_owned()
    }

    fn gemini(&mut self, event: &Value) {
        self.set_model(&event["modelVersion"]);
        self.blocked = reason(&event["promptFeedback"]["blockReason"]).or(self.blocked.take());
        let candidate = &event["candidates"][0];
        for part in list(&candidate["content"]["parts"]) {
            match part["text"].as_str() {
                _ if part["thought"] == true => {}
                Some(text) => self.text.push_str(text),
                None => self.parts.push(part.clone()),
            }
        }
        self.set_finish(&candidate["finishReason"]);
        let usage = &event["usageMetadata"];
        if usage.is_object() {
            self.usage = Some(Usage {
                input_tokens: count(&usage["promptTokenCount"]) + count(&usage["toolUsePromptTokenCount"]),
                output_tokens: count(&usage["candidatesTokenCount"]) + count(&usage["thoughtsTokenCount"]),
            });
        }
    }

    fn chat(&mut self, event: &Value) {
        self.set_model(&event["model"]);
        let choice = &event["choices"][0];
        let is_delta = choice["delta"].is_object();
        let message = if is_delta { &choice["delta"] } else { &choice["message"] };
        match &message["content"] {
            Value::String(text) => self.text.push_str(text),
            parts => {
                for part in list(parts) {
                    match part["text"].as_str() {
                        Some(text) => self.text.push_str(text),
                        None => self.parts.push(part.clone()),
                    }
                }
            }
        }
        if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
            self.text.push_str(refusal);
            self.blocked = Some("refusal".to_owned());
        }
        self.parts.extend(list(&message["tool_calls"]).iter().cloned());
        self.set_finish(&choice["finish_reason"]);
        let usage = &event["usage"];
        if usage.is_object() {
            self.usage = Some(Usage {
                input_tokens: count(&usage["prompt_tokens"]),
                output_tokens: count(&usage["completion_tokens"]),
            });
        }
    }

    fn anthropic(&mut self, event: &Value) {
        let message = if event["message"].is_object() { &event["message"] } else { event };
        self.set_model(&message["model"]);
        let block = &event["content_block"];
        for block in list(&message["content"]).iter().chain(block.is_object().then_some(block)) {
            match block["type"].as_str() {
                Some("text") => self.text.push_str(block["text"].as_str().unwrap_or_default()),
                Some("thinking" | "redacted_thinking") => {}
                _ => self.parts.push(block.clone()),
            }
        }
        if event["delta"]["type"] == "text_delta" {
            self.text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
        }
        self.set_finish(&message["stop_reason"]);
        self.set_finish(&event["delta"]["stop_reason"]);
        let usage = &message["usage"];
        if usage.is_object() {
            let used = self.usage.get_or_insert_default();
            let input = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
            // The last event repeats both counts, or only the output tokens.
            used.input_tokens = used.input_tokens.max(input.iter().map(|name| count(&usage[*name])).sum());
            used.output_tokens = used.output_tokens.max(count(&usage["output_tokens"]));
        }
    }

    fn set_model(&mut self, model: &Value) {
        if let Some(model) = model.as_str() {
            self.model = Some(model.to_owned());
        }
    }

    fn set_finish(&mut self, value: &Value) {
        self.finish_reason = reason(value).or(self.finish_reason.take());
    }

    /// Reports whether the answer has ended with a reason.
    pub(super) fn has_ended(&self) -> bool {
        self.finish_reason.is_some() || self.blocked.is_some()
    }

    pub(super) fn into_answer(self, attempts: Attempts) -> Answer {
        let finish = self.finish();
        let last = attempts.last();
        Answer {
            text: self.text,
            parts: self.parts,
            finish,
            finish_reason: self.finish_reason.or(self.blocked),
            usage: self.usage,
            model: last.and_then(|last| last.model()).map(str::to_owned).or(self.model),
            key: last.map(|last| last.key().clone()),
            attempts,
        }
    }

    fn finish(&self) -> Finish {
        if let Some(reason) = &self.blocked {
            return Finish::Blocked(reason.clone());
        }
        let reason = self.finish_reason.as_deref().unwrap_or_default();
        match &*reason.to_ascii_lowercase() {
            "max_tokens" | "length" | "model_context_window_exceeded" => Finish::MaxTokens,
            "safety"
            | "recitation"
            | "blocklist"
            | "prohibited_content"
            | "spii"
            | "language"
            | "image_safety"
            | "image_prohibited_content"
            | "image_recitation"
            | "content_filter"
            | "refusal" => Finish::Blocked(reason.to_owned()),
            ""
            | "stop"
            | "end_turn"
            | "stop_sequence"
            | "tool_calls"
            | "tool_use"
            | "function_call"
            | "eos"
            | "eos_token"
            | "finish_reason_unspecified" => {
                let is_empty = self.text.trim().is_empty() && self.parts.is_empty();
                if is_empty { Finish::Empty } else { Finish::Stop }
            }
            _ => Finish::Other(reason.to_owned()),
        }
    }
}

/// Returns the name of a reason. A text in its place could contain a key.
fn reason(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_: ".contains(&byte));
    Some(if is_name { name } else { "an unknown reason" }.to_owned())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns a number of tokens, limited so that sums do not overflow.
fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default().min(1 << 40)
}
