//! `generateContent` and its streams.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Content, Format, Reply};
use crate::Finish;

/// The tokens of a thought summary.
const THOUGHT_TOKENS: u64 = 5;

/// A generated answer, before it is written in a format.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) content: Content,
    pub(crate) finish: Option<Finish>,
    /// The answer begins with a summary of thoughts.
    pub(crate) thoughts: bool,
    pub(crate) truncated: bool,
    /// How many candidates say it.
    pub(crate) candidates: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) model: String,
    pub(crate) id: String,
}

impl Generated {
    pub(crate) fn new(content: Content, model: &str, id: String) -> Self {
        Self {
            content,
            finish: None,
            thoughts: false,
            truncated: false,
            candidates: 1,
            prompt_tokens: 1,
            cached_tokens: 0,
            model: model.to_owned(),
            id,
        }
    }

    /// One chunk: a candidate, as often as was asked for, and the usage so far.
    fn chunk(&self, mut candidate: Value, candidate_tokens: u64, thought_tokens: u64) -> Value {
        let mut usage = json!({
            "promptTokenCount": self.prompt_tokens,
            "totalTokenCount": self.prompt_tokens + candidate_tokens + thought_tokens,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": self.prompt_tokens }],
            "serviceTier": "standard",
        });
        // Protobuf leaves zeros out.
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

    /// The one chunk of an answer without the text that was asked for.
    fn finished(&self, finish: &Finish) -> Value {
        match finish {
            Finish::Reason(reason) => self.chunk(json!({ "finishReason": reason }), 0, 0),
            Finish::OnlyThoughts => self.chunk(json!({ "content": {}, "finishReason": "MAX_TOKENS" }), 0, 3),
            Finish::Empty => {
                let content = json!({ "parts": [{ "text": "" }], "role": "model" });
                self.chunk(json!({ "content": content, "finishReason": "STOP" }), 0, 0)
            }
            Finish::PromptBlocked(reason) => {
                let mut chunk = self.chunk(json!({}), 0, 0);
                chunk["promptFeedback"] = json!({ "blockReason": reason });
                chunk.as_object_mut().expect("built above").remove("candidates");
                chunk
            }
        }
    }

    /// The chunks in their order, each with the usage up to it.
    fn chunks(&self, most: usize) -> Vec<Value> {
        if let Some(finish) = &self.finish {
            return vec![self.finished(finish)];
        }
        let pieces = self.content.split(most);
        let (count, tokens) = (pieces.len(), self.content.tokens() * self.candidates);
        let chunk = |(index, piece): (usize, &Content)| {
            let mut parts = piece.parts();
            if index == 0 && self.thoughts {
                parts.insert(0, json!({ "text": "Simulated thoughts.", "thought": true }));
            }
            let mut candidate = json!({ "content": { "parts": parts, "role": "model" } });
            if index + 1 == count {
                candidate["finishReason"] = if self.truncated { "MAX_TOKENS" } else { "STOP" }.into();
            }
            let so_far = (tokens * (index as u64 + 1)).div_ceil(count as u64);
            self.chunk(candidate, so_far, u64::from(self.thoughts) * THOUGHT_TOKENS)
        };
        pieces.iter().enumerate().map(chunk).collect()
    }
}

/// The answer as `generateContent` and `streamGenerateContent` give it.
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
