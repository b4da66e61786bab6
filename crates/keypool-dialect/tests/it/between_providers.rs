//! Histories that move between providers.

use keypool_dialect::{Frontend, without_gateway_parts};
use serde_json::{Value, json};

use crate::support::{CHAT, MESSAGES, MODEL, RESPONSES, encoded, gemini, hello, native, parse, streamed, tool, whole};

/// Returns the request that another provider gets.
fn sent(frontend: Frontend, body: &Value) -> Value {
    without_gateway_parts(frontend, body.to_string().as_bytes())
        .map_or_else(|| body.clone(), |bytes| serde_json::from_slice(&bytes).unwrap())
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

/// Returns Gemini's response to a request with the function `one`, in the caller's dialect.
fn answer(frontend: Frontend, parts: &Value) -> Value {
    let request = parse(frontend, &hello(frontend, &json!({ "tools": [tool(frontend, "one")] }))).unwrap();
    whole(&request, &gemini(parts, "STOP")).1.unwrap()
}

fn call() -> Value {
    json!({ "functionCall": { "name": "one", "args": {} }, "thoughtSignature": "c2ln" })
}

#[test]
fn signatures_of_other_providers_calls_are_kept() {
    let theirs = json!({
        "id": "function-call-1", "type": "function", "function": { "name": "one", "arguments": "{}" },
        "extra_content": { "google": { "thought_signature": "abc" } },
    });
    let ours = answer(CHAT, &json!([call()]))["choices"][0]["message"].clone();
    let body = json!({ "model": "m", "messages": [user("Go"), { "role": "assistant", "tool_calls": [theirs] }, ours] });
    let messages = sent(CHAT, &body)["messages"].clone();
    assert_eq!(messages[1]["tool_calls"][0], theirs);
    assert!(ours.to_string().contains("extra_content"));
    assert!(!messages[2].to_string().contains("extra_content"));
}

#[test]
fn thinking_is_off_if_geminis_open_call_has_no_thoughts() {
    let thinking = json!({ "type": "enabled", "budget_tokens": 1_024 });
    let ours = answer(MESSAGES, &json!([call()]))["content"].clone();
    let result = |id: &Value| json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "ok" }] });
    let body = |messages: Value, edits: Value| json!({ "model": "claude", "thinking": thinking, "messages": messages, "context_management": { "edits": edits } });
    let assistant = |content: &Value| json!({ "role": "assistant", "content": content });
    let clear = json!({ "type": "clear_thinking_20251015", "keep": "all" });
    let other = json!({ "type": "clear_tool_uses_20250919" });
    let open = json!([user("Go"), assistant(&ours), result(&ours[0]["id"])]);
    let moved = sent(MESSAGES, &body(open.clone(), json!([clear])));
    assert!(moved.get("thinking").is_none() && moved.get("context_management").is_none(), "{moved}");
    let moved = sent(MESSAGES, &body(open.clone(), json!([clear, other])));
    assert_eq!(moved["context_management"]["edits"], json!([other]));
    // Claude's own open call, after one of Gemini.
    let theirs = json!([
        { "type": "thinking", "thinking": "t", "signature": "Claude's" },
        { "type": "tool_use", "id": "toolu_1", "name": "one", "input": {} },
    ]);
    let mut later = open.as_array().unwrap().clone();
    later.extend([assistant(&theirs), result(&json!("toolu_1"))]);
    assert_eq!(sent(MESSAGES, &body(later.into(), json!([clear])))["thinking"], thinking);
    // The call is answered already.
    let mut done = open.as_array().unwrap().clone();
    done.extend([assistant(&json!([{ "type": "text", "text": "Done" }])), user("More")]);
    assert_eq!(sent(MESSAGES, &body(done.into(), json!([clear])))["thinking"], thinking);
}

