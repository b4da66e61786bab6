//! Chat completions of the OpenAI-compatible endpoint.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Call, Content, Generated, Reply};
use crate::Finish;
use crate::engine::Admission;
use crate::refusal::ApiError;
use crate::route::Form;

/// The request as a native prompt: what tokens are counted from, and what the
/// answer is made from.
pub(crate) fn native_prompt(request: &Value) -> Admission<Value> {
    let invalid = |what: &str| ApiError::invalid_argument("malformed", what);
    let messages = request["messages"].as_array();
    let (mut system, mut contents) = (Vec::new(), Vec::new());
    for message in messages.into_iter().flatten() {
        let Some(role) = message["role"].as_str() else {
            return Err(invalid("Please use a valid role: user, model."));
        };
        let mut parts = parts(&message["content"])?;
        if let Some(calls) = message["tool_calls"].as_array() {
            let call = |call: &Value| json!({ "functionCall": call["function"] });
            parts.extend(calls.iter().map(call));
        }
        match role {
            "system" | "developer" => system.extend(parts),
            "assistant" => contents.push(json!({ "role": "model", "parts": parts })),
            _ => contents.push(json!({ "role": "user", "parts": parts })),
        }
    }
    let mut prompt = json!({ "contents": contents, "generationConfig": {} });
    if !system.is_empty() {
        prompt["systemInstruction"] = json!({ "parts": system });
    }
    let most = ["max_completion_tokens", "max_tokens"].map(|name| request[name].as_u64());
    if let Some(most) = most.into_iter().flatten().next() {
        prompt["generationConfig"]["maxOutputTokens"] = most.into();
    }
    let same = [
        ("n", "candidateCount"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("presence_penalty", "presencePenalty"),
    ];
    for (name, native) in same.into_iter().filter(|(name, _)| !request[*name].is_null()) {
        prompt["generationConfig"][native] = request[name].clone();
    }
    if request["stop"].is_string() || request["stop"].is_array() {
        let stops = &request["stop"];
        let stops = if stops.is_string() { json!([stops]) } else { stops.clone() };
        prompt["generationConfig"]["stopSequences"] = stops;
    }
    if request["response_format"]["type"].as_str().is_some_and(|kind| kind.starts_with("json")) {
        prompt["generationConfig"]["responseMimeType"] = "application/json".into();
        let schema = &request["response_format"]["json_schema"]["schema"];
        if !schema.is_null() {
            prompt["generationConfig"]["responseJsonSchema"] = schema.clone();
        }
    }
    if let Some(tools) = request["tools"].as_array() {
        let functions: Vec<_> = tools.iter().map(|tool| tool["function"].clone()).collect();
        prompt["tools"] = json!([{ "functionDeclarations": functions }]);
    }
    let choice = &request["tool_choice"];
    if choice == "none" {
        prompt["toolConfig"]["functionCallingConfig"] = json!({ "mode": "NONE" });
    }
    if choice == "required" || choice.is_object() {
        let named: Vec<_> = choice["function"]["name"].as_str().into_iter().collect();
        prompt["toolConfig"]["functionCallingConfig"] = json!({ "mode": "ANY", "allowedFunctionNames": named });
    }
    let cached = &request["extra_body"]["google"]["cached_content"];
    if cached.is_string() {
        prompt["cachedContent"] = cached.clone();
    }
    Ok(prompt)
}

fn parts(content: &Value) -> Admission<Vec<Value>> {
    let invalid = || ApiError::invalid_argument("malformed", "Invalid content of a message.");
    let part = |part: &Value| match part["type"].as_str() {
        Some("text") if part["text"].is_string() => Ok(json!({ "text": part["text"] })),
        Some("image_url") => medium(part["image_url"]["url"].as_str()).ok_or_else(invalid),
        Some("input_audio") => {
            let format = part["input_audio"]["format"].as_str().ok_or_else(invalid)?;
            Ok(json!({ "inlineData": { "mimeType": format!("audio/{format}"), "data": part["input_audio"]["data"] } }))
        }
        Some("file") => medium(part["file"]["file_data"].as_str()).ok_or_else(invalid),
        _ => Err(invalid()),
    };
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![json!({ "text": text })]),
        Value::Array(items) => items.iter().map(part).collect(),
        _ => Err(invalid()),
    }
}

