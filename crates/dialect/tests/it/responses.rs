//! Responses, as the upstream gets them and as their clients get its answers.

use async_openai::types::responses::{CreateResponse, Response, ResponseStreamEvent};
use bytes::Bytes;
use keypool_dialect::{Caller, Exchange, Shape, gemini, responses::Responses};
use serde_json::{Value, json};

use crate::support::{asked, data, events, kind, shape, streamed, whole};

fn with(input: Value, more: Value) -> Value {
    let mut body = json!({ "model": "gemini-2.5-flash", "input": input });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[track_caller]
fn becomes(input: Value, more: Value, expected: Value) {
    let body = with(input, more);
    serde_json::from_value::<CreateResponse>(body.clone()).unwrap();
    assert_eq!(asked(&Responses, &body).unwrap(), expected);
}

#[test]
fn inputs() {
    let hello = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] });
    becomes(json!("hello"), json!({ "store": false, "truncation": "disabled" }), hello.clone());
    becomes(json!([{ "role": "user", "content": "hello" }]), json!({ "truncation": "auto" }), hello.clone());
    for nothing in [
        json!({ "client_metadata": { "originator": "codex_cli" } }),
        json!({ "prompt_cache_options": { "ttl": "30m" } }),
        json!({ "context_management": [{ "type": "compaction", "compact_threshold": 100_000 }] }),
    ] {
        becomes(json!("hello"), nothing, hello.clone());
    }
    becomes(
        json!([
            { "type": "message", "role": "developer", "content": "second" },
            { "role": "user", "content": [
                { "type": "input_text", "text": "look" },
                { "type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AAAA" },
                { "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB" },
            ] },
            { "type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                { "type": "output_text", "text": "I call", "annotations": [] },
            ] },
            { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{\"x\":1}" },
            { "type": "function_call_output", "call_id": "call_1", "output": "20" },
        ]),
        json!({ "instructions": "first" }),
        json!({
            "systemInstruction": { "parts": [{ "text": "first" }, { "text": "second" }] },
            "contents": [
                { "role": "user", "parts": [
                    { "text": "look" },
                    { "inlineData": { "mimeType": "image/png", "data": "AAAA" } },
                    { "inlineData": { "mimeType": "application/pdf", "data": "BBBB" } },
                ] },
                { "role": "model", "parts": [
                    { "text": "I call" }, { "functionCall": { "name": "f", "args": { "x": 1 } } },
                ] },
                { "role": "user", "parts": [{ "functionResponse": { "name": "f", "response": { "result": "20" } } }] },
            ],
        }),
    );
}