#[test]
fn blank_text_is_no_block() {
    let kinds = |content: &Value| -> Vec<String> {
        content.as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
    };
    let request = parse(MESSAGES, &hello(MESSAGES, &json!({ "tools": [tool(MESSAGES, "one")] }))).unwrap();
    let blank = json!([{ "text": "\n" }, call(), { "text": " " }]);
    assert_eq!(kinds(&answer(MESSAGES, &blank)["content"]), ["tool_use"]);
    let data = streamed(&request, &[gemini(&json!([{ "text": "\n" }]), ""), gemini(&json!([call()]), "STOP")]).data();
    let starts: Vec<&Value> = data.iter().filter(|event| event["type"] == "content_block_start").collect();
    assert_eq!(
        (starts.len(), &starts[0]["content_block"]["type"], &starts[0]["index"]),
        (1, &json!("tool_use"), &json!(0))
    );
    // White space before text belongs to it.
    let content = answer(MESSAGES, &json!([{ "text": "\n" }, { "text": " a" }, { "text": "\n" }]))["content"].clone();
    assert_eq!(content, json!([{ "type": "text", "text": "\n a\n" }]));
    let streamed =
        streamed(&request, &[gemini(&json!([{ "text": "\n" }]), ""), gemini(&json!([{ "text": "a" }]), "STOP")]);
    assert_eq!(streamed.data()[2]["delta"]["text"], "\na");
}

#[test]
fn blank_blocks_and_empty_messages_are_not_sent_to_anthropic() {
    let ours = answer(MESSAGES, &json!([call()]))["content"].clone();
    let blank = json!({ "type": "text", "text": "\n" });
    let result = json!([{ "type": "tool_result", "tool_use_id": ours[0]["id"], "content": "ok" }]);
    let body = json!({ "model": "claude", "messages": [
        user("Go"), { "role": "assistant", "content": [blank, ours[0]] }, { "role": "user", "content": result },
    ] });
    assert_eq!(sent(MESSAGES, &body)["messages"][1]["content"], ours);
    let body =
        json!({ "model": "claude", "messages": [user("Go"), { "role": "assistant", "content": [] }, user("On")] });
    assert_eq!(sent(MESSAGES, &body)["messages"], json!([user("Go"), user("On")]));
}

#[test]
fn custom_calls_have_ids_that_openai_accepts() {
    let request =
        parse(RESPONSES, &hello(RESPONSES, &json!({ "tools": [{ "type": "custom", "name": "apply" }] }))).unwrap();
    let called = json!([{ "functionCall": { "name": "apply", "args": { "input": "p" } } }]);
    let item = whole(&request, &gemini(&called, "STOP")).1.unwrap()["output"][0].clone();
    assert!(item["id"].as_str().unwrap().starts_with("ctc_"), "{item}");
    let mut older = item;
    older["id"] = "fc_kp0abcx0".into();
    let function =
        json!({ "type": "function_call", "id": "fc_kp0abcx1", "call_id": "c", "name": "f", "arguments": "{}" });
    let input = sent(RESPONSES, &json!({ "model": "gpt", "input": [older, function] }))["input"].clone();
    assert!(input[0].get("id").is_none() && input[0]["call_id"] == older["call_id"]);
    assert_eq!(input[1], function);
}

#[test]
fn our_images_are_not_sent_to_openai() {
    let image = json!({ "inlineData": { "mimeType": "image/png", "data": "AAAA" } });
    let ours = answer(CHAT, &json!([{ "text": "see" }, image]))["choices"][0]["message"].clone();
    let theirs = json!({ "role": "assistant", "content": "a", "images": [{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }] });
    let body = json!({ "model": "gpt", "messages": [user("Go"), ours, user("On"), theirs] });
    let messages = sent(CHAT, &body)["messages"].clone();
    assert!(ours["images"].is_array() && messages[1].get("images").is_none(), "{messages}");
    assert_eq!(messages[3], theirs);
}

#[test]
fn our_images_are_not_sent_to_anthropic() {
    let image = json!({ "inlineData": { "mimeType": "image/png", "data": "AAAA" } });
    let ours = answer(MESSAGES, &json!([{ "text": "see" }, image]))["content"].clone();
    let body = json!({ "model": "claude", "messages": [user("Go"), { "role": "assistant", "content": ours }] });
    assert_eq!(sent(MESSAGES, &body)["messages"][1]["content"], json!([{ "type": "text", "text": "see" }]));
}