/// What a URL is of: data that stands in it, or what is fetched from elsewhere.
fn medium(url: Option<&str>) -> Option<Value> {
    let url = url?;
    let Some(data) = url.strip_prefix("data:") else {
        let is_elsewhere = url.starts_with("https://") || url.starts_with("http://");
        return is_elsewhere.then(|| json!({ "fileData": { "fileUri": url } }));
    };
    let (mime, data) = data.split_once(";base64,")?;
    Some(json!({ "inlineData": { "mimeType": mime, "data": data } }))
}

/// The whole answer, or its stream, ended by `[DONE]`.
pub(super) fn complete(answer: &Generated, request: &Value, created: i64, chunks: usize) -> Reply {
    let (content, reason) = outcome(answer);
    let tokens = content.tokens() * answer.copies as u64;
    let usage = json!({
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": answer.prompt_tokens + tokens,
    });
    let envelope = |object: &str, choices: Value| {
        json!({
            "id": format!("chatcmpl-{}", answer.id),
            "object": object,
            "created": created,
            "model": answer.model,
            "choices": choices,
        })
    };
    if request["stream"] != true {
        let mut message = delta(&content, true, 0);
        message["role"] = "assistant".into();
        let choice = |index| json!({ "index": index, "message": message, "finish_reason": reason });
        let choices = (0..answer.copies).map(choice).collect();
        let mut whole = envelope("chat.completion", choices);
        whole["usage"] = usage;
        return Reply::json(&whole);
    }
    let pieces = content.split(chunks);
    let last = pieces.len() - 1;
    let mut called = 0;
    let event = |value: &Value| Bytes::from(format!("data: {value}\n\n"));
    let mut events: Vec<Bytes> = pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| {
            let mut delta = delta(piece, false, called);
            called += if let Content::Calls(calls) = piece { calls.len() } else { 0 };
            if index == 0 {
                delta["role"] = "assistant".into();
            }
            let reason = (index == last).then_some(reason);
            let choice = |index| json!({ "index": index, "delta": delta, "finish_reason": reason });
            event(&envelope("chat.completion.chunk", (0..answer.copies).map(choice).collect()))
        })
        .collect();
    if request["stream_options"]["include_usage"] == true {
        let mut chunk = envelope("chat.completion.chunk", json!([]));
        chunk["usage"] = usage;
        events.push(event(&chunk));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Reply::stream(Form::Events, events)
}

fn outcome(answer: &Generated) -> (Content, &'static str) {
    let nothing = Content::Text(String::new());
    match &answer.finish {
        Some(Finish::Reason(_) | Finish::PromptBlocked(_)) => (nothing, "content_filter"),
        Some(Finish::OnlyThoughts) => (nothing, "length"),
        Some(Finish::Empty) => (nothing, "stop"),
        None => {
            let reason = match answer.content {
                Content::Calls(_) => "tool_calls",
                Content::Text(_) if answer.cut => "length",
                Content::Text(_) | Content::Blob { .. } => "stop",
            };
            (answer.content.clone(), reason)
        }
    }
}

/// `before`: the calls that stood in pieces before this one.
fn delta(content: &Content, whole: bool, before: usize) -> Value {
    match content {
        Content::Text(text) => json!({ "content": text }),
        Content::Blob { .. } => json!({ "content": "" }),
        Content::Calls(calls) => {
            let call = |(index, call): (usize, &Call)| {
                let mut shown = json!({
                    "id": format!("call_simulated_{}", before + index),
                    "type": "function",
                    "function": { "name": call.name, "arguments": call.args.to_string() },
                });
                if !whole {
                    shown["index"] = (before + index).into();
                }
                shown
            };
            json!({ "tool_calls": calls.iter().enumerate().map(call).collect::<Vec<_>>() })
        }
    }
}
