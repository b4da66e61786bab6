//! Properties: no input panics, requests are valid, and the chunk boundaries of a stream do not matter.

use keypool_dialect::{
    Call, Conversation, Error, Media, MediaData, Mode, NativeRequest, Part, Role, Tool, ToolResult, Turn,
    openai::embeddings::Embeddings, without_gateway_parts,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::support::{ALL, MODEL, RESPONSES, answer, events, gemini, hello, parse, streamed_raw, whole};

fn words() -> impl Strategy<Value = String> {
    let known = "user assistant tool system text image_url file function json_schema auto tool_use tool_result image base64 \
                 enabled data:image/png;base64,AA {} low STOP MAX_TOKENS web_search namespace custom thinking";
    select(known.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned)
}

fn names() -> impl Strategy<Value = String> {
    let known = "role content type text image_url url file file_data tool_calls tool_call_id id function name arguments \
                 parameters json_schema schema source media_type data input tool_use_id parts candidates finishReason \
                 functionCall args index usageMetadata promptTokenCount error message code thought thoughtSignature \
                 promptFeedback const properties input_schema mode logprobsResult chosenCandidates token allowed_tools tools \
                 groundingMetadata inlineData extra_content google images call_id output namespace custom";
    select(known.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned)
}

/// Small JSON values of any kind.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e3..1e3).prop_map(|number: f64| json!(number)),
        "[a-z\"\\\\é]{0,6}".prop_map(Value::from),
        words().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((names(), inner), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Requests of a valid outer shape whose fields hold any JSON.
fn any_request() -> impl Strategy<Value = Value> {
    let fields = "messages tools tool_choice response_format stop temperature seed n max_tokens stream stream_options \
                  reasoning_effort reasoning extra_body google logprobs top_logprobs system thinking stop_sequences \
                  output_config output_format input functions function_call model modalities text include metadata top_k";
    let field = (select(fields.split_whitespace().collect::<Vec<_>>()), any_json());
    let message = vec((names(), any_json()), 0..4).prop_map(|fields| {
        let mut message = json!({ "role": "user", "content": "x" });
        message.as_object_mut().unwrap().extend(fields);
        message
    });
    (vec(field, 0..4), vec(message, 1..4)).prop_map(|(fields, messages)| {
        let mut body = json!({ "model": MODEL, "messages": messages });
        body.as_object_mut().unwrap().extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        body
    })
}

fn any_part() -> impl Strategy<Value = Part> {
    let text = "[a-z é\n]{0,8}";
    prop_oneof![
        text.prop_map(Part::Text),
        text.prop_map(|name| Part::Media(Media { mime: Some(name), data: MediaData::Base64("AAAA".into()) })),
        Just(Part::Media(Media { mime: None, data: MediaData::GeminiUri("gs://a/b".into()) })),
        (text, text, any_json(), prop::option::of(text)).prop_map(|(id, name, args, signature)| {
            Part::Call(Call { id, name, args: json!({ "a": args }), signature })
        }),
        (text, text, any::<bool>()).prop_map(|(name, content, failed)| {
            Part::Result(ToolResult { call_id: String::new(), name, content, failed })
        }),
    ]
}

fn any_conversation() -> impl Strategy<Value = Conversation> {
    let turn = (any::<bool>(), vec(any_part(), 0..4))
        .prop_map(|(user, parts)| Turn { role: if user { Role::User } else { Role::Model }, parts });
    let tool = ("[a-zA-Z/ 0-9é]{1,80}", any_json()).prop_map(|(name, parameters)| Tool {
        name,
        description: None,
        parameters: Some(parameters),
        origin: None,
    });
    (vec("[a-z]{0,3}", 0..3), vec(turn, 0..5), vec(tool, 0..4), any::<bool>()).prop_map(
        |(system, turns, tools, stream)| Conversation {
            model: MODEL.into(),
            system,
            turns,
            tools,
            stream,
            ..Conversation::default()
        },
    )
}

/// Returns why Gemini would refuse the form of a request, if it would.
fn refusal(body: &Value) -> Option<String> {
    let contents = body["contents"].as_array()?;
    if contents.first().is_none_or(|content| content["role"] != "user") {
        return Some("the first turn is not the user's".to_owned());
    }
    let datas = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];
    for content in contents {
        let parts = content["parts"].as_array()?;
        if parts.is_empty() || !(content["role"] == "user" || content["role"] == "model") {
            return Some(format!("a turn has no parts or a wrong role: {content}"));
        }
        for part in parts {
            let held = datas.iter().filter(|name| part.get(**name).is_some()).count();
            let objects = [&part["functionCall"]["args"], &part["functionResponse"]["response"]];
            let no_object = objects.iter().any(|value| !value.is_null() && !value.is_object());
            if held != 1 || part["text"] == "" || no_object || part.as_object()?.values().any(Value::is_null) {
                return Some(format!("invalid part: {part}"));
            }
        }
    }
    let declared = body["tools"][0]["functionDeclarations"].as_array().into_iter().flatten();
    for tool in declared {
        let name = tool["name"].as_str()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty()
            || name.len() > 64
            || !name.bytes().all(plain)
            || name.starts_with(|first: char| !first.is_ascii_alphabetic() && first != '_')
        {
            return Some(format!("invalid function name {name}"));
        }
    }
    None
}

proptest! {
    #[test]
    fn any_conversation_is_encoded_as_a_valid_request(conversation in any_conversation()) {
        let native = NativeRequest::generate(&conversation).unwrap();
        let body: Value = serde_json::from_slice(&native.body).unwrap();
        prop_assert!(body["contents"].is_array());
        prop_assert_eq!(refusal(&body), None);
        prop_assert_eq!(native.path.ends_with("?alt=sse"), conversation.stream);
    }

    #[test]
    fn any_request_is_refused_or_encoded_as_a_valid_request(request in any_request(), strict: bool) {
        let mode = if strict { Mode::Strict } else { Mode::Lax };
        for frontend in ALL {
            let mut body = request.clone();
            if frontend == RESPONSES {
                let messages = body["messages"].take();
                body.as_object_mut().unwrap().shift_remove("messages");
                body["input"] = messages;
            }
            let encoded = frontend.parse(body.to_string().as_bytes(), mode).and_then(|request| request.encode());
            match encoded {
                Ok(native) => prop_assert_eq!(refusal(&serde_json::from_slice(&native.body).unwrap()), None),
                Err(error) => {
                    prop_assert!(error.status(frontend).is_client_error());
                    prop_assert!(serde_json::from_slice::<Value>(&error.body(frontend)).is_ok());
                }
            }
            let _ = without_gateway_parts(frontend, body.to_string().as_bytes());
        }
        let _ = Embeddings::parse(request.to_string().as_bytes(), mode);
    }

    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        for frontend in ALL {
            prop_assert!(frontend.parse(&bytes, Mode::Lax).is_err());
        }
    }

    #[test]
    fn any_response_is_an_error_or_converted(body in any_json(), parts in vec(any_json(), 0..4), candidate in any_json()) {
        for frontend in ALL {
            let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
            for body in [&body, &gemini(&Value::from(parts.clone()), "STOP"), &json!({ "candidates": [candidate] })] {
                match whole(&request, body).1 {
                    Ok(converted) => prop_assert!(converted.is_object(), "{converted}"),
                    Err(error) => {
                        let status = error.status(frontend);
                        prop_assert!(status.is_client_error() || status.is_server_error(), "{status}");
                    }
                }
            }
        }
        let _ = Error::from_gemini(http::StatusCode::BAD_REQUEST, body.to_string().as_bytes());
    }

}

