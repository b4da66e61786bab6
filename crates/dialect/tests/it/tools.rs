//! Tools of `/v1/responses` that are no plain functions, as `OpenAI`'s own command line sends them.

use keypool_dialect::{Caller, Ignored, Kind, anthropic::Anthropic, gemini, openai::OpenAi, responses::Responses};
use serde_json::{Value, json};

use crate::{
    names::{names_of, told},
    support::{asked, data, kind},
};

/// What that sends by itself.
fn codex() -> Value {
    let spawn = json!({ "type": "function", "name": "spawn", "strict": false, "parameters": { "type": "object" } });
    json!({
        "model": "gemini-2.5-flash", "tool_choice": "auto", "input": "x",
        "tools": [
            { "type": "function", "name": "exec", "parameters": { "type": "object" } },
            { "type": "namespace", "name": "agents", "description": "Sub-agents.", "tools": [
                spawn, { "type": "custom", "name": "say" },
            ] },
            { "type": "namespace", "name": "mcp__x__", "description": "", "tools": [spawn] },
            { "type": "custom", "name": "apply_patch", "description": "Patches.",
              "format": { "type": "grammar", "syntax": "lark", "definition": "start: x" } },
            { "type": "web_search", "external_web_access": false },
        ],
    })
}

#[test]
fn each_that_is_called_is_a_function() {
    let request = asked(&Responses, &codex()).unwrap();
    let text = json!({ "type": "object", "properties": { "input": { "type": "string" } }, "required": ["input"] });
    let spawn = |name: &str| json!({ "name": name, "parametersJsonSchema": { "type": "object" } });
    assert_eq!(
        request["tools"],
        json!([{ "functionDeclarations": [
            spawn("exec"), spawn("agents.spawn"),
            { "name": "agents.say", "parametersJsonSchema": text },
            spawn("mcp__x__spawn"),
            { "name": "apply_patch", "parametersJsonSchema": text,
              "description": "Patches.\nThe input is text by this grammar (lark):\nstart: x" },
        ] }])
    );
    assert_eq!(
        request["systemInstruction"]["parts"],
        json!([{ "text": "Functions that begin with agents.: Sub-agents." }])
    );
}

/// The items of an answer that calls this, whole and in pieces.
fn called(name: &str, args: Value) -> (Value, Vec<Value>) {
    let (whole, pieces) = told(&Responses, &codex(), json!([{ "functionCall": { "name": name, "args": args } }]));
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let events = data(&pieces).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    (whole["output"][0].clone(), events)
}

