//! What cannot be had as it was asked for is refused by name, and what nests too deep before anybody reads it.

use keypool_dialect::{Caller, Fault, Kind, anthropic::Anthropic, openai::OpenAi, responses::Responses};
use serde_json::{Value, json};

use crate::support::asked;

fn chat(more: Value) -> Value {
    let mut body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn what_openai_refuses_is_refused() {
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let named = json!({ "type": "function", "function": { "name": "f" } });
    for (more, place) in [
        (json!({ "tool_choice": "required" }), "tool_choice"),
        (json!({ "tool_choice": "required", "tools": [] }), "tool_choice"),
        (json!({ "tool_choice": named }), "tool_choice"),
        (
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x" } } }),
            "response_format.json_schema.schema",
        ),
        (json!({ "n": 0 }), "n"),
    ] {
        assert_eq!(asked(&OpenAi, &chat(more.clone())).unwrap_err().param.as_deref(), Some(place), "{more}");
    }
    for fine in [
        json!({ "tool_choice": "required", "tools": tool }),
        json!({ "tool_choice": "none" }),
        json!({ "n": 1 }),
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x", "schema": {} } } }),
    ] {
        assert!(asked(&OpenAi, &chat(fine.clone())).is_ok(), "{fine}");
    }
}

#[test]
fn only_an_answer_may_say_nothing() {
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let after = |said: Value| {
        let calling = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
        chat(json!({ "messages": [{ "role": "user", "content": "x" }, calling, said] }))
    };
    for said in [
        json!({ "role": "user", "content": null }),
        json!({ "role": "user" }),
        json!({ "role": "user", "content": [] }),
        json!({ "role": "system", "content": null }),
        json!({ "role": "developer", "content": null }),
        json!({ "role": "tool", "tool_call_id": "c", "content": null }),
    ] {
        let fault = asked(&OpenAi, &after(said.clone())).expect_err("it says nothing");
        assert_eq!((fault.kind, fault.param.as_deref()), (Kind::Invalid, Some("messages[2].content")), "{said}");
    }
    let bare = |said: Value| chat(json!({ "messages": [{ "role": "user", "content": "x" }, said] }));
    for said in [
        bare(json!({ "role": "user", "content": "" })),
        after(json!({ "role": "tool", "tool_call_id": "c", "content": "" })),
        bare(json!({ "role": "assistant", "content": null })),
    ] {
        assert!(asked(&OpenAi, &said).is_ok(), "{said}");
    }
}

#[test]
fn media_of_nothing_are_refused_before_anybody_is_asked() {
    let chat = |part: Value| chat(json!({ "messages": [{ "role": "user", "content": [part] }] }));
    let respond = |part: Value| json!({ "model": "m", "input": [{ "role": "user", "content": [part] }] });
    let sound = json!({ "type": "input_audio", "input_audio": { "data": "", "format": "wav" } });
    for (caller, body, place) in [
        (&OpenAi as &dyn Caller, chat(sound.clone()), "messages[0].content[0].input_audio.data"),
        (
            &OpenAi,
            chat(json!({ "type": "file", "file": { "file_data": "", "filename": "a.pdf" } })),
            "messages[0].content[0].file.file_data",
        ),
        (&Responses, respond(sound), "input[0].content[0].input_audio.data"),
        (
            &Responses,
            respond(json!({ "type": "input_file", "file_data": "", "filename": "a.pdf" })),
            "input[0].content[0].file_data",
        ),
    ] {
        let fault = asked(caller, &body).expect_err("there is nothing in it");
        assert_eq!((fault.kind, fault.param.as_deref()), (Kind::Invalid, Some(place)));
    }
}

/// Lists in lists, so many.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[track_caller]
fn is_too_deep(caller: &dyn Caller, body: &str) {
    let fault: Fault = caller.conversation(body.as_bytes(), true).expect_err("it is too deep");
    assert_eq!(fault.kind, Kind::Invalid);
    assert!(fault.message.contains("128"), "{fault:?}");
}

#[test]
fn what_nests_deeper_than_128_is_refused() {
    let of = |depth: usize| {
        let deep = nested(depth);
        [
            format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","x":{deep}}}}}}}]}}"#
            ),
            format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"x"}},{{"role":"assistant","tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":"{{\"a\":{deep}}}"}}}}]}},{{"role":"tool","tool_call_id":"c","content":"y"}}]}}"#
            ),
        ]
    };
    for body in of(200) {
        is_too_deep(&OpenAi, &body);
    }
    for body in of(100) {
        assert!(OpenAi.conversation(body.as_bytes(), true).is_ok(), "{body}");
    }
    // What only looks like it is a text.
    let words = json!({ "model": "m", "messages": [{ "role": "user", "content": format!("\"\\{}", nested(500)) }] });
    assert!(asked(&OpenAi, &words).is_ok());
    let deep = nested(200);
    is_too_deep(
        &Anthropic,
        &format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"f","input":{{"a":{deep}}}}}]}}]}}"#
        ),
    );
    is_too_deep(
        &Responses,
        &format!(
            r#"{{"model":"m","input":"x","tools":[{{"type":"function","name":"f","parameters":{{"x":{deep}}}}}]}}"#
        ),
    );
    is_too_deep(
        &Responses,
        &format!(
            r#"{{"model":"m","input":[{{"role":"user","content":"x"}},{{"type":"function_call","call_id":"c","name":"f","arguments":"{{\"a\":{deep}}}"}},{{"type":"function_call_output","call_id":"c","output":"y"}}]}}"#
        ),
    );
}

