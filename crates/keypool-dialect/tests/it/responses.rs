//! `/v1/responses`.

use keypool_dialect::Outcome;
use serde_json::{Value, json};

use crate::support::{MODEL, RESPONSES, encoded, gemini, hello, native, parse, parse_lax, streamed, whole};

fn with(input: &Value, more: &Value) -> Value {
    let mut body = json!({ "model": MODEL, "input": input });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn inputs_of_every_kind_become_turns() {
    let input = json!([
        { "role": "developer", "content": "first" },
        { "role": "user", "content": [
            { "type": "input_text", "text": "look" }, { "type": "input_image", "image_url": "data:image/png;base64,AAAA" },
            { "type": "input_file", "filename": "a.pdf", "file_data": "BBBB" },
            { "type": "input_audio", "input_audio": { "data": "CCCC", "format": "wav" } },
        ] },
        { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "I call", "annotations": [] }] },
        { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}" },
        { "type": "function_call_output", "call_id": "c1", "output": [
            { "type": "input_text", "text": "20" }, { "type": "input_image", "image_url": "data:image/png;base64,DDDD" },
        ] },
        { "role": "user", "content": "go on" },
    ]);
    let body = encoded(RESPONSES, &with(&input, &json!({ "instructions": "zero" }))).unwrap();
    assert_eq!(body["systemInstruction"], json!({ "parts": [{ "text": "zero" }, { "text": "first" }] }));
    assert_eq!(
        body["contents"],
        json!([
            { "role": "user", "parts": [
                { "text": "look" }, { "inlineData": { "mimeType": "image/png", "data": "AAAA" } },
                { "inlineData": { "mimeType": "application/pdf", "data": "BBBB" } },
                { "inlineData": { "mimeType": "audio/wav", "data": "CCCC" } },
            ] },
            { "role": "model", "parts": [
                { "text": "I call" },
                { "functionCall": { "name": "f", "args": { "x": 1 } }, "thoughtSignature": "skip_thought_signature_validator" },
            ] },
            { "role": "user", "parts": [{ "functionResponse": { "name": "f", "response": { "result": "20" } } }] },
            { "role": "user", "parts": [{ "inlineData": { "mimeType": "image/png", "data": "DDDD" } }, { "text": "go on" }] },
        ])
    );
}

#[test]
fn references_to_stored_state_are_refused_by_name() {
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("prompt", json!({ "id": "p" })),
        ("store", json!(true)),
        ("background", json!(true)),
    ] {
        let body = with(&json!("x"), &json!({ field: value }));
        let error = parse(RESPONSES, &body).unwrap_err();
        assert_eq!((error.param(), error.status(RESPONSES).as_u16()), (Some(field), 400));
        // A request that refers to a stored conversation would get a wrong response without it.
        let refers = !matches!(field, "store" | "background");
        assert_eq!(parse_lax(RESPONSES, &body).is_err(), refers, "{field}");
    }
    let error = parse(RESPONSES, &with(&json!("x"), &json!({ "previous_response_id": "resp_1" }))).unwrap_err();
    let shown: Value = serde_json::from_slice(&error.body(RESPONSES)).unwrap();
    assert_eq!(shown["error"]["code"], "previous_response_not_found");
    let error = parse(RESPONSES, &with(&json!([{ "type": "item_reference", "id": "msg_1" }]), &json!({}))).unwrap_err();
    assert_eq!(error.param(), Some("input[0].type"));
    assert!(error.message().contains("store: false"), "{error}");
    let fine = json!({ "store": false, "background": false, "truncation": "auto", "include": ["reasoning.encrypted_content"] });
    assert!(parse(RESPONSES, &with(&json!("x"), &fine)).is_ok());
}

#[test]
fn items_that_instruct_the_service_are_refused() {
    for kind in ["configuration_update", "compaction_trigger", "tool_search_output"] {
        let body = with(&json!([{ "role": "user", "content": "Hi" }, { "type": kind, "tools": [] }]), &json!({}));
        let error = parse(RESPONSES, &body).unwrap_err();
        assert_eq!(error.param(), Some("input[1].type"));
        assert!(error.message().contains(kind), "{error}");
        assert_eq!(parse_lax(RESPONSES, &body).unwrap().ignored(), ["input[1].type"]);
    }
}

