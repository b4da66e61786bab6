//! Shared helpers: requests and responses as values, and streams cut at any chunk boundary.

use keypool_dialect::{Error, Frontend, Mode, Outcome, Request, ResponseTranslator};
use serde_json::{Value, json};

pub(crate) const CHAT: Frontend = Frontend::Chat;
pub(crate) const RESPONSES: Frontend = Frontend::Responses;
pub(crate) const MESSAGES: Frontend = Frontend::Messages;
/// The three dialects in which every case is tested.
pub(crate) const ALL: [Frontend; 3] = [CHAT, RESPONSES, MESSAGES];

pub(crate) const MODEL: &str = "gemini-3.8-flash";

/// Returns a request that says hello, with these additional fields.
pub(crate) fn hello(frontend: Frontend, more: &Value) -> Value {
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    let mut body = match frontend {
        Frontend::Responses => json!({ "model": MODEL, "input": messages }),
        Frontend::Messages => json!({ "model": MODEL, "messages": messages, "max_tokens": 100 }),
        _ => json!({ "model": MODEL, "messages": messages }),
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub(crate) fn parse(frontend: Frontend, body: &Value) -> Result<Request, Error> {
    frontend.parse(body.to_string().as_bytes(), Mode::Strict)
}

pub(crate) fn parse_lax(frontend: Frontend, body: &Value) -> Result<Request, Error> {
    frontend.parse(body.to_string().as_bytes(), Mode::Lax)
}

/// Returns the body that Gemini gets for a parsed request.
pub(crate) fn native(request: &Request) -> Value {
    serde_json::from_slice(&request.encode().unwrap().body).unwrap()
}

/// Returns the body that Gemini gets for a request.
pub(crate) fn encoded(frontend: Frontend, body: &Value) -> Result<Value, Error> {
    let request = parse(frontend, body)?;
    Ok(serde_json::from_slice(&request.encode()?.body).unwrap())
}

/// Returns a response of Gemini with these parts.
pub(crate) fn gemini(parts: &Value, finish: &str) -> Value {
    json!({
        "candidates": [{ "content": { "role": "model", "parts": parts }, "finishReason": finish, "index": 0 }],
        "usageMetadata": { "promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10 },
        "responseId": "r1",
    })
}

pub(crate) fn answer(request: &Request) -> ResponseTranslator {
    request.answer("0abc", 1_800_000_000)
}

/// Converts a complete response for the caller, and returns its outcome.
pub(crate) fn whole(request: &Request, body: &Value) -> (Outcome, Result<Value, Error>) {
    let mut answer = answer(request);
    if let Err(error) = answer.whole(body.to_string().as_bytes()) {
        return (Outcome::Truncated, Err(error));
    }
    let outcome = answer.outcome();
    (outcome, answer.finish().map(|bytes| serde_json::from_slice(&bytes).unwrap()))
}

/// Formats events as Gemini does.
pub(crate) fn events(values: &[Value]) -> String {
    values.iter().map(|value| format!("data: {value}\r\n\r\n")).collect::<Vec<_>>().concat()
}

/// The result of converting a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Streamed {
    pub(crate) outcome: Outcome,
    /// Whether something was sent before the end of the stream.
    pub(crate) had_begun: bool,
    pub(crate) sent: Result<String, Error>,
}

impl Streamed {
    /// Returns the data of each event.
    pub(crate) fn data(&self) -> Vec<Value> {
        let sent = self.sent.as_ref().unwrap();
        let data = sent.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

fn feed(request: &Request, stream: &[u8], sizes: impl Iterator<Item = usize>) -> Streamed {
    let mut answer = answer(request);
    let (mut sent, mut rest) = (Vec::new(), stream);
    for size in sizes {
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        match answer.push(chunk) {
            Ok(bytes) => sent.extend_from_slice(&bytes),
            Err(error) => {
                return Streamed { outcome: answer.outcome(), had_begun: answer.has_begun(), sent: Err(error) };
            }
        }
    }
    let (outcome, had_begun) = (answer.outcome(), answer.has_begun());
    let sent = answer.finish().map(|bytes| {
        sent.extend_from_slice(&bytes);
        String::from_utf8(sent).unwrap()
    });
    Streamed { outcome, had_begun, sent }
}

/// Converts a stream, and checks that the result is the same when it is cut in two at many places or into single bytes.
pub(crate) fn streamed_raw(request: &Request, stream: &str) -> Streamed {
    let mut request = request.clone();
    request.conversation.stream = true;
    let stream = stream.as_bytes();
    let at_once = feed(&request, stream, std::iter::once(stream.len()));
    for at in (0..stream.len()).step_by(stream.len() / 40 + 1) {
        assert_eq!(feed(&request, stream, [at, stream.len() - at].into_iter()), at_once, "cut at {at}");
    }
    assert_eq!(feed(&request, stream, std::iter::repeat_n(1, stream.len())), at_once);
    at_once
}

pub(crate) fn streamed(request: &Request, values: &[Value]) -> Streamed {
    streamed_raw(request, &events(values))
}

/// Returns the ids, names and arguments of the calls in a response.
pub(crate) fn calls_of(frontend: Frontend, answer: &Value) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let parsed = |value: &Value| serde_json::from_str(value.as_str().unwrap()).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match frontend {
        Frontend::Responses => list(&answer["output"])
            .iter()
            .filter(|item| item["type"] == "function_call")
            .map(|item| (text(&item["call_id"]), text(&item["name"]), parsed(&item["arguments"])))
            .collect(),
        Frontend::Messages => list(&answer["content"])
            .iter()
            .filter(|block| block["type"] == "tool_use")
            .map(|block| (text(&block["id"]), text(&block["name"]), block["input"].clone()))
            .collect(),
        _ => list(&answer["choices"][0]["message"]["tool_calls"])
            .iter()
            .map(|call| (text(&call["id"]), text(&call["function"]["name"]), parsed(&call["function"]["arguments"])))
            .collect(),
    }
}

/// Returns a tool in the form of a dialect.
pub(crate) fn tool(frontend: Frontend, name: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "x": { "type": "string" } } });
    match frontend {
        Frontend::Responses => json!({ "type": "function", "name": name, "parameters": schema }),
        Frontend::Messages => json!({ "name": name, "input_schema": schema }),
        _ => json!({ "type": "function", "function": { "name": name, "parameters": schema } }),
    }
}