proptest! {
    // Each stream is cut at forty places and into single bytes, so only a twentieth of PROPTEST_CASES is tried.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(20)))]

    #[test]
    fn chunk_boundaries_do_not_change_any_stream(
        texts in vec("[a-zé\u{2028}\n\"]{0,8}", 1..4),
        tail in select(vec!["", "{\"error\":{\"code\":503}}", "data: {\"x", ": c\n\n", "data: [1]\n\n", "event: x\nid: 1\n\n"]),
    ) {
        let answers = texts.iter().map(|text| gemini(&json!([{ "text": text }]), "STOP"));
        let stream = events(&answers.collect::<Vec<_>>());
        for frontend in ALL {
            let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
            // `streamed_raw` itself compares the output for different chunk boundaries.
            let streamed = streamed_raw(&request, &format!("{stream}{tail}"));
            if let Ok(sent) = streamed.sent {
                // No character that Unicode treats as a line break may be within an event.
                let ends = ['\u{2028}', '\u{2029}', '\u{85}'];
                prop_assert!(!sent.contains(ends));
            }
        }
    }

    #[test]
    fn any_bytes_in_a_stream_are_handled(chunks in vec(vec(any::<u8>(), 0..50), 0..10)) {
        for frontend in ALL {
            let mut request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
            request.conversation.stream = true;
            let mut answer = answer(&request);
            for chunk in &chunks {
                let _ = answer.push(chunk);
                answer.ping();
            }
            let _ = answer.finish();
        }
    }
}

