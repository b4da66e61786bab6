//! Requirements of Gemini's models: schemas, thinking, signatures, MIME types.

use keypool_dialect::Conversation;
use serde_json::{Value, json};

use crate::support::{CHAT, MESSAGES, RESPONSES, encoded, gemini, hello, history, native, parse, streamed, tool};

fn schema(schema: &Value) -> String {
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": schema } });
    let body = encoded(CHAT, &hello(CHAT, &json!({ "tools": [tool] }))).unwrap();
    body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"].to_string()
}

#[test]
fn schemas_are_adapted_and_keep_their_field_order() {
    for (given, taken) in [
        (
            json!({ "$schema": "x", "properties": { "z": { "const": "a" }, "const": { "type": "string" } } }),
            r#"{"properties":{"z":{"enum":["a"]},"const":{"type":"string"}}}"#,
        ),
        (json!({ "const": 1, "enum": [1, 2] }), r#"{"enum":[1]}"#),
        (json!({ "default": { "const": 1 } }), r#"{"default":{"const":1}}"#),
        (json!({ "description": "d", "$ref": "#/$defs/a" }), r##"{"description":"d","anyOf":[{"$ref":"#/$defs/a"}]}"##),
        (
            json!({ "title": "t", "allOf": [{ "$ref": "/$defs/a" }] }),
            r##"{"title":"t","anyOf":[{"$ref":"#/$defs/a"}]}"##,
        ),
        (json!({ "$ref": "#/$defs/a", "$defs": { "a": {} } }), r##"{"$ref":"#/$defs/a","$defs":{"a":{}}}"##),
        (json!({ "properties": { "$ref": { "type": "string" } } }), r#"{"properties":{"$ref":{"type":"string"}}}"#),
        (
            json!({ "type": ["string", "null"], "enum": ["a", null], "description": "d" }),
            r#"{"description":"d","anyOf":[{"type":["string"],"enum":["a"]},{"type":"null"}]}"#,
        ),
        (json!({ "const": null, "type": "null", "title": "t" }), r#"{"title":"t","type":"null"}"#),
        (
            json!({ "type": "object", "additionalProperties": false, "anyOf": [{ "enum": ["a"] }, {}] }),
            r#"{"type":"object","additionalProperties":false,"anyOf":[{"enum":["a"]},{}]}"#,
        ),
        (
            json!({ "const": true, "type": "boolean", "description": "d" }),
            r#"{"type":"boolean","description":"d\nOne of [true]"}"#,
        ),
        (
            json!({ "enum": [{ "x": 1 }, "a", null] }),
            r#"{"anyOf":[{"description":"One of [{\"x\":1},\"a\"]"},{"type":"null"}]}"#,
        ),
        (
            json!({ "description": "d", "$ref": "#/$defs/a", "anyOf": [{ "type": "string" }] }),
            r##"{"description":"d","anyOf":[{"$ref":"#/$defs/a"}]}"##,
        ),
        (
            json!({ "type": "ARRAY", "items": [{ "const": 1 }, { "type": "STRING" }], "additionalItems": false }),
            r#"{"type":"array","prefixItems":[{"enum":[1]},{"type":"string"}]}"#,
        ),
        (
            json!({ "properties": { "type": { "type": "string" }, "items": { "items": {} } } }),
            r#"{"properties":{"type":{"type":"string"},"items":{"items":{}}}}"#,
        ),
    ] {
        let given = json!({ "type": "object", "properties": { "p": given } });
        assert_eq!(schema(&given), format!(r#"{{"type":"object","properties":{{"p":{taken}}}}}"#));
    }
    // The same for the schema of the answer, in each dialect.
    let form = json!({ "type": "object", "properties": { "z": { "const": 1 }, "a": {} } });
    let nested = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "description": "d", "schema": form } } });
    let flat = json!({ "text": { "format": { "type": "json_schema", "name": "n", "schema": form } } });
    let theirs = json!({ "output_config": { "format": { "type": "json_schema", "schema": form } } });
    for (frontend, more, front) in
        [(CHAT, nested, "\"description\":\"d\","), (RESPONSES, flat, ""), (MESSAGES, theirs, "")]
    {
        let config = encoded(frontend, &hello(frontend, &more)).unwrap()["generationConfig"].clone();
        let taken = format!(r#"{{{front}"type":"object","properties":{{"z":{{"enum":[1]}},"a":{{}}}}}}"#);
        assert_eq!(
            (config["responseJsonSchema"].to_string(), &config["responseMimeType"]),
            (taken, &json!("application/json"))
        );
    }
}

#[test]
fn arguments_of_a_function_are_an_object() {
    let nothing = r#"{"type":"object","properties":{}}"#;
    for (given, taken) in [
        (Value::Null, nothing),
        (json!({}), nothing),
        (json!({ "description": "d" }), r#"{"description":"d","type":"object"}"#),
        (json!({ "additionalProperties": false }), r#"{"additionalProperties":false,"type":"object"}"#),
        (json!({ "properties": { "a": {} } }), r#"{"properties":{"a":{}},"type":"object"}"#),
        (json!({ "type": ["object", "null"] }), r#"{"type":"object"}"#),
        (json!({ "type": "OBJECT" }), r#"{"type":"object"}"#),
        (json!({ "anyOf": [{ "type": "object" }, {}] }), r#"{"anyOf":[{"type":"object"},{}],"type":"object"}"#),
        (
            json!({ "$ref": "#/$defs/A", "$defs": { "A": { "type": "object", "required": ["a"] } } }),
            r#"{"$defs":{"A":{"type":"object","required":["a"]}},"type":"object","required":["a"]}"#,
        ),
        (
            json!({ "$ref": "#/definitions/A", "definitions": { "A": { "type": "object" } } }),
            r#"{"definitions":{"A":{"type":"object"}},"type":"object"}"#,
        ),
        (
            json!({ "anyOf": [{ "$ref": "#/$defs/A" }], "properties": { "p": {} }, "$defs": { "A": {} } }),
            r##"{"anyOf":[{"$ref":"#/$defs/A"}],"properties":{"p":{}},"$defs":{"A":{}},"type":"object"}"##,
        ),
        // Gemini tells the caller what is wrong.
        (json!({ "type": "string" }), r#"{"type":"string"}"#),
    ] {
        assert_eq!(schema(&given), taken);
    }
    for wrong in [json!([]), json!("y"), json!(5)] {
        for (frontend, tool) in [
            (CHAT, json!({ "type": "function", "function": { "name": "f", "parameters": wrong } })),
            (RESPONSES, json!({ "type": "function", "name": "f", "parameters": wrong })),
            (MESSAGES, json!({ "name": "f", "input_schema": wrong })),
        ] {
            let error = parse(frontend, &hello(frontend, &json!({ "tools": [tool] }))).unwrap_err();
            assert_eq!(error.message(), "tools[0]: the schema of \"f\" is not an object");
        }
    }
}

#[test]
fn thinking_is_configured_for_each_model_generation() {
    for (model, effort, config) in [
        ("gemini-2.5-flash", "none", json!({ "thinkingBudget": 0 })),
        ("gemini-2.5-pro", "none", json!({ "thinkingBudget": 128 })),
        ("models/gemini-2.5-flash", "medium", json!({ "thinkingBudget": 8192 })),
        ("gemini-3.8-flash", "none", json!({ "thinkingLevel": "low" })),
        ("gemini-3.7-flash", "minimal", json!({ "thinkingLevel": "low" })),
        ("gemini-4-flash", "minimal", json!({ "thinkingLevel": "low" })),
        ("gemini-3.6-flash", "none", json!({ "thinkingLevel": "minimal" })),
        ("google/gemini-3-flash-preview", "minimal", json!({ "thinkingLevel": "minimal" })),
        ("gemini-4-flash-lite", "none", json!({ "thinkingLevel": "minimal" })),
        ("gemini-3.1-pro", "none", json!({ "thinkingLevel": "low" })),
        ("gemini-2.5-flash-image", "high", Value::Null),
        ("gemini-3-pro-preview", "medium", json!({ "thinkingLevel": "high" })),
        ("gemini-3.1-pro", "medium", json!({ "thinkingLevel": "medium" })),
        ("gemini-flash-latest", "low", json!({ "thinkingLevel": "low" })),
        ("my-own-name", "low", json!({ "thinkingBudget": 1024 })),
        ("gemini-2.0-flash", "high", Value::Null),
    ] {
        let body = hello(CHAT, &json!({ "model": model, "reasoning_effort": effort }));
        assert_eq!(encoded(CHAT, &body).unwrap()["generationConfig"]["thinkingConfig"], config, "{model} {effort}");
    }
    for (model, tokens, config) in [
        ("gemini-2.5-flash-lite", 100, json!({ "includeThoughts": true, "thinkingBudget": 512 })),
        ("gemini-2.5-pro", 100_000, json!({ "includeThoughts": true, "thinkingBudget": 32_768 })),
        ("gemini-3.8-flash", 9_000, json!({ "includeThoughts": true, "thinkingLevel": "high" })),
    ] {
        let thinking = json!({ "type": "enabled", "budget_tokens": tokens });
        let body = hello(MESSAGES, &json!({ "model": model, "thinking": thinking }));
        assert_eq!(encoded(MESSAGES, &body).unwrap()["generationConfig"]["thinkingConfig"], config, "{model}");
    }
    let body = hello(
        CHAT,
        &json!({ "extra_body": { "google": { "thinking_config": { "include_thoughts": true, "thinking_budget": 99 } } } }),
    );
    let config = encoded(CHAT, &body).unwrap()["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(config, json!({ "includeThoughts": true, "thinkingLevel": "low" }));
}

#[test]
fn conversation_ends_with_a_user_turn_for_models_that_require_it() {
    for (model, is_continued) in [
        ("gemini-3.8-flash", true),
        ("gemini-3.5-flash-lite", true),
        ("gemini-4-pro", true),
        ("gemini-3-flash-preview", false),
        ("gemini-3.1-pro", false),
        ("gemini-2.5-flash", false),
    ] {
        let said = json!([{ "role": "user", "content": "Count" }, { "role": "assistant", "content": "1 2" }]);
        let contents = encoded(CHAT, &json!({ "model": model, "messages": said })).unwrap()["contents"].clone();
        let last = contents.as_array().unwrap().last().unwrap();
        let expected = if is_continued { ("user", "Continue.") } else { ("model", "1 2") };
        assert_eq!((&last["role"], &last["parts"][0]["text"]), (&json!(expected.0), &json!(expected.1)), "{model}");
    }
    // The results of calls are a turn of the user.
    let contents = encoded(CHAT, &history(CHAT, &[("a", "one")], &[("a", "1")])).unwrap()["contents"].clone();
    assert_eq!(contents.as_array().unwrap().len(), 3);
    assert!(contents[2]["parts"][0].get("functionResponse").is_some());
}

#[test]
fn first_parallel_call_is_signed_if_the_model_requires_it() {
    let calls = [("a", "one"), ("b", "two")];
    let results = [("a", "1"), ("b", "2")];
    for (model, signed) in [
        ("gemini-3.8-flash", [true, false]),
        ("gemini-2.5-flash-lite", [false, false]),
        ("gemini-3-pro-image", [true, true]),
    ] {
        let mut body = history(CHAT, &calls, &results);
        body["model"] = model.into();
        let parts = encoded(CHAT, &body).unwrap()["contents"][1]["parts"].clone();
        let actual = [0, 1].map(|at: usize| parts[at].get("thoughtSignature").is_some());
        assert_eq!(actual, signed, "{model}");
    }
}

#[test]
fn mime_types_are_normalized() {
    for (said, name) in [
        ("image/jpg", "image/jpeg"),
        ("IMAGE/PJPEG", "image/jpeg"),
        ("application/x-pdf", "application/pdf"),
        ("video/quicktime", "video/mov"),
        ("Audio/X-WAV; rate=16000", "audio/wav"),
        ("text/x-other", "text/x-other"),
    ] {
        let source = json!({ "type": "base64", "media_type": said, "data": "AAAA" });
        let body = hello(
            MESSAGES,
            &json!({ "messages": [{ "role": "user", "content": [{ "type": "image", "source": source }] }] }),
        );
        assert_eq!(encoded(MESSAGES, &body).unwrap()["contents"][0]["parts"][0]["inlineData"]["mimeType"], name);
    }
    for (file, mime) in [
        (json!({ "file_data": "AAAA", "filename": "a.CSV" }), "text/csv"),
        (json!({ "file_data": "data:application/octet-stream;base64,AAAA", "filename": "a.csv" }), "text/csv"),
        (json!({ "file_data": "data:application/octet-stream;base64,JVBERi0x" }), "application/pdf"),
    ] {
        let body =
            hello(CHAT, &json!({ "messages": [{ "role": "user", "content": [{ "type": "file", "file": file }] }] }));
        assert_eq!(encoded(CHAT, &body).unwrap()["contents"][0]["parts"][0]["inlineData"]["mimeType"], mime);
    }
}

#[test]
fn external_media_can_be_inlined_before_encoding() {
    let part = json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
    let body = hello(CHAT, &json!({ "messages": [{ "role": "user", "content": [part] }] }));
    let mut request = parse(CHAT, &body).unwrap();
    assert_eq!(request.encode().unwrap_err().param(), Some("messages[0].content[0].image_url.url"));
    let media = request.conversation.media_mut().next().unwrap();
    media.mime = Some("image/png".into());
    media.data = keypool_dialect::MediaData::Base64("AAAA".into());
    assert_eq!(native(&request)["contents"][0]["parts"][0]["inlineData"]["data"], "AAAA");
}

#[test]
fn model_is_one_segment_of_the_path() {
    for (model, path) in [
        ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("google/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("a/b?c#d:é", "/v1beta/models/a%2Fb%3Fc%23d%3A%C3%A9:generateContent"),
    ] {
        let conversation = Conversation { model: model.into(), ..Conversation::default() };
        assert_eq!(keypool_dialect::NativeRequest::generate(&conversation).unwrap().path, path);
    }
    for model in ["", "..", "models/", "models/.."] {
        let conversation = Conversation { model: model.into(), ..Conversation::default() };
        assert_eq!(
            keypool_dialect::NativeRequest::generate(&conversation).unwrap_err().param(),
            Some("model"),
            "{model}"
        );
    }
}

#[test]
fn json_beside_tools_streams_if_the_model_takes_both() {
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } });
    let parts = |text: &str| json!({ "candidates": [{ "content": { "parts": [{ "text": text }] } }] });
    for (model, deltas) in [("gemini-3.8-flash", 2), ("gemini-2.5-flash", 1)] {
        let mut body = hello(CHAT, &json!({ "tools": [tool(CHAT, "one")], "response_format": format }));
        body["model"] = model.into();
        let sent = streamed(&parse(CHAT, &body).unwrap(), &[parts("{\"a\":"), parts("1}"), gemini(&json!([]), "STOP")]);
        let has_text =
            |event: &&Value| event["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty());
        assert_eq!(sent.data().iter().filter(has_text).count(), deltas, "{model}");
    }
}
