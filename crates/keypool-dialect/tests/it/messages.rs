//! `/v1/messages` and `/v1/messages/count_tokens`.

use keypool_dialect::{NativeRequest, Outcome, anthropic::count_tokens};
use serde_json::{Value, json};

use crate::support::{MESSAGES, MODEL, encoded, gemini, hello, parse, streamed, whole};

fn with(content: &Value) -> Value {
    json!({ "model": MODEL, "max_tokens": 9, "messages": [{ "role": "user", "content": content }] })
}

#[test]
fn blocks_become_parts() {
    let content = json!([
        { "type": "text", "text": "look", "cache_control": { "type": "ephemeral" } },
        { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
        { "type": "document", "title": "T", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" } },
        { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "plain" } },
        { "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "inner" }] } },
        { "type": "document", "source": { "type": "file", "file_id": "files/abc" } },
        { "type": "search_result", "source": "https://a", "title": "A", "content": [{ "type": "text", "text": "found" }] },
    ]);
    let parts = encoded(MESSAGES, &with(&content)).unwrap()["contents"][0]["parts"].clone();
    assert_eq!(
        parts,
        json!([
            { "text": "look" }, { "inlineData": { "mimeType": "image/png", "data": "AAAA" } },
            { "text": "Document\nTitle: T\n" }, { "inlineData": { "mimeType": "application/pdf", "data": "BBBB" } },
            { "text": "plain" }, { "text": "inner" },
            { "fileData": { "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc" } },
            { "text": "Search result\nTitle: A\nSource: https://a\nfound\n" },
        ])
    );
}

#[test]
fn fields_become_gemini_fields() {
    let more = json!({
        "max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "stop_sequences": ["x"], "metadata": { "user_id": "u" },
        "thinking": { "type": "enabled", "budget_tokens": 2_000 }, "system": [{ "type": "text", "text": "s" }],
        "output_config": { "effort": "low", "format": { "type": "json_schema", "schema": { "type": "object" } } },
    });
    let body = encoded(MESSAGES, &hello(MESSAGES, &more)).unwrap();
    assert_eq!(body["systemInstruction"], json!({ "parts": [{ "text": "s" }] }));
    assert_eq!(
        body["generationConfig"],
        json!({
            "temperature": 0.5, "topP": 0.9, "topK": 4, "maxOutputTokens": 50, "stopSequences": ["x"],
            "responseMimeType": "application/json", "responseJsonSchema": { "type": "object" },
            "thinkingConfig": { "includeThoughts": true, "thinkingLevel": "medium" },
        })
    );
    let off = hello(MESSAGES, &json!({ "thinking": { "type": "disabled" } }));
    assert_eq!(
        encoded(MESSAGES, &off).unwrap()["generationConfig"]["thinkingConfig"],
        json!({ "thinkingLevel": "low" })
    );
}

#[test]
fn thinking_between_tools_is_thinking_as_the_model_likes() {
    let body = |kind: &str| hello(MESSAGES, &json!({ "thinking": { "type": kind } }));
    let adaptive = encoded(MESSAGES, &body("adaptive")).unwrap();
    assert_eq!(encoded(MESSAGES, &body("between_tools")).unwrap(), adaptive);
}

#[test]
fn errors_name_the_field_like_anthropic() {
    for (content, place) in [
        (json!([{ "type": "text" }]), "messages.0.content.0.text"),
        (
            json!([{ "type": "image", "source": { "type": "base64", "data": "A" } }]),
            "messages.0.content.0.source.media_type",
        ),
        (
            json!([{ "type": "image", "source": { "type": "url", "url": "https://a/b.png" } }]),
            "messages.0.content.0.source.url",
        ),
        (json!([{ "type": "image", "source": "x" }]), "messages.0.content.0.source"),
        (json!([{ "type": "from_the_future" }]), "messages.0.content.0.type"),
        (
            json!([{ "type": "document", "citations": { "enabled": true }, "source": { "type": "text", "data": "x" } }]),
            "messages.0.content.0.citations",
        ),
        (json!([]), "messages.0.content"),
        (json!(""), "messages.0.content"),
        (json!(7), "messages.0"),
    ] {
        let error = encoded(MESSAGES, &with(&content)).unwrap_err();
        let shown: Value = serde_json::from_slice(&error.body(MESSAGES)).unwrap();
        assert!(shown["error"]["message"].as_str().unwrap().starts_with(place), "{shown}");
        assert_eq!((&shown["type"], &shown["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
    }
}

#[test]
fn complete_message_has_all_fields() {
    let tools = json!([{ "name": "f", "input_schema": { "type": "object" } }]);
    let request =
        parse(MESSAGES, &hello(MESSAGES, &json!({ "tools": tools, "thinking": { "type": "adaptive" } }))).unwrap();
    let parts = json!([
        { "text": "Hm", "thought": true }, { "text": "I call" }, { "functionCall": { "name": "f", "args": { "z": 1, "a": 2 } } },
    ]);
    let (outcome, answer) = whole(&request, &gemini(&parts, "STOP"));
    let answer = answer.unwrap();
    assert_eq!(outcome, Outcome::Complete);
    let id = answer["content"][2]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("toolu_"));
    assert_eq!(
        answer,
        json!({
            "id": "msg_r1", "type": "message", "role": "assistant", "model": MODEL,
            "content": [
                { "type": "thinking", "thinking": "Hm", "signature": "keypool" }, { "type": "text", "text": "I call" },
                { "type": "tool_use", "id": id, "name": "f", "input": { "z": 1, "a": 2 } },
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 3 },
        })
    );
    // The arguments keep their order.
    assert!(answer.to_string().contains("{\"z\":1,\"a\":2}"));
}

#[test]
fn stream_opens_and_closes_each_block_in_order() {
    let tools = json!([{ "name": "f", "input_schema": { "type": "object" } }]);
    let request =
        parse(MESSAGES, &hello(MESSAGES, &json!({ "tools": tools, "thinking": { "type": "adaptive" } }))).unwrap();
    let streamed = streamed(
        &request,
        &[
            gemini(&json!([{ "text": "Hm", "thought": true }]), ""),
            gemini(&json!([{ "text": "I " }]), ""),
            gemini(&json!([{ "text": "call" }, { "functionCall": { "name": "f", "args": { "x": 1 } } }]), "STOP"),
        ],
    );
    let data = streamed.data();
    let kinds: Vec<(&str, &Value)> =
        data.iter().map(|event| (event["type"].as_str().unwrap(), &event["index"])).collect();
    let index = |number: u64| json!(number);
    let (none, zero, one, two) = (Value::Null, index(0), index(1), index(2));
    assert_eq!(
        kinds,
        [
            ("message_start", &none),
            ("content_block_start", &zero),
            ("content_block_delta", &zero),
            ("content_block_delta", &zero),
            ("content_block_stop", &zero),
            ("content_block_start", &one),
            ("content_block_delta", &one),
            ("content_block_delta", &one),
            ("content_block_stop", &one),
            ("content_block_start", &two),
            ("content_block_delta", &two),
            ("content_block_stop", &two),
            ("message_delta", &none),
            ("message_stop", &none),
        ]
    );
    let usage = &data[0]["message"]["usage"];
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(7), &json!(0)));
    assert_eq!(data[3]["delta"], json!({ "type": "signature_delta", "signature": "keypool" }));
    assert_eq!(data[9]["content_block"]["input"], json!({}));
    assert_eq!(data[10]["delta"], json!({ "type": "input_json_delta", "partial_json": "{\"x\":1}" }));
    assert_eq!(data[12]["delta"], json!({ "stop_reason": "tool_use", "stop_sequence": null }));
    assert_eq!(data[12]["usage"]["output_tokens"], 3);
    let sent = streamed.sent.unwrap();
    assert!(sent.starts_with("event: message_start\ndata: {"));
}

#[test]
fn tokens_are_counted_by_gemini() {
    let body = json!({ "model": MODEL, "system": "s", "messages": [{ "role": "user", "content": "x" }] });
    let request = parse(MESSAGES, &body).unwrap();
    let native = NativeRequest::count_tokens(&request.conversation).unwrap();
    let sent: Value = serde_json::from_slice(&native.body).unwrap();
    assert_eq!(sent["generateContentRequest"]["systemInstruction"]["parts"][0]["text"], "s");
    assert_eq!(&count_tokens::answer(br#"{"totalTokens": 12}"#).unwrap()[..], b"{\"input_tokens\":12}");
    assert!(count_tokens::answer(b"{}").is_err());
}

#[test]
fn web_search_is_done_by_gemini_and_its_pages_are_cited() {
    let more = json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search", "max_uses": 3 }] });
    let request = parse(MESSAGES, &hello(MESSAGES, &more)).unwrap();
    assert_eq!(crate::support::native(&request)["tools"], json!([{ "googleSearch": {} }]));
    let mut answer = gemini(&json!([{ "text": "Ärger in Ulm" }]), "STOP");
    answer["candidates"][0]["groundingMetadata"] = json!({
        "webSearchQueries": ["ulm"], "groundingChunks": [{ "web": { "uri": "https://a", "title": "A" } }],
        "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 6, "text": "Ärger" }, "groundingChunkIndices": [0, 7] }],
    });
    let content = whole(&request, &answer).1.unwrap()["content"].clone();
    assert_eq!(content[0]["citations"][0]["url"], "https://a");
    assert_eq!(
        content[1],
        json!({ "type": "server_tool_use", "id": "srvtoolu_kp0abc", "name": "web_search", "input": { "query": "ulm" } })
    );
    assert_eq!(content[2]["content"][0]["url"], "https://a");
    let sent = streamed(&request, &[answer.clone()]).sent.unwrap();
    assert!(sent.contains("citations_delta") && sent.contains("web_search_tool_result"));
    // Citations of the other dialects count characters.
    let request =
        parse(crate::support::CHAT, &hello(crate::support::CHAT, &json!({ "web_search_options": {} }))).unwrap();
    let annotation = whole(&request, &answer).1.unwrap()["choices"][0]["message"]["annotations"][0].clone();
    assert_eq!(
        annotation["url_citation"],
        json!({ "start_index": 0, "end_index": 5, "title": "A", "url": "https://a" })
    );
}

#[test]
fn pages_that_support_no_part_of_the_text_are_cited_at_its_end() {
    use crate::support::{CHAT, RESPONSES};
    let search = json!([{ "type": "web_search_20250305", "name": "web_search" }]);
    let page = json!({ "web": { "uri": "https://a", "title": "A" } });
    let elsewhere = json!([{ "segment": { "text": "not in it" }, "groundingChunkIndices": [0] }]);
    for supports in [Value::Null, elsewhere] {
        let mut found = gemini(&json!([{ "text": "Ärger" }]), "STOP");
        found["candidates"][0]["groundingMetadata"] =
            json!({ "webSearchQueries": ["ulm"], "groundingChunks": [page], "groundingSupports": supports });
        let answer = |frontend, more: Value| {
            let request = parse(frontend, &hello(frontend, &more)).unwrap();
            whole(&request, &found).1.unwrap()
        };
        assert_eq!(answer(MESSAGES, json!({ "tools": search }))["content"][2]["content"][0]["url"], "https://a");
        let citation = json!({ "start_index": 5, "end_index": 5, "title": "A", "url": "https://a" });
        let chat = answer(CHAT, json!({ "web_search_options": {} }));
        assert_eq!(chat["choices"][0]["message"]["annotations"][0]["url_citation"], citation);
        let response = answer(RESPONSES, json!({ "tools": search }));
        assert_eq!(response["output"][0]["content"][0]["annotations"][0]["end_index"], 5);
    }
}

#[test]
fn image_is_a_block_that_comes_back_as_an_image() {
    let request = parse(MESSAGES, &hello(MESSAGES, &json!({}))).unwrap();
    let image = json!({ "inlineData": { "mimeType": "image/png", "data": "iVBO/+w=" } });
    let drawn = gemini(&json!([{ "text": "See:\n" }, image, image, { "text": "Done" }]), "STOP");
    let content = whole(&request, &drawn).1.unwrap()["content"].clone();
    assert_eq!(content.as_array().unwrap().len(), 4, "{content}");
    let starts = streamed(&request, &[drawn]).data().into_iter().filter(|data| data["type"] == "content_block_start");
    assert_eq!(starts.count(), 4);
    let mut body = hello(MESSAGES, &json!({}));
    let quoted = "![keypool](data:image/png;base64,AAAA) and ![keypool](data:image/png;base64,AAAA)";
    let assistant = |content: &Value| json!({ "role": "assistant", "content": content });
    let user = json!({ "role": "user", "content": [content[1]] });
    body["messages"].as_array_mut().unwrap().extend([assistant(&content), user, assistant(&json!(quoted))]);
    let contents = crate::support::encoded(MESSAGES, &body).unwrap()["contents"].clone();
    assert_eq!(contents[1]["parts"], json!([{ "text": "See:\n" }, image, image, { "text": "Done" }]));
    assert_eq!(contents[2]["parts"], json!([{ "text": content[1]["text"] }]), "what the user wrote is text");
    assert_eq!(contents[3]["parts"], json!([{ "text": quoted }]));
}

#[test]
fn images_that_the_model_wrote_stay_text() {
    let mut body = hello(MESSAGES, &json!({}));
    let text = "![](data:image/svg+xml;base64,PHN2Zy8+)";
    let assistant = json!({ "role": "assistant", "content": [{ "type": "text", "text": text }] });
    body["messages"].as_array_mut().unwrap().push(assistant);
    let contents = crate::support::encoded(MESSAGES, &body).unwrap()["contents"].clone();
    assert_eq!(contents[1]["parts"], json!([{ "text": text }]));
    assert!(keypool_dialect::without_gateway_parts(MESSAGES, body.to_string().as_bytes()).is_none());
}

#[test]
fn web_search_beside_functions_is_listed_as_ignored() {
    use crate::support::{CHAT, RESPONSES, native, tool};
    let search = json!({ "type": "web_search" });
    for (frontend, tools) in [
        (CHAT, json!({ "tools": [tool(CHAT, "f")], "web_search_options": {} })),
        (RESPONSES, json!({ "tools": [search, tool(RESPONSES, "f")] })),
        (MESSAGES, json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }, tool(MESSAGES, "f")] })),
    ] {
        let request = parse(frontend, &hello(frontend, &tools)).unwrap();
        assert_eq!(request.ignored(), ["web_search"]);
        let tools = native(&request)["tools"].clone();
        assert!(tools[0].get("googleSearch").is_none() && tools.get(1).is_none(), "{tools}");
    }
    let alone = parse(RESPONSES, &hello(RESPONSES, &json!({ "tools": [search] }))).unwrap();
    assert!(alone.ignored().is_empty());
}

