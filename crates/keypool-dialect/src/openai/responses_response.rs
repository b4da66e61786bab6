//! The answer to a request for a response: whole, or in the events of a stream.

use serde_json::{Map, Value, json};

use super::chat_response;
use crate::{
    Call, Error, Event, Finish, Frontend, Source, Usage, answer::Writer, fields::Fields, request::Reply, sse, tools,
};

/// A response as far as it has come.
struct Draft {
    reply: Reply,
    id: String,
    output: Vec<Value>,
    /// The item that is open, and its text so far.
    open: Option<Kind>,
    text: String,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    /// Letters of messages before the open one.
    letters_before: usize,
    finish: Option<Finish>,
    usage: Usage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Reasoning,
}

impl Kind {
    /// The item's prefix, and the place of its only part.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Message => ("msg", "content_index"),
            Self::Reasoning => ("rs", "summary_index"),
        }
    }
}

fn output_text(text: &str, annotations: &[Value], logprobs: &[Value]) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs })
}

fn summary_text(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}

impl Draft {
    fn new(reply: Reply) -> Self {
        Self {
            id: format!("resp_{}", reply.unique),
            reply,
            output: Vec::new(),
            open: None,
            text: String::new(),
            annotations: Vec::new(),
            logprobs: Vec::new(),
            letters_before: 0,
            finish: None,
            usage: Usage::default(),
        }
    }

    /// The id of the item at an index.
    fn item_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_kp{}x{index}", self.reply.unique)
    }

    /// The open item, as it stands.
    fn item(&self, kind: Kind, done: bool) -> Value {
        let id = self.item_id(kind.words().0, self.output.len());
        match kind {
            Kind::Reasoning => {
                let summary = if done { vec![summary_text(&self.text)] } else { Vec::new() };
                json!({ "type": "reasoning", "id": id, "summary": summary })
            }
            Kind::Message => {
                let text = || output_text(&self.text, &self.annotations, &self.logprobs);
                let content = if done { vec![text()] } else { Vec::new() };
                let status = match (done, self.cut()) {
                    (false, _) => "in_progress",
                    (true, Some(_)) => "incomplete",
                    (true, None) => "completed",
                };
                json!({ "type": "message", "id": id, "status": status, "role": "assistant", "content": content })
            }
        }
    }

    fn begin(&mut self, kind: Kind) {
        self.open = Some(kind);
        self.text.clear();
        self.annotations.clear();
        self.logprobs.clear();
    }

    /// Puts the open item into the output.
    fn close(&mut self) -> Option<Kind> {
        let kind = self.open?;
        let item = self.item(kind, true);
        self.output.push(item);
        self.open = None;
        if kind == Kind::Message {
            self.letters_before += self.text.chars().count();
        }
        Some(kind)
    }

    /// The item that a call is, and what it is called with.
    fn call(&self, call: &Call) -> (Value, String) {
        let id = self.item_id("fc", self.output.len());
        let origin = self.reply.origins.get(&call.name);
        let (kind, field, said) = match origin {
            Some(origin) if origin.takes_text => ("custom_tool_call", "input", tools::text_of_arguments(&call.args)),
            _ => ("function_call", "arguments", call.args.to_string()),
        };
        let name = origin.map_or(&call.name, |origin| &origin.name);
        let mut item = json!({
            "type": kind, "id": id, "call_id": call.id, "name": name, field: said, "status": "completed",
        });
        if let Some(namespace) = origin.and_then(|origin| origin.namespace.as_deref()) {
            item["namespace"] = namespace.into();
        }
        (item, said)
    }

    /// The item that an image is; `None` for sound.
    fn image(&self, mime: &str, data: &str) -> Option<Value> {
        let format = mime.strip_prefix("image/")?;
        let id = self.item_id("ig", self.output.len());
        let kind = "image_generation_call";
        Some(json!({ "type": kind, "id": id, "status": "completed", "result": data, "output_format": format }))
    }

    /// Where the open message was found. What was found of earlier ones cannot be told any more.
    fn annotate(&mut self, sources: &[Source]) {
        let before = self.letters_before;
        let annotation = |source: &Source| {
            let (start, end) = (source.start - before, source.end - before);
            let Source { url, title, .. } = source;
            json!({ "type": "url_citation", "start_index": start, "end_index": end, "url": url, "title": title })
        };
        if self.open == Some(Kind::Message) {
            self.annotations.extend(sources.iter().filter(|source| source.start >= before).map(annotation));
        }
    }

    /// Why it ended early, if it did.
    fn cut(&self) -> Option<&'static str> {
        match self.finish {
            Some(Finish::Length) => Some("max_output_tokens"),
            Some(Finish::Filtered) => Some("content_filter"),
            _ => None,
        }
    }

    /// The response itself.
    fn value(&self, done: bool) -> Value {
        let cut = self.cut().filter(|_| done);
        let status = match (done, cut) {
            (false, _) => "in_progress",
            (true, None) => "completed",
            (true, Some(_)) => "incomplete",
        };
        let usage = done.then(|| {
            json!({
                "input_tokens": self.usage.input,
                "input_tokens_details": { "cached_tokens": self.usage.cached },
                "output_tokens": self.usage.output,
                "output_tokens_details": { "reasoning_tokens": self.usage.thoughts },
                "total_tokens": self.usage.input.saturating_add(self.usage.output),
            })
        });
        let mut value = json!({
            "id": self.id, "object": "response", "created_at": self.reply.created, "status": status, "error": null,
            "incomplete_details": cut.map(|reason| json!({ "reason": reason })), "model": self.reply.model,
            "output": self.output, "previous_response_id": null, "store": false, "usage": usage,
        });
        if let Some(members) = value.as_object_mut() {
            members.extend(self.reply.settings.clone());
        }
        value
    }

    /// Takes what opens no item.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
            Event::Logprobs { choice: 0, tokens } if self.open == Some(Kind::Message) => {
                self.logprobs.extend(tokens.iter().map(chat_response::token));
            }
            Event::Sources { choice: 0, sources, .. } => self.annotate(sources),
            _ => {}
        }
    }

    /// What kind of item a piece of text belongs to.
    fn piece(event: &Event) -> Option<(Kind, &str)> {
        match event {
            Event::Text { choice: 0, text } => Some((Kind::Message, text)),
            Event::Thought { choice: 0, text } => Some((Kind::Reasoning, text)),
            _ => None,
        }
    }
}

