//! What functions are called: at the upstream, whose names are narrower, and by the caller, who hears their own again.

use bytes::Bytes;
use keypool_dialect::{Caller, Exchange, anthropic::Anthropic, gemini, openai::OpenAi, responses::Responses};
use serde_json::{Value, json};

use crate::support::{asked, events, shape};

/// What is said of an answer to this request that calls these, whole and in pieces.
pub(crate) fn told(caller: &dyn Caller, body: &Value, parts: Value) -> (String, String) {
    let bytes = Bytes::from(body.to_string());
    let asked = caller.conversation(&bytes, true).unwrap();
    let answer = json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
    let exchange = |stream| {
        let shape = keypool_dialect::Shape { repeated: asked.repeated.clone(), ..shape(stream) };
        Exchange::new(Box::new(gemini::Listener::of(&asked.conversation)), caller.voice(shape))
    };
    let whole = exchange(false).whole(answer.to_string().as_bytes()).unwrap();
    let (mut exchange, mut out) = (exchange(true), Vec::new());
    exchange.hear(events(&[answer]).into(), &mut out);
    exchange.end(&mut out);
    (String::from_utf8(whole).unwrap(), String::from_utf8(out).unwrap())
}

pub(crate) fn names_of(request: &Value) -> Vec<String> {
    let declared = request["tools"][0]["functionDeclarations"].as_array().unwrap();
    declared.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// A request of each dialect with tools of these names.
fn with_tools(of: &[&str]) -> [(&'static dyn Caller, Value); 3] {
    let all = |tool: &dyn Fn(&str) -> Value| of.iter().map(|name| tool(name)).collect::<Vec<_>>();
    let said = json!([{ "role": "user", "content": "x" }]);
    [
        (
            &OpenAi,
            json!({ "model": "gemini-2.5-flash", "messages": said,
                "tools": all(&|name| json!({ "type": "function", "function": { "name": name } })) }),
        ),
        (
            &Anthropic,
            json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": said,
                "tools": all(&|name| json!({ "name": name, "input_schema": { "type": "object" } })) }),
        ),
        (
            &Responses,
            json!({ "model": "gemini-2.5-flash", "input": "x",
                "tools": all(&|name| json!({ "type": "function", "name": name })) }),
        ),
    ]
}

#[test]
fn names_that_the_upstream_refuses_stand_for_themselves_again_in_the_answer() {
    let long = "a".repeat(70);
    let also_long = format!("{long}b");
    let odd = ["1st", "-x", "a b", "a_b", "a/b", "grüße", &long, &also_long, "ok", "ns.fn"];
    for (caller, body) in with_tools(&odd) {
        let called = names_of(&asked(caller, &body).unwrap());
        let is_taken = |name: &String| {
            name.len() <= 64
                && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        assert!(called.iter().all(is_taken), "{called:?}");
        let mut once = called.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), odd.len(), "{called:?}");
        for same in ["a_b", "ok", "ns.fn"] {
            let at = odd.iter().position(|name| *name == same).unwrap();
            assert_eq!(called[at], same);
        }
        for (name, called) in odd.iter().zip(&called) {
            let (whole, pieces) = told(caller, &body, json!([{ "functionCall": { "name": called } }]));
            let name = format!("\"name\":\"{name}\"");
            assert!(whole.contains(&name) && pieces.contains(&name), "{called}: {whole} {pieces}");
        }
    }
}