#[test]
fn search_tool_may_have_empty_lists_of_domains() {
    let search = |allowed: Value, blocked: Value| {
        let tool = json!({
            "type": "web_search_20250305", "name": "web_search", "allowed_domains": allowed, "blocked_domains": blocked,
        });
        parse(MESSAGES, &hello(MESSAGES, &json!({ "tools": [tool] })))
    };
    for none in [json!([]), Value::Null] {
        assert!(search(none.clone(), none).unwrap().conversation.web_search);
    }
    for (allowed, blocked) in [(json!(["a.example"]), json!([])), (Value::Null, json!(["a.example"]))] {
        assert_eq!(search(allowed, blocked).unwrap_err().param(), Some("tools[0]"));
    }
}

#[test]
fn text_blocks_of_a_tool_result_are_lines() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } });
    let mut body = crate::support::history(MESSAGES, &[("a", "list")], &[("a", "")]);
    body["messages"][2]["content"][0]["content"] = json!([text("a.txt"), image, text("b.txt\n"), text("c.txt")]);
    let parts = crate::support::encoded(MESSAGES, &body).unwrap()["contents"][2]["parts"].clone();
    assert_eq!(parts[0]["functionResponse"]["response"], json!({ "result": "a.txt\nb.txt\nc.txt" }));
}

