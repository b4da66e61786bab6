//! Replies before they are sent: the content of the simulated model, and its format.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::Finish;
use crate::check::{calling_mode, functions};
use crate::fault::Canned;
use crate::refusal::ApiError;
use crate::tokens::tokens_of_text;

const JSON: &str = "application/json; charset=UTF-8";

/// The format of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON document.
    Whole,
    /// Server-sent events.
    Events,
    /// One JSON list, streamed item by item.
    List,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) format: Format,
    /// The kind in reports.
    pub(crate) kind: &'static str,
}

impl Reply {
    /// Creates a 200 without a body.
    pub(crate) fn empty() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            chunks: Vec::new(),
            format: Format::Whole,
            kind: "ok",
        }
    }

    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        let mut text = serde_json::to_vec_pretty(value).expect("plain data");
        text.push(b'\n');
        Self { chunks: vec![text.into()], ..Self::empty() }.header(CONTENT_TYPE, JSON)
    }

    pub(crate) fn stream(format: Format, chunks: Vec<Bytes>) -> Self {
        let content_type = if format == Format::Events { "text/event-stream" } else { JSON };
        Self { chunks, format, ..Self::empty() }.header(CONTENT_TYPE, content_type)
    }

    pub(crate) fn error(error: &ApiError, in_list: bool) -> Self {
        let chunks = vec![error.to_body(in_list).into()];
        Self { status: error.status, chunks, kind: error.kind, ..Self::empty() }
            .header(CONTENT_TYPE, error.content_type())
    }

    pub(crate) fn canned(canned: &Canned, key: &str) -> Self {
        let status = StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = canned.body.clone();
        let body = fill_in_key(&body, key).unwrap_or(body);
        let mut headers = canned.headers.clone();
        for value in headers.values_mut() {
            let filled = fill_in_key(value.as_bytes(), key).and_then(|text| HeaderValue::from_maybe_shared(text).ok());
            *value = filled.unwrap_or_else(|| value.clone());
        }
        Self { status, headers, chunks: vec![body], kind: "canned", ..Self::empty() }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        let value = HeaderValue::try_from(value.into()).expect("a valid header value");
        self.headers.insert(name, value);
        self
    }
}

/// Replaces `{key}` with the caller's key. Returns `None` if the bytes are not text.
fn fill_in_key(text: &[u8], key: &str) -> Option<Bytes> {
    Some(std::str::from_utf8(text).ok()?.replace("{key}", key).into())
}

/// The text of generated answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerText {
    /// This number of words.
    Words(usize),
    /// This text.
    Fixed(String),
    /// The text of the request's last content, which shows whether a body arrived unchanged.
    Echo,
}

impl AnswerText {
    pub(crate) fn text(&self, prompt: &Value) -> String {
        const WORDS: [&str; 8] = ["simulated", "answers", "are", "plain", "words", "in", "one", "order"];
        match self {
            Self::Words(count) => WORDS.iter().copied().cycle().take(*count).collect::<Vec<_>>().join(" "),
            Self::Fixed(text) => text.clone(),
            Self::Echo => last_text(prompt),
        }
    }
}

/// The content of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    /// A `functionCall` part.
    Call(Value),
}

impl Content {
    /// Returns the content for a prompt, and whether `maxOutputTokens` has cut it: a function call if one is forced,
    /// JSON if it is requested, or else the answer's text up to a stop sequence.
    pub(crate) fn of(prompt: &Value, answer: &AnswerText) -> (Self, bool) {
        if let Some(name) = forced_function(prompt) {
            return (Self::Call(json!({ "functionCall": { "name": name, "args": {} } })), false);
        }
        let config = &prompt["generation_config"];
        let text = answer.text(prompt);
        let text = match config["response_mime_type"].as_str() {
            Some("application/json") => json!({ "answer": text }).to_string(),
            _ => before_stop(config, text),
        };
        match config["max_output_tokens"].as_u64() {
            Some(most) if tokens_of_text(&text) > most => {
                (Self::Text(text.chars().take(most as usize * 4).collect()), true)
            }
            _ => (Self::Text(text), false),
        }
    }

    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens_of_text(text),
            Self::Call(call) => tokens_of_text(&call.to_string()),
        }
    }

    /// Splits the content into at most `most` pieces, none of them empty.
    pub(crate) fn pieces(&self, most: usize) -> Vec<Value> {
        match self {
            Self::Text(text) => {
                let characters: Vec<char> = text.chars().collect();
                let count = most.clamp(1, characters.len().max(1));
                let bound = |piece: usize| characters.len() * piece / count;
                let piece = |index| String::from_iter(&characters[bound(index)..bound(index + 1)]);
                (0..count).map(|index| json!([{ "text": piece(index) }])).collect()
            }
            Self::Call(call) => vec![json!([call])],
        }
    }
}

