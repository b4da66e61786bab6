//! The answer to a chat: `chat.completion`, and `chat.completion.chunk` in a stream.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Call, Error, Event, Finish, Frontend, Source, Token, Usage, answer::Writer, request::Reply, sse, tools};

fn id(upstream: &str, reply: &Reply) -> String {
    format!("chatcmpl-{}", if upstream.is_empty() { &reply.unique } else { upstream })
}

fn finish_reason(reason: Finish, reply: &Reply) -> &'static str {
    match reason {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Calls if reply.legacy_functions => "function_call",
        Finish::Calls => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}

/// A call as a message has it.
fn tool_call(call: &Call, reply: &Reply) -> Value {
    let mut value = match reply.origins.get(&call.name).filter(|origin| origin.takes_text) {
        Some(_) => {
            let custom = json!({ "name": call.name, "input": tools::text_of_arguments(&call.args) });
            json!({ "id": call.id, "type": "custom", "custom": custom })
        }
        None => json!({ "id": call.id, "type": "function", "function": function(call) }),
    };
    if let Some(signature) = &call.signature {
        // As Google's own compatible endpoint has it: clients that know it send it back.
        value["extra_content"] = json!({ "google": { "thought_signature": signature } });
    }
    value
}

fn function(call: &Call) -> Value {
    json!({ "name": call.name, "arguments": call.args.to_string() })
}

/// An image or sound, as routers hand them out in this dialect.
fn image(mime: &str, data: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": format!("data:{mime};base64,{data}") } })
}

fn annotation(source: &Source) -> Value {
    let Source { start, end, url, title } = source;
    let citation = json!({ "start_index": start, "end_index": end, "title": title, "url": url });
    json!({ "type": "url_citation", "url_citation": citation })
}

/// A token as an answer has it.
pub(crate) fn token(token: &Token) -> Value {
    let one = |text: &str, logprob: f64| json!({ "token": text, "logprob": logprob, "bytes": text.as_bytes() });
    let mut value = one(&token.text, token.logprob);
    value["top_logprobs"] = token.top.iter().map(|(text, logprob)| one(text, *logprob)).collect();
    value
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
        "prompt_tokens_details": { "cached_tokens": usage.cached, "audio_tokens": usage.input_audio },
        "completion_tokens_details": {
            "reasoning_tokens": usage.thoughts,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// Gathers a whole answer.
pub(crate) struct Completion {
    reply: Reply,
    id: String,
    choices: BTreeMap<u32, Value>,
    usage: Usage,
}

/// Adds to a text that may not be there yet.
fn append(text: &mut Value, more: &str) {
    match text {
        Value::String(text) => text.push_str(more),
        _ => *text = more.into(),
    }
}

/// Adds to a list that may not be there yet.
fn extend(list: &mut Value, more: impl IntoIterator<Item = Value>) {
    if list.is_null() {
        *list = json!([]);
    }
    if let Value::Array(list) = list {
        list.extend(more);
    }
}

impl Completion {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { id: id("", &reply), reply, choices: BTreeMap::new(), usage: Usage::default() }
    }

    fn choice(&mut self, index: u32) -> &mut Value {
        self.choices.entry(index).or_insert_with(|| {
            let message = json!({ "role": "assistant", "content": "", "refusal": null });
            json!({ "index": index, "message": message, "logprobs": null, "finish_reason": "stop" })
        })
    }

    fn message(&mut self, index: u32) -> &mut Value {
        &mut self.choice(index)["message"]
    }
}

impl Writer for Completion {
    fn event(&mut self, event: &Event, _: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice, text } => append(&mut self.message(*choice)["content"], text),
            Event::Thought { choice, text } => append(&mut self.message(*choice)["reasoning_content"], text),
            Event::Call { choice, call } if self.reply.legacy_functions => {
                let slot = &mut self.message(*choice)["function_call"];
                if slot.is_null() {
                    *slot = function(call);
                }
            }
            Event::Call { choice, call } => {
                let call = tool_call(call, &self.reply);
                extend(&mut self.message(*choice)["tool_calls"], [call]);
            }
            Event::Media { choice, mime, data } => {
                extend(&mut self.message(*choice)["images"], [image(mime, data)]);
            }
            Event::Logprobs { choice, tokens } => {
                let logprobs = &mut self.choice(*choice)["logprobs"];
                extend(&mut logprobs["content"], tokens.iter().map(token));
                logprobs["refusal"] = Value::Null;
            }
            Event::Sources { choice, sources, .. } => {
                extend(&mut self.message(*choice)["annotations"], sources.iter().map(annotation));
            }
            Event::Finish { choice, reason } => {
                let reason = finish_reason(*reason, &self.reply);
                self.choice(*choice)["finish_reason"] = reason.into();
            }
            Event::Usage(usage) => self.usage = *usage,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut choices: Vec<Value> = std::mem::take(&mut self.choices).into_values().collect();
        for message in choices.iter_mut().map(|choice| &mut choice["message"]) {
            let calls = message.get("tool_calls").is_some() || message.get("function_call").is_some();
            if calls && message["content"] == "" {
                message["content"] = Value::Null;
            }
        }
        let value = json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.reply.created,
            "model": self.reply.model,
            "choices": choices,
            "usage": usage(self.usage),
        });
        out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        out.extend_from_slice(&error.body(Frontend::Chat));
    }
}

