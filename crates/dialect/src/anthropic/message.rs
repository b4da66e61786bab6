//! A whole message, and what its blocks have in common with a stream's.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    CALL,
    search::{self, Citation, Found, Query},
};
use crate::{CallId, Event, Fault, Finish, Shape, Usage, Voice};

/// A block of an answer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Citation>,
    },
    Thinking {
        thinking: String,
        signature: &'static str,
    },
    ToolUse {
        id: String,
        name: String,
        input: Box<RawValue>,
    },
    ServerToolUse {
        id: String,
        name: &'static str,
        input: Query,
    },
    WebSearchToolResult {
        tool_use_id: String,
        content: Vec<Found>,
    },
}

impl Block {
    /// A text that stands nowhere else.
    pub(super) fn text(text: String) -> Self {
        Self::Text { text, citations: Vec::new() }
    }
}

/// Stands where a signature must: thoughts do not come back, so nothing has to be signed.
pub(super) const SIGNATURE: &str = "keypool";

/// `usage`.
#[derive(Clone, Copy, Serialize)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
pub(super) struct Tokens {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    pub(super) output_tokens: u64,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input.saturating_sub(usage.cached),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached,
            output_tokens: usage.output,
        }
    }
}

/// `stop_reason`.
pub(super) fn reason(why: Finish) -> &'static str {
    match why {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
        Finish::Filtered => "refusal",
    }
}

/// The message's own id.
pub(super) fn id(upstream: &str, shape: &Shape) -> String {
    format!("msg_{}", if upstream.is_empty() { &shape.unique } else { upstream })
}

/// The block that an event is, where it is one by itself. `count` calls came before.
pub(super) fn call(event: &Event<'_>, shape: &Shape, count: usize) -> Option<Block> {
    let Event::Call { id, name, args, signature, .. } = event else { return None };
    let unique = format!("{}x{count}", shape.unique);
    let CallId(id) = CallId::new(CALL, &unique, id.as_deref(), signature.as_ref());
    Some(Block::ToolUse { id, name: name.to_string(), input: args.clone().into_owned() })
}

/// An image has no block in an answer of this dialect; people see this one.
pub(super) fn image(mime: &str, data: &str) -> String {
    format!("![](data:{mime};base64,{data})")
}

/// Gathers a message.
pub(super) struct Message {
    shape: Shape,
    id: String,
    content: Vec<Block>,
    calls: usize,
    finish: Option<Finish>,
    usage: Usage,
}

#[derive(Serialize)]
pub(super) struct Whole<'s> {
    pub(super) id: &'s str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'s str,
    pub(super) content: &'s [Block],
    pub(super) stop_reason: Option<&'static str>,
    pub(super) stop_sequence: (),
    pub(super) usage: Tokens,
}

impl Message {
    pub(super) fn new(shape: Shape) -> Self {
        let id = id("", &shape);
        Self { shape, id, content: Vec::new(), calls: 0, finish: None, usage: Usage::default() }
    }

    fn text(&mut self, more: Cow<'_, str>) {
        match self.content.last_mut() {
            Some(Block::Text { text, .. }) => text.push_str(&more),
            _ => self.content.push(Block::text(more.into_owned())),
        }
    }
}

impl Voice for Message {
    fn say(&mut self, event: Event<'_>, _: &mut Vec<u8>) {
        match &event {
            Event::Begin { id: upstream } => self.id = id(upstream, &self.shape),
            Event::Text { choice: 0, text } => self.text(Cow::Borrowed(text)),
            Event::Thought { choice: 0, text } => match self.content.last_mut() {
                Some(Block::Thinking { thinking, .. }) => thinking.push_str(text),
                _ => self.content.push(Block::Thinking { thinking: text.to_string(), signature: SIGNATURE }),
            },
            Event::Call { choice: 0, .. } => {
                self.content.extend(call(&event, &self.shape, self.calls));
                self.calls += 1;
            }
            Event::Blob { choice: 0, mime, data } => self.text(Cow::Owned(image(mime, data))),
            Event::Sources { choice: 0, queries, sources } => {
                if let Some(Block::Text { citations, .. }) = self.content.last_mut() {
                    *citations = search::citations(sources);
                }
                self.content.extend(search::blocks(queries, sources, &self.shape));
            }
            Event::Finish { choice: 0, why } => self.finish = Some(*why),
            Event::Usage(usage) => self.usage = *usage,
            // There is one answer in this dialect, and no word for how likely it was.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let whole = Whole {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.shape.model,
            content: &self.content,
            stop_reason: Some(reason(self.finish.unwrap_or(Finish::Stop))),
            stop_sequence: (),
            usage: self.usage.into(),
        };
        // Writing plain data into memory does not fail.
        let _ = serde_json::to_writer(out, &whole);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(super::fault::body(fault).to_string().as_bytes());
    }

    fn pause(&mut self, _: &mut Vec<u8>) {}
}