/// What a response repeats of its request; what was not said is as it is then.
pub(crate) fn settings(request: &Fields) -> Map<String, Value> {
    let unsaid = json!({
        "background": false, "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "metadata": {},
        "parallel_tool_calls": true, "prompt_cache_key": null, "reasoning": { "effort": null, "summary": null },
        "safety_identifier": null, "service_tier": "default", "temperature": null,
        "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": null,
        "truncation": "disabled", "user": null,
    });
    let mut settings = unsaid.as_object().cloned().unwrap_or_default();
    for (name, value) in &mut settings {
        match (request.peek(name), value.as_object_mut()) {
            (Some(Value::Object(said)), Some(unsaid)) => unsaid.extend(said.clone()),
            (Some(said), _) => *value = said.clone(),
            (None, _) => {}
        }
    }
    complete_tools(&mut settings["tools"]);
    settings
}

/// Typed clients look for what tools left unsaid (openai-php).
fn complete_tools(tools: &mut Value) {
    for tool in tools.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let (unsaid, usual) = match tool.get("type").and_then(Value::as_str) {
            Some("function") => (["description", "parameters"], ("strict", json!(true))),
            Some(kind) if kind.starts_with("web_search") => {
                (["filters", "user_location"], ("search_context_size", json!("medium")))
            }
            Some("namespace") => {
                tool.get_mut("tools").into_iter().for_each(complete_tools);
                continue;
            }
            _ => continue,
        };
        for name in unsaid {
            tool.entry(name).or_insert(Value::Null);
        }
        let said = tool.entry(usual.0).or_insert(Value::Null);
        if said.is_null() {
            *said = usual.1;
        }
    }
}

/// Writes a response: the events of a stream as they come, or all of it at its end.
pub(crate) struct Response {
    draft: Draft,
    stream: bool,
    begun: bool,
    sequence_number: u64,
}

impl Response {
    pub(crate) fn new(reply: Reply, stream: bool) -> Self {
        Self { draft: Draft::new(reply), stream, begun: false, sequence_number: 0 }
    }

    /// Writes an event of a stream.
    fn write(&mut self, name: &str, mut value: Value, out: &mut Vec<u8>) {
        if !self.stream {
            return;
        }
        value["type"] = name.into();
        value["sequence_number"] = self.sequence_number.into();
        self.sequence_number += 1;
        sse::write_event(name, &value, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            for name in ["response.created", "response.in_progress"] {
                self.write(name, json!({ "response": self.draft.value(false) }), out);
            }
        }
    }