#[test]
fn what_a_person_says_to_anthropic_is_something() {
    let said = |content: Value| {
        let body = json!({ "model": "m", "max_tokens": 9, "messages": [
            { "role": "user", "content": "x" }, { "role": "assistant", "content": [] }, { "role": "user", "content": content },
        ] });
        asked(&Anthropic, &body)
    };
    for nothing in [json!(""), json!([])] {
        let fault = said(nothing.clone()).expect_err("it says nothing");
        assert!(fault.kind == Kind::Invalid && fault.message.starts_with("messages.2"), "{nothing}: {fault:?}");
    }
    assert!(said(json!("y")).is_ok());
}

fn blocks(blocks: Value) -> Result<Value, Fault> {
    asked(&Anthropic, &json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": blocks }] }))
}

#[test]
fn what_a_document_is_called_stands_before_it() {
    let source = json!({ "type": "base64", "media_type": "application/pdf", "data": "AAAA" });
    let wire = blocks(json!([
        { "type": "document", "source": source, "title": "Q3 report", "context": "Draft of May.",
          "citations": { "enabled": false } },
        { "type": "text", "text": "Sum it up." },
    ]));
    let parts = wire.unwrap()["contents"][0]["parts"].clone();
    let said = parts[0]["text"].as_str().unwrap();
    assert!(said.contains("Q3 report") && said.contains("Draft of May."), "{said}");
    assert_eq!(parts[1]["inlineData"]["mimeType"], "application/pdf");
    assert_eq!(parts[2]["text"], "Sum it up.");
    let plain = blocks(json!([{ "type": "document", "source": source }])).unwrap();
    assert_eq!(plain["contents"][0]["parts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_search_result_is_carried_over_as_text() {
    let found = json!({
        "type": "search_result", "source": "https://example.com/a", "title": "On cats",
        "content": [{ "type": "text", "text": "Cats purr." }, { "type": "text", "text": "Dogs do not." }],
        "citations": { "enabled": false },
    });
    let wire = blocks(json!([found, { "type": "text", "text": "Do cats purr?" }])).unwrap();
    let parts = &wire["contents"][0]["parts"];
    let said: Vec<&str> = parts.as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap()).collect();
    let said = said.join("\n");
    for piece in ["https://example.com/a", "On cats", "Cats purr.", "Dogs do not.", "Do cats purr?"] {
        assert!(said.contains(piece), "{piece}: {said}");
    }
    let wrong = blocks(json!([{ "type": "search_result", "source": "s", "title": "t" }])).unwrap_err();
    assert!(wrong.message.starts_with("messages.0.content.0.content"), "{wrong:?}");
    // As what a tool found, too.
    let messages = json!([
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "a", "name": "f", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "a", "content": [found] }] },
    ]);
    let wire = asked(&Anthropic, &json!({ "model": "m", "max_tokens": 9, "messages": messages })).unwrap();
    assert!(wire["contents"][2].to_string().contains("Cats purr."), "{wire}");
}