#[test]
fn a_call_is_told_as_what_it_is_to_the_caller() {
    for (name, kind, field, is, said) in [
        ("exec", "function_call", "arguments", (None, "exec"), r#"{"input":"a"}"#),
        ("agents.spawn", "function_call", "arguments", (Some("agents"), "spawn"), r#"{"input":"a"}"#),
        ("mcp__x__spawn", "function_call", "arguments", (Some("mcp__x__"), "spawn"), r#"{"input":"a"}"#),
        ("agents.say", "custom_tool_call", "input", (Some("agents"), "say"), "a"),
        ("apply_patch", "custom_tool_call", "input", (None, "apply_patch"), "a"),
    ] {
        let (item, events) = called(name, json!({ "input": "a" }));
        assert_eq!((&item["type"], &item[field]), (&json!(kind), &json!(said)), "{item}");
        assert_eq!((item["namespace"].as_str(), item["name"].as_str().unwrap()), is, "{item}");
        let of = |kind: &str| events.iter().find(|event| event["type"] == kind).cloned().unwrap_or_default();
        assert_eq!(of("response.output_item.added")["item"][field], "");
        assert_eq!(of("response.output_item.done")["item"], item);
        let front = if field == "input" { "custom_tool_call_input" } else { "function_call_arguments" };
        assert_eq!(of(&format!("response.{front}.delta"))["delta"], said);
        assert_eq!(of(&format!("response.{front}.done"))[field], said);
    }
    // The model forgot where the text is to stand.
    assert_eq!(called("apply_patch", json!({ "patch": 1 })).0["input"], r#"{"patch":1}"#);
}

#[test]
fn what_was_called_before_goes_back_by_the_same_names() {
    let mut body = codex();
    body["input"] = json!([
        { "role": "user", "content": "x" },
        { "type": "web_search_call", "id": "ws_1", "status": "completed" },
        { "type": "function_call", "call_id": "a", "namespace": "agents", "name": "spawn", "arguments": "{}" },
        { "type": "custom_tool_call", "call_id": "b", "name": "apply_patch", "input": "a \"b\"" },
        { "type": "function_call_output", "call_id": "a", "output": "A" },
        { "type": "custom_tool_call_output", "call_id": "b", "output": [{ "type": "input_text", "text": "B" }] },
    ]);
    body["tool_choice"] = json!({ "type": "custom", "name": "apply_patch" });
    let request = asked(&Responses, &body).unwrap();
    let calling = json!({ "mode": "ANY", "allowedFunctionNames": ["apply_patch"] });
    assert_eq!(request["toolConfig"]["functionCallingConfig"], calling);
    let [_, calls, answers] = &request["contents"].as_array().unwrap()[..] else { panic!("{request}") };
    assert_eq!(calls["parts"][0]["functionCall"], json!({ "name": "agents.spawn", "args": {} }));
    assert_eq!(calls["parts"][1]["functionCall"], json!({ "name": "apply_patch", "args": { "input": "a \"b\"" } }));
    assert_eq!(answers["parts"][0]["functionResponse"]["name"], "agents.spawn");
    assert_eq!(
        answers["parts"][1]["functionResponse"],
        json!({ "name": "apply_patch", "response": { "result": "B" } })
    );
}

/// The fields that they left unsaid, too: openai-php is lost without.
#[test]
fn a_response_repeats_its_tools_whole() {
    let (whole, _) = told(&Responses, &codex(), json!([{ "text": "a" }]));
    let tools = serde_json::from_str::<Value>(&whole).unwrap()["tools"].clone();
    let [exec, agents, _, patch, search] = &tools.as_array().unwrap()[..] else { panic!("{tools}") };
    let form = json!({ "type": "object" });
    let function = |name: &str, strict: bool| json!({ "type": "function", "name": name, "description": null, "parameters": form, "strict": strict });
    assert_eq!((exec, &agents["tools"][0]), (&function("exec", true), &function("spawn", false)));
    assert_eq!(patch, &codex()["tools"][3]);
    assert_eq!((&search["search_context_size"], search.get("user_location")), (&json!("medium"), Some(&Value::Null)));
}

/// What the upstream gets of a request that searches, and what is left out; or what of it is refused.
fn searching(more: Value) -> Result<(Value, Option<String>), String> {
    let mut body = json!({ "model": "gemini-2.5-flash", "input": "x", "tools": [{ "type": "web_search" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let bytes = bytes::Bytes::from(body.to_string());
    let mut asked = Responses.conversation(&bytes, true).unwrap();
    let mut ignored = Ignored::default();
    gemini::fit(&mut asked.conversation, &mut ignored, true).map_err(|fault| fault.param.unwrap())?;
    let pieces = gemini::generate(&asked.conversation, bytes.clone()).unwrap();
    let request: Value = serde_json::from_slice(&pieces.concat()).unwrap();
    Ok((request["tools"].clone(), ignored.listed()))
}

#[test]
fn a_search_is_the_upstreams_own_where_the_model_can() {
    let alone = Err("tools.web_search".to_owned());
    let search = json!([{ "googleSearch": {} }]);
    let form = json!({ "text": { "format": { "type": "json_schema", "name": "n", "schema": { "type": "object" } } } });
    let mut newer = form.clone();
    newer["model"] = "gemini-3.8-flash".into();
    for (more, expected) in [
        (json!({}), Ok((search.clone(), None))),
        (
            json!({ "tools": [{ "type": "web_search_preview", "search_context_size": "low" }] }),
            Ok((search.clone(), None)),
        ),
        (newer, Ok((search, None))),
        (form, alone.clone()),
        (json!({ "model": "gemma-3-27b-it" }), alone),
    ] {
        assert_eq!(searching(more.clone()), expected, "{more}");
    }
    let (tools, ignored) = searching(json!({ "tools": codex()["tools"] })).unwrap();
    assert_eq!((tools[0].get("googleSearch"), ignored.as_deref()), (None, Some("tools.web_search")));
    // It is chosen among them.
    let chosen = json!({ "tools": codex()["tools"], "tool_choice": { "type": "web_search" } });
    assert_eq!(searching(chosen).unwrap_err(), "tool_choice");
}

/// In Anthropic's messages, too; and where nobody is strict it is told.
#[test]
fn a_search_that_is_chosen_and_cannot_be_had_is_named() {
    let body = json!({
        "model": "gemini-2.5-flash", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }],
        "tools": [
            { "type": "web_search_20250305", "name": "web_search" },
            { "name": "f", "input_schema": { "type": "object" } },
        ],
        "tool_choice": { "type": "tool", "name": "web_search" },
    });
    let body = body.to_string();
    for (strict, expected) in [(true, Err("tool_choice")), (false, Ok("tool_choice"))] {
        let mut asked = Anthropic.conversation(body.as_bytes(), strict).unwrap();
        let fitted = gemini::fit(&mut asked.conversation, &mut asked.ignored, strict);
        let told = fitted.map(|()| asked.ignored.listed().unwrap()).map_err(|fault| fault.param.unwrap());
        assert_eq!(told.as_deref().map_err(|place| &**place), expected, "{strict}");
    }
}

/// A tool is one of several, of which the model has those that it can; what is asked for by itself is named.
#[test]
fn a_search_that_is_asked_for_by_itself_and_cannot_be_had_is_named() {
    let function = json!([{ "type": "function", "function": { "name": "f" } }]);
    let form = json!({ "type": "json_object" });
    for (more, fits) in [
        (json!({}), true),
        (json!({ "tools": function }), false),
        (json!({ "response_format": form }), false),
        (json!({ "response_format": form, "model": "gemini-3.8-flash" }), true),
    ] {
        let mut body = json!({
            "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "x" }], "web_search_options": {},
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = body.to_string();
        for strict in [true, false] {
            let mut asked = OpenAi.conversation(body.as_bytes(), strict).unwrap();
            let fitted = gemini::fit(&mut asked.conversation, &mut asked.ignored, strict);
            let told = fitted.map(|()| asked.ignored.listed()).map_err(|fault| fault.param);
            let place = || Some("web_search_options".to_owned());
            let expected = match (fits, strict) {
                (true, _) => Ok(None),
                (false, true) => Err(place()),
                (false, false) => Ok(place()),
            };
            assert_eq!(told, expected, "{body}");
        }
    }
}

#[test]
fn a_search_is_one_in_every_dialect() {
    let said = json!([{ "role": "user", "content": "x" }]);
    let chat = json!({ "model": "gemini-2.5-flash", "messages": said, "web_search_options": { "search_context_size": "low" } });
    let message = json!({
        "model": "gemini-2.5-flash", "max_tokens": 9, "messages": said,
        "tools": [{ "type": "web_search_20250305", "name": "web_search", "max_uses": 8 }],
        "tool_choice": { "type": "tool", "name": "web_search" },
    });
    for (caller, mut body, function) in [
        (
            &OpenAi as &dyn Caller,
            chat,
            json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }),
        ),
        (&Anthropic, message, json!({ "name": "f", "input_schema": { "type": "object" } })),
    ] {
        let request = asked(caller, &body).unwrap();
        assert_eq!((&request["tools"], request.get("toolConfig")), (&json!([{ "googleSearch": {} }]), None));
        let tools = body.as_object_mut().unwrap().entry("tools").or_insert(json!([]));
        tools.as_array_mut().unwrap().push(function);
        let request = asked(caller, &body).unwrap();
        assert_eq!(request["tools"][0].get("googleSearch"), None, "{request}");
        assert_eq!(names_of(&request), ["f"]);
    }
    let narrow = json!({
        "model": "gemini-2.5-flash", "max_tokens": 9, "messages": said,
        "tools": [{ "type": "web_search_20250305", "name": "web_search", "blocked_domains": ["a.b"] }],
    });
    assert_eq!(kind(&asked(&Anthropic, &narrow).unwrap_err()).1, "tools[0].blocked_domains");
}

#[test]
fn a_tool_that_cannot_be_had_is_named() {
    for (tool, place) in [
        (json!({ "type": "file_search", "vector_store_ids": [] }), "tools[0].type"),
        (json!({ "type": "web_search", "filters": { "allowed_domains": ["a.b"] } }), "tools[0].filters"),
        (json!({ "type": "namespace", "name": "n", "tools": [{ "type": "mcp" }] }), "tools[0].tools[0].type"),
        (
            json!({ "type": "namespace", "name": "n", "tools": [{ "type": "namespace", "name": "n" }] }),
            "tools[0].tools[0].type",
        ),
        (json!({ "type": "namespace" }), "tools[0].type"),
    ] {
        let body = json!({ "model": "gemini-2.5-flash", "input": "x", "tools": [tool] });
        assert_eq!(kind(&asked(&Responses, &body).unwrap_err()), (Kind::Invalid, place));
        let asked = Responses.conversation(body.to_string().leak().as_bytes(), false).unwrap();
        assert_eq!(asked.ignored.listed().as_deref(), Some(place));
    }
}

/// Where nobody is strict: what is left out is not called for either, and says nothing of the others.
#[test]
fn a_choice_of_tools_that_are_left_out_is_ignored() {
    let mcp = json!({ "type": "mcp", "server_label": "a" });
    let f = json!({ "type": "function", "name": "f", "parameters": { "type": "object" } });
    let said = json!([{ "role": "user", "content": "x" }]);
    let allowed = |tools: Value| json!({ "type": "allowed_tools", "mode": "required", "tools": tools });
    let message = json!({
        "model": "gemini-2.5-flash", "max_tokens": 9, "messages": said, "tool_choice": { "type": "tool", "name": "bash" },
        "tools": [{ "type": "bash_20250124", "name": "bash" }, { "name": "f", "input_schema": { "type": "object" } }],
    });
    let response =
        |choice: Value| json!({ "model": "gemini-2.5-flash", "input": "x", "tools": [mcp, f], "tool_choice": choice });
    let chat = json!({
        "model": "gemini-2.5-flash", "messages": said,
        "tools": [{ "type": "web_search" }, { "type": "function", "function": { "name": "f" } }],
    });
    let choosing = |tools: Value| {
        let mut body = chat.clone();
        let allowed = json!({ "mode": "required", "tools": tools });
        body["tool_choice"] = json!({ "type": "allowed_tools", "allowed_tools": allowed });
        body
    };
    let must = json!({ "functionCallingConfig": { "mode": "ANY", "allowedFunctionNames": ["f"] } });
    for (caller, body, ignored, config) in [
        (&Anthropic as &dyn Caller, message, "tools[0].type, tool_choice", Value::Null),
        (&Responses, response(allowed(json!([mcp]))), "tools[0].type, tool_choice", Value::Null),
        (&Responses, response(json!({ "type": "function", "name": "g" })), "tools[0].type, tool_choice", Value::Null),
        (&Responses, response(allowed(json!([mcp, { "type": "function", "name": "f" }]))), "tools[0].type", must),
        (&OpenAi, chat.clone(), "tools[0].type", Value::Null),
        (&OpenAi, choosing(json!([{ "type": "web_search" }])), "tools[0].type, tool_choice", Value::Null),
    ] {
        let bytes = bytes::Bytes::from(body.to_string());
        let asked = caller.conversation(&bytes, false).unwrap();
        assert_eq!(asked.ignored.listed().as_deref(), Some(ignored), "{body}");
        let pieces = gemini::generate(&asked.conversation, bytes.clone()).unwrap();
        let request: Value = serde_json::from_slice(&pieces.concat()).unwrap();
        assert_eq!(names_of(&request), ["f"], "{body}");
        assert_eq!(request["toolConfig"], config, "{body}");
        assert!(caller.conversation(&bytes, true).is_err(), "{body}");
    }
}

/// Whoever asks a model that does not think to think is told so by the field that they sent.
#[test]
fn a_model_that_does_not_think() {
    let chat = |more: Value| {
        let said = json!([{ "role": "user", "content": "x" }]);
        let mut body = json!({ "model": "gemini-2.0-flash", "max_tokens": 9, "messages": said });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let config = json!({ "google": { "thinking_config": { "thinking_budget": 9 } } });
    for (caller, body, place) in [
        (&OpenAi as &dyn Caller, chat(json!({ "reasoning_effort": "low" })), "reasoning_effort"),
        (&OpenAi, chat(json!({ "extra_body": config })), "extra_body.google.thinking_config"),
        (&Anthropic, chat(json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } })), "thinking"),
        (&Anthropic, chat(json!({ "output_config": { "effort": "low" } })), "output_config.effort"),
        (
            &Responses,
            json!({ "model": "gemini-2.0-flash", "input": "x", "reasoning": { "effort": "low" } }),
            "reasoning.effort",
        ),
    ] {
        let fault = asked(caller, &body).unwrap_err();
        assert_eq!(kind(&fault), (Kind::Invalid, place));
        assert!(fault.message.contains(place), "{}", fault.message);
        let bytes = bytes::Bytes::from(body.to_string());
        let mut asked = caller.conversation(&bytes, false).unwrap();
        gemini::fit(&mut asked.conversation, &mut asked.ignored, false).unwrap();
        assert!(asked.ignored.listed().unwrap().split(", ").any(|field| field == place), "{place}");
        gemini::generate(&asked.conversation, bytes.clone()).unwrap();
    }
    for thinking in [json!({ "type": "disabled" }), json!({ "type": "adaptive" })] {
        asked(&Anthropic, &chat(json!({ "thinking": thinking }))).unwrap();
    }
}

fn texts() -> Value {
    let grammar = json!({ "type": "grammar", "grammar": { "syntax": "regex", "definition": "a+" } });
    json!({
        "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "x" }],
        "tools": [
            { "type": "custom", "custom": { "name": "run", "description": "Runs.", "format": grammar } },
            { "type": "custom", "custom": { "name": "say", "format": { "type": "text" } } },
            { "type": "function", "function": { "name": "f" } },
        ],
        "tool_choice": { "type": "custom", "custom": { "name": "run" } },
    })
}

#[test]
fn tools_of_a_chat_that_take_a_text() {
    let mut body = texts();
    let call = json!({ "id": "a", "type": "custom", "custom": { "name": "run", "input": "a \"b\"" } });
    body["messages"].as_array_mut().unwrap().extend([
        json!({ "role": "assistant", "content": null, "tool_calls": [call] }),
        json!({ "role": "tool", "tool_call_id": "a", "content": "done" }),
    ]);
    let request = asked(&OpenAi, &body).unwrap();
    let text = json!({ "type": "object", "properties": { "input": { "type": "string" } }, "required": ["input"] });
    assert_eq!(
        request["tools"][0]["functionDeclarations"],
        json!([
            { "name": "run", "parametersJsonSchema": text,
              "description": "Runs.\nThe input is text by this grammar (regex):\na+" },
            { "name": "say", "parametersJsonSchema": text },
            { "name": "f" },
        ])
    );
    let calling = json!({ "mode": "ANY", "allowedFunctionNames": ["run"] });
    assert_eq!(request["toolConfig"]["functionCallingConfig"], calling);
    let said = &request["contents"];
    assert_eq!(said[1]["parts"][0]["functionCall"], json!({ "name": "run", "args": { "input": "a \"b\"" } }));
    assert_eq!(said[2]["parts"][0]["functionResponse"]["name"], "run");
    body["tool_choice"] = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [
        { "type": "custom", "custom": { "name": "say" } }, { "type": "function", "function": { "name": "f" } },
    ] } });
    let request = asked(&OpenAi, &body).unwrap();
    let calling = json!({ "mode": "ANY", "allowedFunctionNames": ["say", "f"] });
    assert_eq!(request["toolConfig"]["functionCallingConfig"], calling);
}

#[test]
fn their_calls_are_told_as_such() {
    let parts = json!([
        { "functionCall": { "name": "run", "args": { "input": "aa" } } },
        { "functionCall": { "name": "f", "args": { "input": "aa" } } },
    ]);
    let (whole, pieces) = told(&OpenAi, &texts(), parts);
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let calls = &whole["choices"][0]["message"]["tool_calls"];
    let without_id = |call: &Value| {
        let mut call = call.clone();
        assert!(call.as_object_mut().unwrap().remove("id").is_some());
        call
    };
    assert_eq!(without_id(&calls[0]), json!({ "type": "custom", "custom": { "name": "run", "input": "aa" } }));
    let function = json!({ "name": "f", "arguments": "{\"input\":\"aa\"}" });
    assert_eq!(without_id(&calls[1]), json!({ "type": "function", "function": function }));
    let chunks = data(&pieces);
    let chunks = chunks.iter().filter(|chunk| *chunk != "[DONE]");
    let told: Vec<Value> = chunks
        .map(|chunk| serde_json::from_str::<Value>(chunk).unwrap()["choices"][0]["delta"]["tool_calls"][0].clone())
        .filter(|call| !call.is_null())
        .collect();
    let custom = json!({ "name": "run", "input": "aa" });
    assert_eq!((&told[0]["type"], &told[0]["index"], &told[0]["custom"]), (&json!("custom"), &json!(0), &custom));
    assert_eq!(told[1]["function"], function);
}

/// Functions of a namespace whose names others have, too.
#[test]
fn no_two_functions_have_one_name() {
    let f = |name: &str| json!({ "type": "function", "name": name });
    let tools = json!([
        { "type": "namespace", "name": "multi.agent", "tools": [f("spawn"), f("wait")] },
        { "type": "namespace", "name": "multi", "tools": [f("agent.spawn")] },
        f("multi.agent.spawn"),
    ]);
    let mut body = json!({ "model": "gemini-2.5-flash", "tools": tools });
    // It may come before what it names.
    body["tool_choice"] = json!({ "type": "function", "namespace": "multi.agent", "name": "spawn" });
    body["input"] = json!([
        { "role": "user", "content": "x" },
        { "type": "function_call", "call_id": "a", "namespace": "multi.agent", "name": "spawn", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "a", "output": "A" },
        { "type": "function_call", "call_id": "b", "name": "multi.agent.spawn", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "b", "output": "B" },
    ]);
    let request = asked(&Responses, &body).unwrap();
    let names = ["multi.agent.spawn_2", "multi.agent.wait", "multi.agent.spawn_3", "multi.agent.spawn"];
    assert_eq!(names_of(&request), names);
    assert_eq!(request["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!([names[0]]));
    assert_eq!(request["contents"][1]["parts"][0]["functionCall"]["name"], names[0]);
    assert_eq!(request["contents"][3]["parts"][0]["functionCall"]["name"], names[3]);
    for (name, is) in [
        (names[0], (Some("multi.agent"), "spawn")),
        (names[1], (Some("multi.agent"), "wait")),
        (names[2], (Some("multi"), "agent.spawn")),
        (names[3], (None, "multi.agent.spawn")),
    ] {
        let (whole, _) = told(&Responses, &body, json!([{ "functionCall": { "name": name } }]));
        let whole: Value = serde_json::from_str(&whole).unwrap();
        let item = &whole["output"][0];
        assert_eq!((item["namespace"].as_str(), item["name"].as_str().unwrap()), is, "{item}");
    }
}

/// As its reference says that a search is forced.
#[test]
fn whoever_chooses_the_search_may_search() {
    let body = |tools: Value| json!({ "model": "gemini-2.5-flash", "input": "x", "tools": tools, "tool_choice": { "type": "web_search_preview" } });
    let request = asked(&Responses, &body(json!([{ "type": "web_search_preview" }]))).unwrap();
    assert_eq!((&request["tools"], request.get("toolConfig")), (&json!([{ "googleSearch": {} }]), None));
    let without = asked(&Responses, &body(json!([{ "type": "function", "name": "f" }]))).unwrap_err();
    assert_eq!(kind(&without), (Kind::Invalid, "tool_choice"));
}

#[test]
fn a_schema_that_says_nothing_is_none() {
    for nothing in [json!({}), json!(null)] {
        let tools = json!([{ "type": "function", "name": "f", "parameters": nothing }]);
        let request = asked(&Responses, &json!({ "model": "m", "input": "x", "tools": tools })).unwrap();
        assert_eq!(request["tools"], json!([{ "functionDeclarations": [{ "name": "f" }] }]));
    }
}
