//! Writing of a response of the Responses API, whole or as a stream of events.

use serde_json::{Value, json};

use super::chat_response;
use crate::{
    Call, Error, Event, Finish, Frontend, Source, Usage,
    fields::{Fields, merge},
    request::Reply,
    sse, tools,
    translator::Writer,
};

/// A writer of a response: stream events as they arrive, or the whole response at the end.
#[derive(Default)]
pub(crate) struct Response {
    reply: Reply,
    stream: bool,
    begun: bool,
    sequence_number: u64,
    /// The complete items.
    output: Vec<Value>,
    /// The kind of the open item, whose content so far is in the next three fields.
    open: Option<Kind>,
    text: String,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    /// Number of characters in the messages before the open one.
    letters_before: usize,
    finish: Option<Finish>,
    usage: Usage,
}

/// The kind of an item with text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Reasoning,
}

impl Kind {
    /// Returns the prefix of ids, the name of the part's index, and the prefixes of the part's and the text's events.
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
        Self { reply, stream, ..Self::default() }
    }

    /// Writes an event if the response is streamed.
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
        merge(&mut value, more);
        self.write(name, value, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            for name in ["response.created", "response.in_progress"] {
                self.write(name, json!({ "response": self.value(false) }), out);
            }
        }
    }

    /// Returns the id of the next item.
    fn item_id(&self, prefix: &str) -> String {
        format!("{prefix}_kp{}x{}", self.reply.unique, self.output.len())
    }

    /// Returns the open item in its present state.
    fn item(&self, kind: Kind, done: bool) -> Value {
        let id = self.item_id(kind.words()[0]);
        let parts = if done { vec![self.part(kind)] } else { Vec::new() };
        match kind {
            Kind::Reasoning => json!({ "type": "reasoning", "id": id, "summary": parts }),
            Kind::Message => {
                let status = self.status(done);
                json!({ "type": "message", "id": id, "status": status, "role": "assistant", "content": parts })
            }
        }
    }

    /// Returns the only part of the open item.
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

    /// Completes the open item.
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

    /// Writes the start of an item without text.
    fn added(&mut self, mut item: Value, out: &mut Vec<u8>) {
        item["status"] = "in_progress".into();
        self.write("response.output_item.added", json!({ "output_index": self.output.len(), "item": item }), out);
    }

    /// Writes the end of an item and adds it to the output.
    fn done(&mut self, item: Value, out: &mut Vec<u8>) {
        self.write("response.output_item.done", json!({ "output_index": self.output.len(), "item": item }), out);
        self.output.push(item);
    }

    fn call(&mut self, call: &Call, out: &mut Vec<u8>) {
        self.close(out);
        let origin = self.reply.origins.get(&call.name);
        let (prefix, kind, field, front, input) = match origin {
            Some(origin) if origin.takes_text => {
                let input = tools::text_of_arguments(&call.args);
                ("ctc", "custom_tool_call", "input", "response.custom_tool_call_input", input)
            }
            _ => ("fc", "function_call", "arguments", "response.function_call_arguments", call.args.to_string()),
        };
        let (id, name) = (self.item_id(prefix), origin.map_or(&call.name, |origin| &origin.name).clone());
        let mut item = json!({ "type": kind, "id": id, "call_id": call.id, "name": name, field: "" });
        if let Some(namespace) = origin.and_then(|origin| origin.namespace.as_deref()) {
            item["namespace"] = namespace.into();
        }
        self.added(item.clone(), out);
        let at = self.output.len();
        self.write(&format!("{front}.delta"), json!({ "item_id": id, "output_index": at, "delta": input }), out);
        let done = json!({ "item_id": id, "output_index": at, "name": name, field: input });
        self.write(&format!("{front}.done"), done, out);
        item[field] = input.into();
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

    /// Adds citations to the open message. Those for earlier messages are dropped, because these are complete already.
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

    /// Returns the reason why the response is incomplete, if it is.
    fn cut(&self) -> Option<&'static str> {
        match self.finish {
            Some(Finish::Length) => Some("max_output_tokens"),
            Some(Finish::Filtered) => Some("content_filter"),
            _ => None,
        }
    }

    /// Returns the status of the response or of its open item.
    fn status(&self, done: bool) -> &'static str {
        match (done, self.cut()) {
            (false, _) => "in_progress",
            (true, Some(_)) => "incomplete",
            (true, None) => "completed",
        }
    }

    /// Returns the response object.
    fn value(&self, done: bool) -> Value {
        let cut = self.cut().filter(|_| done);
        let Usage { input, cached, output, thoughts, .. } = self.usage;
        let usage = json!({
            "input_tokens": input, "input_tokens_details": { "cached_tokens": cached, "cache_write_tokens": 0 },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": thoughts },
            "total_tokens": input.saturating_add(output),
        });
        let mut value = json!({
            "id": format!("resp_{}", self.reply.unique), "object": "response", "created_at": self.reply.created,
            "status": self.status(done), "error": null, "incomplete_details": cut.map(|reason| json!({ "reason": reason })),
            "model": self.reply.model, "output": self.output, "previous_response_id": null, "store": false,
            "usage": done.then_some(usage),
        });
        merge(&mut value, self.reply.settings.clone());
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
                // Gemini sends them after the text.
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
        let mut body = error.value(Frontend::Responses)["error"].take();
        if body["code"].is_null() {
            // The Responses API always has a code.
            body["code"] = body["type"].clone();
        }
        // OpenAI documents these fields at the top level. Its service also sends `error`, which some clients require.
        let event = json!({ "code": body["code"], "message": body["message"], "param": body["param"], "error": body });
        self.write("error", event, out);
        let mut response = self.value(false);
        response["status"] = "failed".into();
        // The codes here are a closed list, except that Codex also knows the first.
        let code = match body["code"].as_str() {
            Some(code @ ("context_length_exceeded" | "rate_limit_exceeded")) => code,
            _ if body["type"] == "invalid_request_error" => "invalid_prompt",
            _ => "server_error",
        };
        response["error"] = json!({ "code": code, "message": body["message"] });
        // Some clients only read this event.
        self.write("response.failed", json!({ "response": response }), out);
    }
}

/// Returns the settings of the request that a response repeats, with defaults for missing ones.
pub(crate) fn settings(request: &Fields) -> Value {
    let mut settings = json!({
        "background": false, "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "metadata": {},
        "parallel_tool_calls": true, "prompt_cache_key": null, "reasoning": { "effort": null, "summary": null },
        "safety_identifier": null, "service_tier": "default", "temperature": null,
        "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": null,
        "truncation": "disabled", "user": null,
    });
    for (name, value) in settings.as_object_mut().into_iter().flatten() {
        if let Some(given) = request.peek(name) {
            merge(value, given.clone());
        }
    }
    // Typed clients (openai-php) require fields that the tools of the request may lack.
    for tool in settings["tools"].as_array_mut().into_iter().flatten() {
        let defaults = match tool["type"].as_str() {
            Some("function") => json!({ "description": null, "parameters": null, "strict": true }),
            Some(kind) if kind.starts_with("web_search") => {
                json!({ "filters": null, "user_location": null, "search_context_size": "medium" })
            }
            _ => continue,
        };
        for (name, value) in defaults.as_object().into_iter().flatten() {
            if tool[name].is_null() {
                tool[name] = value.clone();
            }
        }
    }
    settings
}
