//! Generated answers, as `generateContent` and its streams give them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Content, Format, Reply};
use crate::Finish;

/// A generated answer, before it is written in a format.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) content: Content,
    pub(crate) finish: Option<Finish>,
    pub(crate) truncated: bool,
    /// How many candidates say it.
    pub(crate) candidates: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) model: String,
    pub(crate) id: String,
}

impl Generated {
    /// The chunks in their order, each with the usage up to it.
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

    /// A candidate, as often as was asked for, and the usage so far.
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
