//! `generateContent` and its streams.

use bytes::Bytes;
use serde::Serialize;
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_feedback: Option<Value>,
    usage_metadata: Usage,
    model_version: &'a str,
    response_id: &'a str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    candidates_token_count: u64,
    total_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cached_content_token_count: u64,
    prompt_tokens_details: [Value; 1],
    #[serde(skip_serializing_if = "is_zero")]
    thoughts_token_count: u64,
    service_tier: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Generated {
    fn usage(&self, candidates: u64, thoughts: u64) -> Usage {
        Usage {
            prompt_token_count: self.prompt_tokens,
            candidates_token_count: candidates,
            total_token_count: self.prompt_tokens + candidates + thoughts,
            cached_content_token_count: self.cached_tokens,
            prompt_tokens_details: [json!({ "modality": "TEXT", "tokenCount": self.prompt_tokens })],
            thoughts_token_count: thoughts,
            service_tier: "standard",
        }
    }

    fn chunk<'a>(&'a self, candidate: Option<Candidate<'a>>, usage: Usage) -> Chunk<'a> {
        Chunk {
            candidates: candidate.map(|candidate| self.repeat(&candidate)),
            prompt_feedback: None,
            usage_metadata: usage,
            model_version: &self.model,
            response_id: &self.id,
        }
    }

    /// The same for each candidate that was asked for.
    fn repeat<'a>(&self, candidate: &Candidate<'a>) -> Vec<Candidate<'a>> {
        (0..self.candidates).map(|index| Candidate { index, ..candidate.clone() }).collect()
    }

    /// The one chunk of an answer without the text that was asked for.
    fn finished<'a>(&'a self, finish: &'a Finish) -> Chunk<'a> {
        let candidate = |content, reason| Some(Candidate { content, finish_reason: Some(reason), index: 0 });
        match finish {
            Finish::Reason(reason) => self.chunk(candidate(None, reason), self.usage(0, 0)),
            Finish::OnlyThoughts => self.chunk(candidate(Some(json!({})), "MAX_TOKENS"), self.usage(0, 3)),
            Finish::Empty => {
                let content = json!({ "parts": [{ "text": "" }], "role": "model" });
                self.chunk(candidate(Some(content), "STOP"), self.usage(0, 0))
            }
            Finish::PromptBlocked(reason) => {
                Chunk { prompt_feedback: Some(json!({ "blockReason": reason })), ..self.chunk(None, self.usage(0, 0)) }
            }
        }
    }

    /// The chunks in their order, usage cumulative on each.
    fn chunks(&self, most: usize) -> Vec<Chunk<'_>> {
        if let Some(finish) = &self.finish {
            return vec![self.finished(finish)];
        }
        let pieces = self.content.split(most);
        let (last, total) = (pieces.len() - 1, self.content.tokens() * self.candidates);
        let count = pieces.len() as u64;
        let end = if self.truncated { "MAX_TOKENS" } else { "STOP" };
        (0u64..)
            .zip(&pieces)
            .map(|(index, piece)| {
                let so_far = (total * (index + 1)).div_ceil(count);
                let thought = json!({ "text": "Simulated thoughts.", "thought": true });
                let first = (index == 0 && self.thoughts).then_some(thought);
                let parts: Vec<Value> = first.into_iter().chain(piece.parts()).collect();
                let candidate = Candidate {
                    content: Some(json!({ "parts": parts, "role": "model" })),
                    finish_reason: (index == last as u64).then_some(end),
                    index: 0,
                };
                self.chunk(Some(candidate), self.usage(so_far, u64::from(self.thoughts) * THOUGHT_TOKENS))
            })
            .collect()
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
        let line = serde_json::to_string(chunk).expect("plain data");
        if format == Format::Events {
            return Bytes::from(format!("data: {line}\r\n\r\n"));
        }
        let open = if index == 0 { "[" } else { "\n,\r\n" };
        let close = if index == last { "\n]" } else { "" };
        format!("{open}{line}{close}").into()
    });
    Reply::stream(format, lines.collect())
}
