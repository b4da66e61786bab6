//! Cleaning of histories that move to another provider, which would reject the parts that we added to our responses.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{Frontend, anthropic::response as messages, ids};

type Body = Map<String, Value>;

/// Returns a request for another provider without our own parts: thinking blocks that we signed, Gemini's searches,
/// reasoning items, and fields that OpenAI's messages do not have. `None` if it contains none of them and can be sent
/// unchanged.
pub fn without_gateway_parts(frontend: Frontend, body: &[u8]) -> Option<Bytes> {
    let (marks, strip): ([&str; 2], fn(&mut Body)) = match frontend {
        Frontend::Messages => ([messages::SIGNATURE, messages::SEARCH], strip_messages),
        Frontend::Chat => (["extra_content", "_kp"], strip_chat),
        Frontend::Responses => (["\"rs_kp", "\"rs_kp"], strip_responses),
        _ => return None,
    };
    let has = |mark: &str| memchr::memmem::find(body, mark.as_bytes()).is_some();
    if !marks.into_iter().any(has) {
        return None;
    }
    let given: Body = serde_json::from_slice(body).ok()?;
    let mut request = given.clone();
    strip(&mut request);
    (request != given).then(|| Value::Object(request).to_string().into())
}

fn list(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Removes our blocks, and messages that had no others. Thinking is switched off if Anthropic would expect its own
/// thinking block before the open calls.
fn strip_messages(request: &mut Body) {
    let Some(history) = request.get_mut("messages").and_then(Value::as_array_mut) else { return };
    let is_ours = |block: &Value| {
        let id = block["id"].as_str().or(block["tool_use_id"].as_str()).unwrap_or_default();
        id.starts_with(messages::SEARCH) || block["type"] == "thinking" && block["signature"] == messages::SIGNATURE
    };
    let mut open_calls_lost_thinking = false;
    for message in history.iter_mut() {
        let is_model = message["role"] == "assistant";
        let Some(blocks) = message.get_mut("content").and_then(Value::as_array_mut) else { continue };
        let before = blocks.len();
        blocks.retain(|block| !is_ours(block));
        for citations in blocks.iter_mut().filter_map(|block| block.get_mut("citations")?.as_array_mut()) {
            citations.retain(|citation| citation["encrypted_index"] != "");
        }
        let has = |kind: &str| blocks.iter().any(|block| block["type"] == kind);
        if is_model {
            let thinks = has("thinking") || has("redacted_thinking");
            open_calls_lost_thinking = blocks.len() < before && has("tool_use") && !thinks;
        }
    }
    history.retain(|message| message["content"] != Value::Array(Vec::new()));
    let answers_calls = history.last().is_some_and(|message| {
        message["content"].as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"))
    });
    if open_calls_lost_thinking && answers_calls && request.get("thinking").is_some_and(|it| it["type"] == "enabled") {
        request.shift_remove("thinking");
    }
}

/// Removes our fields. Thoughts and images stay in messages without our calls: another provider may expect them back.
fn strip_chat(request: &mut Body) {
    for message in list(request.get_mut("messages")).filter_map(Value::as_object_mut) {
        let mut has_ours = false;
        for call in list(message.get_mut("tool_calls")).filter_map(Value::as_object_mut) {
            has_ours |= call.get("id").and_then(Value::as_str).is_some_and(ids::is_ours);
            call.shift_remove("extra_content");
        }
        message.retain(|name, _| !(has_ours && matches!(&**name, "reasoning_content" | "images")));
    }
}

/// Removes our reasoning items. Items with encrypted content are OpenAI's own.
fn strip_responses(request: &mut Body) {
    let Some(items) = request.get_mut("input").and_then(Value::as_array_mut) else { return };
    items.retain(|item| {
        let is_ours = item["id"].as_str().is_some_and(|id| id.starts_with("rs_kp"));
        item["type"] != "reasoning" || !item["encrypted_content"].is_null() || !is_ours
    });
}