/// Where an answer's words stand in what was sent nobody can tell.
#[test]
fn citations_of_what_is_sent_are_refused_by_name_or_told_as_ignored() {
    let cited = |mut block: Value| {
        block["citations"] = json!({ "enabled": true });
        block
    };
    let found = cited(
        json!({ "type": "search_result", "source": "s", "title": "t", "content": [{ "type": "text", "text": "x" }] }),
    );
    let source = json!({ "type": "text", "media_type": "text/plain", "data": "x" });
    let document = cited(json!({ "type": "document", "source": source }));
    let result = json!([
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "a", "name": "f", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "a", "content": [found] }] },
    ]);
    let of = |block: &Value| json!([{ "role": "user", "content": [{ "type": "text", "text": "x" }, block] }]);
    for (messages, place) in [
        (of(&document), "messages.0.content.1.citations"),
        (of(&found), "messages.0.content.1.citations"),
        (result, "messages.2.content.0.content.0.citations"),
    ] {
        let body = json!({ "model": "m", "max_tokens": 9, "messages": messages });
        let fault = asked(&Anthropic, &body).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (Kind::Invalid, Some(place)), "{fault:?}");
        let body = body.to_string();
        let ignored = Anthropic.conversation(body.as_bytes(), false).unwrap().ignored;
        assert_eq!(ignored.names().collect::<Vec<_>>(), ["messages.content.citations"]);
    }
    // What an answer told of the web comes back with it.
    let told = json!([{ "type": "web_search_result_location", "url": "u", "title": "t", "encrypted_index": "", "cited_text": "" }]);
    let messages = json!([
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": [{ "type": "text", "text": "y", "citations": told }] },
        { "role": "user", "content": "z" },
    ]);
    assert!(asked(&Anthropic, &json!({ "model": "m", "max_tokens": 9, "messages": messages })).is_ok());
}

#[test]
fn what_is_within_a_field_and_cannot_be_had_is_told_as_ignored() {
    let ignored = |caller: &dyn Caller, body: Value| {
        let body = body.to_string();
        let asked = caller.conversation(body.as_bytes(), true).unwrap();
        asked.ignored.names().map(str::to_owned).collect::<Vec<_>>()
    };
    let place = json!({ "type": "approximate", "approximate": { "city": "Ulm" } });
    let search = json!({ "search_context_size": "high", "user_location": place });
    let told = ["web_search_options.search_context_size", "web_search_options.user_location"];
    assert_eq!(ignored(&OpenAi, chat(json!({ "web_search_options": search }))), told);
    assert_eq!(ignored(&OpenAi, chat(json!({ "web_search_options": {} }))), [] as [&str; 0]);
    let mut tool = search;
    tool["type"] = json!("web_search");
    let function = json!({ "type": "function", "name": "f", "parameters": { "type": "object" }, "strict": true });
    let told = ["tools.web_search.search_context_size", "tools.web_search.user_location", "tools.strict"];
    assert_eq!(ignored(&Responses, json!({ "model": "m", "input": "x", "tools": [tool, function] })), told);
    let tool = json!({ "name": "f", "input_schema": { "type": "object" }, "defer_loading": true, "eager_input_streaming": false });
    assert_eq!(ignored(&Anthropic, chat(json!({ "tools": [tool] }))), ["tools.defer_loading"]);
}

