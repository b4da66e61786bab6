//! Chat completions of the OpenAI-compatible endpoint.

use bytes::Bytes;
use serde_json::{Value, json};

use super::exchange::Exchange;
use crate::Finish;
use crate::answer::{Content, Format, FunctionCall, Generated, Reply};
use crate::check::check_prompt;
use crate::refusal::ApiError;

pub(super) fn complete(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let request = std::mem::take(&mut exchange.request);
    exchange.model()?;
    let prompt = to_prompt(&request)?;
    check_prompt("GenerateContentRequest", &prompt)?;
    let generated = exchange.generated(&prompt)?;
    let completion = Completion { generated: &generated, created: exchange.call.wall.as_second() };
    if request["stream"] != true {
        return Ok(completion.whole());
    }
    let with_usage = request["stream_options"]["include_usage"] == true;
    Ok(completion.stream(exchange.simulator.settings.chunks, with_usage))
}

/// The request as a `GenerateContentRequest`, in the form of [`crate::proto::read`].
fn to_prompt(request: &Value) -> Result<Value, ApiError> {
    let (mut system, mut contents) = (Vec::new(), Vec::new());
    for message in request["messages"].as_array().into_iter().flatten() {
        let Some(role) = message["role"].as_str() else {
            return Err(ApiError::malformed("Please use a valid role: user, model."));
        };
        let mut parts = to_parts(&message["content"])?;
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        parts.extend(calls.map(|call| json!({ "function_call": call["function"] })));
        match role {
            "system" | "developer" => system.extend(parts),
            "assistant" => contents.push(json!({ "role": "model", "parts": parts })),
            _ => contents.push(json!({ "role": "user", "parts": parts })),
        }
    }
    let mut prompt = json!({ "contents": contents, "generation_config": to_config(request) });
    if !system.is_empty() {
        prompt["system_instruction"] = json!({ "parts": system });
    }
    if let Some(tools) = request["tools"].as_array() {
        let functions = tools.iter().map(|tool| {
            let function = &tool["function"];
            let mut declaration = json!({ "name": function["name"], "description": function["description"] });
            if !function["parameters"].is_null() {
                declaration["parameters_json_schema"] = function["parameters"].clone();
            }
            declaration
        });
        prompt["tools"] = json!([{ "function_declarations": functions.collect::<Vec<_>>() }]);
    }
    let choice = &request["tool_choice"];
    if choice == "none" {
        prompt["tool_config"]["function_calling_config"] = json!({ "mode": "NONE" });
    }
    if choice == "required" || choice.is_object() {
        let names: Vec<_> = choice["function"]["name"].as_str().into_iter().collect();
        let config = json!({ "mode": "ANY", "allowed_function_names": names });
        prompt["tool_config"]["function_calling_config"] = config;
    }
    let cache = &request["extra_body"]["google"]["cached_content"];
    if cache.is_string() {
        prompt["cached_content"] = cache.clone();
    }
    Ok(prompt)
}

fn to_config(request: &Value) -> Value {
    const SAME: [(&str, &str); 6] = [
        ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"),
        ("n", "candidate_count"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("presence_penalty", "presence_penalty"),
    ];
    let mut config = json!({});
    for (name, native) in SAME.into_iter().filter(|(name, _)| !request[*name].is_null()) {
        config[native] = request[name].clone();
    }
    match &request["stop"] {
        Value::String(stop) => config["stop_sequences"] = json!([stop]),
        Value::Array(stops) => config["stop_sequences"] = stops.clone().into(),
        _ => {}
    }
    let format = &request["response_format"];
    if format["type"].as_str().is_some_and(|kind| kind.starts_with("json")) {
        config["response_mime_type"] = "application/json".into();
        let schema = &format["json_schema"]["schema"];
        if !schema.is_null() {
            config["response_json_schema"] = schema.clone();
        }
    }
    config
}

fn to_parts(content: &Value) -> Result<Vec<Value>, ApiError> {
    let part = |part: &Value| match part["type"].as_str()? {
        "text" => Some(json!({ "text": part["text"].as_str()? })),
        "image_url" => to_media(part["image_url"]["url"].as_str()?),
        "file" => to_media(part["file"]["file_data"].as_str()?),
        "input_audio" => {
            let mime_type = format!("audio/{}", part["input_audio"]["format"].as_str()?);
            Some(json!({ "inline_data": { "mime_type": mime_type, "data": part["input_audio"]["data"] } }))
        }
        _ => None,
    };
    let parts = match content {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(vec![json!({ "text": text })]),
        Value::Array(items) => items.iter().map(part).collect(),
        _ => None,
    };
    parts.ok_or_else(|| ApiError::malformed("Invalid content of a message."))
}

/// A `data:` URL, or a place elsewhere.
fn to_media(url: &str) -> Option<Value> {
    let Some(data) = url.strip_prefix("data:") else {
        let is_elsewhere = url.starts_with("https://") || url.starts_with("http://");
        return is_elsewhere.then(|| json!({ "file_data": { "file_uri": url } }));
    };
    let (mime_type, data) = data.split_once(";base64,")?;
    Some(json!({ "inline_data": { "mime_type": mime_type, "data": data } }))
}

struct Completion<'a> {
    generated: &'a Generated,
    /// In seconds since 1970.
    created: i64,
}