/// Writes the chunks of a stream.
pub(crate) struct Chunks {
    reply: Reply,
    id: String,
    /// Each answer that has begun, and how many calls it has.
    begun: BTreeMap<u32, usize>,
    usage: Usage,
}

impl Chunks {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { id: id("", &reply), reply, begun: BTreeMap::new(), usage: Usage::default() }
    }

    fn write(&self, choices: Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.reply.created,
            "model": self.reply.model,
            "choices": choices,
        });
        if self.reply.include_usage {
            // `null` in all chunks but the last.
            chunk["usage"] = usage.into();
        }
        sse::write_data(&chunk, out);
    }

    fn delta(&mut self, index: u32, delta: Value, out: &mut Vec<u8>) {
        self.begin(index, out);
        self.write(json!([{ "index": index, "delta": delta, "finish_reason": null }]), None, out);
    }

    /// The first chunk of an answer says whose it is.
    fn begin(&mut self, index: u32, out: &mut Vec<u8>) -> &mut usize {
        if !self.begun.contains_key(&index) {
            let delta = json!({ "role": "assistant", "content": "" });
            self.write(json!([{ "index": index, "delta": delta, "finish_reason": null }]), None, out);
        }
        self.begun.entry(index).or_default()
    }
}

impl Writer for Chunks {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice, text } => self.delta(*choice, json!({ "content": text }), out),
            Event::Thought { choice, text } => self.delta(*choice, json!({ "reasoning_content": text }), out),
            Event::Call { choice, call } => {
                let count = self.begin(*choice, out);
                let number = *count;
                *count += 1;
                if self.reply.legacy_functions {
                    if number == 0 {
                        self.delta(*choice, json!({ "function_call": function(call) }), out);
                    }
                    return;
                }
                let mut value = tool_call(call, &self.reply);
                value["index"] = number.into();
                self.delta(*choice, json!({ "tool_calls": [value] }), out);
            }
            Event::Media { choice, mime, data } => {
                self.delta(*choice, json!({ "images": [image(mime, data)] }), out);
            }
            Event::Logprobs { choice, tokens } => {
                self.begin(*choice, out);
                let logprobs = json!({ "content": tokens.iter().map(token).collect::<Vec<_>>(), "refusal": null });
                let choice = json!({ "index": choice, "delta": {}, "logprobs": logprobs, "finish_reason": null });
                self.write(json!([choice]), None, out);
            }
            Event::Sources { choice, sources, .. } => {
                let annotations: Vec<Value> = sources.iter().map(annotation).collect();
                self.delta(*choice, json!({ "annotations": annotations }), out);
            }
            Event::Finish { choice, reason } => {
                self.begin(*choice, out);
                let reason = finish_reason(*reason, &self.reply);
                self.write(json!([{ "index": choice, "delta": {}, "finish_reason": reason }]), None, out);
            }
            Event::Usage(usage) => self.usage = *usage,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.reply.include_usage {
            self.write(json!([]), Some(usage(self.usage)), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        // Without [DONE], so that nobody takes the answer for a whole one.
        sse::write_data(&error.value(Frontend::Chat), out);
    }
}
