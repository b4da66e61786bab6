//! Writing of a chat completion: `chat.completion`, or `chat.completion.chunk` in a stream.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Call, Error, Event, Finish, Frontend, Source, Token, Usage, request::Reply, sse, tools, translator::Writer,
};

fn finish_reason(reason: Finish, reply: &Reply) -> &'static str {
    match reason {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Calls if reply.legacy_functions => "function_call",
        Finish::Calls => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}

/// Returns a call in the form of a message's `tool_calls`.
fn tool_call(call: &Call, reply: &Reply) -> Value {
    let mut value = match reply.origins.get(&call.name).filter(|origin| origin.takes_text) {
        Some(_) => {
            let custom = json!({ "name": call.name, "input": tools::text_of_arguments(&call.args) });
            json!({ "id": call.id, "type": "custom", "custom": custom })
        }
        None => json!({ "id": call.id, "type": "function", "function": function(call) }),
    };
    if let Some(signature) = &call.signature {
        // The form of Google's own compatible endpoint: clients that know it send it back.
        value["extra_content"] = json!({ "google": { "thought_signature": signature } });
    }
    value
}

fn function(call: &Call) -> Value {
    json!({ "name": call.name, "arguments": call.args.to_string() })
}

/// The id of the images in our responses, by which they are recognized in a history.
pub(crate) const IMAGE: &str = "img_kp";

/// Returns an image or sound in the form that routers use in this dialect.
fn image(mime: &str, data: &str) -> Value {
    json!({ "id": IMAGE, "type": "image_url", "image_url": { "url": format!("data:{mime};base64,{data}") } })
}

fn annotation(source: &Source) -> Value {
    let Source { start, end, url, title } = source;
    let citation = json!({ "start_index": start, "end_index": end, "title": title, "url": url });
    json!({ "type": "url_citation", "url_citation": citation })
}

/// Returns a token with its log probability in the form of this dialect.
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
            "reasoning_tokens": usage.thoughts, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// A writer of a completion: chunks of a stream as they arrive, or the whole completion at the end.
pub(crate) struct Chat {
    reply: Reply,
    stream: bool,
    id: String,
    choices: BTreeMap<u32, Choice>,
    usage: Usage,
}

/// A completion or a chunk of it. A struct, because most chunks have one word, and a [`Value`] costs more than its text.
#[derive(Serialize)]
struct Completion<'a, C> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct ChunkChoice {
    index: u32,
    delta: Value,
    finish_reason: Option<&'static str>,
}

/// One candidate so far. If the response is streamed, only the calls and images are counted.
struct Choice {
    message: Value,
    calls: usize,
    images: usize,
    logprobs: Vec<Value>,
    finish_reason: &'static str,
}

impl Chat {
    pub(crate) fn new(reply: Reply, stream: bool) -> Self {
        Self { id: reply.id("chatcmpl-", ""), reply, stream, choices: BTreeMap::new(), usage: Usage::default() }
    }

