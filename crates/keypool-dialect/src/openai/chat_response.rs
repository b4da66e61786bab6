//! The answer to a chat: `chat.completion`, and `chat.completion.chunk` in a stream.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::tools;
use crate::{Call, Error, Event, Finish, Frontend, Source, Token, Usage, answer::Writer, request::Reply, sse};

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
    let mut value = match reply.origins.0.get(&call.name).filter(|origin| origin.takes_text) {
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
    json!({ "name": call.name, "arguments": call.args.get() })
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
    choices: BTreeMap<u32, Choice>,
    usage: Usage,
}

#[derive(Default)]
struct Choice {
    text: String,
    thoughts: String,
    calls: Vec<Value>,
    function_call: Option<Value>,
    images: Vec<Value>,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    finish: Option<Finish>,
}

impl Completion {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { id: id("", &reply), reply, choices: BTreeMap::new(), usage: Usage::default() }
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        self.choices.entry(choice).or_default()
    }
}

impl Choice {
    fn value(self, index: u32, reply: &Reply) -> Value {
        let has_calls = !self.calls.is_empty() || self.function_call.is_some();
        let content = if self.text.is_empty() && has_calls { Value::Null } else { self.text.into() };
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
        let mut put = |name: &str, value: Value, there: bool| {
            if there {
                message[name] = value;
            }
        };
        put("reasoning_content", (&*self.thoughts).into(), !self.thoughts.is_empty());
        put("tool_calls", self.calls.clone().into(), !self.calls.is_empty());
        put("function_call", self.function_call.clone().unwrap_or_default(), self.function_call.is_some());
        put("images", self.images.clone().into(), !self.images.is_empty());
        put("annotations", self.annotations.clone().into(), !self.annotations.is_empty());
        let logprobs = (!self.logprobs.is_empty()).then(|| json!({ "content": self.logprobs, "refusal": null }));
        let finish = finish_reason(self.finish.unwrap_or(Finish::Stop), reply);
        json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish })
    }
}

impl Writer for Completion {
    fn event(&mut self, event: &Event, _: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice, text } => self.choice(*choice).text.push_str(text),
            Event::Thought { choice, text } => self.choice(*choice).thoughts.push_str(text),
            Event::Call { choice, call } if self.reply.legacy_functions => {
                self.choice(*choice).function_call.get_or_insert_with(|| function(call));
            }
            Event::Call { choice, call } => {
                let call = tool_call(call, &self.reply);
                self.choice(*choice).calls.push(call);
            }
            Event::Media { choice, mime, data } => self.choice(*choice).images.push(image(mime, data)),
            Event::Logprobs { choice, tokens } => self.choice(*choice).logprobs.extend(tokens.iter().map(token)),
            Event::Sources { choice, sources, .. } => {
                self.choice(*choice).annotations.extend(sources.iter().map(annotation));
            }
            Event::Finish { choice, reason } => self.choice(*choice).finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let choices = std::mem::take(&mut self.choices).into_iter();
        let choices: Vec<Value> = choices.map(|(index, choice)| choice.value(index, &self.reply)).collect();
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

#[derive(Serialize)]
struct Chunk<'c> {
    id: &'c str,
    object: &'static str,
    created: i64,
    model: &'c str,
    choices: &'c [ChunkChoice<'c>],
    /// `null` in all chunks but the last, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct ChunkChoice<'c> {
    index: u32,
    delta: Delta<'c>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'c str>,
    /// What else there is.
    #[serde(flatten)]
    more: Option<Map<String, Value>>,
}

impl<'c> Delta<'c> {
    fn more(name: &str, value: Value) -> Self {
        Self { more: Some(Map::from_iter([(name.to_owned(), value)])), ..Self::default() }
    }
}

impl Chunks {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { id: id("", &reply), reply, begun: BTreeMap::new(), usage: Usage::default() }
    }

    fn write(&self, choices: &[ChunkChoice<'_>], usage: Option<Value>, out: &mut Vec<u8>) {
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.reply.created,
            model: &self.reply.model,
            choices,
            usage,
        };
        sse::write_data(&chunk, out);
    }

    fn choice(&self, choice: ChunkChoice<'_>, out: &mut Vec<u8>) {
        self.write(&[choice], self.reply.include_usage.then_some(Value::Null), out);
    }

    fn delta(&mut self, index: u32, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.begin(index, out);
        self.choice(ChunkChoice { index, delta, logprobs: None, finish_reason: None }, out);
    }

    /// The first chunk of an answer says whose it is.
    fn begin(&mut self, index: u32, out: &mut Vec<u8>) -> usize {
        if let Some(calls) = self.begun.get(&index) {
            return *calls;
        }
        self.begun.insert(index, 0);
        let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
        self.choice(ChunkChoice { index, delta, logprobs: None, finish_reason: None }, out);
        0
    }
}

impl Writer for Chunks {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: upstream } => self.id = id(upstream, &self.reply),
            Event::Text { choice, text } => {
                self.delta(*choice, Delta { content: Some(text), ..Delta::default() }, out);
            }
            Event::Thought { choice, text } => {
                self.delta(*choice, Delta { reasoning_content: Some(text), ..Delta::default() }, out);
            }
            Event::Call { choice, call } => {
                let count = self.begin(*choice, out);
                self.begun.insert(*choice, count + 1);
                if self.reply.legacy_functions {
                    if count == 0 {
                        self.delta(*choice, Delta::more("function_call", function(call)), out);
                    }
                    return;
                }
                let mut value = tool_call(call, &self.reply);
                value["index"] = count.into();
                self.delta(*choice, Delta::more("tool_calls", json!([value])), out);
            }
            Event::Media { choice, mime, data } => {
                self.delta(*choice, Delta::more("images", json!([image(mime, data)])), out);
            }
            Event::Logprobs { choice, tokens } => {
                self.begin(*choice, out);
                let tokens: Vec<Value> = tokens.iter().map(token).collect();
                let logprobs = Some(json!({ "content": tokens, "refusal": null }));
                self.choice(
                    ChunkChoice { index: *choice, delta: Delta::default(), logprobs, finish_reason: None },
                    out,
                );
            }
            Event::Sources { choice, sources, .. } => {
                let annotations = sources.iter().map(annotation).collect();
                self.delta(*choice, Delta::more("annotations", annotations), out);
            }
            Event::Finish { choice, reason } => {
                self.begin(*choice, out);
                let finish_reason = Some(finish_reason(*reason, &self.reply));
                self.choice(
                    ChunkChoice { index: *choice, delta: Delta::default(), logprobs: None, finish_reason },
                    out,
                );
            }
            Event::Usage(usage) => self.usage = *usage,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.reply.include_usage {
            self.write(&[], Some(usage(self.usage)), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        // Without [DONE], so that nobody takes the answer for a whole one.
        sse::write_data(&error.value(Frontend::Chat), out);
    }
}
