//! Histories that move between providers: what we put into an answer is taken out again before it goes to another provider
//! in the provider's own dialect, which would refuse it.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{Frontend, anthropic::response::SIGNATURE};

/// A request for another provider without what is ours: thinking blocks that we signed, reasoning items and thought
/// signatures of Gemini's. `None`: there is nothing of ours in it, and it goes as it is.
pub fn without_ours(frontend: Frontend, body: &[u8]) -> Option<Bytes> {
    let marks: [&str; 2] = match frontend {
        Frontend::Messages => [SIGNATURE, "thinking"],
        Frontend::Chat => ["extra_content", "thought_signature"],
        Frontend::Responses => ["\"rs_kp", "reasoning"],
        _ => return None,
    };
    let has = |mark: &str| body.windows(mark.len()).any(|window| window == mark.as_bytes());
    if !marks.into_iter().all(has) {
        return None;
    }
    let mut request: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let changed = match frontend {
        Frontend::Messages => strip_messages(&mut request),
        Frontend::Chat => strip_chat(&mut request),
        _ => strip_responses(&mut request),
    };
    changed.then(|| Value::Object(request).to_string().into())
}

/// Takes our thinking blocks out. A message that had nothing else goes, and thinking is switched off where Anthropic would
/// want a thinking block of its own in front of the calls that are open.
fn strip_messages(request: &mut Map<String, Value>) -> bool {
    let Some(messages) = request.get_mut("messages").and_then(Value::as_array_mut) else { return false };
    let mut changed = false;
    let mut open_calls_lost_theirs = false;
    for message in messages.iter_mut() {
        let is_model = message["role"] == "assistant";
        let Some(blocks) = message["content"].as_array_mut() else { continue };
        let before = blocks.len();
        blocks.retain(|block| !(block["type"] == "thinking" && block["signature"] == SIGNATURE));
        let lost = blocks.len() < before;
        changed |= lost;
        if is_model {
            let calls = blocks.iter().any(|block| block["type"] == "tool_use");
            let thinks = blocks.iter().any(|block| block["type"] == "thinking" || block["type"] == "redacted_thinking");
            open_calls_lost_theirs = lost && calls && !thinks;
        }
    }
    messages.retain(|message| message["content"] != Value::Array(Vec::new()));
    let answers_calls = messages.last().is_some_and(|message| {
        message["content"].as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"))
    });
    if open_calls_lost_theirs && answers_calls && request.get("thinking").is_some_and(|it| it["type"] == "enabled") {
        request.shift_remove("thinking");
    }
    changed
}

fn strip_chat(request: &mut Map<String, Value>) -> bool {
    let mut changed = false;
    let messages = request.get_mut("messages").and_then(Value::as_array_mut);
    for message in messages.into_iter().flatten() {
        for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
            changed |= call.as_object_mut().is_some_and(|call| call.shift_remove("extra_content").is_some());
        }
    }
    changed
}

/// Reasoning items that hold nothing encrypted are none of OpenAI's own.
fn strip_responses(request: &mut Map<String, Value>) -> bool {
    let Some(items) = request.get_mut("input").and_then(Value::as_array_mut) else { return false };
    let before = items.len();
    let is_ours = |item: &Value| {
        item["type"] == "reasoning"
            && item["encrypted_content"].is_null()
            && item["id"].as_str().is_some_and(|id| id.starts_with("rs_kp"))
    };
    items.retain(|item| !is_ours(item));
    items.len() < before
}