#[test]
fn results_of_files_alone_say_which_files_are_theirs() {
    let image = |data: &str| json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } });
    let mut body = crate::support::history(MESSAGES, &[("a", "list"), ("b", "list")], &[("a", ""), ("b", "")]);
    body["messages"][2]["content"][0]["content"] = json!([image("AAAA")]);
    body["messages"][2]["content"][1]["content"] = json!([image("BBBB"), image("CCCC")]);
    let contents = crate::support::encoded(MESSAGES, &body).unwrap()["contents"].clone();
    for (number, count) in [(0, 1), (1, 2)] {
        let said = format!("Number of files, which follow the results in the order of the calls: {count}");
        assert_eq!(contents[2]["parts"][number]["functionResponse"]["response"], json!({ "result": said }));
    }
    assert_eq!(contents[3]["parts"].as_array().unwrap().len(), 3);
}

#[test]
fn refused_thread_has_the_code_that_makes_clients_send_the_whole_conversation() {
    let error = parse(MESSAGES, &hello(MESSAGES, &json!({ "thread": { "type": "create" } }))).unwrap_err();
    let shown: Value = serde_json::from_slice(&error.body(MESSAGES)).unwrap();
    assert_eq!(shown["error"]["details"]["error_code"], "thread_unsupported_request");
    let other = parse(MESSAGES, &hello(MESSAGES, &json!({ "max_tokens": 0 }))).unwrap_err();
    assert!(!String::from_utf8(other.body(MESSAGES).to_vec()).unwrap().contains("details"));
}