#[test]
fn blocks_that_only_another_provider_understands_become_text() {
    let text = |content: &Value| content["contents"].to_string();
    for block in [
        json!({ "type": "mcp_tool_listing", "mcp_server_name": "MARK", "tools": [] }),
        json!({ "type": "from_the_future", "x": "MARK" }),
        json!({ "type": "mcp_tool_use", "id": "m", "name": "MARK", "input": {} }),
    ] {
        let messages = json!([user("a"), { "role": "assistant", "content": [block] }, user("b")]);
        let body = json!({ "model": MODEL, "max_tokens": 9, "messages": messages });
        assert!(text(&encoded(MESSAGES, &body).unwrap()).contains("MARK"), "{block}");
    }
    for block in [
        json!({ "type": "container_upload", "file_id": "MARK" }),
        json!({ "type": "tool_addition", "tool": { "type": "tool_reference", "tool_name": "MARK" } }),
        json!({ "type": "tool_removal", "tool": { "type": "tool_reference", "tool_name": "MARK" } }),
    ] {
        for role in ["user", "system"] {
            let messages = json!([user("a"), { "role": role, "content": [block] }]);
            let body = json!({ "model": MODEL, "max_tokens": 9, "messages": messages });
            assert!(text(&encoded(MESSAGES, &body).unwrap()).contains("MARK"), "{block}");
        }
    }
    for item in [
        json!({ "type": "program", "id": "p", "call_id": "c", "code": "MARK", "fingerprint": "f" }),
        json!({ "type": "from_the_future", "x": "MARK" }),
    ] {
        let body = json!({ "model": MODEL, "input": [user("a"), item, user("b")] });
        assert!(text(&encoded(RESPONSES, &body).unwrap()).contains("MARK"), "{item}");
    }
    let typo = json!({ "type": "mesage", "role": "user", "content": "a" });
    let error = parse(RESPONSES, &json!({ "model": MODEL, "input": [typo] })).unwrap_err();
    assert_eq!(error.param(), Some("input[0].type"));
}

#[test]
fn documents_in_results_may_have_citations_and_images() {
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } });
    let found = json!({
        "type": "search_result", "source": "https://a", "title": "t", "content": [{ "type": "text", "text": "found" }],
        "citations": { "enabled": true },
    });
    let document = json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "inner" }, image] } });
    let call = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} });
    let result = json!({ "type": "tool_result", "tool_use_id": "t", "content": [found] });
    let messages = json!([user("a"), { "role": "assistant", "content": [call] }, { "role": "user", "content": [result, document] }]);
    let request = parse(MESSAGES, &json!({ "model": MODEL, "max_tokens": 9, "messages": messages })).unwrap();
    assert_eq!(request.ignored(), ["citations"]);
    let contents = native(&request)["contents"].clone();
    assert!(contents[2].to_string().contains("found"));
    let parts = json!([{ "text": "inner" }, { "inlineData": { "mimeType": "image/png", "data": "AAAA" } }]);
    assert_eq!(contents[3]["parts"], parts);
}

#[test]
fn call_in_two_forms_of_one_message_counts_once() {
    let call = json!({ "id": "t", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let block = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} });
    let result = json!({ "role": "tool", "tool_call_id": "t", "content": "x" });
    for message in [
        json!({ "role": "assistant", "content": [{ "type": "text", "text": "a" }, block], "tool_calls": [call] }),
        json!({ "role": "assistant", "content": "a", "tool_calls": [call], "function_call": call["function"] }),
    ] {
        let contents = encoded(CHAT, &json!({ "model": MODEL, "messages": [user("Go"), message, result] })).unwrap();
        assert_eq!(contents["contents"][1]["parts"].as_array().unwrap().len(), 2, "{contents}");
        assert_eq!(contents["contents"][2]["parts"].as_array().unwrap().len(), 1, "{contents}");
    }
}
