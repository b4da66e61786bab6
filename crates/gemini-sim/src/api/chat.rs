//! Chat completions of the OpenAI-compatible endpoint.

use bytes::Bytes;
use serde_json::{Value, json};

use super::exchange::Exchange;
use crate::answer::{Format, Reply};
use crate::check::check_prompt;
use crate::refusal::ApiError;

pub(super) fn complete(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let request = std::mem::take(&mut exchange.request);
    exchange.model()?;
    let prompt = to_prompt(&request)?;
    check_prompt("GenerateContentRequest", &prompt)?;
    let generated = exchange.generated(&prompt)?;
    let streamed = request["stream"] == true;
    let (object, field, chunks) = if streamed {
        ("chat.completion.chunk", "delta", exchange.simulator.settings.chunks)
    } else {
        ("chat.completion", "message", 1)
    };
    let envelope = |choices: Value| {
        json!({
            "id": format!("chatcmpl-{}", generated.id),
            "object": object,
            "created": exchange.call.wall.as_second(),
            "model": generated.model,
            "choices": choices,
        })
    };
    let (chunks, mut calls) = (generated.chunks(chunks), 0);
    let mut objects: Vec<Value> = chunks.iter().map(|chunk| envelope(choices(chunk, field, &mut calls))).collect();
    let usage = usage(chunks.last().unwrap_or(&Value::Null));
    if !streamed {
        objects[0]["usage"] = usage;
        return Ok(Reply::json(&objects[0]));
    }
    if request["stream_options"]["include_usage"] == true {
        objects.push(envelope(json!([])));
        objects.last_mut().expect("pushed above")["usage"] = usage;
    }
    let mut events: Vec<Bytes> = objects.iter().map(|object| format!("data: {object}\n\n").into()).collect();
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Ok(Reply::stream(Format::Events, events))
}

/// Converts the request to a `GenerateContentRequest`, in the form of [`crate::proto::read`].
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

/// Converts a `data:` URL or another URL to a part.
fn to_media(url: &str) -> Option<Value> {
    let Some(data) = url.strip_prefix("data:") else {
        let is_elsewhere = url.starts_with("https://") || url.starts_with("http://");
        return is_elsewhere.then(|| json!({ "file_data": { "file_uri": url } }));
    };
    let (mime_type, data) = data.split_once(";base64,")?;
    Some(json!({ "inline_data": { "mime_type": mime_type, "data": data } }))
}

/// Returns the choices of a chunk. `field` is `message` or `delta`; `calls` is the number of function calls in earlier
/// chunks.
fn choices(chunk: &Value, field: &str, calls: &mut usize) -> Value {
    let blocked = json!([{ "finishReason": "PROHIBITED_CONTENT" }]);
    let candidates = chunk.get("candidates").unwrap_or(&blocked).as_array();
    let first_call = *calls;
    let choice = |(index, candidate): (usize, &Value)| {
        let (mut text, mut tool_calls) = (String::new(), Vec::new());
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            text.push_str(part["text"].as_str().unwrap_or_default());
            if let Some(call) = part.get("functionCall") {
                let index = first_call + tool_calls.len();
                let function = json!({ "name": call["name"], "arguments": call["args"].to_string() });
                let id = format!("call_simulated_{index}");
                tool_calls.push(json!({ "index": index, "id": id, "type": "function", "function": function }));
            }
        }
        let reason = match candidate["finishReason"].as_str() {
            None => None,
            Some("STOP") if !tool_calls.is_empty() => Some("tool_calls"),
            Some("STOP") => Some("stop"),
            Some("MAX_TOKENS") => Some("length"),
            Some(_) => Some("content_filter"),
        };
        *calls = first_call + tool_calls.len();
        let mut message = json!({ "role": "assistant", "content": text });
        if !tool_calls.is_empty() {
            message = json!({ "role": "assistant", "tool_calls": tool_calls });
        }
        json!({ "index": index, field: message, "finish_reason": reason })
    };
    candidates.into_iter().flatten().enumerate().map(choice).collect()
}

fn usage(chunk: &Value) -> Value {
    let tokens = |name: &str| chunk["usageMetadata"][name].as_u64().unwrap_or(0);
    json!({
        "prompt_tokens": tokens("promptTokenCount"),
        "completion_tokens": tokens("candidatesTokenCount"),
        "total_tokens": tokens("totalTokenCount"),
    })
}
