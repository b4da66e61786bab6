//! Problems from public reports that this crate must handle, in each dialect, complete and streamed.

use keypool_dialect::{ErrorKind, Outcome, without_gateway_parts};
use serde_json::{Value, json};

use crate::support::{
    ALL, CHAT, MESSAGES, MODEL, RESPONSES, calls_of, encoded, events, gemini, hello, history, native, parse, parse_lax,
    streamed, streamed_raw, tool, whole,
};

/// A thought signature of 300 bytes, in base64.
fn signature() -> String {
    "c2lnbmF0dXJl".repeat(34)
}

fn signed_call(name: &str) -> Value {
    json!({ "functionCall": { "id": "abc123", "name": name, "args": { "x": "1" } }, "thoughtSignature": signature() })
}

fn call(name: &str) -> Value {
    json!({ "functionCall": { "name": name, "args": { "x": "1" } } })
}

#[test]
fn call_ids_are_unique_and_have_at_most_64_characters() {
    for frontend in ALL {
        let body = hello(frontend, &json!({ "tools": [tool(frontend, "one"), tool(frontend, "two")] }));
        let request = parse(frontend, &body).unwrap();
        let parts = json!([signed_call("one"), signed_call("one"), call("two")]);
        let (_, answer) = whole(&request, &gemini(&parts, "STOP"));
        let calls = calls_of(frontend, &answer.unwrap());
        assert_eq!(calls.len(), 3);
        for (id, ..) in &calls {
            assert!(id.len() <= 64, "{id}");
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{id}");
            assert_eq!(calls.iter().filter(|(other, ..)| other == id).count(), 1);
        }
        let streamed = streamed(&request, &[gemini(&parts, "STOP")]);
        let sent = streamed.sent.unwrap();
        assert!(calls.iter().all(|(id, ..)| sent.contains(id)), "the ids are the same in a stream");
    }
}

#[test]
fn signature_is_restored_when_the_call_is_sent_back_to_its_model() {
    for frontend in ALL {
        let body = hello(frontend, &json!({ "tools": [tool(frontend, "one")] }));
        let request = parse(frontend, &body).unwrap();
        let mut answer = crate::support::answer(&request);
        answer.whole(gemini(&json!([signed_call("one")]), "STOP").to_string().as_bytes()).unwrap();
        let kept = answer.take_signatures();
        let (id, _) = kept[0].clone();
        // A client sends back the id, the name and the arguments.
        let mut again = parse(frontend, &history(frontend, &[(&id, "one")], &[(&id, "done")])).unwrap();
        let lookup = |wanted: &str| kept.iter().find(|(id, _)| id == wanted).map(|(_, signature)| signature.clone());
        again.conversation.restore_signatures(lookup);
        let contents = &native(&again)["contents"];
        let call = &contents[1]["parts"][0];
        assert_eq!(call["thoughtSignature"], signature());
        // Gemini's own id is part of the id that the client got.
        assert_eq!(
            (&call["functionCall"]["id"], &contents[2]["parts"][0]["functionResponse"]["id"]),
            (&json!("abc123"), &json!("abc123"))
        );
        // Another model would refuse the signature; a placeholder is sent without it.
        again.conversation.model = "gemini-3-pro-preview".into();
        let stand_in = json!("skip_thought_signature_validator");
        assert_eq!(native(&again)["contents"][1]["parts"][0]["thoughtSignature"], stand_in);
        let lost = parse(frontend, &history(frontend, &[(&id, "one")], &[(&id, "done")])).unwrap();
        assert_eq!(native(&lost)["contents"][1]["parts"][0]["thoughtSignature"], stand_in);
    }
}

#[test]
fn clients_of_googles_compatible_endpoint_send_the_signature_back() {
    let request = parse(CHAT, &hello(CHAT, &json!({ "tools": [tool(CHAT, "one")] }))).unwrap();
    let (_, answer) = whole(&request, &gemini(&json!([signed_call("one")]), "STOP"));
    let message = answer.unwrap()["choices"][0]["message"].clone();
    let id = message["tool_calls"][0]["id"].clone();
    let messages = json!([
        { "role": "user", "content": "Go" }, message, { "role": "tool", "tool_call_id": id, "content": "done" },
    ]);
    let body = json!({ "model": MODEL, "messages": messages });
    assert_eq!(encoded(CHAT, &body).unwrap()["contents"][1]["parts"][0]["thoughtSignature"], signature());
    // OpenAI would refuse the field.
    let for_openai = without_gateway_parts(CHAT, body.to_string().as_bytes()).unwrap();
    let for_openai: Value = serde_json::from_slice(&for_openai).unwrap();
    let call = &for_openai["messages"][1]["tool_calls"][0];
    assert!(call.get("extra_content").is_none() && call["id"] == id);
}

#[test]
fn blocks_signed_by_us_are_not_sent_to_anthropic() {
    let thinking = json!({ "type": "enabled", "budget_tokens": 2_000 });
    let request = parse(MESSAGES, &hello(MESSAGES, &json!({ "thinking": thinking }))).unwrap();
    let parts = json!([{ "text": "Hm", "thought": true }, { "text": "Hi" }, call("one")]);
    let (_, answer) = whole(&request, &gemini(&parts, "STOP"));
    let content = answer.unwrap()["content"].clone();
    assert_eq!(content[0]["type"], "thinking");
    let id = content[2]["id"].clone();
    let theirs = json!({ "type": "thinking", "thinking": "t", "signature": "Claude's" });
    let body = json!({
        "model": "claude", "max_tokens": 5_000, "thinking": thinking,
        "messages": [
            { "role": "user", "content": "Go" },
            { "role": "assistant", "content": [theirs, { "type": "text", "text": "a" }] },
            { "role": "user", "content": "more" },
            { "role": "assistant", "content": [content[0]] },
            { "role": "assistant", "content": content },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "done" }] },
        ],
    });
    let sent = without_gateway_parts(MESSAGES, body.to_string().as_bytes()).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let messages = sent["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 5, "a message with only our thoughts is removed");
    assert_eq!(messages[1]["content"][0], theirs, "Claude's own blocks are kept");
    assert_eq!(messages[3]["content"], json!([content[1], content[2]]));
    // Anthropic would require its own thinking block before the open calls.
    assert!(sent.get("thinking").is_none());
    // Nothing changes in a request without blocks of ours.
    let clean = json!({ "model": "claude", "messages": [{ "role": "assistant", "content": [theirs] }] });
    assert_eq!(without_gateway_parts(MESSAGES, clean.to_string().as_bytes()), None);
    // Thoughts of other providers are not sent to Gemini.
    let contents = encoded(MESSAGES, &json!({ "model": MODEL, "max_tokens": 9, "messages": [
        { "role": "user", "content": "Go" }, { "role": "assistant", "content": [theirs, { "type": "text", "text": "a" }] },
        { "role": "user", "content": "more" },
    ] }))
    .unwrap();
    assert_eq!(contents["contents"][1]["parts"], json!([{ "text": "a" }]));
}

