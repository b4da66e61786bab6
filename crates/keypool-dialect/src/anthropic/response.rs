//! The answer to a message: whole, or in the events of a stream.

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{Call, Error, Event, Finish, Frontend, Source, Usage, answer::Writer, request::Reply, sse};

/// Signs thoughts that are Gemini's, so that they are left out before a conversation goes to Anthropic.
pub(crate) const SIGNATURE: &str = "keypool";

fn id(upstream: &str, reply: &Reply) -> String {
    format!("msg_{}", if upstream.is_empty() { &reply.unique } else { upstream })
}

fn stop_reason(reason: Option<Finish>) -> &'static str {
    match reason {
        None | Some(Finish::Stop) => "end_turn",
        Some(Finish::Length) => "max_tokens",
        Some(Finish::Calls) => "tool_use",
        Some(Finish::Filtered) => "refusal",
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input.saturating_sub(usage.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    })
}

/// A block of an answer. Arguments stay in their order.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Value>,
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
        input: Value,
    },
    WebSearchToolResult {
        tool_use_id: String,
        content: Vec<Value>,
    },
}

/// An image has no block in an answer of this dialect; people see this one.
fn image(mime: &str, data: &str) -> String {
    format!("![](data:{mime};base64,{data})")
}

/// Each page once.
fn pages(sources: &[Source]) -> Vec<&Source> {
    let mut pages: Vec<&Source> = Vec::new();
    for source in sources {
        if !pages.iter().any(|page| page.url == source.url) {
            pages.push(source);
        }
    }
    pages
}

fn citations(sources: &[Source]) -> Vec<Value> {
    let citation = |Source { url, title, .. }: &Source| {
        json!({
            "type": "web_search_result_location", "url": url, "title": title, "encrypted_index": "", "cited_text": "",
        })
    };
    pages(sources).into_iter().map(citation).collect()
}

/// The search, and what it found. Gemini tells of it behind the text, and so it stands behind it here.
fn search_blocks(queries: &[String], sources: &[Source], reply: &Reply) -> [Block; 2] {
    let id = format!("srvtoolu_{}", reply.unique);
    let found = |Source { url, title, .. }: &Source| json!({ "type": "web_search_result", "url": url, "title": title, "encrypted_content": "", "page_age": null });
    let input = json!({ "query": queries.join("; ") });
    [
        Block::ServerToolUse { id: id.clone(), name: "web_search", input },
        Block::WebSearchToolResult { tool_use_id: id, content: pages(sources).into_iter().map(found).collect() },
    ]
}

#[derive(Serialize)]
struct Whole<'m> {
    id: &'m str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'m str,
    content: &'m [Block],
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'static str>,
    usage: Value,
}

impl<'m> Whole<'m> {
    fn new(id: &'m str, reply: &'m Reply, cost: Usage) -> Self {
        Self {
            id,
            kind: "message",
            role: "assistant",
            model: &reply.model,
            content: &[],
            stop_reason: None,
            stop_sequence: None,
            usage: usage(cost),
        }
    }
}

/// Gathers a whole message.
pub(crate) struct Message {
    reply: Reply,
    id: String,
    content: Vec<Block>,
    finish: Option<Finish>,
    usage: Usage,
}

impl Message {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { id: id("", &reply), reply, content: Vec::new(), finish: None, usage: Usage::default() }
    }

    fn text(&mut self, more: &str) {
        match self.content.last_mut() {
            Some(Block::Text { text, .. }) => text.push_str(more),
            _ => self.content.push(Block::Text { text: more.to_owned(), citations: Vec::new() }),
        }
    }
}

impl Writer for Message {
    fn event(&mut self, event: &Event, _: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice: 0, text } => self.text(text),
            Event::Thought { choice: 0, text } => match self.content.last_mut() {
                Some(Block::Thinking { thinking, .. }) => thinking.push_str(text),
                _ => self.content.push(Block::Thinking { thinking: text.clone(), signature: SIGNATURE }),
            },
            Event::Call { choice: 0, call: Call { id, name, args, .. } } => {
                self.content.push(Block::ToolUse { id: id.clone(), name: name.clone(), input: args.clone() });
            }
            Event::Media { choice: 0, mime, data } => self.text(&image(mime, data)),
            Event::Sources { choice: 0, queries, sources } => {
                if let Some(Block::Text { citations: told, .. }) = self.content.last_mut() {
                    *told = citations(sources);
                }
                self.content.extend(search_blocks(queries, sources, &self.reply));
            }
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
            // There is one answer in this dialect, and no word for how likely it was.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let stop_reason = Some(stop_reason(self.finish));
        let whole = Whole { content: &self.content, stop_reason, ..Whole::new(&self.id, &self.reply, self.usage) };
        serde_json::to_writer(out, &whole).map_err(|_| Error::bad_upstream())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        out.extend_from_slice(&error.body(Frontend::Messages));
    }
}

