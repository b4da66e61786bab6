//! Chat completions, as the upstream gets them.

use async_openai::types::chat::CreateChatCompletionRequest;
use keypool_dialect::{Caller, Kind, gemini, openai::OpenAi};
use serde_json::{Value, json};

use crate::support::{asked, kind};

/// A request with these messages and fields, which the type that clients are built on must be able to say, too.
fn with(messages: Value, more: Value) -> Value {
    let mut body = json!({ "model": "gemini-2.5-flash", "messages": messages });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn is_sayable(body: &Value) {
    serde_json::from_value::<CreateChatCompletionRequest>(body.clone()).unwrap();
}

#[track_caller]
fn messages(messages: Value, expected: Value) {
    let body = with(messages, json!({}));
    is_sayable(&body);
    assert_eq!(asked(&OpenAi, &body).unwrap(), expected);
}

#[track_caller]
fn field(more: Value, expected: Value) {
    let body = with(json!([{ "role": "user", "content": "x" }]), more);
    let mut got = asked(&OpenAi, &body).unwrap();
    got.as_object_mut().unwrap().remove("contents");
    assert_eq!(got, expected);
}

fn turn(role: &str, parts: Value) -> Value {
    json!({ "role": role, "parts": parts })
}

#[test]
fn every_role() {
    messages(
        json!([
            { "role": "system", "content": "one" },
            { "role": "developer", "content": [{ "type": "text", "text": "two" }] },
            { "role": "user", "content": "hi", "name": "bob" },
            { "role": "user", "content": [{ "type": "text", "text": "there" }] },
            { "role": "assistant", "content": "hello" },
            { "role": "assistant", "content": null, "refusal": "no" },
            { "role": "user", "content": "ok" },
        ]),
        json!({
            "systemInstruction": { "parts": [{ "text": "one" }, { "text": "two" }] },
            "contents": [
                turn("user", json!([{ "text": "hi" }, { "text": "there" }])),
                turn("model", json!([{ "text": "hello" }, { "text": "no" }])),
                turn("user", json!([{ "text": "ok" }])),
            ],
        }),
    );
}

#[test]
fn nothing_said_is_still_a_turn() {
    messages(
        json!([{ "role": "system", "content": "only" }]),
        json!({
            "systemInstruction": { "parts": [{ "text": "only" }] },
            "contents": [turn("user", json!([{ "text": " " }]))],
        }),
    );
    messages(
        json!([{ "role": "user", "content": "" }, { "role": "assistant", "content": "" }]),
        json!({ "contents": [turn("user", json!([{ "text": " " }]))] }),
    );
}

#[test]
fn images_sound_and_files() {
    messages(
        json!([{ "role": "user", "content": [
            { "type": "text", "text": "look" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA", "detail": "high" } },
            { "type": "input_audio", "input_audio": { "data": "BBBB", "format": "mp3" } },
            { "type": "file", "file": { "file_data": "data:application/pdf;base64,CCCC", "filename": "a.pdf" } },
            { "type": "file", "file": { "file_data": "DDDD", "filename": "b.PDF" } },
            { "type": "file", "file": { "file_data": "data:application/octet-stream;base64,EEEE", "filename": "c.csv" } },
            { "type": "file", "file": { "file_data": "data:application/octet-stream;base64,FFFF", "filename": "d" } },
            { "type": "file", "file": { "file_id": "files/abc" } },
            { "type": "image_url", "image_url": { "url": "gs://bucket/a.png" } },
        ] }]),
        json!({ "contents": [turn("user", json!([
            { "text": "look" },
            { "inlineData": { "mimeType": "image/png", "data": "AAAA" } },
            { "inlineData": { "mimeType": "audio/mp3", "data": "BBBB" } },
            { "inlineData": { "mimeType": "application/pdf", "data": "CCCC" } },
            { "inlineData": { "mimeType": "application/pdf", "data": "DDDD" } },
            { "inlineData": { "mimeType": "text/csv", "data": "EEEE" } },
            { "inlineData": { "mimeType": "application/octet-stream", "data": "FFFF" } },
            { "fileData": { "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc" } },
            { "fileData": { "fileUri": "gs://bucket/a.png" } },
        ]))] }),
    );
}

#[test]
fn what_stands_elsewhere_is_refused_or_brought() {
    let body = with(
        json!([{ "role": "user", "content": [
            { "type": "text", "text": "look" },
            { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
        ] }]),
        json!({}),
    );
    let place = "messages[0].content[1].image_url.url";
    assert_eq!(asked(&OpenAi, &body).unwrap_err().param.as_deref(), Some(place));
    let body = body.to_string();
    let mut conversation = OpenAi.conversation(body.as_bytes(), true).unwrap().conversation;
    let far: Vec<_> = conversation.far().map(|far| (far.url.to_string(), far.place.clone())).collect();
    assert_eq!(far, [("https://example.com/a.png".to_owned(), place.to_owned())]);
    conversation.bring([("image/png", bytes::Bytes::from_static(b"\0"))]);
    let wire = gemini::generate(&conversation, bytes::Bytes::new()).unwrap().concat();
    let wire: Value = serde_json::from_slice(&wire).unwrap();
    assert_eq!(wire["contents"][0]["parts"][1], json!({ "inlineData": { "mimeType": "image/png", "data": "AA==" } }));
}

#[test]
fn images_may_be_asked_for() {
    let config = |wished: Value, expected: Value| {
        field(json!({ "modalities": wished }), json!({ "generationConfig": { "responseModalities": expected } }));
    };
    config(json!(["text", "image"]), json!(["TEXT", "IMAGE"]));
    config(json!(["image"]), json!(["TEXT", "IMAGE"]));
    field(json!({ "modalities": ["text"] }), json!({}));
}

#[test]
fn a_tool_may_answer_with_an_image() {
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "look", "arguments": "{}" } });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } });
    let body = with(
        json!([
            { "role": "user", "content": "x" },
            { "role": "assistant", "tool_calls": [call("1"), call("2")] },
            { "role": "tool", "tool_call_id": "1", "content": [{ "type": "text", "text": "a" }, image] },
            { "role": "tool", "tool_call_id": "2", "content": [{ "type": "text", "text": "b" }, { "type": "text", "text": "c" }] },
        ]),
        json!({}),
    );
    let answered = |text: &str| json!({ "functionResponse": { "name": "look", "response": { "result": text } } });
    let contents = &asked(&OpenAi, &body).unwrap()["contents"];
    assert_eq!(contents[2], turn("user", json!([answered("a"), answered("bc")])));
    assert_eq!(contents[3], turn("user", json!([{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }])));
}