/// Returns the text before the first stop sequence.
fn before_stop(config: &Value, mut text: String) -> String {
    let stops = config["stop_sequences"].as_array().into_iter().flatten();
    let stops = stops.filter_map(Value::as_str).filter(|stop| !stop.is_empty());
    if let Some(end) = stops.filter_map(|stop| text.find(stop)).min() {
        text.truncate(end);
    }
    text
}

fn last_text(prompt: &Value) -> String {
    let last = prompt["contents"].as_array().and_then(|contents| contents.last()).unwrap_or(&Value::Null);
    last["parts"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect()
}

/// Returns the name of the function that must be called.
fn forced_function(prompt: &Value) -> Option<&str> {
    let allowed = &prompt["tool_config"]["function_calling_config"]["allowed_function_names"][0];
    let name = allowed.as_str().or_else(|| functions(prompt).next()?["name"].as_str());
    name.filter(|_| calling_mode(prompt) == Some("ANY"))
}

/// A generated answer, independent of its format.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) content: Content,
    pub(crate) finish: Option<Finish>,
    pub(crate) truncated: bool,
    /// Number of candidates with this content.
    pub(crate) candidates: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) model: String,
    pub(crate) id: String,
}

impl Generated {
    /// Returns the chunks in their order, each with the usage so far.
    pub(crate) fn chunks(&self, most: usize) -> Vec<Value> {
        let content = |parts: &Value| json!({ "parts": parts, "role": "model" });
        match &self.finish {
            None => {
                let (pieces, tokens) = (self.content.pieces(most), self.content.tokens() * self.candidates);
                let count = pieces.len();
                let chunk = |(index, parts): (usize, &Value)| {
                    let mut candidate = json!({ "content": content(parts) });
                    if index + 1 == count {
                        candidate["finishReason"] = if self.truncated { "MAX_TOKENS" } else { "STOP" }.into();
                    }
                    let so_far = (tokens * (index as u64 + 1)).div_ceil(count as u64);
                    self.chunk(candidate, so_far, 0)
                };
                pieces.iter().enumerate().map(chunk).collect()
            }
            Some(Finish::Reason(reason)) => vec![self.chunk(json!({ "finishReason": reason }), 0, 0)],
            Some(Finish::OnlyThoughts) => {
                vec![self.chunk(json!({ "content": {}, "finishReason": "MAX_TOKENS" }), 0, 3)]
            }
            Some(Finish::Empty) => {
                let content = content(&json!([{ "text": "" }]));
                vec![self.chunk(json!({ "content": content, "finishReason": "STOP" }), 0, 0)]
            }
            Some(Finish::PromptBlocked(reason)) => {
                let mut chunk = self.chunk(json!({}), 0, 0);
                chunk["promptFeedback"] = json!({ "blockReason": reason });
                chunk.as_object_mut().expect("built below").remove("candidates");
                vec![chunk]
            }
        }
    }

    /// Returns a chunk with the requested number of copies of a candidate, and the usage so far.
    fn chunk(&self, mut candidate: Value, candidate_tokens: u64, thought_tokens: u64) -> Value {
        let mut usage = json!({
            "promptTokenCount": self.prompt_tokens,
            "totalTokenCount": self.prompt_tokens + candidate_tokens + thought_tokens,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": self.prompt_tokens }],
            "serviceTier": "standard",
        });
        // Protobuf omits zeros.
        for (name, tokens) in [
            ("candidatesTokenCount", candidate_tokens),
            ("thoughtsTokenCount", thought_tokens),
            ("cachedContentTokenCount", self.cached_tokens),
        ] {
            if tokens > 0 {
                usage[name] = tokens.into();
            }
        }
        let candidates = (0..self.candidates).map(|index| {
            candidate["index"] = index.into();
            candidate.clone()
        });
        json!({
            "candidates": candidates.collect::<Vec<_>>(),
            "usageMetadata": usage,
            "modelVersion": self.model,
            "responseId": self.id,
        })
    }
}

pub(crate) fn native(answer: &Generated, format: Format, chunks: usize) -> Reply {
    if format == Format::Whole {
        return Reply::json(&answer.chunks(1)[0]);
    }
    let chunks = answer.chunks(chunks);
    let last = chunks.len() - 1;
    let lines = chunks.iter().enumerate().map(|(index, chunk)| {
        if format == Format::Events {
            return Bytes::from(format!("data: {chunk}\r\n\r\n"));
        }
        let open = if index == 0 { "[" } else { "\n,\r\n" };
        let close = if index == last { "\n]" } else { "" };
        format!("{open}{chunk}{close}").into()
    });
    Reply::stream(format, lines.collect())
}
