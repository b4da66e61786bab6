//! Cleaning of histories that move to another provider, which would reject the parts that we added to our responses.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{Frontend, anthropic::response as messages, content, ids, openai::chat_response::IMAGE};

type Body = Map<String, Value>;

/// Returns a request for another provider without our own parts: thinking blocks that we signed, Gemini's searches,
/// reasoning items, and fields that OpenAI's messages do not have. `None` if it contains none of them and can be sent
/// unchanged.
pub fn without_gateway_parts(frontend: Frontend, body: &[u8]) -> Option<Bytes> {
    let (marks, strip): (&[&str], fn(&mut Body)) = match frontend {
        // An empty list is the content of a message without text.
        Frontend::Messages => (&[messages::SIGNATURE, messages::IMAGE, "_kp", "[]"], strip_messages),
        Frontend::Chat => (&["_kp"], strip_chat),
        Frontend::Responses => (&["\"rs_kp", "\"fc_kp"], strip_responses),
        _ => return None,
    };
    let has = |mark: &&str| memchr::memmem::find(body, mark.as_bytes()).is_some();
    if !marks.iter().any(has) {
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

fn begins(value: &Value, front: &str) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(front))
}

/// Removes our blocks and images, and what Anthropic refuses although we sent it: blank texts, and messages without
/// content.
/// Thinking is switched off if Anthropic would expect its own thinking block before the open calls.
fn strip_messages(request: &mut Body) {
    let Some(history) = request.get_mut("messages").and_then(Value::as_array_mut) else { return };
    let is_ours = |block: &Value| {
        [&block["id"], &block["tool_use_id"]].into_iter().any(|id| begins(id, messages::SEARCH))
            || block["type"] == "thinking" && block["signature"] == messages::SIGNATURE
            || block["type"] == "text"
                && block["text"].as_str().is_some_and(|it| it.trim().is_empty() || content::image(it).is_some())
    };
    history.retain_mut(|message| {
        if message["role"] != "assistant" {
            return true;
        }
        let Some(blocks) = message.get_mut("content").and_then(Value::as_array_mut) else {
            return message["content"] != "";
        };
        blocks.retain(|block| !is_ours(block));
        for citations in blocks.iter_mut().filter_map(|block| block.get_mut("citations")?.as_array_mut()) {
            citations.retain(|citation| citation["encrypted_index"] != "");
        }
        !blocks.is_empty()
    });
    let has = |message: &Value, kind: &str| {
        message["content"].as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == kind))
    };
    let answers_calls = history.last().is_some_and(|message| has(message, "tool_result"));
    let called =
        history.iter().rfind(|message| message["role"] == "assistant").filter(|called| has(called, "tool_use"));
    let lacks_thinking = called.is_some_and(|called| {
        let first = &called["content"][0]["type"];
        first != "thinking" && first != "redacted_thinking"
    });
    if !answers_calls || !lacks_thinking || request.get("thinking").is_none_or(|it| it["type"] != "enabled") {
        return;
    }
    request.shift_remove("thinking");
    // Anthropic refuses this strategy without thinking.
    let edits = request.get_mut("context_management").and_then(|context| context.get_mut("edits")?.as_array_mut());
    if let Some(edits) = edits {
        edits.retain(|edit| !begins(&edit["type"], "clear_thinking"));
        if edits.is_empty() {
            request.shift_remove("context_management");
        }
    }
}

/// Removes our fields. Thoughts, and fields of others' calls, stay in messages without our calls: another provider may
/// expect them back.
fn strip_chat(request: &mut Body) {
    for message in list(request.get_mut("messages")).filter_map(Value::as_object_mut) {
        let mut has_ours = false;
        for call in list(message.get_mut("tool_calls")).filter_map(Value::as_object_mut) {
            if call.get("id").and_then(Value::as_str).is_some_and(ids::is_ours) {
                has_ours = true;
                call.shift_remove("extra_content");
            }
        }
        if let Some(Value::Array(images)) = message.get_mut("images") {
            images.retain(|image| image["id"] != IMAGE);
            if images.is_empty() {
                message.shift_remove("images");
            }
        }
        if has_ours {
            message.shift_remove("reasoning_content");
        }
    }
}

/// Removes our reasoning items (those with encrypted content are OpenAI's own), and ids of custom calls that have the
/// form of a function call's.
fn strip_responses(request: &mut Body) {
    let Some(items) = request.get_mut("input").and_then(Value::as_array_mut) else { return };
    items.retain(|item| {
        item["type"] != "reasoning" || !item["encrypted_content"].is_null() || !begins(&item["id"], "rs_kp")
    });
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        let is_custom = item.get("type").is_some_and(|kind| kind == "custom_tool_call");
        item.retain(|name, value| !(is_custom && name == "id" && begins(value, "fc_kp")));
    }
}