#[test]
fn parallel_calls_and_their_answers() {
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    messages(
        json!([
            { "role": "user", "content": "weather?" },
            { "role": "assistant", "tool_calls": [
                call("1", "weather", r#"{"city":"Oslo","z":1,"a":2}"#),
                call("2", "weather", ""),
                call("3", "time", "not JSON"),
            ] },
            { "role": "tool", "tool_call_id": "2", "content": "rain" },
            { "role": "tool", "tool_call_id": "1", "content": "{\"celsius\":20}" },
            { "role": "tool", "tool_call_id": "3", "content": "{\"$ref\":\"#/x\"}" },
            { "role": "user", "content": "thanks" },
        ]),
        json!({ "contents": [
            turn("user", json!([{ "text": "weather?" }])),
            turn("model", json!([
                { "functionCall": { "name": "weather", "args": { "city": "Oslo", "z": 1, "a": 2 } } },
                { "functionCall": { "name": "weather", "args": {} } },
                { "functionCall": { "name": "time", "args": { "arguments": "not JSON" } } },
            ])),
            turn("user", json!([
                { "functionResponse": { "name": "weather", "response": { "celsius": 20 } } },
                { "functionResponse": { "name": "weather", "response": { "result": "rain" } } },
                { "functionResponse": { "name": "time", "response": { "result": "{\"$ref\":\"#/x\"}" } } },
            ])),
            turn("user", json!([{ "text": "thanks" }])),
        ] }),
    );
}

#[test]
fn a_conversation_that_begins_with_a_call_has_somebody_before_it() {
    let calls = json!([{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    messages(
        json!([{ "role": "assistant", "tool_calls": calls }, { "role": "tool", "tool_call_id": "1", "content": "r" }]),
        json!({ "contents": [
            turn("user", json!([{ "text": " " }])),
            turn("model", json!([{ "functionCall": { "name": "f", "args": {} } }])),
            turn("user", json!([{ "functionResponse": { "name": "f", "response": { "result": "r" } } }])),
        ] }),
    );
}

#[test]
fn sampling() {
    let config = |more: Value, expected: Value| field(more, json!({ "generationConfig": expected }));
    config(
        json!({ "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "max_tokens": 10 }),
        json!({ "temperature": 0.5, "topP": 0.9, "topK": 40, "seed": 7, "maxOutputTokens": 10 }),
    );
    config(json!({ "stop": "end" }), json!({ "stopSequences": ["end"] }));
    config(json!({ "stop": ["a", "b\n"] }), json!({ "stopSequences": ["a", "b\n"] }));
    // Nothing is where anything ends, and not one that the upstream takes.
    config(json!({ "stop": ["", "a"] }), json!({ "stopSequences": ["a"] }));
    config(json!({ "n": 3 }), json!({ "candidateCount": 3 }));
    config(
        json!({ "presence_penalty": 0.5, "frequency_penalty": -0.5 }),
        json!({ "presencePenalty": 0.5, "frequencyPenalty": -0.5 }),
    );
    config(json!({ "logprobs": true }), json!({ "responseLogprobs": true }));
    config(json!({ "logprobs": true, "top_logprobs": 3 }), json!({ "responseLogprobs": true, "logprobs": 3 }));
    config(json!({ "reasoning_effort": "low" }), json!({ "thinkingConfig": { "thinkingBudget": 1024 } }));
    // As routers have it.
    for (reasoning, thinking) in [
        (json!({ "effort": "low" }), json!({ "thinkingBudget": 1024 })),
        (json!({ "effort": "none", "exclude": false }), json!({ "thinkingBudget": 0 })),
        (json!({ "max_tokens": 2000.0 }), json!({ "thinkingBudget": 2000 })),
        (json!({ "max_tokens": 0 }), json!({ "thinkingBudget": 0 })),
        (json!({ "enabled": true }), json!({ "thinkingBudget": 8192 })),
        (json!({ "enabled": true, "effort": "high", "summary": null }), json!({ "thinkingBudget": 24576 })),
        (json!({ "enabled": false }), json!({ "thinkingBudget": 0 })),
        (json!({ "exclude": true }), json!({ "includeThoughts": false })),
        (
            json!({ "effort": "low", "max_tokens": null, "exclude": false }),
            json!({ "includeThoughts": true, "thinkingBudget": 1024 }),
        ),
    ] {
        config(json!({ "reasoning": reasoning }), json!({ "thinkingConfig": thinking }));
    }
    // The one that says more wins, whichever comes last.
    config(
        json!({ "reasoning": { "max_tokens": 2000 }, "reasoning_effort": "low" }),
        json!({ "thinkingConfig": { "thinkingBudget": 2000 } }),
    );
    config(
        json!({ "reasoning": { "exclude": true }, "reasoning_effort": "low" }),
        json!({ "thinkingConfig": { "includeThoughts": false, "thinkingBudget": 1024 } }),
    );
    config(
        json!({ "extra_body": { "google": { "thinking_config": { "include_thoughts": true, "thinking_budget": 99 } } } }),
        json!({ "thinkingConfig": { "includeThoughts": true, "thinkingBudget": 99 } }),
    );
    // A seed has fewer bits there.
    config(json!({ "seed": 4_294_967_303_i64 }), json!({ "seed": 7 }));
    // What says nothing stays unsaid.
    for more in [
        json!({}),
        json!({ "n": 1, "stop": [], "logprobs": false, "temperature": null, "response_format": { "type": "text" } }),
        json!({ "stream": true, "stream_options": { "include_usage": true }, "parallel_tool_calls": true }),
        json!({ "stream": true, "usage": { "include": true } }),
        json!({ "tools": [], "tool_choice": "auto" }),
        json!({ "stop": "" }),
        json!({ "stop": [""] }),
        json!({ "reasoning": {} }),
    ] {
        field(more, json!({}));
    }
}

#[test]
fn forms_of_answers() {
    let config = |more: Value, expected: Value| field(more, json!({ "generationConfig": expected }));
    let json = "application/json";
    config(json!({ "response_format": { "type": "json_object" } }), json!({ "responseMimeType": json }));
    // As those say it who serve other models in this dialect (llama.cpp, Together, Fireworks), and instructor in JavaScript.
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    config(
        json!({ "response_format": { "type": "json_object", "schema": schema } }),
        json!({ "responseMimeType": json, "responseJsonSchema": schema }),
    );
    config(
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "strict": true, "schema": {
            "$schema": "x", "type": "object", "properties": { "kind": { "const": "a" } }, "additionalProperties": false,
        } } } }),
        json!({ "responseMimeType": json, "responseJsonSchema": {
            "type": "object", "properties": { "kind": { "enum": ["a"] } }, "additionalProperties": false,
        } }),
    );
}

#[test]
fn a_schema_keeps_its_order() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema",
        "json_schema":{"name":"n","schema":{"type":"object","properties":{"z":{"const":1},"a":{}}}}}}"#;
    let bytes = bytes::Bytes::from(body);
    let asked = keypool_dialect::Caller::conversation(&OpenAi, &bytes, true).unwrap();
    let pieces = keypool_dialect::gemini::generate(&asked.conversation, bytes.clone()).unwrap();
    let text = String::from_utf8(pieces.concat()).unwrap();
    assert!(text.contains(r#"{"z":{"enum":[1]},"a":{}}"#), "{text}");
}

#[test]
fn tools_and_the_choice_among_them() {
    let tools = json!([
        { "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object", "properties": { "x": { "$ref": "#/$defs/x" } } }, "strict": true } },
        { "type": "function", "function": { "name": "g", "parameters": {} } },
    ]);
    let declared = json!([{ "functionDeclarations": [
        { "name": "f", "description": "d", "parametersJsonSchema": { "type": "object", "properties": { "x": { "$ref": "#/$defs/x" } } } },
        { "name": "g" },
    ] }]);
    let choice = |choice: Value, calling: Value| {
        field(
            json!({ "tools": tools, "tool_choice": choice }),
            json!({ "tools": declared, "toolConfig": { "functionCallingConfig": calling } }),
        );
    };
    field(json!({ "tools": tools }), json!({ "tools": declared }));
    choice(json!("none"), json!({ "mode": "NONE" }));
    choice(json!("auto"), json!({ "mode": "AUTO" }));
    choice(json!("required"), json!({ "mode": "ANY" }));
    choice(
        json!({ "type": "function", "function": { "name": "f" } }),
        json!({ "mode": "ANY", "allowedFunctionNames": ["f"] }),
    );
    let allowed = |mode: &str| json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": [{ "type": "function", "function": { "name": "g" } }] } });
    choice(allowed("auto"), json!({ "mode": "VALIDATED", "allowedFunctionNames": ["g"] }));
    choice(allowed("required"), json!({ "mode": "ANY", "allowedFunctionNames": ["g"] }));
}