#[test]
fn calls_their_answers_and_the_choice_have_the_same_names_as_the_tools() {
    let tools = json!([{ "type": "function", "function": { "name": "1st" } }]);
    let body = json!({
        "model": "gemini-2.5-flash", "tools": tools,
        "tool_choice": { "type": "function", "function": { "name": "1st" } },
        "messages": [
            { "role": "user", "content": "x" },
            { "role": "assistant", "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "1st", "arguments": "{}" } },
                { "id": "c2", "type": "function", "function": { "name": "2nd", "arguments": "{}" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "a" },
            { "role": "tool", "tool_call_id": "c2", "content": "b" },
        ],
    });
    let request = asked(&OpenAi, &body).unwrap();
    assert_eq!(names_of(&request), ["_1st"]);
    assert_eq!(request["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!(["_1st"]));
    let [_, called, answered] = &request["contents"].as_array().unwrap()[..] else { panic!("{request}") };
    for (part, name) in [(0, "_1st"), (1, "_2nd")] {
        assert_eq!(called["parts"][part]["functionCall"]["name"], name);
        assert_eq!(answered["parts"][part]["functionResponse"]["name"], name);
    }
}

#[test]
fn many_names_that_become_one_take_no_long_time() {
    let names: Vec<String> = (0..20_000).map(|n| char::from_u32(0x4e00 + n).unwrap().to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let [(caller, body), ..] = with_tools(&names);
    // Minutes, where each is looked for among all.
    assert_eq!(names_of(&asked(caller, &body).unwrap()).last().unwrap(), "___20000");
}

fn formed(format: Value, more: &[&str]) -> Value {
    let tools: Vec<Value> =
        more.iter().map(|name| json!({ "type": "function", "function": { "name": name } })).collect();
    json!({
        "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "x" }], "tools": tools,
        "response_format": format,
    })
}

fn schema(schema: Value) -> Value {
    json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } })
}

/// The content that a client hears where the model gives its answer by this call, whole; in pieces it is the same.
fn answered(body: &Value, call: Value) -> Value {
    let (whole, pieces) = told(&OpenAi, body, json!([{ "functionCall": call }]));
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let message = whole["choices"][0]["message"].clone();
    let deltas =
        crate::support::data(&pieces).into_iter().filter_map(|event| serde_json::from_str::<Value>(&event).ok());
    let said: String =
        deltas.filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect();
    assert_eq!(said, message["content"].as_str().unwrap_or_default());
    message
}

#[test]
fn the_call_that_is_the_answer_has_a_name_of_its_own() {
    let body = formed(schema(json!({ "type": "object" })), &["final_answer", "final_answer_2"]);
    let request = asked(&OpenAi, &body).unwrap();
    assert_eq!(names_of(&request), ["final_answer", "final_answer_2", "final_answer_3"]);
    assert_eq!(request.get("generationConfig"), None, "{request}");
    let theirs = answered(&body, json!({ "name": "final_answer", "args": { "a": 1 } }));
    assert_eq!(theirs["tool_calls"][0]["function"]["name"], "final_answer");
    let ours = answered(&body, json!({ "name": "final_answer_3", "args": { "a": 1 } }));
    assert_eq!((&ours["content"], ours.get("tool_calls")), (&json!("{\"a\":1}"), None));
}

#[test]
fn a_form_that_no_arguments_have_is_a_field_of_theirs() {
    let node = json!({ "type": "object", "properties": { "next": { "$ref": "#/$defs/node" } } });
    for (form, inside, defs) in [
        (json!({ "type": "array", "items": { "type": "string" } }), None, None),
        (json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }), None, None),
        (
            json!({ "$defs": { "node": node }, "type": "array", "items": { "$ref": "#/$defs/node" } }),
            Some(json!({ "type": "array", "items": { "$ref": "#/$defs/node" } })),
            Some(json!({ "node": node })),
        ),
        (
            json!({ "type": "array", "items": { "$ref": "#" } }),
            Some(json!({ "type": "array", "items": { "$ref": "#/properties/answer" } })),
            None,
        ),
    ] {
        let body = formed(schema(form.clone()), &["f"]);
        let request = asked(&OpenAi, &body).unwrap();
        let declared = &request["tools"][0]["functionDeclarations"][1]["parametersJsonSchema"];
        assert_eq!(declared["properties"]["answer"], inside.unwrap_or(form), "{declared}");
        assert_eq!((&declared["type"], &declared["required"]), (&json!("object"), &json!(["answer"])));
        assert_eq!(declared.get("$defs"), defs.as_ref());
        assert_eq!(request.get("generationConfig"), None, "{request}");
        let said = answered(&body, json!({ "name": "final_answer", "args": { "answer": ["a", 1.50] } }));
        assert_eq!(said["content"], "[\"a\",1.5]");
        // A model may forget what it was told.
        let said = answered(&body, json!({ "name": "final_answer", "args": { "other": 1 } }));
        assert_eq!(said["content"], "{\"other\":1}");
    }
}

#[test]
fn some_json_is_a_text_among_the_arguments() {
    let body = formed(json!({ "type": "json_object" }), &["f"]);
    let request = asked(&OpenAi, &body).unwrap();
    let declared = &request["tools"][0]["functionDeclarations"][1]["parametersJsonSchema"];
    assert_eq!(declared["properties"]["json"]["type"], "string");
    assert_eq!(request["toolConfig"]["functionCallingConfig"]["mode"], "ANY");
    assert_eq!(request.get("generationConfig"), None, "{request}");
    let said = |args: Value| answered(&body, json!({ "name": "final_answer", "args": args }))["content"].clone();
    assert_eq!(said(json!({ "json": "{\"a\": [1]}" })), "{\"a\": [1]}");
    assert_eq!(said(json!({ "json": { "a": 1 } })), "{\"a\":1}");
    assert_eq!(said(json!({ "a": 1 })), "{\"a\":1}");
    // A newer model has both.
    let mut newer = body.clone();
    newer["model"] = "gemini-3.8-flash".into();
    assert_eq!(asked(&OpenAi, &newer).unwrap()["generationConfig"]["responseMimeType"], "application/json");
}