/// Returns a conversation with tool calls (ids and names) and their results (ids and texts).
pub(crate) fn history(frontend: Frontend, calls: &[(&str, &str)], results: &[(&str, &str)]) -> Value {
    let user = json!({ "role": "user", "content": "Go" });
    match frontend {
        Frontend::Responses => {
            let mut input = vec![user];
            input.extend(calls.iter().map(|(id, name)| {
                json!({ "type": "function_call", "call_id": id, "name": name, "arguments": "{\"x\":\"1\"}" })
            }));
            input.extend(
                results
                    .iter()
                    .map(|(id, said)| json!({ "type": "function_call_output", "call_id": id, "output": said })),
            );
            json!({ "model": MODEL, "input": input })
        }
        Frontend::Messages => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|(id, name)| json!({ "type": "tool_use", "id": id, "name": name, "input": { "x": "1" } }))
                .collect();
            let results: Vec<Value> = results
                .iter()
                .map(|(id, said)| json!({ "type": "tool_result", "tool_use_id": id, "content": said }))
                .collect();
            let mut messages = vec![user];
            messages.extend((!calls.is_empty()).then(|| json!({ "role": "assistant", "content": calls })));
            messages.extend((!results.is_empty()).then(|| json!({ "role": "user", "content": results })));
            json!({ "model": MODEL, "max_tokens": 100, "messages": messages })
        }
        _ => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|(id, name)| {
                    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "{\"x\":\"1\"}" } })
                })
                .collect();
            let mut messages = vec![user];
            messages.extend(
                (!calls.is_empty()).then(|| json!({ "role": "assistant", "content": null, "tool_calls": calls })),
            );
            messages.extend(
                results.iter().map(|(id, said)| json!({ "role": "tool", "tool_call_id": id, "content": said })),
            );
            json!({ "model": MODEL, "messages": messages })
        }
    }
}