#[test]
fn gemini_searches_are_not_sent_to_anthropic() {
    let tools = json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] });
    let request = parse(MESSAGES, &hello(MESSAGES, &tools)).unwrap();
    let mut found = gemini(&json!([{ "text": "Ulm" }]), "STOP");
    found["candidates"][0]["groundingMetadata"] = json!({
        "webSearchQueries": ["q"], "groundingChunks": [{ "web": { "uri": "https://x.example", "title": "x" } }],
        "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 3, "text": "Ulm" }, "groundingChunkIndices": [0] }],
    });
    let mut content = whole(&request, &found).1.unwrap()["content"].as_array().unwrap().clone();
    assert_eq!(content.len(), 3);
    let theirs = json!([
        { "type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": { "query": "q" } },
        { "type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": [{ "type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "E" }] },
        { "type": "text", "text": "a", "citations": [{ "type": "web_search_result_location", "url": "u", "encrypted_index": "E" }] },
    ]);
    content.extend(theirs.as_array().unwrap().clone());
    let body = json!({ "model": "claude", "messages": [
        { "role": "user", "content": "Go" }, { "role": "assistant", "content": content }, { "role": "user", "content": "On" },
    ] });
    let sent: Value =
        serde_json::from_slice(&without_gateway_parts(MESSAGES, body.to_string().as_bytes()).unwrap()).unwrap();
    let mut left = vec![json!({ "type": "text", "text": "Ulm", "citations": [] })];
    left.extend(theirs.as_array().unwrap().clone());
    assert_eq!(sent["messages"][1]["content"], json!(left));
    assert_eq!(sent["messages"][0], body["messages"][0]);
}

#[test]
fn our_fields_are_not_sent_to_openai() {
    let mut request = parse(CHAT, &hello(CHAT, &json!({ "reasoning": { "effort": "low" } }))).unwrap();
    request.conversation.thinking.shown = Some(true);
    let parts = json!([{ "text": "Hm", "thought": true }, { "inlineData": { "mimeType": "image/png", "data": "AAAA" } }, signed_call("one")]);
    let message = whole(&request, &gemini(&parts, "STOP")).1.unwrap()["choices"][0]["message"].clone();
    assert!(message["reasoning_content"].is_string() && message["images"].is_array(), "{message}");
    let user = json!({ "role": "user", "content": "Go" });
    let theirs = json!({ "role": "assistant", "content": "a", "reasoning_content": "t" });
    let answer = json!({ "role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "ok" });
    let body = json!({ "model": "gpt", "messages": [user, theirs, user, message, answer] });
    let sent: Value =
        serde_json::from_slice(&without_gateway_parts(CHAT, body.to_string().as_bytes()).unwrap()).unwrap();
    let messages = &sent["messages"];
    assert_eq!((&messages[0], &messages[1], &messages[4]), (&user, &theirs, &answer));
    let names: Vec<&String> = messages[3].as_object().unwrap().keys().collect();
    assert_eq!(names, ["role", "content", "refusal", "tool_calls"]);
    let names: Vec<&String> = messages[3]["tool_calls"][0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "type", "function"]);
}

#[test]
fn our_reasoning_items_are_not_sent_to_openai() {
    let request = parse(RESPONSES, &hello(RESPONSES, &json!({ "reasoning": { "summary": "auto" } }))).unwrap();
    let (_, answer) = whole(&request, &gemini(&json!([{ "text": "Hm", "thought": true }, { "text": "Hi" }]), "STOP"));
    let mut input = answer.unwrap()["output"].as_array().unwrap().clone();
    assert_eq!(input[0]["type"], "reasoning");
    let theirs = json!({ "type": "reasoning", "id": "rs_68", "summary": [], "encrypted_content": "x" });
    input.push(theirs.clone());
    let sent =
        without_gateway_parts(RESPONSES, json!({ "model": "gpt", "input": input }).to_string().as_bytes()).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["input"].as_array().unwrap().len(), 2);
    assert_eq!(sent["input"][1], theirs);
}

#[test]
fn malformed_call_is_a_retryable_error() {
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"] {
            for body in [
                json!({ "candidates": [{ "content": {}, "finishReason": reason }] }),
                json!({ "candidates": [{ "finishReason": reason, "finishMessage": "x" }] }),
                gemini(&json!([{ "text": "" }]), reason),
            ] {
                let (outcome, answer) = whole(&request, &body);
                assert_eq!(outcome, Outcome::Malformed(reason.into()));
                assert!(outcome.is_retryable());
                let error = answer.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::MalformedAnswer);
                assert_eq!(error.status(frontend), 502);
                let streamed = streamed(&request, &[body]);
                assert_eq!((&streamed.outcome, streamed.had_begun), (&outcome, false));
                assert_eq!(streamed.sent.unwrap_err().kind(), ErrorKind::MalformedAnswer);
            }
        }
    }
}

#[test]
fn malformed_call_late_in_a_stream_is_an_error_event() {
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        let text = gemini(&json!([{ "text": "I call" }]), "");
        let streamed =
            streamed(&request, &[text, json!({ "candidates": [{ "finishReason": "MALFORMED_FUNCTION_CALL" }] })]);
        assert!(streamed.had_begun);
        let sent = streamed.sent.clone().unwrap();
        assert!(!sent.contains("[DONE]") && !sent.contains("message_stop") && !sent.contains("response.completed"));
        assert!(!sent.contains("\"stop\"") && !sent.contains("end_turn"));
        let message = "malformed (MALFORMED_FUNCTION_CALL)";
        let events = streamed.data();
        let says = |event: &Value| event["error"]["message"].as_str().is_some_and(|said| said.contains(message));
        assert!(events.iter().any(says));
        // The codes of `response.failed` are a closed list of OpenAI's.
        let code = &events.last().unwrap()["response"]["error"]["code"];
        assert_eq!(code.as_str(), (frontend == RESPONSES).then_some("server_error"));
    }
}