    /// Fields that say of which part an event is.
    fn place(&self, kind: Kind, index: usize) -> Value {
        let (prefix, part) = kind.words();
        json!({ "item_id": self.draft.item_id(prefix, index), "output_index": index, part: 0 })
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<u8>) {
        if self.draft.open == Some(kind) {
            return;
        }
        self.close(out);
        self.draft.begin(kind);
        let index = self.draft.output.len();
        let item = self.draft.item(kind, false);
        self.write("response.output_item.added", json!({ "output_index": index, "item": item }), out);
        let mut added = self.place(kind, index);
        let (name, part) = match kind {
            Kind::Message => ("response.content_part.added", output_text("", &[], &[])),
            Kind::Reasoning => ("response.reasoning_summary_part.added", summary_text("")),
        };
        added["part"] = part;
        self.write(name, added, out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(kind) = self.draft.close() else { return };
        let index = self.draft.output.len() - 1;
        let text = self.draft.text.clone();
        let mut text_done = self.place(kind, index);
        let mut part_done = text_done.clone();
        text_done["text"] = text.clone().into();
        let names = match kind {
            Kind::Message => {
                text_done["logprobs"] = json!(self.draft.logprobs);
                part_done["part"] = output_text(&text, &self.draft.annotations, &self.draft.logprobs);
                ["response.output_text.done", "response.content_part.done"]
            }
            Kind::Reasoning => {
                part_done["part"] = summary_text(&text);
                ["response.reasoning_summary_text.done", "response.reasoning_summary_part.done"]
            }
        };
        self.write(names[0], text_done, out);
        self.write(names[1], part_done, out);
        let item = self.draft.output[index].clone();
        self.write("response.output_item.done", json!({ "output_index": index, "item": item }), out);
    }

    fn text(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        self.open(kind, out);
        self.draft.text.push_str(text);
        let mut delta = self.place(kind, self.draft.output.len());
        delta["delta"] = text.into();
        let name = match kind {
            Kind::Message => {
                delta["logprobs"] = json!([]);
                "response.output_text.delta"
            }
            Kind::Reasoning => "response.reasoning_summary_text.delta",
        };
        self.write(name, delta, out);
    }

    fn call(&mut self, call: &Call, out: &mut Vec<u8>) {
        self.close(out);
        let (item, said) = self.draft.call(call);
        let (field, front) = if item.get("input").is_some() {
            ("input", "response.custom_tool_call_input")
        } else {
            ("arguments", "response.function_call_arguments")
        };
        let mut added = item.clone();
        added[field] = "".into();
        let index = self.added(added, out);
        let id = item["id"].clone();
        let delta = json!({ "item_id": id, "output_index": index, "delta": said });
        self.write(&format!("{front}.delta"), delta, out);
        let done = json!({ "item_id": id, "output_index": index, "name": item["name"], field: said });
        self.write(&format!("{front}.done"), done, out);
        self.done(item, out);
    }

    fn image(&mut self, mime: &str, data: &str, out: &mut Vec<u8>) {
        self.close(out);
        let Some(item) = self.draft.image(mime, data) else { return };
        let id = item["id"].clone();
        let mut added = json!({ "type": item["type"], "id": id });
        added["result"] = Value::Null;
        let index = self.added(added, out);
        for name in ["in_progress", "generating", "completed"] {
            let name = format!("response.image_generation_call.{name}");
            self.write(&name, json!({ "item_id": id, "output_index": index }), out);
        }
        self.done(item, out);
    }

    /// An item begins; gives its index.
    fn added(&mut self, mut item: Value, out: &mut Vec<u8>) -> usize {
        let index = self.draft.output.len();
        item["status"] = "in_progress".into();
        self.write("response.output_item.added", json!({ "output_index": index, "item": item }), out);
        index
    }

    /// That item is whole.
    fn done(&mut self, item: Value, out: &mut Vec<u8>) {
        let index = self.draft.output.len();
        self.draft.output.push(item.clone());
        self.write("response.output_item.done", json!({ "output_index": index, "item": item }), out);
    }
}

impl Writer for Response {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.begin(out);
        let (annotations, logprobs) = (self.draft.annotations.len(), self.draft.logprobs.len());
        self.draft.note(event);
        if let Some((kind, text)) = Draft::piece(event) {
            self.text(kind, text, out);
            return;
        }
        let place = self.place(Kind::Message, self.draft.output.len());
        match event {
            Event::Call { choice: 0, call } => self.call(call, out),
            Event::Media { choice: 0, mime, data } => self.image(mime, data, out),
            // They are known behind the text.
            Event::Logprobs { .. } if self.draft.logprobs.len() > logprobs => {
                let mut delta = place;
                delta["delta"] = "".into();
                delta["logprobs"] = self.draft.logprobs[logprobs..].into();
                self.write("response.output_text.delta", delta, out);
            }
            Event::Sources { .. } => {
                for number in annotations..self.draft.annotations.len() {
                    let mut added = place.clone();
                    added["annotation_index"] = number.into();
                    added["annotation"] = self.draft.annotations[number].clone();
                    self.write("response.output_text.annotation.added", added, out);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.begin(out);
        self.close(out);
        let response = self.draft.value(true);
        if !self.stream {
            out.extend_from_slice(response.to_string().as_bytes());
            return Ok(());
        }
        let name = if self.draft.cut().is_some() { "response.incomplete" } else { "response.completed" };
        self.write(name, json!({ "response": response }), out);
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        let mut told = error.value(Frontend::Responses)["error"].take();
        if told["code"].is_null() {
            // Here there is always one.
            told["code"] = told["type"].clone();
        }
        // The reference has these beside the type; the service has them in `error`, too, by which clients know that it failed.
        let event = json!({ "code": told["code"], "message": told["message"], "param": told["param"], "error": told });
        self.write("error", event, out);
        let mut response = self.draft.value(false);
        response["status"] = "failed".into();
        response["error"] = json!({ "code": told["code"], "message": told["message"] });
        // Some clients look for this one alone.
        self.write("response.failed", json!({ "response": response }), out);
    }
}
