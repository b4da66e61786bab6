//! Undocumented but unambiguous shapes that clients and relays send.

use http::StatusCode;
use keypool_dialect::{Error, Outcome};
use serde_json::{Value, json};

use crate::support::{
    ALL, CHAT, MESSAGES, MODEL, RESPONSES, encoded, events, gemini, hello, native, parse, streamed_raw, whole,
};

#[test]
fn stream_can_arrive_as_plain_json() {
    let (first, last) = (gemini(&json!([{ "text": "One, " }]), ""), gemini(&json!([{ "text": "two" }]), "STOP"));
    let pretty = serde_json::to_string_pretty(&json!([first, last])).unwrap();
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        for stream in [
            pretty.clone(),
            pretty.replace('\n', "\r\n"),
            format!("{first}\n{last}\n"),
            gemini(&json!([{ "text": "One, two" }]), "STOP").to_string(),
        ] {
            let converted = streamed_raw(&request, &stream);
            let sent = converted.sent.unwrap();
            assert!(sent.contains("One, ") && sent.contains("two"), "{stream}: {sent}");
            assert!(["[DONE]", "response.completed", "message_stop"].iter().any(|end| sent.contains(end)), "{sent}");
        }
        let refused = json!([{ "error": { "code": 503, "message": "Overloaded", "status": "UNAVAILABLE" } }]);
        assert_eq!(streamed_raw(&request, &refused.to_string()).sent.unwrap_err().message(), "Overloaded");
        assert!(streamed_raw(&request, "<html>Sign in</html>").sent.is_err());
    }
}

#[test]
fn meaningless_events_beside_a_complete_response_are_ignored() {
    let answer = events(&[gemini(&json!([{ "text": "All" }]), "STOP")]);
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        let alone = streamed_raw(&request, &answer);
        for (before, after) in [("data: null\n\n", ""), ("data: []\n\n", "data: {}\n\n"), ("", "data: bye\n\n")] {
            assert_eq!(streamed_raw(&request, &format!("{before}{answer}{after}")).sent, alone.sent, "{before}{after}");
        }
        let broken = streamed_raw(&request, &format!("data: {{\"candi\n\n{answer}"));
        assert_eq!(broken.sent.unwrap_err().status(frontend), StatusCode::BAD_GATEWAY);
        let listed = json!([gemini(&json!([{ "text": "All" }]), "STOP")]);
        assert_eq!(whole(&request, &listed).0, Outcome::Complete);
    }
}

#[test]
fn arguments_of_a_call_can_be_text() {
    let call = json!([{ "functionCall": { "name": "f", "args": "{\"x\": 1}" } }]);
    let request = parse(MESSAGES, &hello(MESSAGES, &json!({}))).unwrap();
    assert_eq!(whole(&request, &gemini(&call, "STOP")).1.unwrap()["content"][0]["input"], json!({ "x": 1 }));
}

