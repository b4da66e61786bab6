//! The answer to a request for a response: whole, or in the events of a stream.

use serde_json::{Map, Value, json};

use super::chat_response;
use crate::{
    Call, Error, Event, Finish, Frontend, Source, Usage, answer::Writer, fields::Fields, request::Reply, sse, tools,
};

/// Writes a response: the events of a stream as they come, or all of it at its end.
pub(crate) struct Response {
    reply: Reply,
    stream: bool,
    begun: bool,
    sequence_number: u64,
    /// Items that are whole.
    output: Vec<Value>,
    /// The item that is open, and what it holds so far.
    open: Option<Kind>,
    text: String,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    /// Letters of messages before the open one.
    letters_before: usize,
    finish: Option<Finish>,
    usage: Usage,
}

/// An item of text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Reasoning,
}

impl Kind {
    /// What ids begin with, the number of the only part, and what the events of the part and of its text are called.
    fn words(self) -> [&'static str; 4] {
        match self {
            Self::Message => ["msg", "content_index", "response.content_part", "response.output_text"],
            Self::Reasoning => {
                ["rs", "summary_index", "response.reasoning_summary_part", "response.reasoning_summary_text"]
            }
        }
    }
}

impl Response {
    pub(crate) fn new(reply: Reply, stream: bool) -> Self {
        Self {
            reply,
            stream,
            begun: false,
            sequence_number: 0,
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

    /// Writes an event of a stream.
    fn write(&mut self, name: &str, mut value: Value, out: &mut Vec<u8>) {
        if self.stream {
            value["sequence_number"] = self.sequence_number.into();
            self.sequence_number += 1;
            sse::write_event(name, value, out);
        }
    }

    /// Writes an event about the open item.
    fn write_of_part(&mut self, kind: Kind, name: &str, more: Value, out: &mut Vec<u8>) {
        let [prefix, number, ..] = kind.words();
        let mut value = json!({ "item_id": self.item_id(prefix), "output_index": self.output.len(), number: 0 });
        if let (Some(members), Value::Object(more)) = (value.as_object_mut(), more) {
            members.extend(more);
        }
        self.write(name, value, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            for name in ["response.created", "response.in_progress"] {
                self.write(name, json!({ "response": self.value(false) }), out);
            }
        }
    }

    /// The id of the item that comes next.
    fn item_id(&self, prefix: &str) -> String {
        format!("{prefix}_kp{}x{}", self.reply.unique, self.output.len())
    }

    /// The open item, as it stands.
    fn item(&self, kind: Kind, done: bool) -> Value {
        let id = self.item_id(kind.words()[0]);
        let parts = if done { vec![self.part(kind)] } else { Vec::new() };
        let status = match (done, self.cut()) {
            (false, _) => "in_progress",
            (true, Some(_)) => "incomplete",
            (true, None) => "completed",
        };
        match kind {
            Kind::Reasoning => json!({ "type": "reasoning", "id": id, "summary": parts }),
            Kind::Message => {
                json!({ "type": "message", "id": id, "status": status, "role": "assistant", "content": parts })
            }
        }
    }

    /// The only part of the open item.
    fn part(&self, kind: Kind) -> Value {
        let Self { text, annotations, logprobs, .. } = self;
        match kind {
            Kind::Reasoning => json!({ "type": "summary_text", "text": text }),
            Kind::Message => {
                json!({ "type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs })
            }
        }
    }

    fn say(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        let [_, _, of_part, of_text] = kind.words();
        if self.open != Some(kind) {
            self.close(out);
            self.open = Some(kind);
            let added = json!({ "output_index": self.output.len(), "item": self.item(kind, false) });
            self.write("response.output_item.added", added, out);
            self.write_of_part(kind, &format!("{of_part}.added"), json!({ "part": self.part(kind) }), out);
        }
        self.text.push_str(text);
        let mut delta = json!({ "delta": text });
        if kind == Kind::Message {
            delta["logprobs"] = json!([]);
        }
        self.write_of_part(kind, &format!("{of_text}.delta"), delta, out);
    }

    /// Ends the open item.
    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(kind) = self.open.take() else { return };
        let [_, _, of_part, of_text] = kind.words();
        let mut done = json!({ "text": self.text });
        if kind == Kind::Message {
            done["logprobs"] = json!(self.logprobs);
            self.letters_before += self.text.chars().count();
        }
        self.write_of_part(kind, &format!("{of_text}.done"), done, out);
        self.write_of_part(kind, &format!("{of_part}.done"), json!({ "part": self.part(kind) }), out);
        let item = self.item(kind, true);
        self.done(item, out);
        self.text.clear();
        self.annotations.clear();
        self.logprobs.clear();
    }

    /// An item begins that holds no text: as it is before it is whole.
    fn added(&mut self, mut item: Value, out: &mut Vec<u8>) {
        item["status"] = "in_progress".into();
        self.write("response.output_item.added", json!({ "output_index": self.output.len(), "item": item }), out);
    }

    /// An item is whole.
    fn done(&mut self, item: Value, out: &mut Vec<u8>) {
        self.write("response.output_item.done", json!({ "output_index": self.output.len(), "item": item }), out);
        self.output.push(item);
    }

    fn call(&mut self, call: &Call, out: &mut Vec<u8>) {
        self.close(out);
        let origin = self.reply.origins.get(&call.name);
        let (kind, field, front, said) = match origin {
            Some(origin) if origin.takes_text => {
                let said = tools::text_of_arguments(&call.args);
                ("custom_tool_call", "input", "response.custom_tool_call_input", said)
            }
            _ => ("function_call", "arguments", "response.function_call_arguments", call.args.to_string()),
        };
        let (id, name) = (self.item_id("fc"), origin.map_or(&call.name, |origin| &origin.name).clone());
        let mut item = json!({ "type": kind, "id": id, "call_id": call.id, "name": name, field: "" });
        if let Some(namespace) = origin.and_then(|origin| origin.namespace.as_deref()) {
            item["namespace"] = namespace.into();
        }
        self.added(item.clone(), out);
        let at = self.output.len();
        self.write(&format!("{front}.delta"), json!({ "item_id": id, "output_index": at, "delta": said }), out);
        let done = json!({ "item_id": id, "output_index": at, "name": name, field: said });
        self.write(&format!("{front}.done"), done, out);
        item[field] = said.into();
        item["status"] = "completed".into();
        self.done(item, out);
    }

    fn image(&mut self, mime: &str, data: &str, out: &mut Vec<u8>) {
        self.close(out);
        let Some(format) = mime.strip_prefix("image/") else { return };
        let id = self.item_id("ig");
        self.added(json!({ "type": "image_generation_call", "id": id, "result": null }), out);
        for name in ["in_progress", "generating", "completed"] {
            let name = format!("response.image_generation_call.{name}");
            self.write(&name, json!({ "item_id": id, "output_index": self.output.len() }), out);
        }
        let (kind, status) = ("image_generation_call", "completed");
        let item = json!({ "type": kind, "id": id, "status": status, "result": data, "output_format": format });
        self.done(item, out);
    }

    /// Where the open message was found. What was found of earlier ones cannot be told any more.
    fn annotate(&mut self, sources: &[Source], out: &mut Vec<u8>) {
        let before = self.letters_before;
        for Source { start, end, url, title } in sources.iter().filter(|source| source.start >= before) {
            let (start, end, number) = (start - before, end - before, self.annotations.len());
            let annotation = json!({
                "type": "url_citation", "start_index": start, "end_index": end, "url": url, "title": title,
            });
            let added = json!({ "annotation_index": number, "annotation": annotation });
            self.write_of_part(Kind::Message, "response.output_text.annotation.added", added, out);
            self.annotations.push(annotation);
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
        let Usage { input, cached, output, thoughts, .. } = self.usage;
        let usage = json!({
            "input_tokens": input, "input_tokens_details": { "cached_tokens": cached },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": thoughts },
            "total_tokens": input.saturating_add(output),
        });
        let mut value = json!({
            "id": format!("resp_{}", self.reply.unique), "object": "response", "created_at": self.reply.created,
            "status": status, "error": null, "incomplete_details": cut.map(|reason| json!({ "reason": reason })),
            "model": self.reply.model, "output": self.output, "previous_response_id": null, "store": false,
            "usage": done.then_some(usage),
        });
        if let Some(members) = value.as_object_mut() {
            members.extend(self.reply.settings.clone());
        }
        value
    }
}

impl Writer for Response {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.begin(out);
        match event {
            Event::Text { choice: 0, text } => self.say(Kind::Message, text, out),
            Event::Thought { choice: 0, text } => self.say(Kind::Reasoning, text, out),
            Event::Call { choice: 0, call } => self.call(call, out),
            Event::Media { choice: 0, mime, data } => self.image(mime, data, out),
            Event::Logprobs { choice: 0, tokens } if self.open == Some(Kind::Message) => {
                let tokens: Vec<Value> = tokens.iter().map(chat_response::token).collect();
                self.logprobs.extend_from_slice(&tokens);
                // They are known behind the text.
                let delta = json!({ "delta": "", "logprobs": tokens });
                self.write_of_part(Kind::Message, "response.output_text.delta", delta, out);
            }
            Event::Sources { choice: 0, sources, .. } if self.open == Some(Kind::Message) => {
                self.annotate(sources, out);
            }
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.begin(out);
        self.close(out);
        let response = self.value(true);
        if self.stream {
            let name = if self.cut().is_some() { "response.incomplete" } else { "response.completed" };
            self.write(name, json!({ "response": response }), out);
        } else {
            out.extend_from_slice(response.to_string().as_bytes());
        }
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
        let mut response = self.value(false);
        response["status"] = "failed".into();
        response["error"] = json!({ "code": told["code"], "message": told["message"] });
        // Some clients look for this one alone.
        self.write("response.failed", json!({ "response": response }), out);
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
    // Typed clients look for what tools left unsaid (openai-php).
    for tool in settings["tools"].as_array_mut().into_iter().flatten() {
        let unsaid = match tool["type"].as_str() {
            Some("function") => json!({ "description": null, "parameters": null, "strict": true }),
            Some(kind) if kind.starts_with("web_search") => {
                json!({ "filters": null, "user_location": null, "search_context_size": "medium" })
            }
            _ => continue,
        };
        for (name, value) in unsaid.as_object().into_iter().flatten() {
            if tool[name].is_null() {
                tool[name] = value.clone();
            }
        }
    }
    settings
}
