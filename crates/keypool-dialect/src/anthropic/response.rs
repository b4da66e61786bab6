//! The answer to a message: whole, or in the events of a stream.

use serde_json::{Value, json};

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
fn search_blocks(queries: &[String], sources: &[Source], reply: &Reply) -> [Value; 2] {
    let id = format!("srvtoolu_{}", reply.unique);
    let found = |Source { url, title, .. }: &Source| json!({ "type": "web_search_result", "url": url, "title": title, "encrypted_content": "", "page_age": null });
    let found: Vec<Value> = pages(sources).into_iter().map(found).collect();
    [
        json!({ "type": "server_tool_use", "id": id, "name": "web_search", "input": { "query": queries.join("; ") } }),
        json!({ "type": "web_search_tool_result", "tool_use_id": id, "content": found }),
    ]
}

fn message(id: &str, reply: &Reply, content: Vec<Value>, stop_reason: Option<&str>, cost: Usage) -> Value {
    json!({
        "id": id, "type": "message", "role": "assistant", "model": reply.model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null, "usage": usage(cost),
    })
}

/// Gathers a whole message.
pub(crate) struct Message {
    reply: Reply,
    id: String,
    content: Vec<Value>,
    /// The block that is open.
    open: Option<Open>,
    text: String,
    citations: Vec<Value>,
    finish: Option<Finish>,
    usage: Usage,
}

/// The kind of the block that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
}

impl Message {
    pub(crate) fn new(reply: Reply) -> Self {
        Self {
            id: id("", &reply),
            reply,
            content: Vec::new(),
            open: None,
            text: String::new(),
            citations: Vec::new(),
            finish: None,
            usage: Usage::default(),
        }
    }

    fn say(&mut self, kind: Open, text: &str) {
        if self.open != Some(kind) {
            self.close();
            self.open = Some(kind);
        }
        self.text.push_str(text);
    }

    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.content.extend(self.open.take().map(|open| match open {
            Open::Text if self.citations.is_empty() => json!({ "type": "text", "text": text }),
            Open::Text => json!({ "type": "text", "text": text, "citations": std::mem::take(&mut self.citations) }),
            Open::Thinking => json!({ "type": "thinking", "thinking": text, "signature": SIGNATURE }),
        }));
    }
}

impl Writer for Message {
    fn event(&mut self, event: &Event, _: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice: 0, text } => self.say(Open::Text, text),
            Event::Thought { choice: 0, text } => self.say(Open::Thinking, text),
            Event::Call { choice: 0, call: Call { id, name, args, .. } } => {
                self.close();
                self.content.push(json!({ "type": "tool_use", "id": id, "name": name, "input": args }));
            }
            Event::Media { choice: 0, mime, data } => self.say(Open::Text, &image(mime, data)),
            Event::Sources { choice: 0, queries, sources } => {
                self.citations = citations(sources);
                self.close();
                self.content.extend(search_blocks(queries, sources, &self.reply));
            }
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
            // There is one answer in this dialect, and no word for how likely it was.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.close();
        let content = std::mem::take(&mut self.content);
        let whole = message(&self.id, &self.reply, content, Some(stop_reason(self.finish)), self.usage);
        out.extend_from_slice(whole.to_string().as_bytes());
        Ok(())
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

/// Writes an event, which has its name in it, too.
fn write(name: &str, mut value: Value, out: &mut Vec<u8>) {
    value["type"] = name.into();
    sse::write_event(name, &value, out);
}

impl Events {
    pub(crate) fn new(reply: Reply) -> Self {
        let (id, usage) = (id("", &reply), Usage::default());
        Self { reply, id, begun: false, open: None, next: 0, finish: None, usage }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            let message = message(&self.id, &self.reply, Vec::new(), None, self.usage);
            write("message_start", json!({ "message": message }), out);
        }
    }

    fn delta(&self, kind: &str, field: &str, value: impl Into<Value>, out: &mut Vec<u8>) {
        let delta = json!({ "type": kind, field: value.into() });
        write("content_block_delta", json!({ "index": self.next - 1, "delta": delta }), out);
    }

    fn stop(&self, out: &mut Vec<u8>) {
        write("content_block_stop", json!({ "index": self.next - 1 }), out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        if open == Open::Thinking {
            self.delta("signature_delta", "signature", SIGNATURE, out);
        }
        self.stop(out);
    }

    /// Starts a block, and closes the one before it.
    fn start(&mut self, block: Value, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        write("content_block_start", json!({ "index": self.next, "content_block": block }), out);
        self.next += 1;
    }

    fn open(&mut self, kind: Open, block: Value, out: &mut Vec<u8>) {
        if self.open != Some(kind) {
            self.start(block, out);
            self.open = Some(kind);
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        self.open(Open::Text, json!({ "type": "text", "text": "" }), out);
        self.delta("text_delta", "text", text, out);
    }
}

impl Writer for Events {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice: 0, text } => self.text(text, out),
            Event::Thought { choice: 0, text } => {
                self.open(Open::Thinking, json!({ "type": "thinking", "thinking": "", "signature": "" }), out);
                self.delta("thinking_delta", "thinking", &**text, out);
            }
            Event::Call { choice: 0, call: Call { id, name, args, .. } } => {
                self.start(json!({ "type": "tool_use", "id": id, "name": name, "input": {} }), out);
                self.delta("input_json_delta", "partial_json", args.to_string(), out);
                self.stop(out);
            }
            Event::Media { choice: 0, mime, data } => self.text(&image(mime, data), out),
            Event::Sources { choice: 0, queries, sources } => {
                if self.open == Some(Open::Text) {
                    for citation in citations(sources) {
                        self.delta("citations_delta", "citation", citation, out);
                    }
                }
                for block in search_blocks(queries, sources, &self.reply) {
                    self.start(block, out);
                    self.stop(out);
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
        write("message_delta", json!({ "delta": delta, "usage": usage(self.usage) }), out);
        write("message_stop", json!({}), out);
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        sse::write_event("error", &error.value(Frontend::Messages), out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            write("ping", json!({}), out);
        } else {
            out.extend_from_slice(b": keep-alive\n\n");
        }
    }
}
