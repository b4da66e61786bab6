//! Messages, as the upstream gets them and as their clients get its answers.

use keypool_dialect::{Caller, Fault, Kind, anthropic::Anthropic};
use serde_json::{Value, json};

use crate::support::{asked, data, events, streamed, whole};

fn with(more: Value) -> Value {
    let mut body =
        json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[track_caller]
fn becomes(more: Value, expected: Value) {
    let mut got = asked(&Anthropic, &with(more)).unwrap();
    let got = got.as_object_mut().unwrap();
    if expected.get("contents").is_none() {
        got.remove("contents");
    }
    if let Some(config) = got.get_mut("generationConfig") {
        config.as_object_mut().unwrap().remove("maxOutputTokens");
        if *config == json!({}) {
            got.remove("generationConfig");
        }
    }
    assert_eq!(json!(got), expected);
}

#[test]
fn fields() {
    assert_eq!(asked(&Anthropic, &with(json!({}))).unwrap()["generationConfig"], json!({ "maxOutputTokens": 9 }));
    let config = |more: Value, expected: Value| becomes(more, json!({ "generationConfig": expected }));
    config(
        json!({ "temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["a"] }),
        json!({ "temperature": 0.5, "topP": 0.9, "topK": 5, "stopSequences": ["a"] }),
    );
    // Nothing is where anything ends, and not one that the upstream takes; a blank is one.
    config(json!({ "stop_sequences": ["", "a", "\n", " "] }), json!({ "stopSequences": ["a", "\n", " "] }));
    for nothing in [json!([]), json!([""]), json!(null)] {
        becomes(json!({ "stop_sequences": nothing }), json!({}));
    }
    config(
        json!({ "thinking": { "type": "enabled", "budget_tokens": 2_000 } }),
        json!({ "thinkingConfig": { "includeThoughts": true, "thinkingBudget": 2_000 } }),
    );
    config(json!({ "thinking": { "type": "disabled" } }), json!({ "thinkingConfig": { "thinkingBudget": 0 } }));
    config(json!({ "thinking": { "type": "adaptive" } }), json!({ "thinkingConfig": { "includeThoughts": true } }));
    config(json!({ "output_config": { "effort": "low" } }), json!({ "thinkingConfig": { "thinkingBudget": 1_024 } }));
    config(
        json!({ "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } } }),
        json!({ "responseMimeType": "application/json", "responseJsonSchema": { "type": "object" } }),
    );
    becomes(json!({ "system": "be" }), json!({ "systemInstruction": { "parts": [{ "text": "be" }] } }));
    becomes(
        json!({ "system": [{ "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } }, { "type": "text", "text": "b" }] }),
        json!({ "systemInstruction": { "parts": [{ "text": "a" }, { "text": "b" }] } }),
    );
}

#[test]
fn tools() {
    let tools = json!([{ "name": "f", "description": "d", "input_schema": { "type": "object" }, "cache_control": { "type": "ephemeral" } }]);
    let declared = json!([{ "functionDeclarations": [{ "name": "f", "description": "d", "parametersJsonSchema": { "type": "object" } }] }]);
    for (choice, calling) in [
        (json!({ "type": "auto" }), json!({ "mode": "AUTO" })),
        (json!({ "type": "any", "disable_parallel_tool_use": true }), json!({ "mode": "ANY" })),
        (json!({ "type": "none" }), json!({ "mode": "NONE" })),
        (json!({ "type": "tool", "name": "f" }), json!({ "mode": "ANY", "allowedFunctionNames": ["f"] })),
    ] {
        becomes(
            json!({ "tools": tools, "tool_choice": choice }),
            json!({ "tools": declared, "toolConfig": { "functionCallingConfig": calling } }),
        );
    }
}

#[test]
fn blocks() {
    becomes(
        json!({ "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" } },
                { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "plain" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "hm", "signature": "keypool" },
                { "type": "redacted_thinking", "data": "x" },
                { "type": "text", "text": "I call" },
                { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "x": 1 } },
                { "type": "tool_use", "id": "toolu_2", "name": "g", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "toolu_1", "content": [
                    { "type": "text", "text": "seen" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "CCCC" } },
                ] },
                { "type": "tool_result", "tool_use_id": "toolu_2", "content": "broke", "is_error": true },
                { "type": "text", "text": "go on" },
            ] },
        ] }),
        json!({ "contents": [
            { "role": "user", "parts": [
                { "text": "look" },
                { "inlineData": { "mimeType": "image/png", "data": "AAAA" } },
                { "inlineData": { "mimeType": "application/pdf", "data": "BBBB" } },
                { "text": "plain" },
            ] },
            { "role": "model", "parts": [
                { "text": "I call" },
                { "functionCall": { "name": "f", "args": { "x": 1 } } },
                { "functionCall": { "name": "g", "args": {} } },
            ] },
            { "role": "user", "parts": [
                { "functionResponse": { "name": "f", "response": { "result": "seen" } } },
                { "functionResponse": { "name": "g", "response": { "error": "broke" } } },
            ] },
            { "role": "user", "parts": [{ "inlineData": { "mimeType": "image/png", "data": "CCCC" } }, { "text": "go on" }] },
        ] }),
    );
}

/// Gemini's own files, by the names that it gave them.
#[test]
fn files_of_geminis_are_named_by_their_ids() {
    let file = |kind: &str| json!({ "type": kind, "source": { "type": "file", "file_id": "files/abc" } });
    let user = |block: Value| json!([{ "role": "user", "content": [block] }]);
    let part = json!({ "fileData": { "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc" } });
    for kind in ["image", "document"] {
        let contents = json!([{ "role": "user", "parts": [part] }]);
        becomes(json!({ "messages": user(file(kind)) }), json!({ "contents": contents }));
    }
    for (id, field) in [("file_011CNha8iCJcU1wXNR6q4V8w", ".source.file_id"), ("", ".source.file_id")] {
        let block = json!({ "type": "document", "source": { "type": "file", "file_id": id } });
        let fault = asked(&Anthropic, &with(json!({ "messages": user(block) }))).unwrap_err();
        assert!(fault.message.starts_with(&format!("messages.0.content.0{field}")), "{}", fault.message);
    }
}

#[test]
fn what_cannot_be_had_is_named() {
    let user = |block: Value| json!([{ "role": "user", "content": [block] }]);
    for messages in [
        user(json!({ "type": "image", "source": { "type": "url", "url": "https://example.com/x.png" } })),
        user(json!({ "type": "image", "source": { "type": "file", "file_id": "f" } })),
        user(json!({ "type": "search_result" })),
        user(json!({ "type": "tool_result", "tool_use_id": "unknown" })),
        user(json!({ "type": "tool_use", "id": "a", "name": "f", "input": "x" })),
    ] {
        let fault = asked(&Anthropic, &with(json!({ "messages": messages }))).unwrap_err();
        assert!(fault.message.starts_with("messages.0.content.0"), "{}", fault.message);
    }
}

fn answer() -> Value {
    json!({
        "candidates": [{ "content": { "parts": [
            { "text": "hm", "thought": true },
            { "text": "I " }, { "text": "call" },
            { "functionCall": { "name": "f", "args": { "x": 1 } } },
        ] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5 },
        "responseId": "r1",
    })
}

#[test]
fn a_whole_message() {
    let mut message = whole(&Anthropic, &answer()).unwrap();
    let id = message["content"][2]["id"].take();
    assert!(id.as_str().unwrap().starts_with("toolu_"));
    assert_eq!(
        message,
        json!({
            "id": "msg_r1", "type": "message", "role": "assistant", "model": "gemini-3.8-flash",
            "content": [
                { "type": "thinking", "thinking": "hm", "signature": "keypool" },
                { "type": "text", "text": "I call" },
                { "type": "tool_use", "id": null, "name": "f", "input": { "x": 1 } },
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 5 },
        })
    );
}

#[test]
fn the_same_in_pieces() {
    let said = streamed(&Anthropic, &events(&[answer()]), 13);
    let pieces: Vec<Value> = data(&said).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let told: Vec<String> = pieces
        .iter()
        .map(|piece| {
            let kind = piece["type"].as_str().unwrap();
            let inner = piece["content_block"]["type"].as_str().or(piece["delta"]["type"].as_str());
            format!("{kind} {} {}", piece["index"], inner.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        told,
        [
            "message_start null ",
            "content_block_start 0 thinking",
            "content_block_delta 0 thinking_delta",
            "content_block_delta 0 signature_delta",
            "content_block_stop 0 ",
            "content_block_start 1 text",
            "content_block_delta 1 text_delta",
            "content_block_delta 1 text_delta",
            "content_block_stop 1 ",
            "content_block_start 2 tool_use",
            "content_block_delta 2 input_json_delta",
            "content_block_stop 2 ",
            "message_delta null ",
            "message_stop null ",
        ]
    );
    assert_eq!(pieces[0]["message"]["usage"]["input_tokens"], 6);
    assert_eq!(pieces[10]["delta"]["partial_json"], r#"{"x":1}"#);
    assert_eq!(pieces[12]["delta"]["stop_reason"], "tool_use");
    let names: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names.len(), pieces.len());
    assert!(names.iter().zip(&pieces).all(|(name, piece)| piece["type"] == *name));
}

#[test]
fn faults() {
    for (kind, status, name) in [
        (Kind::Invalid, 400, "invalid_request_error"),
        (Kind::Unauthenticated, 401, "authentication_error"),
        (Kind::Billing, 402, "billing_error"),
        (Kind::Denied, 403, "permission_error"),
        (Kind::NotFound, 404, "not_found_error"),
        (Kind::TooLarge, 413, "request_too_large"),
        (Kind::Encoded, 415, "invalid_request_error"),
        (Kind::RateLimited, 429, "rate_limit_error"),
        (Kind::Internal, 500, "api_error"),
        (Kind::NoKeys, 503, "overloaded_error"),
        (Kind::Overloaded, 529, "overloaded_error"),
    ] {
        let refused = Anthropic.refused(&Fault::new(kind, "why"));
        let body: Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(
            (refused.status.as_u16(), &body["type"], &body["error"]["type"]),
            (status, &json!("error"), &json!(name))
        );
    }
    let long = Anthropic.refused(&Fault::new(Kind::TooLong, "9 > 8"));
    assert!(String::from_utf8_lossy(&long.body).contains("prompt is too long: 9 > 8"));
}