#[test]
fn items_of_other_tools_are_text_of_their_author() {
    for (kind, role) in [
        ("mcp_list_tools", "model"),
        ("computer_call", "model"),
        ("computer_call_output", "user"),
        ("mcp_approval_response", "user"),
    ] {
        let input =
            json!([{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "So" }, { "type": kind }]);
        let contents = encoded(RESPONSES, &with(&input, &json!({}))).unwrap()["contents"].clone();
        let last = contents.as_array().unwrap().iter().rfind(|turn| turn.to_string().contains(kind)).unwrap().clone();
        assert_eq!(last["role"], role, "{contents}");
    }
}

#[test]
fn empty_image_of_a_history_is_dropped() {
    let image = json!({ "type": "image_generation_call", "id": "i", "result": "" });
    let contents = encoded(RESPONSES, &with(&json!([{ "role": "user", "content": "Hi" }, image]), &json!({}))).unwrap();
    assert_eq!(contents["contents"], json!([{ "role": "user", "parts": [{ "text": "Hi" }] }]));
}

#[test]
fn complete_response_repeats_its_request() {
    let tools = json!([{ "type": "function", "name": "f", "parameters": { "type": "object" } }]);
    let more =
        json!({ "tools": tools, "temperature": 0.5, "metadata": { "a": "b" }, "reasoning": { "effort": "low" } });
    let request = parse(RESPONSES, &with(&json!("x"), &more)).unwrap();
    let (outcome, answer) = whole(&request, &gemini(&json!([{ "text": "Hi" }]), "STOP"));
    let answer = answer.unwrap();
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!(
        (&answer["object"], &answer["status"], &answer["model"]),
        (&json!("response"), &json!("completed"), &json!(MODEL))
    );
    assert_eq!((&answer["temperature"], &answer["metadata"]), (&json!(0.5), &json!({ "a": "b" })));
    assert_eq!(answer["reasoning"], json!({ "effort": "low", "summary": null }));
    assert_eq!((&answer["tools"][0]["strict"], &answer["tools"][0]["description"]), (&json!(true), &Value::Null));
    assert_eq!(
        answer["output"][0]["content"][0],
        json!({ "type": "output_text", "text": "Hi", "annotations": [], "logprobs": [] })
    );
    assert_eq!(answer["usage"]["total_tokens"], 10);
    for field in ["instructions", "max_output_tokens", "previous_response_id", "user", "incomplete_details", "error"] {
        assert_eq!(answer.get(field), Some(&Value::Null), "{field}");
    }
}

#[test]
fn stream_numbers_its_events_and_ends_with_the_complete_response() {
    let more = json!({ "tools": [{ "type": "function", "name": "f" }], "reasoning": { "summary": "auto" } });
    let request = parse(RESPONSES, &with(&json!("x"), &more)).unwrap();
    let answers = [
        gemini(&json!([{ "text": "Hm", "thought": true }]), ""),
        gemini(&json!([{ "text": "I " }]), ""),
        gemini(&json!([{ "text": "call" }, { "functionCall": { "name": "f", "args": { "x": 1 } } }]), "STOP"),
    ];
    let streamed = streamed(&request, &answers);
    let data = streamed.data();
    let kinds: Vec<&str> = data.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (number, event) in data.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let sent = streamed.sent.unwrap();
    assert!(kinds.iter().all(|kind| sent.contains(&format!("event: {kind}\n"))));
    // Ids, indices and the final response agree.
    let response = &data.last().unwrap()["response"];
    let output = response["output"].as_array().unwrap();
    assert_eq!(output.len(), 3);
    for event in data.iter().filter(|event| event["type"] == "response.output_item.done") {
        let at = event["output_index"].as_u64().unwrap() as usize;
        assert_eq!(event["item"], output[at]);
    }
    assert_eq!(output[1]["content"][0]["text"], "I call");
    assert_eq!((&output[2]["arguments"], &output[2]["status"]), (&json!("{\"x\":1}"), &json!("completed")));
    let deltas = data.iter().filter(|event| event["type"] == "response.output_text.delta");
    assert!(deltas.clone().all(|event| event["item_id"] == output[1]["id"] && event["output_index"] == 1));
    // The complete response is the same.
    let merged = gemini(
        &json!([{ "text": "Hm", "thought": true }, { "text": "I call" }, answers[2]["candidates"][0]["content"]["parts"][1]]),
        "STOP",
    );
    assert_eq!(&whole(&request, &merged).1.unwrap(), response);
}