/// A call has no form, and some models refuse both at once.
#[test]
fn a_call_that_must_come_leaves_no_room_for_a_form() {
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let form = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } });
    let declared = json!([{ "functionDeclarations": [{ "name": "f" }] }]);
    field(
        json!({ "tools": tools, "tool_choice": "required", "response_format": form }),
        json!({ "tools": declared, "toolConfig": { "functionCallingConfig": { "mode": "ANY" } } }),
    );
}

/// Models before the third generation refuse tools and a form at once: there the answer is one more call, and the form its
/// arguments'.
#[test]
fn tools_beside_a_form() {
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let schema = json!({ "type": "object", "properties": { "a": { "const": 1 } } });
    let form = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let taken = json!({ "type": "object", "properties": { "a": { "enum": [1] } } });
    let answer = json!({
        "name": "final_answer",
        "description": "Gives the final answer. Call it once no other function is needed any more.",
        "parametersJsonSchema": taken,
    });
    let declared = json!([{ "functionDeclarations": [{ "name": "f" }, answer] }]);
    let wish = |more: Value| {
        let mut wish = json!({ "tools": tools, "response_format": form });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    };
    field(wish(json!({})), json!({ "tools": declared, "toolConfig": { "functionCallingConfig": { "mode": "ANY" } } }));
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": tools } });
    field(
        wish(json!({ "tool_choice": allowed })),
        json!({ "tools": declared, "toolConfig": { "functionCallingConfig": {
            "mode": "ANY", "allowedFunctionNames": ["f", "final_answer"],
        } } }),
    );
    // None may be called: nothing need be declared.
    let plain = json!({ "generationConfig": { "responseMimeType": "application/json", "responseJsonSchema": taken } });
    field(wish(json!({ "tool_choice": "none" })), plain.clone());
    let newer = |more: Value| {
        let mut body = with(json!([{ "role": "user", "content": "x" }]), wish(more));
        body["model"] = "gemini-3.8-flash".into();
        let mut got = asked(&OpenAi, &body).unwrap();
        got.as_object_mut().unwrap().remove("contents");
        got
    };
    let both = json!({
        "tools": [{ "functionDeclarations": [{ "name": "f" }] }], "generationConfig": plain["generationConfig"],
    });
    assert_eq!(newer(json!({})), both);
}

