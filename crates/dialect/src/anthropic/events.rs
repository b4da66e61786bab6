//! A message in pieces: `message_start`, blocks, `message_delta`, `message_stop`.

use serde::Serialize;
use serde_json::json;

use super::{
    message::{Block, SIGNATURE, Tokens, Whole, call, id, image, reason},
    search::{self, Citation},
};
use crate::{Event, Fault, Finish, Shape, Source, Usage, Voice, one_line};

/// Writes the pieces.
pub(super) struct Events {
    shape: Shape,
    id: String,
    begun: bool,
    /// The block that is open.
    open: Option<Open>,
    /// The number of the next one.
    next: usize,
    calls: usize,
    finish: Option<Finish>,
    usage: Usage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'s> {
    MessageStart { message: Whole<'s> },
    ContentBlockStart { index: usize, content_block: Block },
    ContentBlockDelta { index: usize, delta: Delta<'s> },
    ContentBlockStop { index: usize },
    MessageDelta { delta: Stop, usage: Tokens },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'s> {
    #[serde(rename = "text_delta")]
    Text { text: &'s str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'s str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'s str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'s str },
    #[serde(rename = "citations_delta")]
    Citation { citation: Citation },
}

#[derive(Serialize)]
struct Stop {
    stop_reason: &'static str,
    stop_sequence: (),
}

impl Piece<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        write(self.name(), self, out);
    }
}

impl Events {
    pub(super) fn new(shape: Shape) -> Self {
        let id = id("", &shape);
        let usage = Usage::default();
        Self { shape, id, begun: false, open: None, next: 0, calls: 0, finish: None, usage }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = Whole {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.shape.model,
            content: &[],
            stop_reason: None,
            stop_sequence: (),
            usage: self.usage.into(),
        };
        Piece::MessageStart { message }.write(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        let index = self.next - 1;
        if open == Open::Thinking {
            Piece::ContentBlockDelta { index, delta: Delta::Signature { signature: SIGNATURE } }.write(out);
        }
        Piece::ContentBlockStop { index }.write(out);
    }

    /// Opens a block, and closes the one before it.
    fn start(&mut self, content_block: Block, out: &mut Vec<u8>) -> usize {
        self.begin(out);
        self.close(out);
        let index = self.next;
        self.next += 1;
        Piece::ContentBlockStart { index, content_block }.write(out);
        index
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.open != Some(Open::Text) {
            self.start(Block::text(String::new()), out);
            self.open = Some(Open::Text);
        }
        Piece::ContentBlockDelta { index: self.next - 1, delta: Delta::Text { text } }.write(out);
    }

    fn found(&mut self, queries: &[String], sources: &[Source], out: &mut Vec<u8>) {
        if self.open == Some(Open::Text) {
            for citation in search::citations(sources) {
                Piece::ContentBlockDelta { index: self.next - 1, delta: Delta::Citation { citation } }.write(out);
            }
        }
        for block in search::blocks(queries, sources, &self.shape) {
            let index = self.start(block, out);
            Piece::ContentBlockStop { index }.write(out);
        }
    }

    fn call(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let (Event::Call { args, .. }, Some(Block::ToolUse { id, name, .. })) =
            (event, call(event, &self.shape, self.calls))
        else {
            return;
        };
        self.calls += 1;
        let Ok(input) = serde_json::value::to_raw_value(&json!({})) else { return };
        let index = self.start(Block::ToolUse { id, name, input }, out);
        Piece::ContentBlockDelta { index, delta: Delta::Input { partial_json: args.get() } }.write(out);
        Piece::ContentBlockStop { index }.write(out);
    }
}

impl Voice for Events {
    fn say(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match &event {
            Event::Begin { id: upstream } => self.id = id(upstream, &self.shape),
            Event::Text { choice: 0, text } => self.text(text, out),
            Event::Thought { choice: 0, text } => {
                if self.open != Some(Open::Thinking) {
                    self.start(Block::Thinking { thinking: String::new(), signature: "" }, out);
                    self.open = Some(Open::Thinking);
                }
                let delta = Delta::Thinking { thinking: text };
                Piece::ContentBlockDelta { index: self.next - 1, delta }.write(out);
            }
            Event::Call { choice: 0, .. } => self.call(&event, out),
            Event::Blob { choice: 0, mime, data } => self.text(&image(mime, data), out),
            Event::Sources { choice: 0, queries, sources } => self.found(queries, sources, out),
            Event::Finish { choice: 0, why } => self.finish = Some(*why),
            Event::Usage(usage) => {
                self.usage = *usage;
                self.begin(out);
            }
            // There is one answer in this dialect, and no word for how likely it was.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        let delta = Stop { stop_reason: reason(self.finish.unwrap_or(Finish::Stop)), stop_sequence: () };
        Piece::MessageDelta { delta, usage: self.usage.into() }.write(out);
        Piece::MessageStop.write(out);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        write("error", &super::fault::body(fault), out);
    }

    fn pause(&mut self, out: &mut Vec<u8>) {
        write("ping", &json!({ "type": "ping" }), out);
    }
}

fn write(name: &str, value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    one_line::write(value, out);
    out.extend_from_slice(b"\n\n");
}