#[test]
fn calls_beside_a_malformed_one_are_returned() {
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({ "tools": [tool(frontend, "one")] }))).unwrap();
        let (outcome, answer) = whole(&request, &gemini(&json!([call("one")]), "TOO_MANY_TOOL_CALLS"));
        assert_eq!(outcome, Outcome::Complete);
        assert_eq!(calls_of(frontend, &answer.unwrap()).len(), 1);
    }
}

#[test]
fn call_without_a_name_is_malformed() {
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({ "tools": [tool(frontend, "one")] }))).unwrap();
        for nameless in
            [json!({ "functionCall": { "args": {} } }), json!({ "functionCall": { "name": "", "args": {} } })]
        {
            let alone = gemini(&json!([nameless]), "STOP");
            let malformed = Outcome::Malformed("MALFORMED_FUNCTION_CALL".to_owned());
            assert_eq!(whole(&request, &alone).0, malformed);
            assert_eq!(streamed(&request, &[alone]).outcome, malformed);
            let (outcome, answer) = whole(&request, &gemini(&json!([nameless, call("one"), nameless]), "STOP"));
            assert_eq!(outcome, Outcome::Complete);
            let names: Vec<String> = calls_of(frontend, &answer.unwrap()).into_iter().map(|call| call.1).collect();
            assert_eq!(names, ["one"]);
        }
    }
}

#[test]
fn prompt_blocked_after_the_first_text_is_filtered() {
    let blocked = json!({ "promptFeedback": { "blockReason": "SAFETY" } });
    for (frontend, filtered) in [(CHAT, "content_filter"), (RESPONSES, "content_filter"), (MESSAGES, "refusal")] {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        let streamed = streamed(&request, &[gemini(&json!([{ "text": "Hi" }]), ""), blocked.clone()]);
        assert_eq!(streamed.outcome, Outcome::Complete);
        let sent = streamed.sent.unwrap();
        assert!(sent.contains(filtered) && !sent.contains("broke off"), "{sent}");
    }
}

#[test]
fn empty_response_is_reported_and_returned() {
    let thoughts = json!([{ "text": "Hm", "thought": true }]);
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        for body in [
            json!({ "candidates": [{ "content": { "role": "model" }, "finishReason": "STOP" }] }),
            json!({ "candidates": [{ "finishReason": "STOP" }] }),
            gemini(&json!([{ "text": "" }]), "STOP"),
            gemini(&json!([{ "text": "\n" }]), "STOP"),
            gemini(&thoughts, "STOP"),
        ] {
            let (outcome, answer) = whole(&request, &body);
            assert_eq!(outcome, Outcome::Empty, "{body}");
            assert!(outcome.is_retryable() && answer.is_ok());
            let streamed = streamed(&request, std::slice::from_ref(&body));
            assert_eq!((streamed.outcome, streamed.had_begun), (Outcome::Empty, false), "{body}");
            let sent = streamed.sent.unwrap();
            let end = match frontend {
                MESSAGES => "message_stop",
                RESPONSES => "response.completed",
                _ => "[DONE]",
            };
            assert!(sent.contains(end));
        }
    }
}

#[test]
fn second_attempt_continues_the_same_stream() {
    for (frontend, more) in [
        (CHAT, json!({ "reasoning": { "effort": "low" } })),
        (RESPONSES, json!({ "reasoning": { "summary": "auto" } })),
        (MESSAGES, json!({ "thinking": { "type": "adaptive" } })),
    ] {
        let mut request = parse(frontend, &hello(frontend, &more)).unwrap();
        request.conversation.stream = true;
        let thoughts = |text: &str| gemini(&json!([{ "text": text, "thought": true }]), "");
        for end in [
            json!({ "candidates": [{ "finishReason": "STOP" }] }),
            json!({ "candidates": [{ "finishReason": "MALFORMED_FUNCTION_CALL" }] }),
        ] {
            let mut answer = crate::support::answer(&request);
            let mut sent = answer.push(events(&[thoughts("first"), end]).as_bytes()).unwrap().to_vec();
            // Thoughts that were asked for are sent at once, and do not count as the beginning of the answer.
            assert!(String::from_utf8_lossy(&sent).contains("first"));
            assert!(answer.outcome().is_retryable() && !answer.has_begun());
            answer.restart(MODEL);
            let second = [thoughts("second"), gemini(&json!([{ "text": "Hi" }]), "STOP")];
            sent.extend_from_slice(&answer.push(events(&second).as_bytes()).unwrap());
            assert_eq!((answer.outcome(), answer.has_begun()), (Outcome::Complete, true));
            sent.extend_from_slice(&answer.finish().unwrap());
            let sent = String::from_utf8(sent).unwrap();
            assert!(sent.contains("second") && sent.contains("Hi") && !sent.contains("malformed"));
            let starts = ["message_start\n", "event: response.created\n", "\"role\":\"assistant\",\"content\":\"\""];
            assert_eq!(starts.iter().map(|start| sent.matches(start).count()).sum::<usize>(), 1, "{sent}");
        }
        // A complete response contains nothing of the first attempt.
        request.conversation.stream = false;
        let mut answer = crate::support::answer(&request);
        answer.whole(gemini(&json!([{ "text": "first", "thought": true }]), "STOP").to_string().as_bytes()).unwrap();
        answer.restart(MODEL);
        answer.whole(gemini(&json!([{ "text": "Hi" }]), "STOP").to_string().as_bytes()).unwrap();
        let output = String::from_utf8(answer.finish().unwrap().to_vec()).unwrap();
        assert!(output.contains("Hi") && !output.contains("first"));
    }
}