#[test]
fn fields() {
    let hello = json!([{ "role": "user", "parts": [{ "text": "x" }] }]);
    let config = |more: Value, expected: Value| {
        becomes(json!("x"), more, json!({ "contents": hello, "generationConfig": expected }));
    };
    config(
        json!({ "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.75 }),
        json!({ "maxOutputTokens": 9, "temperature": 0.5, "topP": 0.75 }),
    );
    config(
        json!({ "reasoning": { "effort": "low", "summary": "auto" } }),
        json!({ "thinkingConfig": { "includeThoughts": true, "thinkingBudget": 1024 } }),
    );
    config(
        json!({ "text": { "format": { "type": "json_schema", "name": "n", "schema": { "type": "object" } } } }),
        json!({ "responseMimeType": "application/json", "responseJsonSchema": { "type": "object" } }),
    );
    becomes(
        json!("x"),
        json!({
            "tools": [{ "type": "function", "name": "f", "parameters": { "type": "object" }, "strict": true }],
            "tool_choice": { "type": "function", "name": "f" },
        }),
        json!({
            "contents": hello,
            "tools": [{ "functionDeclarations": [{ "name": "f", "parametersJsonSchema": { "type": "object" } }] }],
            "toolConfig": { "functionCallingConfig": { "mode": "ANY", "allowedFunctionNames": ["f"] } },
        }),
    );
    for (mode, expected) in [("auto", "VALIDATED"), ("required", "ANY")] {
        becomes(
            json!("x"),
            json!({
                "tools": [{ "type": "function", "name": "f", "parameters": { "type": "object" }, "strict": true }],
                "tool_choice": { "type": "allowed_tools", "mode": mode, "tools": [{ "type": "function", "name": "f" }] },
            }),
            json!({
                "contents": hello,
                "tools": [{ "functionDeclarations": [{ "name": "f", "parametersJsonSchema": { "type": "object" } }] }],
                "toolConfig": { "functionCallingConfig": { "mode": expected, "allowedFunctionNames": ["f"] } },
            }),
        );
    }
}

/// As the real ones do: clients and agents read there what was set.
#[test]
fn an_answer_repeats_what_the_request_said() {
    let said = json!({
        "instructions": "be brief", "temperature": 0.25, "top_p": 0.5, "max_output_tokens": 99,
        "parallel_tool_calls": false, "metadata": { "a": "b" }, "truncation": "auto", "store": false, "user": "u",
        "tools": [{ "type": "function", "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": true }],
        "tool_choice": { "type": "function", "name": "f" }, "reasoning": { "effort": "low" },
        "text": { "format": { "type": "json_schema", "name": "n", "schema": { "type": "object" }, "strict": true } },
    });
    let answer = json!({ "candidates": [{ "content": { "parts": [{ "text": "{}" }] }, "finishReason": "STOP" }] });
    let told = |more: Value, stream: bool| -> Value {
        let bytes = Bytes::from(with(json!("x"), more).to_string());
        let asked = Responses.conversation(&bytes, true).unwrap();
        let shape = Shape { repeated: asked.repeated.clone(), ..shape(stream) };
        let mut exchange = Exchange::new(Box::new(gemini::Listener::of(&asked.conversation)), Responses.voice(shape));
        if !stream {
            return serde_json::from_slice(&exchange.whole(answer.to_string().as_bytes()).unwrap()).unwrap();
        }
        let mut out = Vec::new();
        exchange.hear(events(std::slice::from_ref(&answer)).into(), &mut out);
        exchange.end(&mut out);
        let first: Value = serde_json::from_str(&data(std::str::from_utf8(&out).unwrap())[0]).unwrap();
        first["response"].clone()
    };
    for stream in [false, true] {
        let response = told(said.clone(), stream);
        serde_json::from_value::<Response>(response.clone()).unwrap();
        for (name, value) in said.as_object().unwrap() {
            if name == "reasoning" {
                assert_eq!(response[name], json!({ "effort": "low", "summary": null }));
            } else {
                assert_eq!(&response[name], value, "{name}");
            }
        }
        let plain = told(json!({}), stream);
        serde_json::from_value::<Response>(plain.clone()).unwrap();
        assert_eq!((&plain["tool_choice"], &plain["instructions"]), (&json!("auto"), &Value::Null));
        assert_eq!(plain["text"]["format"]["type"], "text");
    }
}

/// A search beside functions that may not be called now, and functions beside one.
#[test]
fn what_is_not_among_the_allowed_tools_is_not_told_of() {
    let said = json!([{ "role": "user", "parts": [{ "text": "x" }] }]);
    let tools = json!([
        { "type": "web_search" },
        { "type": "function", "name": "f", "parameters": { "type": "object" }, "strict": true },
    ]);
    let asking = |mode: &str, allowed: Value| {
        let choice = json!({ "type": "allowed_tools", "mode": mode, "tools": allowed });
        asked(&Responses, &with(json!("x"), json!({ "tools": tools, "tool_choice": choice }))).unwrap()
    };
    for mode in ["auto", "required"] {
        let searching = json!({ "contents": said, "tools": [{ "googleSearch": {} }] });
        assert_eq!(asking(mode, json!([{ "type": "web_search" }])), searching, "{mode}");
        let calling = asking(mode, json!([{ "type": "function", "name": "f" }]));
        assert_eq!(calling["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!(["f"]), "{mode}");
    }
}

/// What was drawn before comes back as it went out; sound and files are read as in chats.
#[test]
fn more_kinds_of_input() {
    let input = json!([
        { "role": "user", "content": [
            { "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } },
            { "type": "input_file", "file_url": "https://generativelanguage.googleapis.com/v1beta/files/a" },
            { "type": "input_image", "file_id": "files/b", "detail": "auto" },
        ] },
        { "type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "CCCC", "output_format": "webp" },
        { "role": "user", "content": "bluer" },
    ]);
    let expected = json!({ "contents": [
        { "role": "user", "parts": [
            { "inlineData": { "mimeType": "audio/wav", "data": "AAAA" } },
            { "fileData": { "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a" } },
            { "fileData": { "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/b" } },
        ] },
        { "role": "model", "parts": [{ "inlineData": { "mimeType": "image/webp", "data": "CCCC" } }] },
        { "role": "user", "parts": [{ "text": "bluer" }] },
    ] });
    assert_eq!(asked(&Responses, &with(input, json!({}))).unwrap(), expected);
}

#[test]
fn what_cannot_be_had_is_named() {
    for (input, more, place) in [
        (json!("x"), json!({ "previous_response_id": "resp_1" }), "previous_response_id"),
        (json!("x"), json!({ "background": true }), "background"),
        (json!("x"), json!({ "tools": [{ "type": "file_search" }] }), "tools[0].type"),
        (json!("x"), json!({ "reasoning": { "effort": "huge" } }), "reasoning.effort"),
        (json!([]), json!({}), "input"),
        (
            json!([{ "role": "user", "content": [{ "type": "input_image", "file_id": "file-abc" }] }]),
            json!({}),
            "input[0].content[0].file_id",
        ),
        (json!([{ "type": "item_reference", "id": "x" }]), json!({}), "input[0].type"),
        // Their fields are not those that others of the same name are.
        (
            json!([{ "role": "user", "content": "x" }, { "type": "shell_call", "call_id": "1", "action": { "commands": ["ls"] } }]),
            json!({}),
            "input[1].type",
        ),
        (
            json!([{ "type": "shell_call_output", "call_id": "1", "output": [{ "stdout": "x", "stderr": "" }] }]),
            json!({}),
            "input[0].type",
        ),
        (
            json!([{ "type": "computer_call_output", "call_id": "1", "output": { "type": "computer_screenshot" } }]),
            json!({}),
            "input[0].type",
        ),
        (json!([{ "type": "function_call_output", "call_id": "9", "output": "x" }]), json!({}), "input[0].call_id"),
        (
            json!([{ "role": "user", "content": [{ "type": "input_image", "image_url": "https://example.com/x" }] }]),
            json!({}),
            "input[0].content[0].image_url",
        ),
    ] {
        let fault = asked(&Responses, &with(input, more)).unwrap_err();
        assert_eq!(kind(&fault).1, place, "{}", fault.message);
    }
}

#[test]
fn a_tool_that_the_provider_runs_is_named_with_what_can_be_had() {
    for kind in [
        "local_shell",
        "shell",
        "apply_patch",
        "computer_use_preview",
        "computer",
        "code_interpreter",
        "file_search",
        "image_generation",
        "mcp",
        "tool_search",
    ] {
        let tool = json!({
            "type": kind, "display_width": 1024, "container": { "type": "auto" }, "vector_store_ids": ["vs_1"],
            "filters": { "type": "eq", "key": "k", "value": 1 }, "server_label": "s", "server_url": "https://example.com",
            "environment": { "type": "local" }, "allowed_tools": ["a"], "format": { "type": "text" },
        });
        let function = json!({ "type": "function", "name": "f", "parameters": { "type": "object" } });
        let fault = asked(&Responses, &with(json!("x"), json!({ "tools": [function, tool] }))).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("tools[1].type"), "{kind}: {}", fault.message);
        let says = ["tools[1].type", kind, "function, custom, namespace and web_search"];
        assert!(says.iter().all(|word| fault.message.contains(word)), "{}", fault.message);
    }
}

fn answer(reason: &str) -> Value {
    json!({
        "candidates": [{ "content": { "parts": [
            { "text": "hm", "thought": true },
            { "text": "I " }, { "text": "call" },
            { "functionCall": { "name": "f", "args": { "x": 1 } }, "thoughtSignature": "c2ln" },
        ] }, "finishReason": reason }],
        "usageMetadata": { "promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5 },
    })
}

#[test]
fn a_whole_response() {
    let value = whole(&Responses, &answer("STOP")).unwrap();
    let typed: Response = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    assert_eq!(typed.output.len(), 3);
    let kinds: Vec<&str> =
        value["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(value["output"][1]["content"][0]["text"], "I call");
    assert_eq!((&value["status"], &value["usage"]["total_tokens"]), (&json!("completed"), &json!(15)));
    // The id carries what was signed.
    let call = &value["output"][2];
    let input = json!([
        { "role": "user", "content": "x" }, call,
        { "type": "function_call_output", "call_id": call["call_id"], "output": "r" },
    ]);
    let again = asked(&Responses, &with(input, json!({ "model": "gemini-3.8-flash" }))).unwrap();
    assert_eq!(again["contents"][1]["parts"][0]["thoughtSignature"], "c2ln");
    let cut = whole(&Responses, &answer("MAX_TOKENS")).unwrap();
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

#[test]
fn an_image_is_an_item() {
    let image = json!({ "candidates": [{ "content": { "parts": [
        { "text": "Here." }, { "inlineData": { "mimeType": "image/png", "data": "AAAA" } },
    ] }, "finishReason": "STOP" }] });
    let value = whole(&Responses, &image).unwrap();
    serde_json::from_value::<Response>(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    let item = &value["output"][1];
    assert_eq!((&item["type"], &item["result"]), (&json!("image_generation_call"), &json!("AAAA")));
    let said = streamed(&Responses, &events(&[image]), 33);
    let pieces: Vec<Value> = data(&said).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    for piece in &pieces {
        serde_json::from_value::<ResponseStreamEvent>(piece.clone()).unwrap_or_else(|error| panic!("{error}: {piece}"));
    }
    assert!(pieces.iter().any(|piece| piece["type"] == "response.image_generation_call.completed"));
    assert_eq!(pieces.last().unwrap()["response"]["output"], value["output"]);
}

#[test]
fn a_tool_may_answer_with_an_image() {
    let call = json!({ "type": "function_call", "call_id": "1", "name": "look", "arguments": "{}" });
    let answer = json!({ "type": "function_call_output", "call_id": "1", "output": [
        { "type": "input_text", "text": "a" },
        { "type": "input_image", "image_url": "data:image/png;base64,AAAA" },
    ] });
    let body = with(json!([{ "role": "user", "content": "x" }, call, answer]), json!({}));
    let contents = &asked(&Responses, &body).unwrap()["contents"];
    let returned = json!({ "functionResponse": { "name": "look", "response": { "result": "a" } } });
    assert_eq!(contents[2]["parts"], json!([returned]));
    assert_eq!(contents[3]["parts"], json!([{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }]));
}

#[test]
fn the_same_in_pieces() {
    let said = streamed(&Responses, &events(&[answer("STOP")]), 17);
    let mut names = Vec::new();
    for (number, event) in data(&said).iter().enumerate() {
        let value: Value = serde_json::from_str(event).unwrap();
        serde_json::from_value::<ResponseStreamEvent>(value.clone()).unwrap_or_else(|error| panic!("{error}: {event}"));
        assert_eq!(value["sequence_number"], number);
        names.push(value["type"].as_str().unwrap().trim_start_matches("response.").to_owned());
    }
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let broken = streamed(&Responses, "data: {\"error\":{\"code\":503,\"message\":\"busy\"}}\n\n", 9);
    assert!(broken.contains("event: error\n") && broken.contains("busy"), "{broken}");
    let [.., error, failed] = &data(&broken)[..] else { panic!("{broken}") };
    for event in [error, failed] {
        serde_json::from_str::<ResponseStreamEvent>(event).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    let (error, failed): (Value, Value) = (serde_json::from_str(error).unwrap(), serde_json::from_str(failed).unwrap());
    // OpenAI's Python client fails by the one, its command line by the other.
    assert_eq!((&error["error"]["message"], &error["message"]), (&json!("busy"), &json!("busy")));
    assert_eq!((&error["error"]["code"], &error["code"]), (&json!("server_error"), &json!("server_error")));
    assert_eq!((&failed["type"], &failed["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!(failed["response"]["error"], json!({ "code": "server_error", "message": "busy" }));
}

#[test]
fn what_was_cut_is_not_called_complete() {
    let said = |reason: &str, call: bool| {
        let mut parts = vec![json!({ "text": "I go to" })];
        parts.extend(call.then(|| json!({ "functionCall": { "name": "f", "args": {} } })));
        json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": reason }] })
    };
    for (reason, status) in [("MAX_TOKENS", "incomplete"), ("SAFETY", "incomplete"), ("STOP", "completed")] {
        let value = whole(&Responses, &said(reason, false)).unwrap();
        serde_json::from_value::<Response>(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
        assert_eq!((&value["status"], &value["output"][0]["status"]), (&json!(status), &json!(status)), "{value}");
        let pieces = streamed(&Responses, &events(&[said(reason, false)]), 33);
        let pieces: Vec<Value> = data(&pieces).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let done = pieces.iter().find(|piece| piece["type"] == "response.output_item.done").unwrap();
        serde_json::from_value::<ResponseStreamEvent>(done.clone()).unwrap_or_else(|error| panic!("{error}: {done}"));
        assert_eq!(done["item"]["status"], status);
        let last = pieces.last().unwrap();
        assert_eq!(last["type"], format!("response.{status}"));
        assert_eq!(last["response"]["output"], value["output"]);
        // What was whole when it was cut stays so.
        let value = whole(&Responses, &said(reason, true)).unwrap();
        let of_items = value["output"].as_array().unwrap().iter().map(|item| &item["status"]);
        assert!(of_items.eq([&json!("completed"), &json!("completed")]), "{value}");
    }
}

#[test]
fn how_likely_it_was_is_told_where_that_is_asked_for() {
    let include = json!(["message.output_text.logprobs"]);
    for (more, expected) in [
        (json!({ "include": include }), json!({ "responseLogprobs": true })),
        (json!({ "include": include, "top_logprobs": 2 }), json!({ "responseLogprobs": true, "logprobs": 2 })),
        (
            json!({ "top_logprobs": 2, "include": ["reasoning.encrypted_content"] }),
            json!({ "responseLogprobs": true, "logprobs": 2 }),
        ),
        (json!({ "top_logprobs": 0, "include": ["reasoning.encrypted_content"] }), Value::Null),
    ] {
        let wire = asked(&Responses, &with(json!("x"), more.clone())).unwrap();
        assert_eq!(wire.get("generationConfig").unwrap_or(&Value::Null), &expected, "{more}");
    }
    let token = json!({ "token": "Hi", "logProbability": -0.5 });
    let answer = json!({ "candidates": [{
        "content": { "parts": [{ "text": "Hi" }] }, "finishReason": "STOP",
        "logprobsResult": { "chosenCandidates": [token], "topCandidates": [{ "candidates": [token] }] },
    }] });
    let top = json!({ "token": "Hi", "logprob": -0.5, "bytes": [72, 105] });
    let mut likely = top.clone();
    likely["top_logprobs"] = json!([top]);
    let told = whole(&Responses, &answer).unwrap();
    assert_eq!(told["output"][0]["content"][0]["logprobs"], json!([likely]));
    serde_json::from_value::<Response>(told).unwrap();
    let told = data(&streamed(&Responses, &events(&[answer]), 1_000));
    let told: Vec<Value> = told.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
    let of = |kind: &str| told.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(of("response.output_text.done")["logprobs"], json!([likely]));
    let deltas = told.iter().filter(|event| event["type"] == "response.output_text.delta");
    let each: Vec<Value> = deltas.flat_map(|delta| delta["logprobs"].as_array().unwrap().clone()).collect();
    assert_eq!(each, [likely.clone()], "behind what was said");
    assert_eq!(of("response.completed")["response"]["output"][0]["content"][0]["logprobs"], json!([likely]));
    for event in &told {
        serde_json::from_value::<ResponseStreamEvent>(event.clone()).unwrap();
    }
}