#[test]
fn what_says_more_of_a_tool_or_a_form_is_told_to_the_model() {
    let tool = |about: Value| {
        json!({ "name": "f", "description": about, "input_schema": { "type": "object" },
        "input_examples": [{ "city": "Ulm" }, { "city": "Bern" }] })
    };
    for (about, told) in [(json!("Weather."), "Weather.\n\nExamples"), (json!(null), "Examples")] {
        let wire = asked(&Anthropic, &chat(json!({ "tools": [tool(about)] }))).unwrap();
        let said = wire["tools"][0]["functionDeclarations"][0]["description"].as_str().unwrap();
        assert!(said.starts_with(told) && said.ends_with("{\"city\":\"Ulm\"}\n{\"city\":\"Bern\"}"), "{said}");
    }
    let own = json!({ "type": "object", "description": "Its own.", "properties": { "a": { "type": "string" } } });
    let bare = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    for (schema, told) in [(own, "Its own."), (bare, "A \"city\".")] {
        let format = json!({ "type": "json_schema", "name": "x", "schema": schema, "description": "A \"city\"." });
        let of_chat = chat(json!({ "response_format": { "type": "json_schema", "json_schema": format } }));
        let of_responses = json!({ "model": "m", "input": "x", "text": { "format": format } });
        for wire in [asked(&OpenAi, &of_chat).unwrap(), asked(&Responses, &of_responses).unwrap()] {
            assert!(wire["generationConfig"].to_string().contains(&json!(told).to_string()), "{told}: {wire}");
        }
    }
}

#[test]
fn what_is_wrong_inside_of_messages_is_named_as_that_dialect_names_it() {
    for wrong in [
        json!([{ "type": "image", "source": "https://example.com/a.png" }]),
        json!([{ "type": "text", "text": 5 }]),
        json!([{ "type": "tool_result", "tool_use_id": 5 }]),
    ] {
        let fault = blocks(wrong).unwrap_err();
        assert!(fault.message.contains("messages.0.content.0"), "{fault:?}");
        assert!(!fault.message.contains("struct") && !fault.message.contains("messages[0]"), "{fault:?}");
    }
}

/// The client's own runner of tools asks for it, and goes on without where it is told so.
#[test]
fn a_conversation_that_is_not_held_here_is_refused_as_the_client_knows_it() {
    let messages = json!([{ "role": "user", "content": "x" }]);
    let body = |thread: Value| json!({ "model": "m", "max_tokens": 9, "messages": messages, "thread": thread });
    assert!(asked(&Anthropic, &body(Value::Null)).is_ok());
    for thread in [json!({ "type": "create" }), json!({ "type": "continue", "previous_message_id": "msg_1" })] {
        let bytes = bytes::Bytes::from(body(thread).to_string());
        for strict in [true, false] {
            // Without what came before, the rest would be answered wrongly.
            let fault = Anthropic.conversation(&bytes, strict).expect_err("refused");
            let refused = Anthropic.refused(&fault);
            let error = serde_json::from_slice::<Value>(&refused.body).unwrap()["error"].clone();
            assert_eq!((refused.status.as_u16(), &error["type"]), (400, &json!("invalid_request_error")));
            assert_eq!(error["details"], json!({ "error_code": "thread_unsupported_request" }), "{error}");
        }
    }
    let other = Anthropic.refused(&asked(&Anthropic, &json!({ "model": "m", "messages": [] , "x": 1 })).unwrap_err());
    assert!(!String::from_utf8_lossy(&other.body).contains("details"));
}

#[test]
fn what_is_wrong_with_a_long_value_is_told_in_short() {
    let long = "é".repeat(1 << 20);
    let told = |caller: &dyn Caller, body: &Value| {
        let fault = asked(caller, body).unwrap_err();
        let refused = caller.refused(&fault).body;
        assert!(refused.len() < 16_000, "{} bytes", refused.len());
        fault.message
    };
    for body in [
        json!({ "model": "m", "messages": long }),
        chat(json!({ "temperature": long })),
        chat(json!({ "tools": long })),
        chat(json!({ "messages": [{ "role": long, "content": "x" }] })),
        chat(json!({ "tool_choice": { "type": "function", "function": { "name": long } } })),
        chat(json!({ long.clone(): { "a": 1 } })),
    ] {
        told(&OpenAi, &body);
    }
    // What was expected stands at its end.
    assert!(told(&OpenAi, &chat(json!({ "tools": long }))).ends_with("expected a sequence"));
    told(&Anthropic, &chat(json!({ "messages": long })));
    told(&Responses, &json!({ "model": "m", "input": "x", "tools": long }));
    told(&Responses, &json!({ "model": "m", "input": [{ "type": long }] }));
}