#[test]
fn truncated_or_filtered_response_is_incomplete() {
    let request = parse(RESPONSES, &hello(RESPONSES, &json!({}))).unwrap();
    for (finish, reason) in [("MAX_TOKENS", "max_output_tokens"), ("SAFETY", "content_filter")] {
        let answer = gemini(&json!([{ "text": "Hi" }]), finish);
        let (_, cut) = whole(&request, &answer);
        let cut = cut.unwrap();
        assert_eq!((&cut["status"], &cut["incomplete_details"]["reason"]), (&json!("incomplete"), &json!(reason)));
        assert_eq!(streamed(&request, &[answer]).data().last().unwrap()["type"], "response.incomplete");
    }
}

#[test]
fn custom_and_namespaced_tools_are_called_as_declared() {
    let tools = json!([
        { "type": "custom", "name": "apply_patch", "description": "Patches", "format": { "type": "grammar", "syntax": "lark", "definition": "start: x" } },
        { "type": "namespace", "name": "mcp__git", "description": "Git", "tools": [{ "type": "function", "name": "log", "parameters": { "type": "object" } }] },
        { "type": "web_search" },
    ]);
    let history = json!([
        { "type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin" },
        { "type": "custom_tool_call_output", "call_id": "c1", "output": "done" },
        { "type": "function_call", "call_id": "c2", "namespace": "mcp__git", "name": "log", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c2", "output": "abc" },
    ]);
    let request = parse(RESPONSES, &with(&history, &json!({ "tools": tools }))).unwrap();
    let body = native(&request);
    let declared = body["tools"][0]["functionDeclarations"].as_array().unwrap();
    assert_eq!((&declared[0]["name"], &declared[1]["name"]), (&json!("apply_patch"), &json!("mcp__git.log")));
    assert!(declared[0]["description"].as_str().unwrap().contains("start: x"));
    assert_eq!(declared[0]["parametersJsonSchema"]["required"], json!(["input"]));
    assert_eq!(
        body["contents"][1]["parts"][0]["functionCall"],
        json!({ "name": "apply_patch", "args": { "input": "*** Begin" } })
    );
    assert_eq!(body["contents"][3]["parts"][0]["functionCall"]["name"], "mcp__git.log");
    let parts = json!([
        { "functionCall": { "name": "apply_patch", "args": { "input": "*** Begin" } } },
        { "functionCall": { "name": "mcp__git.log", "args": { "n": 1 } } },
    ]);
    let output = whole(&request, &gemini(&parts, "STOP")).1.unwrap()["output"].clone();
    assert_eq!((&output[0]["type"], &output[0]["input"]), (&json!("custom_tool_call"), &json!("*** Begin")));
    assert_eq!((&output[1]["namespace"], &output[1]["name"]), (&json!("mcp__git"), &json!("log")));
    assert!(
        streamed(&request, &[gemini(&parts, "STOP")]).sent.unwrap().contains("response.custom_tool_call_input.delta")
    );
}

#[test]
fn image_is_an_output_item() {
    let request = parse(RESPONSES, &hello(RESPONSES, &json!({}))).unwrap();
    let answer = gemini(&json!([{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }]), "STOP");
    let output = whole(&request, &answer).1.unwrap()["output"].clone();
    assert_eq!((&output[0]["type"], &output[0]["result"]), (&json!("image_generation_call"), &json!("AAAA")));
    let again = encoded(
        RESPONSES,
        &with(
            &json!([{ "role": "user", "content": "draw" }, output[0], { "role": "user", "content": "more" }]),
            &json!({}),
        ),
    )
    .unwrap();
    assert_eq!(again["contents"][1]["parts"][0]["inlineData"]["data"], "AAAA");
    assert!(streamed(&request, &[answer]).sent.unwrap().contains("response.image_generation_call.completed"));
}