/// Writes the events of a stream.
pub(crate) struct Events {
    reply: Reply,
    id: String,
    begun: bool,
    open: Option<Open>,
    /// The number of the next block.
    next: usize,
    finish: Option<Finish>,
    usage: Usage,
}

/// The kind of the block that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'e> {
    MessageStart { message: Whole<'e> },
    ContentBlockStart { index: usize, content_block: Block },
    ContentBlockDelta { index: usize, delta: Delta<'e> },
    ContentBlockStop { index: usize },
    MessageDelta { delta: Value, usage: Value },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "as they stand on the wire")]
enum Delta<'e> {
    TextDelta { text: &'e str },
    ThinkingDelta { thinking: &'e str },
    SignatureDelta { signature: &'e str },
    InputJsonDelta { partial_json: &'e str },
    CitationsDelta { citation: Value },
}

impl Piece<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let name = match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        };
        sse::write_event(name, self, out);
    }
}

impl Events {
    pub(crate) fn new(reply: Reply) -> Self {
        let (id, usage) = (id("", &reply), Usage::default());
        Self { reply, id, begun: false, open: None, next: 0, finish: None, usage }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            Piece::MessageStart { message: Whole::new(&self.id, &self.reply, self.usage) }.write(out);
        }
    }

    fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        Piece::ContentBlockDelta { index: self.next - 1, delta }.write(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        if open == Open::Thinking {
            self.delta(Delta::SignatureDelta { signature: SIGNATURE }, out);
        }
        Piece::ContentBlockStop { index: self.next - 1 }.write(out);
    }

    /// Starts a block, and closes the one before it.
    fn start(&mut self, content_block: Block, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        Piece::ContentBlockStart { index: self.next, content_block }.write(out);
        self.next += 1;
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.open != Some(Open::Text) {
            self.start(Block::Text { text: String::new(), citations: Vec::new() }, out);
            self.open = Some(Open::Text);
        }
        self.delta(Delta::TextDelta { text }, out);
    }

    fn call(&mut self, call: &Call, out: &mut Vec<u8>) {
        let input = RawValue::from_string("{}".to_owned()).unwrap_or_default();
        self.start(Block::ToolUse { id: call.id.clone(), name: call.name.clone(), input }, out);
        self.delta(Delta::InputJsonDelta { partial_json: call.args.get() }, out);
        Piece::ContentBlockStop { index: self.next - 1 }.write(out);
    }
}

impl Writer for Events {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice: 0, text } => self.text(text, out),
            Event::Thought { choice: 0, text } => {
                if self.open != Some(Open::Thinking) {
                    self.start(Block::Thinking { thinking: String::new(), signature: "" }, out);
                    self.open = Some(Open::Thinking);
                }
                self.delta(Delta::ThinkingDelta { thinking: text }, out);
            }
            Event::Call { choice: 0, call } => self.call(call, out),
            Event::Media { choice: 0, mime, data } => self.text(&image(mime, data), out),
            Event::Sources { choice: 0, queries, sources } => {
                if self.open == Some(Open::Text) {
                    for citation in citations(sources) {
                        self.delta(Delta::CitationsDelta { citation }, out);
                    }
                }
                for block in search_blocks(queries, sources, &self.reply) {
                    self.start(block, out);
                    Piece::ContentBlockStop { index: self.next - 1 }.write(out);
                }
            }
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.begin(out);
        self.close(out);
        let delta = json!({ "stop_reason": stop_reason(self.finish), "stop_sequence": null });
        Piece::MessageDelta { delta, usage: usage(self.usage) }.write(out);
        Piece::MessageStop.write(out);
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        sse::write_event("error", &error.value(Frontend::Messages), out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            sse::write_event("ping", &json!({ "type": "ping" }), out);
        } else {
            out.extend_from_slice(b": keep-alive\n\n");
        }
    }
}