#[test]
fn kinds_of_images_have_the_upstreams_names() {
    for (given, expected) in [
        ("data:image/jpg;base64,AAAA", "image/jpeg"),
        ("data:image/pjpeg;base64,AAAA", "image/jpeg"),
        ("data:application/octet-stream;base64,iVBORw0KGgo=", "image/png"),
        ("data:application/octet-stream;base64,/9j/4AAQ", "image/jpeg"),
        ("data:binary/octet-stream;base64,JVBERi0xLjQK", "application/pdf"),
        ("data:application/octet-stream;base64,AAAA", "application/octet-stream"),
        ("data:image/png;base64,/9j/4AAQ", "image/png"),
    ] {
        let parts = json!([{ "type": "image_url", "image_url": { "url": given } }]);
        let got = asked(&OpenAi, &with(json!([{ "role": "user", "content": parts }]), json!({}))).unwrap();
        assert_eq!(got["contents"][0]["parts"][0]["inlineData"]["mimeType"], expected, "{given}");
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    for (messages, place) in [
        (json!([]), "messages"),
        (json!({}), "messages"),
        (json!([{ "content": "x" }]), "messages[0]"),
        (json!([{ "role": "wizard", "content": "x" }]), "messages[0].role"),
        (user(json!(7)), "messages[0].content"),
        (user(json!([{ "type": "video" }])), "messages[0].content[0].type"),
        (user(json!([{ "type": "text" }])), "messages[0].content[0].text"),
        (
            user(json!([{ "type": "image_url", "image_url": { "url": "http://10.0.0.1/x" } }])),
            "messages[0].content[0].image_url.url",
        ),
        (user(json!([{ "type": "file", "file": { "file_id": "file-abc" } }])), "messages[0].content[0].file.file_id"),
        (
            user(json!([{ "type": "file", "file": { "file_data": "AA", "filename": "x" } }])),
            "messages[0].content[0].file.filename",
        ),
        (
            user(json!([{ "type": "input_audio", "input_audio": { "data": "", "format": "a/b" } }])),
            "messages[0].content[0].input_audio.format",
        ),
        (json!([{ "role": "tool", "content": "x" }]), "messages[0].tool_call_id"),
        (json!([{ "role": "tool", "tool_call_id": "9", "content": "x" }]), "messages[0].tool_call_id"),
        (json!([{ "role": "function", "content": "x" }]), "messages[0].name"),
    ] {
        let fault = asked(&OpenAi, &with(messages, json!({}))).unwrap_err();
        assert_eq!(kind(&fault), (Kind::Invalid, place), "{}", fault.message);
    }
    let fault = asked(&OpenAi, &json!({ "messages": user(json!("x")) })).unwrap_err();
    assert_eq!(kind(&fault), (Kind::Invalid, "model"));
    let cannot = with(user(json!("x")), json!({ "model": "gemini-2.0-flash", "reasoning_effort": "high" }));
    assert_eq!(kind(&asked(&OpenAi, &cannot).unwrap_err()), (Kind::Invalid, "reasoning_effort"));
}

#[test]
fn what_is_large_arrives_whole() {
    let (plain, escaped, image) = ("plain é ".repeat(9_000), "a \"line\"\n".repeat(9_000), "QUJD".repeat(50_000));
    let body = with(
        json!([
            { "role": "system", "content": plain },
            { "role": "user", "content": [
                { "type": "text", "text": plain },
                { "type": "text", "text": escaped },
                { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{image}") } },
                { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{image}") } },
            ] },
            { "role": "assistant", "content": &plain[..20_000] },
        ]),
        json!({}),
    );
    let got = asked(&OpenAi, &body).unwrap();
    let blob = json!({ "inlineData": { "mimeType": "image/png", "data": image } });
    let parts = json!([{ "text": plain }, { "text": escaped }, blob, blob]);
    assert_eq!(got["systemInstruction"]["parts"][0]["text"], plain);
    assert_eq!(got["contents"], json!([turn("user", parts), turn("model", json!([{ "text": &plain[..20_000] }]))]));
}

#[test]
fn escapes_are_no_tokens() {
    let about = |body: &str| {
        let body = bytes::Bytes::from(body.to_owned());
        let asked = OpenAi.conversation(&body, true).unwrap();
        gemini::about_tokens(&asked.conversation, &gemini::generate(&asked.conversation, body.clone()).unwrap())
    };
    let text = "Привет, мир! ".repeat(100);
    let plain = with(json!([{ "role": "system", "content": text }, { "role": "user", "content": text }]), json!({}));
    let plain = plain.to_string();
    let escape = |letter: char| match letter {
        letter if letter.is_ascii() => letter.to_string(),
        letter => format!(r"\u{:04x}", letter as u32),
    };
    let escaped: String = plain.chars().map(escape).collect();
    assert!(escaped.len() > 2 * plain.len());
    assert_eq!(about(&escaped), about(&plain));
}