    /// Returns a completion or a chunk of it.
    fn completion<C>(&self, object: &'static str, choices: Vec<C>, usage: Option<Value>) -> Completion<'_, C> {
        let Self { id, reply: Reply { created, model, .. }, .. } = self;
        Completion { id, object, created: *created, model, choices, usage }
    }

    fn write_chunk<C: Serialize>(&self, choices: Vec<C>, usage: Value, out: &mut Vec<u8>) {
        // The usage is `null` in all chunks but the last.
        let usage = self.reply.include_usage.then_some(usage);
        sse::write_data(&self.completion("chat.completion.chunk", choices, usage), out);
    }

    fn write_delta(&self, index: u32, delta: Value, finish_reason: Option<&'static str>, out: &mut Vec<u8>) {
        self.write_chunk(vec![ChunkChoice { index, delta, finish_reason }], Value::Null, out);
    }

    /// Returns a candidate. Its first chunk contains the role, and `content` as its text so far.
    fn choice(&mut self, index: u32, content: Option<&str>, out: &mut Vec<u8>) -> &mut Choice {
        if self.stream && !self.choices.contains_key(&index) {
            self.write_delta(index, json!({ "role": "assistant", "content": content }), None, out);
        }
        self.choices.entry(index).or_insert_with(|| Choice {
            message: json!({ "role": "assistant", "content": "", "refusal": null }),
            calls: 0,
            images: 0,
            logprobs: Vec::new(),
            finish_reason: "stop",
        })
    }

    /// Adds to a field of the message: appends to text and lists, and replaces other values.
    fn delta(&mut self, index: u32, field: &str, more: Value, out: &mut Vec<u8>) {
        let stream = self.stream;
        let choice = self.choice(index, Some(""), out);
        if stream {
            self.write_delta(index, json!({ field: more }), None, out);
            return;
        }
        match (&mut choice.message[field], more) {
            (Value::String(text), Value::String(more)) => text.push_str(&more),
            (Value::Array(list), Value::Array(more)) => list.extend(more),
            (value, more) => *value = more,
        }
    }

    fn call(&mut self, index: u32, call: &Call, out: &mut Vec<u8>) {
        let choice = self.choice(index, None, out);
        let number = choice.calls;
        choice.calls += 1;
        if !self.reply.legacy_functions {
            let mut value = tool_call(call, &self.reply);
            if self.stream {
                value["index"] = number.into();
            }
            self.delta(index, "tool_calls", json!([value]), out);
        } else if number == 0 {
            self.delta(index, "function_call", function(call), out);
        }
    }
}

impl Writer for Chat {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = self.reply.id("chatcmpl-", upstream),
            Event::Text { choice, text } => self.delta(*choice, "content", text.as_str().into(), out),
            Event::Thought { choice, text } => self.delta(*choice, "reasoning_content", text.as_str().into(), out),
            Event::Call { choice, call } => self.call(*choice, call, out),
            Event::Media { choice: index, mime, data } => {
                let (choice, mut image) = (self.choice(*index, Some(""), out), image(mime, data));
                image["index"] = choice.images.into();
                choice.images += 1;
                self.delta(*index, "images", json!([image]), out);
            }
            Event::Sources { choice, sources, .. } => {
                self.delta(*choice, "annotations", sources.iter().map(annotation).collect(), out);
            }
            Event::Logprobs { choice: index, tokens } => {
                let (tokens, stream) = (tokens.iter().map(token), self.stream);
                let choice = self.choice(*index, Some(""), out);
                if !stream {
                    choice.logprobs.extend(tokens);
                    return;
                }
                let logprobs = json!({ "content": tokens.collect::<Vec<_>>(), "refusal": null });
                let chunk = json!({ "index": index, "delta": {}, "logprobs": logprobs, "finish_reason": null });
                self.write_chunk(vec![chunk], Value::Null, out);
            }
            Event::Finish { choice: index, reason } => {
                let reason = finish_reason(*reason, &self.reply);
                self.choice(*index, Some(""), out).finish_reason = reason;
                if self.stream {
                    self.write_delta(*index, json!({}), Some(reason), out);
                }
            }
            Event::Usage(usage) => self.usage = *usage,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.stream {
            if self.reply.include_usage {
                self.write_chunk(Vec::<Value>::new(), usage(self.usage), out);
            }
            out.extend_from_slice(b"data: [DONE]\n\n");
            return Ok(());
        }
        let choice = |(index, choice): (u32, Choice)| {
            let Choice { mut message, calls, logprobs, finish_reason, .. } = choice;
            if calls > 0 && message["content"] == "" {
                message["content"] = Value::Null;
            }
            let logprobs = (!logprobs.is_empty()).then(|| json!({ "content": logprobs, "refusal": null }));
            json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason })
        };
        let choices: Vec<Value> = std::mem::take(&mut self.choices).into_iter().map(choice).collect();
        let completion = self.completion("chat.completion", choices, Some(usage(self.usage)));
        serde_json::to_writer(out, &completion).map_err(|_| Error::bad_upstream())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        // Without [DONE], so that clients do not take the completion for complete.
        sse::write_data(&error.value(Frontend::Chat), out);
    }
}