impl Completion<'_> {
    fn whole(&self) -> Reply {
        let (content, reason) = self.content();
        let mut message = delta(&content, None);
        message["role"] = "assistant".into();
        let mut whole = self.envelope("chat.completion", self.choices("message", &message, Some(reason)));
        whole["usage"] = self.usage();
        Reply::json(&whole)
    }

    /// The last event is `[DONE]`.
    fn stream(&self, chunks: usize, with_usage: bool) -> Reply {
        const CHUNK: &str = "chat.completion.chunk";
        let (content, reason) = self.content();
        let pieces = content.split(chunks);
        let (last, mut calls) = (pieces.len() - 1, 0);
        let mut events = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let mut delta = delta(piece, Some(calls));
            calls += if let Content::Calls(calls) = piece { calls.len() } else { 0 };
            if index == 0 {
                delta["role"] = "assistant".into();
            }
            let reason = (index == last).then_some(reason);
            events.push(self.envelope(CHUNK, self.choices("delta", &delta, reason)));
        }
        if with_usage {
            let mut usage = self.envelope(CHUNK, json!([]));
            usage["usage"] = self.usage();
            events.push(usage);
        }
        let mut events: Vec<Bytes> = events.iter().map(|event| format!("data: {event}\n\n").into()).collect();
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        Reply::stream(Format::Events, events)
    }

    /// What is said, and the `finish_reason`.
    fn content(&self) -> (Content, &'static str) {
        let content = &self.generated.content;
        let empty = Content::Text(String::new());
        match (&self.generated.finish, content) {
            (Some(Finish::Reason(_) | Finish::PromptBlocked(_)), _) => (empty, "content_filter"),
            (Some(Finish::OnlyThoughts), _) => (empty, "length"),
            (Some(Finish::Empty), _) => (empty, "stop"),
            (None, Content::Calls(_)) => (content.clone(), "tool_calls"),
            (None, Content::Text(_)) if self.generated.truncated => (content.clone(), "length"),
            (None, Content::Text(_) | Content::Blob { .. }) => (content.clone(), "stop"),
        }
    }

    fn usage(&self) -> Value {
        let (prompt, completion) =
            (self.generated.prompt_tokens, self.content().0.tokens() * self.generated.candidates);
        json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
    }

    fn choices(&self, name: &str, value: &Value, reason: Option<&str>) -> Value {
        (0..self.generated.candidates)
            .map(|index| json!({ "index": index, name: value, "finish_reason": reason }))
            .collect()
    }

    fn envelope(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": format!("chatcmpl-{}", self.generated.id),
            "object": object,
            "created": self.created,
            "model": self.generated.model,
            "choices": choices,
        })
    }
}

/// `first_index`: of the calls, where they stand in a stream.
fn delta(content: &Content, first_index: Option<usize>) -> Value {
    let call = |(index, call): (usize, &FunctionCall)| {
        let index = first_index.unwrap_or(0) + index;
        let mut value = json!({
            "id": format!("call_simulated_{index}"),
            "type": "function",
            "function": { "name": call.name, "arguments": call.args.to_string() },
        });
        if first_index.is_some() {
            value["index"] = index.into();
        }
        value
    };
    match content {
        Content::Text(text) => json!({ "content": text }),
        Content::Blob { .. } => json!({ "content": "" }),
        Content::Calls(calls) => json!({ "tool_calls": calls.iter().enumerate().map(call).collect::<Vec<_>>() }),
    }
}
