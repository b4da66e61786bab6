//! Writing of a message response, whole or as a stream of events.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{Call, Error, Event, Finish, Frontend, Source, Usage, request::Reply, sse, translator::Writer};

/// The signature of Gemini's thoughts, by which they are removed before a conversation is sent to Anthropic.
pub(crate) const SIGNATURE: &str = "keypool";
/// The prefix of the ids of our searches.
pub(crate) const SEARCH: &str = "srvtoolu_kp";

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

/// The start of an image in Markdown, which is a text block of its own: responses of this dialect have no image block.
pub(crate) const IMAGE: &str = "![keypool](data:";

/// Returns each page once.
fn pages(sources: &[Source]) -> Vec<&Source> {
    let mut urls = HashSet::new();
    sources.iter().filter(|source| urls.insert(&source.url)).collect()
}

fn citations(sources: &[Source]) -> Vec<Value> {
    let citation = |Source { url, title, .. }: &Source| {
        json!({
            "type": "web_search_result_location", "url": url, "title": title, "encrypted_index": "", "cited_text": "",
        })
    };
    pages(sources).into_iter().map(citation).collect()
}

/// Returns the blocks of the search and its results. They follow the text, because Gemini sends them after it.
fn search_blocks(queries: &[String], sources: &[Source], reply: &Reply) -> [Value; 2] {
    let id = format!("{SEARCH}{}", reply.unique);
    let result = |page: &Source| {
        let (url, title) = (&page.url, &page.title);
        json!({ "type": "web_search_result", "url": url, "title": title, "encrypted_content": "", "page_age": null })
    };
    let found: Vec<Value> = pages(sources).into_iter().map(result).collect();
    [
        json!({ "type": "server_tool_use", "id": id, "name": "web_search", "input": { "query": queries.join("; ") } }),
        json!({ "type": "web_search_tool_result", "tool_use_id": id, "content": found }),
    ]
}

/// A writer of a message: stream events as they arrive, or the whole message at the end.
pub(crate) struct Message {
    reply: Reply,
    stream: bool,
    id: String,
    begun: bool,
    /// The blocks; the last one may be open.
    content: Vec<Value>,
    open: Option<Open>,
    /// White space for which no text block is open yet: Anthropic refuses a block of it alone.
    blank: String,
    finish: Option<Finish>,
    usage: Usage,
}

/// The kind of the open block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
}

impl Message {
    pub(crate) fn new(reply: Reply, stream: bool) -> Self {
        let (id, usage) = (reply.id("msg_", ""), Usage::default());
        let (content, blank) = (Vec::new(), String::new());
        Self { reply, stream, id, begun: false, content, open: None, blank, finish: None, usage }
    }

    fn value(&self, content: &[Value], stop_reason: Option<&str>) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.reply.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": usage(self.usage),
        })
    }

    /// Writes an event if the response is streamed.
    fn write(&self, name: &str, value: Value, out: &mut Vec<u8>) {
        if self.stream {
            sse::write_event(name, value, out);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            let mut message = self.value(&[], None);
            // Some clients add up the counts of all events.
            message["usage"]["output_tokens"] = 0.into();
            self.write("message_start", json!({ "message": message }), out);
        }
    }

    /// Closes the open block and starts another.
    fn start(&mut self, block: Value, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        self.blank.clear();
        self.write("content_block_start", json!({ "index": self.content.len(), "content_block": block }), out);
        self.content.push(block);
    }

    fn delta(&self, kind: &str, field: &str, value: &Value, out: &mut Vec<u8>) {
        let delta = json!({ "type": kind, field: value });
        self.write("content_block_delta", json!({ "index": self.content.len() - 1, "delta": delta }), out);
    }

    fn stop(&self, out: &mut Vec<u8>) {
        self.write("content_block_stop", json!({ "index": self.content.len() - 1 }), out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        if open == Open::Thinking {
            self.delta("signature_delta", "signature", &SIGNATURE.into(), out);
        }
        self.stop(out);
    }

    fn say(&mut self, kind: Open, text: &str, out: &mut Vec<u8>) {
        let (name, delta, block) = match kind {
            Open::Text => ("text", "text_delta", json!({ "type": "text", "text": "" })),
            Open::Thinking => {
                let signature = if self.stream { "" } else { SIGNATURE };
                let block = json!({ "type": "thinking", "thinking": "", "signature": signature });
                ("thinking", "thinking_delta", block)
            }
        };
        let joined;
        let mut text = text;
        if self.open != Some(kind) {
            if kind == Open::Text {
                self.blank.push_str(text);
                if self.blank.trim().is_empty() {
                    return;
                }
                joined = std::mem::take(&mut self.blank);
                text = &joined;
            }
            self.start(block, out);
            self.open = Some(kind);
        }
        if self.stream {
            self.delta(delta, name, &text.into(), out);
        } else if let Some(Value::String(written)) = self.content.last_mut().map(|block| &mut block[name]) {
            written.push_str(text);
        }
    }

    fn sources(&mut self, queries: &[String], sources: &[Source], out: &mut Vec<u8>) {
        if self.open == Some(Open::Text) {
            let citations = citations(sources);
            for citation in &citations {
                self.delta("citations_delta", "citation", citation, out);
            }
            if let Some(block) = self.content.last_mut() {
                block["citations"] = citations.into();
            }
        }
        for block in search_blocks(queries, sources, &self.reply) {
            self.start(block, out);
            self.stop(out);
        }
    }
}

impl Writer for Message {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = self.reply.id("msg_", upstream),
            Event::Text { choice: 0, text } => self.say(Open::Text, text, out),
            Event::Thought { choice: 0, text } => self.say(Open::Thinking, text, out),
            Event::Media { choice: 0, mime, data } => {
                self.close(out);
                self.say(Open::Text, &format!("{IMAGE}{mime};base64,{data})"), out);
                self.close(out);
            }
            Event::Call { choice: 0, call: Call { id, name, args, .. } } => {
                let input = if self.stream { json!({}) } else { args.clone() };
                self.start(json!({ "type": "tool_use", "id": id, "name": name, "input": input }), out);
                self.delta("input_json_delta", "partial_json", &args.to_string().into(), out);
                self.stop(out);
            }
            Event::Sources { choice: 0, queries, sources } => self.sources(queries, sources, out),
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
            // This dialect has one candidate only, and no log probabilities.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.begin(out);
        self.close(out);
        let stop_reason = stop_reason(self.finish);
        if self.stream {
            let delta = json!({ "stop_reason": stop_reason, "stop_sequence": null });
            self.write("message_delta", json!({ "delta": delta, "usage": usage(self.usage) }), out);
            self.write("message_stop", json!({}), out);
        } else {
            out.extend_from_slice(self.value(&self.content, Some(stop_reason)).to_string().as_bytes());
        }
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        sse::write_event("error", error.value(Frontend::Messages), out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            self.write("ping", json!({}), out);
        } else {
            out.extend_from_slice(b": keep-alive\n\n");
        }
    }
}
