//! `/v1/chat/completions`.

use crate::support::{CHAT, MODEL, answer, encoded, gemini, hello, native, parse, parse_lax, streamed, tool, whole};
use keypool_dialect::Outcome;
use serde_json::{Value, json};

#[test]
fn complete_response_has_all_fields() {
    let request = parse(CHAT, &hello(CHAT, &json!({}))).unwrap();
    let (outcome, answer) = whole(&request, &gemini(&json!([{ "text": "Hi" }, { "text": " there" }]), "STOP"));
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!(
        answer.unwrap(),
        json!({
            "id": "chatcmpl-r1", "object": "chat.completion", "created": 1_800_000_000, "model": MODEL,
            "choices": [{
                "index": 0, "message": { "role": "assistant", "content": "Hi there", "refusal": null },
                "logprobs": null, "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10,
                "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
                "completion_tokens_details": {
                    "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
        })
    );
}

#[test]
fn stream_starts_with_the_role_and_ends_with_usage_and_done() {
    let more = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let request = parse(CHAT, &hello(CHAT, &more)).unwrap();
    let answer =
        streamed(&request, &[gemini(&json!([{ "text": "Hi" }]), ""), gemini(&json!([{ "text": "!" }]), "STOP")]);
    let data = answer.data();
    let delta = |at: usize| data[at]["choices"][0]["delta"].clone();
    assert_eq!(delta(0), json!({ "role": "assistant", "content": "" }));
    assert_eq!((delta(1), delta(2), delta(3)), (json!({ "content": "Hi" }), json!({ "content": "!" }), json!({})));
    assert_eq!(data[3]["choices"][0]["finish_reason"], "stop");
    assert!(data[..4].iter().all(|chunk| chunk["usage"] == Value::Null && chunk.get("usage").is_some()));
    assert_eq!((&data[4]["choices"], &data[4]["usage"]["total_tokens"]), (&json!([]), &json!(10)));
    assert!(answer.sent.unwrap().ends_with("data: [DONE]\n\n"));
    // Without `include_usage`, no chunk has a usage.
    let request = parse(CHAT, &hello(CHAT, &json!({ "stream": true }))).unwrap();
    let answer = streamed(&request, &[gemini(&json!([{ "text": "Hi" }]), "STOP")]);
    assert!(answer.data().iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn chunks_are_sent_as_they_arrive() {
    let request = parse(CHAT, &hello(CHAT, &json!({ "stream": true }))).unwrap();
    let mut answer = answer(&request);
    for text in ["one", "two", "three"] {
        let out = answer.push(crate::support::events(&[gemini(&json!([{ "text": text }]), "")]).as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&out).contains(text));
    }
}

#[test]
fn sampling_options_are_translated() {
    let more = json!({
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "n": 2, "stop": ["a", "b"], "max_completion_tokens": 50,
        "max_tokens": 60, "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": true, "top_logprobs": 3,
        "reasoning_effort": "low", "response_format": { "type": "json_object" },
    });
    assert_eq!(
        encoded(CHAT, &hello(CHAT, &more)).unwrap()["generationConfig"],
        json!({
            "temperature": 0.5, "topP": 0.9, "topK": 40, "seed": 7, "candidateCount": 2, "stopSequences": ["a", "b"],
            "maxOutputTokens": 50, "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseLogprobs": true,
            "logprobs": 3, "thinkingConfig": { "thinkingLevel": "low" }, "responseMimeType": "application/json",
        })
    );
}

#[test]
fn older_models_return_json_beside_tools_as_a_call() {
    let object = json!({ "type": "object", "properties": { "answer": { "type": "integer" } } });
    let schema = json!({ "allOf": [{ "$ref": "#/definitions/n" }], "definitions": { "n": object } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let more = json!({ "model": "gemini-2.5-flash", "tools": [tool(CHAT, "f")], "response_format": format });
    let request = parse(CHAT, &hello(CHAT, &more)).unwrap();
    let native = crate::support::native(&request);
    assert!(native.get("generationConfig").is_none(), "these models refuse tools and a JSON format together: {native}");
    assert_eq!(native["tools"][0]["functionDeclarations"][1]["name"], "final_answer");
    assert_eq!(native["toolConfig"]["functionCallingConfig"], json!({ "mode": "ANY" }));
    let call = |name: &str| json!([{ "functionCall": { "name": name, "args": { "answer": 4 } } }]);
    let answer = whole(&request, &gemini(&call("final_answer"), "STOP")).1.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"answer":4}"#);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert!(streamed(&request, &[gemini(&call("final_answer"), "STOP")]).sent.unwrap().contains(r#"{\"answer\":4}"#));
    let (_, answer) = whole(&request, &gemini(&call("f"), "STOP"));
    assert_eq!(answer.unwrap()["choices"][0]["finish_reason"], "tool_calls");
    // Later models accept both. No call stands for the answer if a call is required.
    let mut later = more.clone();
    later["model"] = MODEL.into();
    assert_eq!(
        encoded(CHAT, &hello(CHAT, &later)).unwrap()["generationConfig"]["responseMimeType"],
        "application/json"
    );
    let mut must = more;
    must["tool_choice"] = "required".into();
    let native = encoded(CHAT, &hello(CHAT, &must)).unwrap();
    assert_eq!(native["tools"][0]["functionDeclarations"].as_array().unwrap().len(), 1);
}

#[test]
fn older_models_get_no_json_format_beside_tools() {
    let schema = |schema: Value| json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let object = schema(json!({ "type": "object", "properties": { "answer": { "type": "integer" } } }));
    let list = schema(json!({ "anyOf": [{ "type": "array" }, { "type": "object" }] }));
    let any = json!({ "type": "json_object" });
    let (functions, search) = (json!({ "tools": [tool(CHAT, "f")] }), json!({ "web_search_options": {} }));
    let sent = |model: &str, tools: &Value, format: &Value, choice: Value| {
        let mut body = hello(CHAT, tools);
        (body["model"], body["response_format"], body["tool_choice"]) = (model.into(), format.clone(), choice);
        encoded(CHAT, &body)
    };
    let old = "gemini-2.5-flash";
    // Any JSON is asked for in words.
    for (tools, name) in [(&functions, "functionDeclarations"), (&search, "googleSearch")] {
        let body = sent(old, tools, &any, Value::Null).unwrap();
        assert!(body.get("generationConfig").is_none() && body["tools"][0].get(name).is_some(), "{body}");
        assert!(body["systemInstruction"]["parts"][0]["text"].as_str().unwrap().contains("JSON object"), "{body}");
    }
    // Functions that must not be called are left out.
    for format in [&object, &list, &any] {
        let body = sent(old, &functions, format, "none".into()).unwrap();
        assert_eq!(body["generationConfig"]["responseMimeType"], "application/json", "{body}");
        assert!(body.get("tools").is_none() && body.get("toolConfig").is_none(), "{body}");
    }
    let allowed = json!({ "type": "function", "function": { "name": "f" } });
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [allowed] } });
    let calling = sent(old, &functions, &object, allowed).unwrap()["toolConfig"]["functionCallingConfig"].clone();
    assert_eq!(calling, json!({ "mode": "ANY", "allowedFunctionNames": ["f", "final_answer"] }));
    for (tools, format) in [(&functions, &list), (&search, &list), (&search, &object)] {
        assert_eq!(sent(old, tools, format, Value::Null).unwrap_err().param(), Some("tools"));
        let body = sent(MODEL, tools, format, Value::Null).unwrap();
        assert_eq!(body["generationConfig"]["responseMimeType"], "application/json", "later models accept both");
    }
}

#[test]
fn declared_function_with_a_similar_name_is_not_the_answer() {
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } });
    for (declared, at_gemini) in [("submit_final_answer", "submit_final_answer"), ("final answer", "final_answer_2")] {
        let more = json!({ "model": "gemini-2.5-flash", "tools": [tool(CHAT, declared)], "response_format": format });
        let request = parse(CHAT, &hello(CHAT, &more)).unwrap();
        let names = crate::support::native(&request)["tools"][0]["functionDeclarations"].clone();
        assert_eq!((&names[0]["name"], &names[1]["name"]), (&json!(at_gemini), &json!("final_answer")));
        let said = |name: &str| {
            let call = json!([{ "functionCall": { "name": name, "args": { "answer": 4 } } }]);
            whole(&request, &gemini(&call, "STOP")).1.unwrap()["choices"][0]["message"].clone()
        };
        assert_eq!(said(at_gemini)["tool_calls"][0]["function"]["name"], declared);
        for name in ["final_answer", "default_api:final_answer"] {
            assert_eq!(said(name)["content"], r#"{"answer":4}"#, "{name}");
        }
    }
}

#[test]
fn answer_that_comes_as_a_call_is_one_json_value() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let more = json!({ "model": "gemini-2.5-flash", "tools": [tool(CHAT, "f")], "response_format": format });
    let request = parse(CHAT, &hello(CHAT, &more)).unwrap();
    let text = json!({ "text": "Here it is:" });
    let said = |a: u32| json!({ "functionCall": { "name": "final_answer", "args": { "a": a } } });
    for parts in [json!([text, said(1)]), json!([said(1), text]), json!([said(1), said(2)])] {
        let message = whole(&request, &gemini(&parts, "STOP")).1.unwrap()["choices"][0]["message"].clone();
        assert_eq!(message["content"], r#"{"a":1}"#, "{parts}");
        let content: String = streamed(&request, &[gemini(&parts, "STOP")])
            .data()
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(content, r#"{"a":1}"#, "{parts}");
    }
    // Text alone, and text beside a real call, are kept.
    let called = json!([text, { "functionCall": { "name": "f", "args": {} } }]);
    for parts in [json!([text]), called] {
        let message = whole(&request, &gemini(&parts, "STOP")).1.unwrap()["choices"][0]["message"].clone();
        assert_eq!(message["content"], "Here it is:", "{parts}");
    }
}

#[test]
fn good_candidate_beside_a_malformed_one_is_returned() {
    let good = json!({ "index": 0, "content": { "parts": [{ "text": "good" }] }, "finishReason": "STOP" });
    let bad = |index: u32| json!({ "index": index, "content": {}, "finishReason": "MALFORMED_FUNCTION_CALL" });
    let request = parse(CHAT, &hello(CHAT, &json!({ "n": 2 }))).unwrap();
    let (outcome, answer) = whole(&request, &json!({ "candidates": [good, bad(1)] }));
    assert_eq!(outcome, Outcome::Complete);
    let choices = answer.unwrap()["choices"].clone();
    assert_eq!((&choices[0]["message"]["content"], &choices[0]["finish_reason"]), (&json!("good"), &json!("stop")));
    assert_eq!(choices[1]["finish_reason"], "content_filter");
    let (outcome, _) = whole(&request, &json!({ "candidates": [bad(0), bad(1)] }));
    assert!(matches!(outcome, Outcome::Malformed(_)));
}

#[test]
fn stream_with_one_of_two_candidates_unfinished_is_truncated() {
    let request = parse(CHAT, &hello(CHAT, &json!({ "n": 2 }))).unwrap();
    let candidate = |index: u32, finish: Value| json!({ "candidates": [{ "index": index, "content": { "parts": [{ "text": "a" }] }, "finishReason": finish }] });
    let cut = streamed(&request, &[candidate(0, json!("STOP")), candidate(1, Value::Null)]);
    assert_eq!(cut.outcome, Outcome::Truncated);
    assert!(cut.sent.unwrap().contains("broke off"));
}

#[test]
fn stream_of_calls_alone_starts_without_text() {
    let request = parse(CHAT, &hello(CHAT, &json!({ "tools": [tool(CHAT, "f")] }))).unwrap();
    let called = gemini(&json!([{ "functionCall": { "name": "f", "args": {} } }]), "STOP");
    let data = streamed(&request, &[called]).data();
    assert_eq!(data[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": null }));
}

#[test]
fn images_of_a_stream_are_numbered() {
    // OpenAI's client joins the lists of two chunks by this number.
    let request = parse(CHAT, &hello(CHAT, &json!({}))).unwrap();
    let image = json!([{ "inlineData": { "mimeType": "image/png", "data": "iVBO" } }]);
    let streamed = streamed(&request, &[gemini(&image, ""), gemini(&image, "STOP")]);
    let images =
        streamed.data().into_iter().filter_map(|chunk| chunk["choices"][0]["delta"]["images"][0]["index"].as_u64());
    assert_eq!(images.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn only_blocks_with_the_id_of_a_call_are_twins() {
    let block = |id: Value| json!({ "type": "tool_use", "id": id, "name": "one", "input": {} });
    let count = |id: Value, content: Value| {
        let call = json!({ "id": id, "type": "function", "function": { "name": "one", "arguments": "{}" } });
        let said = json!({ "role": "assistant", "content": content, "tool_calls": [call] });
        let messages = json!([{ "role": "user", "content": "Go" }, said]);
        let request = parse_lax(CHAT, &json!({ "model": MODEL, "messages": messages }));
        request.map(|request| native(&request).to_string().matches("functionCall").count())
    };
    assert_eq!(count(json!("a"), json!([block(json!("a"))])).unwrap(), 1);
    assert_eq!(count(json!("a"), block(json!("a"))).unwrap(), 1);
    assert_eq!(count(json!("a"), json!([block(json!("b"))])).unwrap(), 2);
    // Nothing is dropped silently.
    let error = count(Value::Null, json!([block(Value::Null)])).unwrap_err();
    assert_eq!(error.param(), Some("messages[1].content[0].id"));
}
