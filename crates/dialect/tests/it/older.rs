//! Tools as they were before they were called so: `functions`, and one call at a time that has no id.

use keypool_dialect::openai::OpenAi;
use serde_json::{Value, json};

use crate::{
    names::told,
    support::{asked, data},
};

fn request(messages: Value) -> Value {
    let function =
        json!({ "name": "weather", "description": "d", "parameters": { "type": "object", "properties": {} } });
    json!({ "model": "gemini-3.8-flash", "messages": messages, "functions": [function], "function_call": "auto" })
}

#[test]
fn they_are_functions_and_a_choice_among_them() {
    let mut body = request(json!([{ "role": "user", "content": "x" }]));
    let declared = json!({ "name": "weather", "description": "d",
        "parametersJsonSchema": { "type": "object", "properties": {} } });
    for (choice, mode, names) in [
        (json!("auto"), Some("AUTO"), Value::Null),
        (json!("none"), Some("NONE"), Value::Null),
        (json!({ "name": "weather" }), Some("ANY"), json!(["weather"])),
    ] {
        body["function_call"] = choice;
        let got = asked(&OpenAi, &body).unwrap();
        assert_eq!(got["tools"], json!([{ "functionDeclarations": [declared] }]));
        let config = &got["toolConfig"]["functionCallingConfig"];
        assert_eq!((config["mode"].as_str(), &config["allowedFunctionNames"]), (mode, &names), "{got}");
    }
    body["functions"] = json!([]);
    body["function_call"] = json!("none");
    let got = asked(&OpenAi, &body).unwrap();
    assert_eq!((&got["tools"], &got["toolConfig"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_call_is_told_without_an_id_and_alone() {
    let body = request(json!([{ "role": "user", "content": "x" }]));
    let call = |city: &str| json!({ "functionCall": { "name": "weather", "args": { "city": city } } });
    let (whole, pieces) = told(&OpenAi, &body, json!([call("a"), call("b")]));
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let choice = &whole["choices"][0];
    let called = json!({ "name": "weather", "arguments": r#"{"city":"a"}"# });
    assert_eq!((&choice["message"]["function_call"], &choice["message"]["content"]), (&called, &Value::Null));
    assert_eq!((&choice["finish_reason"], &choice["message"]["tool_calls"]), (&json!("function_call"), &Value::Null));
    let pieces: Vec<Value> = data(&pieces).iter().filter_map(|piece| serde_json::from_str(piece).ok()).collect();
    let deltas: Vec<&Value> = pieces.iter().map(|piece| &piece["choices"][0]["delta"]).collect();
    let calls: Vec<&&Value> = deltas.iter().filter(|delta| delta["function_call"].is_object()).collect();
    assert_eq!((calls.len(), &calls[0]["function_call"]), (1, &called));
    assert!(deltas.iter().all(|delta| delta["tool_calls"].is_null()));
    assert!(pieces.iter().any(|piece| piece["choices"][0]["finish_reason"] == "function_call"));
}

#[test]
fn what_was_called_is_answered_by_its_name() {
    let called = |city: &str| {
        let arguments = json!({ "city": city }).to_string();
        json!({ "role": "assistant", "content": null, "function_call": { "name": "weather", "arguments": arguments } })
    };
    let answer = |said: &str| json!({ "role": "function", "name": "weather", "content": said });
    let messages = json!([{ "role": "user", "content": "x" }, called("a"), answer("sun"), called("b"), answer("rain")]);
    let got = asked(&OpenAi, &request(messages)).unwrap();
    let parts: Vec<Value> =
        got["contents"].as_array().unwrap().iter().flat_map(|turn| turn["parts"].as_array().unwrap().clone()).collect();
    let args: Vec<&Value> =
        parts.iter().filter_map(|part| part.get("functionCall")).map(|call| &call["args"]).collect();
    assert_eq!(args, [&json!({ "city": "a" }), &json!({ "city": "b" })]);
    let said: Vec<&Value> = parts.iter().filter_map(|part| part.get("functionResponse")).collect();
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|said| said["name"] == "weather"));
    assert!(said[0].to_string().contains("sun") && said[1].to_string().contains("rain"), "{said:?}");
}

/// As agents do that make calls within a call, and histories that lack something.
#[test]
fn answers_that_fit_no_call_are_understood_all_the_same() {
    let call = |name: &str| json!({ "role": "assistant", "content": null, "function_call": { "name": name, "arguments": "{}" } });
    let answer = |name: &str| json!({ "role": "function", "name": name, "content": "sun" });
    let user = json!({ "role": "user", "content": "x" });
    let parts = |messages: Value| {
        let got = asked(&OpenAi, &request(messages)).unwrap();
        let turns = got["contents"].as_array().unwrap().clone();
        turns.iter().flat_map(|turn| turn["parts"].as_array().unwrap().clone()).collect::<Vec<_>>()
    };
    let other = parts(json!([user, call("tool_selection"), answer("weather")]));
    assert_eq!(other[2]["functionResponse"]["name"], "tool_selection", "{other:?}");
    let orphan = parts(json!([user, answer("weather")]));
    assert_eq!(orphan[1]["text"], "weather: sun");
    let open = parts(json!([user, call("weather"), user]));
    assert_eq!((&open[2]["functionResponse"]["name"], &open[3]["text"]), (&json!("weather"), &json!("x")), "{open:?}");
}