#[test]
fn stream_cut_at_any_byte_is_unchanged() {
    let parts = json!([{ "text": "é\u{1f600}\n" }, { "functionCall": { "name": "f", "args": { "x": "\u{2028}" } } }]);
    let stream = format!(
        ": c\r\n\r\ndata: {}\n\ndata:{}\r\n\r\n",
        gemini(&json!([{ "text": "Hi" }]), ""),
        gemini(&parts, "STOP")
    );
    for frontend in ALL {
        let mut request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        request.conversation.stream = true;
        let say = |at: usize| {
            let mut answer = answer(&request);
            let (front, back) = stream.as_bytes().split_at(at);
            let mut out = answer.push(front).unwrap().to_vec();
            out.extend_from_slice(&answer.push(back).unwrap());
            out.extend_from_slice(&answer.finish().unwrap());
            String::from_utf8(out).unwrap()
        };
        let at_once = say(0);
        for at in 1..=stream.len() {
            assert_eq!(say(at), at_once, "{at}");
        }
    }
}

/// Many calls, results or tools do not make a request expensive.
#[test]
fn requests_with_many_parts_are_read() {
    const MANY: usize = 4_000;
    let ids: Vec<String> = (0..MANY).map(|number| format!("c{number}")).collect();
    let odd = |number: &usize| {
        char::from_u32(0x4E00 + (number % 20_000) as u32).unwrap().to_string() + &"é".repeat(number / 20_000)
    };
    let names: Vec<String> = (0..MANY).map(|number| odd(&number)).collect();
    let calls: Vec<(&str, &str)> = ids.iter().map(String::as_str).zip(names.iter().map(String::as_str)).collect();
    let results: Vec<(&str, &str)> = ids.iter().rev().map(|id| (id.as_str(), "done")).collect();
    for frontend in ALL {
        let request = parse(frontend, &crate::support::history(frontend, &calls, &results)).unwrap();
        let native = request.encode().unwrap();
        assert!(native.body.len() > MANY * 20);
        let tools: Vec<Value> = names.iter().map(|name| crate::support::tool(frontend, name)).collect();
        assert!(parse(frontend, &hello(frontend, &json!({ "tools": tools }))).is_err());
    }
    let older = json!({ "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "{}" } });
    let result = json!({ "role": "function", "name": "g", "content": "x" });
    let messages = [vec![older; MANY], vec![result; MANY]].concat();
    assert!(parse(crate::support::CHAT, &json!({ "model": MODEL, "messages": messages })).is_ok());
}