#[test]
fn blocked_or_cut_response_without_text_is_not_empty() {
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        let (outcome, _) = whole(&request, &json!({ "candidates": [{ "finishReason": "MAX_TOKENS" }] }));
        assert_eq!(outcome, Outcome::Complete);
        let (outcome, answer) = whole(&request, &json!({ "candidates": [{ "finishReason": "SAFETY" }] }));
        assert_eq!(outcome, Outcome::Blocked("SAFETY".into()));
        assert!(!outcome.is_retryable());
        let answer = answer.unwrap().to_string();
        assert!(answer.contains("content_filter") || answer.contains("refusal"), "{answer}");
        let blocked = json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } });
        let (outcome, answer) = whole(&request, &blocked);
        assert_eq!(outcome, Outcome::Blocked("PROHIBITED_CONTENT".into()));
        assert!(answer.is_ok());
        assert_eq!(streamed(&request, &[blocked]).outcome, outcome);
    }
}

#[test]
fn googles_499_becomes_a_retryable_503() {
    let body = json!({ "error": { "code": 499, "message": "The operation was cancelled.", "status": "CANCELLED",
        "errors": [{ "reason": "backendError" }] } });
    let status = http::StatusCode::from_u16(499).unwrap();
    let error = keypool_dialect::Error::from_gemini(status, body.to_string().as_bytes());
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for frontend in ALL {
        assert_eq!(error.status(frontend), if frontend == MESSAGES { 529 } else { 503 });
        let shown: Value = serde_json::from_slice(&error.body(frontend)).unwrap();
        let kind = if frontend == MESSAGES { "overloaded_error" } else { "server_error" };
        assert_eq!(shown["error"]["type"], kind);
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        // As the first event of a stream with a good status, after the events, and as a complete response.
        for stream in [events(std::slice::from_ref(&body)), body.to_string(), format!("[{body}]")] {
            let streamed = streamed_raw(&request, &stream);
            assert!(!streamed.had_begun);
            assert_eq!(streamed.sent.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        assert_eq!(whole(&request, &body).1.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn error_after_text_ends_the_stream_with_an_error_event() {
    let text = events(&[gemini(&json!([{ "text": "Hi" }]), "")]);
    let error = json!({ "error": { "code": 503, "message": "overloaded", "status": "UNAVAILABLE" } });
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        let pretty = serde_json::to_string_pretty(&error).unwrap();
        for tail in [format!("data: {error}\n\n"), error.to_string(), pretty.clone(), pretty.replace('\n', "\r\n")] {
            let streamed = streamed_raw(&request, &format!("{text}{tail}"));
            assert!(streamed.had_begun);
            let last = streamed.data().pop().unwrap();
            let output =
                if frontend == RESPONSES { &last["response"]["error"]["message"] } else { &last["error"]["message"] };
            assert_eq!(output, "overloaded");
        }
        // The same for a stream that breaks off.
        let streamed = streamed_raw(&request, &text);
        assert_eq!(streamed.outcome, Outcome::Truncated);
        assert!(streamed.data().pop().unwrap().to_string().contains("broke off"));
    }
}

#[test]
fn declared_tool_name_is_returned() {
    for frontend in ALL {
        let tools = json!([tool(frontend, "create-docx-file"), tool(frontend, "read_file")]);
        let request = parse(frontend, &hello(frontend, &json!({ "tools": tools }))).unwrap();
        for (said, meant) in [
            ("create_docx_file", "create-docx-file"),
            ("create-docx-file", "create-docx-file"),
            ("default_api:read_file", "read_file"),
            ("default_api.read_file", "read_file"),
            ("default_api.create_docx_file", "create-docx-file"),
            ("functions.read_file", "read_file"),
            ("ReadFile", "read_file"),
            ("no_such", "no_such"),
        ] {
            let answer = gemini(&json!([call(said)]), "STOP");
            let calls = calls_of(frontend, &whole(&request, &answer).1.unwrap());
            assert_eq!(calls[0].1, meant, "{said}");
            let sent = streamed(&request, &[answer]).sent.unwrap();
            assert!(sent.contains(&format!("\"name\":\"{meant}\"")), "{sent}");
        }
        // An ambiguous name stays as it is.
        let tools = json!([tool(frontend, "read-file"), tool(frontend, "read.file")]);
        let request = parse(frontend, &hello(frontend, &json!({ "tools": tools }))).unwrap();
        let answer = gemini(&json!([call("read_file")]), "STOP");
        assert_eq!(calls_of(frontend, &whole(&request, &answer).1.unwrap())[0].1, "read_file");
    }
}

#[test]
fn names_that_gemini_refuses_are_replaced() {
    for frontend in ALL {
        let long = "a".repeat(70);
        let tools = json!([tool(frontend, "mcp/server:run it"), tool(frontend, &long), tool(frontend, "9lives")]);
        let request = parse(frontend, &hello(frontend, &json!({ "tools": tools }))).unwrap();
        let body = native(&request);
        let declared = body["tools"][0]["functionDeclarations"].as_array().unwrap();
        let names: Vec<&str> = declared.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["mcp_server_run_it", &long[..64], "_9lives"]);
        for front in ["", "default_api:", "default_api."] {
            let said: Vec<Value> = names.iter().map(|name| call(&format!("{front}{name}"))).collect();
            let calls = calls_of(frontend, &whole(&request, &gemini(&json!(said), "STOP")).1.unwrap());
            let back: Vec<&str> = calls.iter().map(|(_, name, _)| &**name).collect();
            assert_eq!(back, ["mcp/server:run it", &long, "9lives"]);
        }
    }
}

#[test]
fn tools_of_any_shape_are_accepted() {
    let schema = json!({ "type": "object", "properties": { "x": { "type": "string" } } });
    let flat = json!({ "type": "function", "name": "run", "description": "d", "parameters": schema });
    let nested = json!({ "type": "function", "function": { "name": "run", "description": "d", "parameters": schema } });
    let anthropic = json!({ "name": "run", "description": "d", "input_schema": schema });
    let custom = json!({ "type": "custom", "name": "run", "description": "d", "input_schema": schema });
    let flat_choice = json!({ "type": "function", "name": "run" });
    let nested_choice = json!({ "type": "function", "function": { "name": "run" } });
    let anthropic_choice = json!({ "type": "tool", "name": "run" });
    for (frontend, shapes, choices) in [
        (CHAT, vec![&flat, &nested, &anthropic, &custom], vec![&flat_choice, &nested_choice, &anthropic_choice]),
        (RESPONSES, vec![&flat, &nested, &anthropic, &custom], vec![&flat_choice, &nested_choice, &anthropic_choice]),
        (MESSAGES, vec![&flat, &nested, &anthropic, &custom], vec![&anthropic_choice]),
    ] {
        for shape in shapes {
            for choice in &choices {
                let request =
                    parse(frontend, &hello(frontend, &json!({ "tools": [shape], "tool_choice": choice }))).unwrap();
                let body = native(&request);
                let declared = json!([{ "name": "run", "description": "d", "parametersJsonSchema": schema }]);
                assert_eq!(body["tools"][0]["functionDeclarations"], declared);
                let calling = json!({ "mode": "ANY", "allowedFunctionNames": ["run"] });
                assert_eq!(body["toolConfig"]["functionCallingConfig"], calling);
                let (_, answer) = whole(&request, &gemini(&json!([call("run")]), "STOP"));
                assert_eq!(calls_of(frontend, &answer.unwrap())[0].1, "run");
            }
        }
    }
    for choice in ["auto", "none", "required", "any"] {
        assert!(parse(CHAT, &hello(CHAT, &json!({ "tools": [flat], "tool_choice": choice }))).is_ok(), "{choice}");
        let choice = json!({ "type": choice });
        assert!(parse(CHAT, &hello(CHAT, &json!({ "tools": [anthropic], "tool_choice": choice }))).is_ok());
    }
}

#[test]
fn body_at_the_wrong_path_is_served_or_refused_with_the_right_path() {
    // A Responses body at chat completions gets a chat response.
    let body = hello(RESPONSES, &json!({ "tools": [tool(RESPONSES, "one")], "instructions": "Be brief" }));
    let request = parse(CHAT, &body).unwrap();
    assert_eq!(native(&request)["systemInstruction"]["parts"][0]["text"], "Be brief");
    let (_, answer) = whole(&request, &gemini(&json!([{ "text": "Hi" }]), "STOP"));
    assert_eq!(answer.unwrap()["object"], "chat.completion");
    let sent = streamed(&request, &[gemini(&json!([call("one")]), "STOP")]).sent.unwrap();
    assert!(sent.contains("chat.completion.chunk") && sent.contains("tool_calls"));
    for (frontend, body, param, path) in [
        (RESPONSES, hello(CHAT, &json!({})), "messages", "/v1/chat/completions"),
        (MESSAGES, hello(RESPONSES, &json!({})), "input", "/v1/responses"),
        (CHAT, json!({ "contents": [] }), "contents", "generateContent"),
        (RESPONSES, json!({ "contents": [] }), "contents", "generateContent"),
        (MESSAGES, json!({ "contents": [] }), "contents", "generateContent"),
    ] {
        let error = parse(frontend, &body).unwrap_err();
        assert_eq!((error.param(), error.status(frontend).as_u16()), (Some(param), 400));
        assert!(error.message().contains(path), "{error}");
    }
}

#[test]
fn tool_reference_becomes_a_line_of_text() {
    let reference = json!({ "type": "tool_reference", "tool_name": "TaskStop" });
    let mut body = history(MESSAGES, &[("toolu_1", "ToolSearch")], &[("toolu_1", "")]);
    for (content, said) in [
        (json!([reference]), "The tool TaskStop is available.\n"),
        (json!([{ "type": "text", "text": "Found: " }, reference]), "Found: \nThe tool TaskStop is available.\n"),
    ] {
        body["messages"][2]["content"][0]["content"] = content;
        let request = parse(MESSAGES, &body).unwrap();
        assert_eq!(native(&request)["contents"][2]["parts"][0]["functionResponse"]["response"]["result"], said);
        let counted = keypool_dialect::NativeRequest::count_tokens(&request.conversation).unwrap();
        assert_eq!(counted.path, format!("/v1beta/models/{MODEL}:countTokens"));
        let counted: Value = serde_json::from_slice(&counted.body).unwrap();
        assert_eq!(counted["generateContentRequest"]["model"], format!("models/{MODEL}"));
    }
    body["messages"][2]["content"][0]["content"] = json!([{ "type": "from_the_future", "a": 1 }]);
    assert!(encoded(MESSAGES, &body).unwrap().to_string().contains("from_the_future"));
    // The same in the tool results of the other dialects.
    let body = json!({ "model": MODEL, "messages": [
        { "role": "user", "content": "Go" },
        { "role": "assistant", "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "c1", "content": [reference] },
    ] });
    assert!(encoded(CHAT, &body).unwrap().to_string().contains("The tool TaskStop is available."));
    let body = json!({ "model": MODEL, "input": [
        { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c1", "output": [reference] },
    ] });
    assert!(encoded(RESPONSES, &body).unwrap().to_string().contains("The tool TaskStop is available."));
}

#[test]
fn blocks_of_other_providers_tools_are_accepted() {
    let blocks = json!([
        { "type": "server_tool_use", "id": "s1", "name": "web_search", "input": { "query": "q" } },
        { "type": "web_search_tool_result", "tool_use_id": "s1", "content": { "type": "web_search_tool_result_error", "error_code": "x" } },
        { "type": "server_tool_use", "id": "s2", "name": "code_execution", "input": { "code": "1+1" } },
        { "type": "code_execution_tool_result", "tool_use_id": "s2", "content": { "type": "code_execution_result", "stdout": "2" } },
        { "type": "mcp_tool_use", "id": "m1", "name": "x", "server_name": "s", "input": {} },
        { "type": "mcp_tool_result", "tool_use_id": "m1", "is_error": false, "content": [{ "type": "text", "text": "fine" }] },
        { "type": "redacted_thinking", "data": "x" },
        { "type": "text", "text": "It is 2." },
    ]);
    let body = json!({ "model": MODEL, "max_tokens": 9, "messages": [
        { "role": "user", "content": "Go" }, { "role": "assistant", "content": blocks }, { "role": "user", "content": "On" },
    ] });
    let said = encoded(MESSAGES, &body).unwrap()["contents"][1].to_string();
    assert!(
        said.contains("stdout")
            && said.contains("It is 2.")
            && said.contains("fine")
            && !said.contains("error_code")
            && !said.contains("query")
    );
    let body = json!({ "model": MODEL, "input": [
        { "role": "user", "content": "Go" },
        { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" },
        { "type": "web_search_call", "id": "ws_1", "status": "completed", "action": { "type": "search", "query": "q" } },
        { "type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "container_id": "c", "outputs": [] },
        { "type": "mcp_list_tools", "id": "m", "server_label": "s", "tools": [] },
        { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "It is 2.", "annotations": [] }] },
        { "role": "user", "content": [{ "type": "input_text", "text": "On" }] },
    ] });
    let contents = encoded(RESPONSES, &body).unwrap()["contents"].clone();
    assert_eq!(contents.as_array().unwrap().len(), 3);
    assert!(contents[1].to_string().contains("1+1"));
}

/// Builds a request with these messages.
fn conversation(frontend: keypool_dialect::Frontend, messages: &[(&str, &str)]) -> Value {
    let messages: Vec<Value> = messages.iter().map(|(role, text)| json!({ "role": role, "content": text })).collect();
    let field = if frontend == RESPONSES { "input" } else { "messages" };
    json!({ "model": MODEL, field: messages })
}

#[test]
fn only_leading_system_messages_become_the_system_instruction() {
    let said = [
        ("system", "one"),
        ("system", "two"),
        ("user", "a"),
        ("assistant", "b"),
        ("system", "three"),
        ("user", "c"),
        ("assistant", "d"),
        ("system", "four"),
    ];
    for frontend in ALL {
        let body = encoded(frontend, &conversation(frontend, &said)).unwrap();
        assert_eq!(body["systemInstruction"], json!({ "parts": [{ "text": "one" }, { "text": "two" }] }));
        assert_eq!(
            body["contents"],
            json!([
                { "role": "user", "parts": [{ "text": "a" }] },
                { "role": "model", "parts": [{ "text": "b" }] },
                { "role": "user", "parts": [{ "text": "three" }, { "text": "c" }] },
                { "role": "model", "parts": [{ "text": "d" }] },
                { "role": "user", "parts": [{ "text": "four" }] },
            ])
        );
    }
}

#[test]
fn each_request_starts_with_the_contents_of_the_previous_one() {
    let said = [
        ("system", "one"),
        ("user", "a"),
        ("assistant", "b"),
        ("developer", "late"),
        ("user", "c"),
        ("assistant", "d"),
        ("user", "e"),
        ("assistant", "f"),
        ("system", "later"),
        ("user", "g"),
    ];
    for frontend in ALL {
        for (turn, next) in [(2, 5), (5, 7), (7, 10)] {
            let before = encoded(frontend, &conversation(frontend, &said[..turn])).unwrap();
            let after = encoded(frontend, &conversation(frontend, &said[..next])).unwrap();
            assert_eq!(before["systemInstruction"], after["systemInstruction"]);
            let (before, after) = (before["contents"].as_array().unwrap(), after["contents"].as_array().unwrap());
            assert_eq!(before[..], after[..before.len()]);
        }
        let both = format!("{}", encoded(frontend, &conversation(frontend, &said)).unwrap());
        assert_eq!(both, format!("{}", encoded(frontend, &conversation(frontend, &said)).unwrap()));
    }
}

#[test]
fn neutral_values_are_accepted_and_listed() {
    let of_all = [
        ("repetition_penalty", json!(1)),
        ("repetition_penalty", json!(1.0)),
        ("min_p", json!(0)),
        ("min_p", json!(0.0)),
        ("top_k", json!(0)),
        ("top_k", json!(-1)),
        ("think", json!(false)),
        ("chat_template_kwargs", json!({})),
        ("provider", json!({})),
        ("provider", json!({ "order": null })),
        ("transforms", json!([])),
        ("frequency_penalty", json!(0)),
        ("typical_p", json!(1)),
        ("some_new_option", json!("")),
        ("best_of", json!(1)),
        ("user", json!("")),
    ];
    for frontend in ALL {
        for (name, value) in &of_all {
            if *name == "user" && frontend == MESSAGES {
                continue;
            }
            let request = parse(frontend, &hello(frontend, &json!({ *name: value })))
                .unwrap_or_else(|error| panic!("{name} {value}: {error}"));
            assert_eq!(request.ignored(), [*name], "{frontend:?} {value}");
            let config = &native(&request)["generationConfig"];
            assert!(config.get("topK").is_none(), "{config}");
        }
        // Options that would change the answer are refused by name, and listed as ignored in lax mode.
        for (name, value) in [
            ("repetition_penalty", json!(1.1)),
            ("min_p", json!(0.05)),
            ("think", json!(true)),
            ("some_new_option", json!(7)),
            ("chat_template_kwargs", json!({ "enable_thinking": false })),
            ("logit_bias", json!({ "1": 2 })),
        ] {
            let body = hello(frontend, &json!({ name: value }));
            let error = parse(frontend, &body).unwrap_err();
            assert_eq!((error.param(), error.status(frontend).as_u16()), (Some(name), 400));
            assert_eq!(parse_lax(frontend, &body).unwrap().ignored(), [name]);
        }
        assert_eq!(parse(frontend, &hello(frontend, &json!({ "top_k": -2 }))).unwrap_err().param(), Some("top_k"));
        assert_eq!(
            native(&parse(frontend, &hello(frontend, &json!({ "top_k": 5 }))).unwrap())["generationConfig"]["topK"],
            5
        );
    }
    for (name, value) in [
        ("stop", json!([null])),
        ("stop", json!([])),
        ("stop", json!([""])),
        ("n", json!(0)),
        ("logit_bias", json!({})),
        ("presence_penalty", json!(0.0)),
        ("max_tokens", json!(-1)),
        ("verbosity", json!("medium")),
        ("top_logprobs", json!(0)),
    ] {
        let request =
            parse(CHAT, &hello(CHAT, &json!({ name: value }))).unwrap_or_else(|error| panic!("{name}: {error}"));
        if value != json!([]) {
            assert_eq!(request.ignored(), [name], "{value}");
        }
        assert!(native(&request).get("generationConfig").is_none(), "{name} {value}");
    }
    let request = parse(MESSAGES, &hello(MESSAGES, &json!({ "stop_sequences": [null] }))).unwrap();
    assert_eq!(request.ignored(), ["stop_sequences"]);
}

#[test]
fn wrong_types_and_incomplete_formats_are_refused() {
    let no_schema = json!({ "type": "json_schema" });
    let wrong_schema = json!({ "type": "json_schema", "schema": "x" });
    for (frontend, more, field) in [
        (CHAT, json!({ "reasoning_effort": 5 }), "reasoning_effort"),
        (CHAT, json!({ "reasoning": { "effort": 5 } }), "reasoning.effort"),
        (CHAT, json!({ "logprobs": true, "top_logprobs": -1 }), "top_logprobs"),
        (
            CHAT,
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n" } } }),
            "response_format.json_schema.schema",
        ),
        (
            CHAT,
            json!({ "google": { "thinking_config": { "thinking_level": 5 } } }),
            "extra_body.google.thinking_config",
        ),
        (RESPONSES, json!({ "reasoning": "high" }), "reasoning"),
        (RESPONSES, json!({ "reasoning": { "effort": 5 } }), "reasoning.effort"),
        (RESPONSES, json!({ "reasoning": { "mode": "pro" } }), "reasoning.mode"),
        (RESPONSES, json!({ "text": "json" }), "text"),
        (RESPONSES, json!({ "text": { "verbosity": "low" } }), "text.verbosity"),
        (RESPONSES, json!({ "text": { "format": no_schema } }), "text.format.schema"),
        (RESPONSES, json!({ "text": { "format": wrong_schema } }), "text.format.schema"),
        (RESPONSES, json!({ "top_logprobs": -1 }), "top_logprobs"),
        (MESSAGES, json!({ "output_config": "x" }), "output_config"),
        (MESSAGES, json!({ "output_config": { "effort": 3 } }), "output_config.effort"),
        (MESSAGES, json!({ "output_config": { "format": no_schema } }), "output_config.format.schema"),
        (MESSAGES, json!({ "output_config": { "format": wrong_schema } }), "output_config.format.schema"),
        (MESSAGES, json!({ "output_format": no_schema }), "output_config.format.schema"),
        (MESSAGES, json!({ "output_config": { "unknown": 1 } }), "output_config.unknown"),
        (MESSAGES, json!({ "thinking": { "type": "sometimes" } }), "thinking.type"),
    ] {
        let error = parse(frontend, &hello(frontend, &more)).map(drop).expect_err(field);
        assert_eq!((error.param(), error.status(frontend).as_u16()), (Some(field), 400), "{error}");
    }
    let error = parse(RESPONSES, &hello(RESPONSES, &json!({ "reasoning": "high" }))).unwrap_err();
    assert_eq!(error.message(), "reasoning: invalid type: string \"high\", expected an object");
    for (frontend, more, field) in [
        (RESPONSES, json!({ "reasoning": { "context": "all_turns" } }), "reasoning.context"),
        (RESPONSES, json!({ "reasoning": { "mode": "standard" } }), "reasoning.mode"),
        (
            MESSAGES,
            json!({ "output_config": { "task_budget": { "type": "tokens", "total": 9 } } }),
            "output_config.task_budget",
        ),
        (MESSAGES, json!({ "diagnostics": { "previous_message_id": "msg_1" } }), "diagnostics"),
    ] {
        assert_eq!(parse(frontend, &hello(frontend, &more)).unwrap().ignored(), [field]);
    }
    let unknown = hello(MESSAGES, &json!({ "thinking": { "type": "sometimes" } }));
    assert_eq!(parse_lax(MESSAGES, &unknown).unwrap().ignored(), ["thinking.type"]);
}

#[test]
fn call_without_a_result_is_refused_or_repaired() {
    for frontend in ALL {
        let body = history(frontend, &[("call_1", "one"), ("call_2", "two")], &[("call_1", "done")]);
        let error = parse(frontend, &body).unwrap_err();
        assert!(error.message().contains("call_2"), "{error}");
        assert_eq!(error.status(frontend), 400);
        let request = parse_lax(frontend, &body).unwrap();
        assert_eq!(request.ignored().len(), 1);
        let results = &native(&request)["contents"][2]["parts"];
        assert_eq!(results[0]["functionResponse"]["response"]["result"], "done");
        assert_eq!(results[1]["functionResponse"]["name"], "two");
        assert_eq!(results.as_array().unwrap().len(), 2);
    }
}

#[test]
fn result_without_a_call_is_refused_or_sent_as_text() {
    for frontend in ALL {
        let body = history(frontend, &[], &[("call_9", "done")]);
        let error = parse(frontend, &body).unwrap_err();
        assert!(error.message().contains("call_9"), "{error}");
        let request = parse_lax(frontend, &body).unwrap();
        let text = native(&request)["contents"].to_string();
        assert!(text.contains("done") && !text.contains("functionResponse"), "{text}");
        // A second result for one call.
        let body = history(frontend, &[("call_1", "one")], &[("call_1", "done"), ("call_1", "again")]);
        assert!(parse(frontend, &body).unwrap_err().message().contains("call_1"));
        assert!(parse_lax(frontend, &body).is_ok());
    }
}

#[test]
fn result_can_name_its_tool_without_an_id() {
    let call = json!({ "role": "assistant", "tool_calls": [{ "function": { "name": "f", "arguments": { "x": 1 } } }] });
    let result = json!({ "role": "tool", "name": "f", "content": { "found": [1] } });
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Go" }, call, result] });
    let contents = encoded(CHAT, &body).unwrap()["contents"].clone();
    assert_eq!(contents[1]["parts"][0]["functionCall"], json!({ "name": "f", "args": { "x": 1 } }));
    assert_eq!(contents[2]["parts"][0]["functionResponse"], json!({ "name": "f", "response": { "found": [1] } }));
    let nameless = json!({ "role": "tool", "content": "x" });
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Go" }, nameless] });
    assert_eq!(encoded(CHAT, &body).unwrap_err().param(), Some("messages[1].tool_call_id"));
}

#[test]
fn results_follow_their_calls_in_the_same_order() {
    for frontend in ALL {
        let body = history(frontend, &[("a", "one"), ("b", "two")], &[("b", "second"), ("a", "first")]);
        let contents = encoded(frontend, &body).unwrap()["contents"].clone();
        let names: Vec<&Value> =
            contents[2]["parts"].as_array().unwrap().iter().map(|part| &part["functionResponse"]["name"]).collect();
        assert_eq!(names, ["one", "two"]);
    }
    // Some clients restart their call ids in each turn.
    let call = |name: &str| json!({ "role": "assistant", "tool_calls": [{ "id": "call_0", "type": "function", "function": { "name": name, "arguments": "{}" } }] });
    let result = |said: &str| json!({ "role": "tool", "tool_call_id": "call_0", "content": said });
    let messages = json!([{ "role": "user", "content": "Go" }, call("one"), result("1"), call("two"), result("2")]);
    let contents = encoded(CHAT, &json!({ "model": MODEL, "messages": messages })).unwrap()["contents"].clone();
    assert_eq!(contents.as_array().unwrap().len(), 5);
    assert_eq!(contents[4]["parts"][0]["functionResponse"], json!({ "name": "two", "response": { "result": "2" } }));
}

#[test]
fn data_that_strict_decoders_refuse_is_repaired() {
    let image = |data: &str| json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } });
    let url =
        |data: &str| json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{data}") } });
    for frontend in ALL {
        for part in [image("AA\nAA\n"), url(" AA\r\nAA")] {
            let body = match frontend {
                RESPONSES => json!({ "model": MODEL, "input": [{ "role": "user", "content": [part] }] }),
                _ => json!({ "model": MODEL, "messages": [{ "role": "user", "content": [part] }] }),
            };
            let sent = encoded(frontend, &body).unwrap();
            assert_eq!(sent["contents"][0]["parts"][0]["inlineData"]["data"], "AAAA");
        }
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        let half = events(&[gemini(&json!([{ "text": "Hi HALF" }]), "STOP")]).replace("HALF", "\\ud83d");
        assert!(streamed_raw(&request, &half).sent.unwrap().contains('\u{fffd}'));
    }
}

#[test]
fn text_that_strict_decoders_refuse_is_repaired() {
    for frontend in ALL {
        let body = hello(frontend, &json!({})).to_string();
        for (cut, mended) in [
            ("Hello \\ud83d", "Hello \u{fffd}"),
            ("\\ude00 x \\ud83d\\ude00", "\u{fffd} x \u{1f600}"),
            ("a\\\\ud83d", "a\\ud83d"),
        ] {
            let body = body.replace("Hello", cut);
            let request = frontend.parse(body.as_bytes(), keypool_dialect::Mode::Strict).unwrap();
            assert_eq!(native(&request)["contents"][0]["parts"][0]["text"], mended);
        }
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        bytes.extend(body.replace("Hello", "Hell\u{f6}").into_bytes());
        let at = bytes.iter().position(|byte| *byte == 0xc3).unwrap();
        bytes.remove(at);
        let request = frontend.parse(&bytes, keypool_dialect::Mode::Strict).unwrap();
        assert_eq!(native(&request)["contents"][0]["parts"][0]["text"], "Hell\u{fffd}");
    }
}

#[test]
fn equal_tool_names_are_refused() {
    for frontend in ALL {
        let body =
            hello(frontend, &json!({ "tools": [tool(frontend, "f"), tool(frontend, "g"), tool(frontend, "f")] }));
        let error = encoded(frontend, &body).unwrap_err();
        assert_eq!(error.param(), Some("tools[2].name"), "{error}");
        // Otherwise the first one is used.
        let request = parse_lax(frontend, &body).unwrap();
        let declared = native(&request)["tools"][0]["functionDeclarations"].as_array().unwrap().len();
        assert_eq!((declared, request.ignored()), (2, &["tools[2].name".to_owned()][..]));
    }
    let f = |number: usize| json!({ "type": "function", "name": format!("f{number}") });
    let space = |name: &str, tools: Vec<Value>| json!({ "type": "namespace", "name": name, "tools": tools });
    let namespaces = json!([space("a", vec![f(1), f(2)]), space("b", vec![f(1)]), f(1)]);
    let call = json!({ "type": "function_call", "call_id": "c", "namespace": "b", "name": "f1", "arguments": "{}" });
    let result = json!({ "type": "function_call_output", "call_id": "c", "output": "" });
    let choice = json!({ "type": "function", "namespace": "a", "name": "f1" });
    let body = json!({ "model": MODEL, "input": ["Go", call, result], "tools": namespaces, "tool_choice": choice });
    let request = parse(RESPONSES, &body).unwrap();
    let sent = native(&request);
    assert_eq!(sent["contents"][1]["parts"][0]["functionCall"]["name"], "b.f1");
    assert_eq!(sent["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!(["a.f1"]));
    for (said, namespace) in [("a.f1", json!("a")), ("b.f1", json!("b")), ("f1", Value::Null)] {
        let called = json!([{ "functionCall": { "name": said, "args": {} } }]);
        let output = whole(&request, &gemini(&called, "STOP")).1.unwrap()["output"][0].clone();
        assert_eq!((&output["namespace"], &output["name"]), (&namespace, &json!("f1")), "{said}");
    }
    let twice = hello(RESPONSES, &json!({ "tools": [space("a", vec![f(1), f(1)])] }));
    assert_eq!(parse(RESPONSES, &twice).unwrap_err().param(), Some("tools[0].tools[1].name"));
    let many = |count: usize| hello(RESPONSES, &json!({ "tools": [space("a", (0..count).map(f).collect())] }));
    assert!(parse(RESPONSES, &many(1_024)).is_ok());
    assert_eq!(parse(RESPONSES, &many(1_025)).unwrap_err().param(), Some("tools[0].tools[1024]"));
}

#[test]
fn empty_message_of_the_model_is_not_a_turn() {
    for frontend in ALL {
        let body = conversation(frontend, &[("user", "a"), ("assistant", ""), ("user", "b")]);
        let contents = encoded(frontend, &body).unwrap()["contents"].clone();
        assert_eq!(contents, json!([{ "role": "user", "parts": [{ "text": "a" }, { "text": "b" }] }]));
    }
}

#[test]
fn video_is_sent() {
    let data = "data:video/mp4;base64,AAAA";
    for part in [
        json!({ "type": "video_url", "video_url": { "url": data } }),
        json!({ "type": "image_url", "image_url": { "url": data } }),
    ] {
        let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": [part] }] });
        let sent = encoded(CHAT, &body).unwrap()["contents"][0]["parts"].clone();
        assert_eq!(sent, json!([{ "inlineData": { "mimeType": "video/mp4", "data": "AAAA" } }]));
    }
}

#[test]
fn built_in_tools_of_other_providers_are_refused() {
    for (frontend, kind) in [(MESSAGES, "bash_20250124"), (RESPONSES, "local_shell")] {
        let error =
            parse(frontend, &hello(frontend, &json!({ "tools": [{ "type": kind, "name": "x" }] }))).unwrap_err();
        assert!(error.message().contains("is a built-in tool of another provider"), "{error}");
    }
}