#[test]
fn error_without_the_usual_envelope_is_passed_on() {
    let error = Error::from_gemini(StatusCode::BAD_REQUEST, br#"{"error": "temperature is too high"}"#);
    assert_eq!(error.message(), "temperature is too high");
    for body in [r#"{"detail": "too high"}"#, r#"{"message": "too high", "code": 7}"#, "too high\n"] {
        assert_eq!(Error::from_gemini(StatusCode::BAD_REQUEST, body.as_bytes()).message(), "too high", "{body}");
    }
    for body in ["", "<html>400</html>", "[]", r#"{"error": {}}"#] {
        let error = Error::from_gemini(StatusCode::BAD_REQUEST, body.as_bytes());
        assert!(error.message().contains("(400) without a message"), "{body}: {error}");
    }
    let tuned = br#"{"error": {"message": "You do not have permission to access tuned model x", "code": 403}}"#;
    assert_eq!(Error::from_gemini(StatusCode::FORBIDDEN, tuned).status(CHAT), StatusCode::FORBIDDEN);
    let request = parse(CHAT, &hello(CHAT, &json!({}))).unwrap();
    let converted = whole(&request, &json!({ "error": "no backend" })).1.unwrap_err();
    assert_eq!((converted.message(), converted.status(CHAT).as_u16()), ("no backend", 500));
}

#[test]
fn empty_values_of_known_fields_are_ignored() {
    let fields = [
        (CHAT, "tool_choice function_call response_format reasoning_effort reasoning thinking stream temperature stop"),
        (RESPONSES, "tool_choice text reasoning stream max_output_tokens instructions"),
        (MESSAGES, "tool_choice thinking output_config output_format stream top_p system"),
    ];
    for (frontend, names) in fields {
        let plain = encoded(frontend, &hello(frontend, &json!({}))).unwrap();
        for name in names.split(' ') {
            for value in [json!(""), json!({}), json!({ "effort": null })] {
                let body = hello(frontend, &json!({ name: value }));
                let sent = encoded(frontend, &body).unwrap_or_else(|error| panic!("{name} {value}: {error}"));
                assert_eq!(sent, plain, "{name} {value}");
            }
        }
    }
    // The presence of this field alone has a meaning.
    let sent = encoded(CHAT, &hello(CHAT, &json!({ "web_search_options": {} }))).unwrap();
    assert_eq!(sent["tools"], json!([{ "googleSearch": {} }]));
    parse(MESSAGES, &hello(MESSAGES, &json!({ "speed": "standard" }))).unwrap();
}

#[test]
fn field_names_of_other_dialects_are_read() {
    for frontend in ALL {
        for name in ["max_tokens", "max_completion_tokens", "max_output_tokens"] {
            let mut body = hello(frontend, &json!({}));
            body.as_object_mut().unwrap().remove("max_tokens");
            body[name] = json!(7);
            assert_eq!(encoded(frontend, &body).unwrap()["generationConfig"]["maxOutputTokens"], 7, "{name}");
        }
        for name in ["stop", "stop_sequences"] {
            let sent = encoded(frontend, &hello(frontend, &json!({ name: ["end"] }))).unwrap();
            assert_eq!(sent["generationConfig"]["stopSequences"], json!(["end"]), "{name}");
        }
    }
    let sent = encoded(RESPONSES, &hello(RESPONSES, &json!({ "response_format": { "type": "json_object" } }))).unwrap();
    assert_eq!(sent["generationConfig"]["responseMimeType"], "application/json");
    let more = json!({ "reasoning": { "effort": "low", "summary": "auto" } });
    assert_eq!(parse(CHAT, &hello(CHAT, &more)).unwrap().ignored(), ["reasoning.summary"]);
}

#[test]
fn data_in_unusual_urls_is_read() {
    let png = "iVBORw0KGgo=";
    let url = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let source = |mime: &str, data: &str| json!({ "type": "image", "source": { "type": "base64", "media_type": mime, "data": data } });
    for part in [
        url("data:image/png;base64,iVBORw0KGgo%3D"),
        url("data:image/*;base64,iVBORw0KGgo="),
        url("data:;base64,iVBORw0KGgo="),
        source("image/png", "data:image/png;base64,iVBORw0KGgo="),
    ] {
        let body = json!({ "model": MODEL, "max_tokens": 9, "messages": [{ "role": "user", "content": [part] }] });
        for frontend in [CHAT, MESSAGES] {
            let sent = encoded(frontend, &body).unwrap_or_else(|error| panic!("{body}: {error}"));
            let data = json!({ "mimeType": "image/png", "data": png });
            assert_eq!(sent["contents"][0]["parts"][0]["inlineData"], data, "{body}");
        }
    }
}

#[test]
fn compacted_messages_are_kept_and_item_references_are_refused() {
    let messages = json!([
        { "role": "user", "content": "Go on" },
        { "role": "assistant", "content": [{ "type": "compaction", "content": "They built a boat." }, { "type": "text", "text": "Yes" }] },
        { "role": "user", "content": "On" },
    ]);
    let sent: Value =
        native(&parse(MESSAGES, &json!({ "model": MODEL, "max_tokens": 9, "messages": messages })).unwrap());
    assert!(sent["contents"][1]["parts"][0]["text"].as_str().unwrap().contains("They built a boat."));
    let body = json!({ "model": MODEL, "input": [{ "id": "msg_1" }, { "role": "user", "content": "On" }] });
    let error = parse(RESPONSES, &body).unwrap_err();
    assert!(error.message().contains("send the item itself"), "{error}");
}

#[test]
fn null_or_equal_twin_fields_are_accepted() {
    let schema = json!({ "type": "object", "properties": {} });
    for tool in [
        json!({ "type": "function", "function": { "name": "f", "parameters": schema }, "custom": null }),
        json!({ "type": "custom", "custom": { "name": "f" }, "function": null }),
        json!({ "type": "function", "function": { "name": "f", "parameters": schema, "input_schema": schema } }),
        json!({ "name": "f", "input_schema": schema, "parameters": null }),
    ] {
        for frontend in ALL {
            let sent = encoded(frontend, &hello(frontend, &json!({ "tools": [tool] }))).unwrap();
            assert_eq!(sent["tools"][0]["functionDeclarations"][0]["name"], "f", "{tool}");
        }
    }
    let url = json!({ "url": "data:image/png;base64,AAAA" });
    let part = json!({ "type": "image_url", "image_url": url, "video_url": null });
    let sent = encoded(CHAT, &json!({ "model": MODEL, "messages": [{ "role": "user", "content": [part] }] })).unwrap();
    assert_eq!(sent["contents"][0]["parts"][0]["inlineData"]["data"], "AAAA");
}

#[test]
fn empty_references_to_stored_state_are_ignored() {
    for value in [json!(""), json!({}), json!([]), Value::Null] {
        for (frontend, name) in [
            (RESPONSES, "previous_response_id"),
            (RESPONSES, "conversation"),
            (RESPONSES, "prompt"),
            (MESSAGES, "thread"),
        ] {
            let request = parse(frontend, &hello(frontend, &json!({ name: value }))).unwrap();
            // A null is the same as a missing field.
            let listed: &[&str] = if value.is_null() { &[] } else { &[name] };
            assert_eq!(request.ignored(), listed, "{value}");
        }
    }
    let error = parse(RESPONSES, &hello(RESPONSES, &json!({ "previous_response_id": "resp_1" }))).unwrap_err();
    assert_eq!(error.param(), Some("previous_response_id"));
}

#[test]
fn second_list_of_functions_is_named_in_errors() {
    let more = json!({ "tools": [{ "name": "f" }], "functions": [{ "name": "f" }] });
    assert_eq!(parse(CHAT, &hello(CHAT, &more)).unwrap_err().param(), Some("functions[0].name"));
}

#[test]
fn arguments_with_half_a_character_are_repaired() {
    let call = json!({ "id": "c", "function": { "name": "f", "arguments": r#"{"a": "x \ud83d"}"# } });
    let body = json!({ "model": MODEL, "messages": [
        { "role": "user", "content": "Go" }, { "role": "assistant", "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c", "content": "ok" },
    ] });
    let args = encoded(CHAT, &body).unwrap()["contents"][1]["parts"][0]["functionCall"]["args"].clone();
    assert_eq!(args, json!({ "a": "x \u{fffd}" }));
}

#[test]
fn results_keep_all_digits_of_their_numbers() {
    for (said, is_text) in [
        (r#"{"id": 123456789012345678901234567890}"#, true),
        (r#"{"ids": [9007199254740993]}"#, true),
        (r#"{"id": 900719925474099, "x": 0.30000000000000004}"#, false),
    ] {
        let sent = encoded(CHAT, &crate::support::history(CHAT, &[("a", "one")], &[("a", said)])).unwrap();
        let response = sent["contents"][2]["parts"][0]["functionResponse"]["response"].clone();
        assert_eq!(response == json!({ "result": said }), is_text, "{response}");
    }
}

#[test]
fn unequal_twins_and_wrong_types_lose_nothing() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    for tool in [
        json!({ "name": "f", "parameters": {}, "input_schema": schema }),
        json!({ "name": "f", "parameters": schema, "input_schema": {} }),
    ] {
        let sent = native(&parse(CHAT, &hello(CHAT, &json!({ "tools": [tool] }))).unwrap()).to_string();
        assert!(sent.contains(r#""properties":{"a""#), "{sent}");
    }
    let said = json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "f", "input": {} }] });
    let result = json!({ "type": "tool_result", "tool_use_id": "t", "content": "x", "is_error": "true" });
    let messages = json!([{ "role": "user", "content": "Go" }, said, { "role": "user", "content": [result] }]);
    let error = parse(MESSAGES, &json!({ "model": MODEL, "max_tokens": 9, "messages": messages })).unwrap_err();
    assert!(error.to_string().contains("is_error"), "{error}");
    let input = json!({ "model": MODEL, "input": [{ "type": "mesage", "content": "hi" }] });
    assert!(parse(RESPONSES, &input).unwrap_err().to_string().contains("mesage"));
}
