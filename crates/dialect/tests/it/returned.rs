//! What tools answered, in whichever order they were done.

use keypool_dialect::{Caller, anthropic::Anthropic, openai::OpenAi, responses::Responses};
use serde_json::{Value, json};

use crate::support::asked;

/// Of three calls of one name, whose answers came in the order 2, 0, 1: the upstream gave them no ids, and counts answers
/// against calls by their places.
fn in_order_of_their_calls(caller: &dyn Caller, body: Value) {
    let got = asked(caller, &body).unwrap();
    let parts = got["contents"][2]["parts"].as_array().unwrap();
    let said = parts.iter().map(|part| part["functionResponse"]["response"]["result"].as_str().unwrap());
    let said: Vec<&str> = said.map(|said| &said[..4]).collect();
    assert_eq!(said, ["Oslo", "Rome", "Bonn"]);
    assert_eq!(got["contents"][3]["parts"], json!([{ "text": "go on" }]));
}

#[test]
fn tools_that_are_done_in_another_order_answer_their_own_calls() {
    // One of them is so long that it is not copied.
    let [oslo, rome, bonn] = [json!("Oslo"), json!("Rome".repeat(50_000)), json!("Bonn")];
    let ids = [0, 1, 2].map(|n| format!("call_{n}"));

    let calls = ids
        .each_ref()
        .map(|id| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } }));
    let answer = |n: usize, said: &Value| json!({ "role": "tool", "tool_call_id": ids[n], "content": said });
    let messages = json!([
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": null, "tool_calls": calls },
        answer(2, &bonn), answer(0, &oslo), answer(1, &rome),
        { "role": "user", "content": "go on" },
    ]);
    in_order_of_their_calls(&OpenAi, json!({ "model": "gemini-2.5-flash", "messages": messages }));

    let calls = ids.each_ref().map(|id| json!({ "type": "tool_use", "id": id, "name": "f", "input": {} }));
    let answer = |n: usize, said: &Value| json!({ "type": "tool_result", "tool_use_id": ids[n], "content": said });
    let messages = json!([
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": calls },
        { "role": "user", "content": [
            answer(2, &bonn), answer(0, &oslo), answer(1, &rome), { "type": "text", "text": "go on" },
        ] },
    ]);
    in_order_of_their_calls(&Anthropic, json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": messages }));

    let call = |n: usize| json!({ "type": "function_call", "call_id": ids[n], "name": "f", "arguments": "{}" });
    let answer = |n: usize, said: &Value| json!({ "type": "function_call_output", "call_id": ids[n], "output": said });
    let input = json!([
        { "role": "user", "content": "weather?" },
        call(0), call(1), call(2), answer(2, &bonn), answer(0, &oslo), answer(1, &rome),
        { "role": "user", "content": "go on" },
    ]);
    in_order_of_their_calls(&Responses, json!({ "model": "gemini-2.5-flash", "input": input }));
}

/// What upstream reads: which answer, or which picture, stands where.
fn order(caller: &dyn Caller, body: &Value, turn: usize) -> Vec<String> {
    let got = asked(caller, body).unwrap();
    let turns = got["contents"].as_array().unwrap()[turn..].iter().take_while(|turn| turn["role"] == "user");
    let said = turns.flat_map(|turn| turn["parts"].as_array().unwrap()).map(|part| match &part["inlineData"]["data"] {
        Value::String(data) => data.clone(),
        _ => part["functionResponse"]["response"]["result"].as_str().unwrap().to_owned(),
    });
    said.collect()
}

#[test]
fn pictures_that_tools_answer_stand_in_the_order_of_their_calls_too() {
    let (ids, pictures) = ([0, 1, 2].map(|n| format!("call_{n}")), ["AAAA", "BBBB", "CCCC"]);
    let url = |n: usize| format!("data:image/png;base64,{}", pictures[n]);
    let said = ["", "", "", "AAAA", "BBBB", "CCCC"];

    let calls = ids
        .each_ref()
        .map(|id| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } }));
    let answer = |n: usize| {
        let content = json!([{ "type": "image_url", "image_url": { "url": url(n) } }]);
        json!({ "role": "tool", "tool_call_id": ids[n], "content": content })
    };
    let messages = json!([
        { "role": "user", "content": "draw" }, { "role": "assistant", "content": null, "tool_calls": calls },
        answer(2), answer(0), answer(1),
    ]);
    assert_eq!(order(&OpenAi, &json!({ "model": "gemini-2.5-flash", "messages": messages }), 2), said);

    let calls = ids.each_ref().map(|id| json!({ "type": "tool_use", "id": id, "name": "f", "input": {} }));
    let answer = |n: usize| {
        let source = json!({ "type": "base64", "media_type": "image/png", "data": pictures[n] });
        json!({ "type": "tool_result", "tool_use_id": ids[n], "content": [{ "type": "image", "source": source }] })
    };
    let messages = json!([
        { "role": "user", "content": "draw" }, { "role": "assistant", "content": calls },
        { "role": "user", "content": [answer(2), answer(0), answer(1)] },
    ]);
    let body = json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": messages });
    assert_eq!(order(&Anthropic, &body, 2), said);

    let call = |n: usize| json!({ "type": "function_call", "call_id": ids[n], "name": "f", "arguments": "{}" });
    let answer = |n: usize| {
        let output = json!([{ "type": "input_image", "image_url": url(n) }]);
        json!({ "type": "function_call_output", "call_id": ids[n], "output": output })
    };
    let input = json!([
        { "role": "user", "content": "draw" }, call(0), call(1), call(2), answer(2), answer(0), answer(1),
    ]);
    assert_eq!(order(&Responses, &json!({ "model": "gemini-2.5-flash", "input": input }), 2), said);
}

/// Some clients count the calls of each round anew.
#[test]
fn ids_that_come_again_are_the_later_calls() {
    let calls = || {
        let call = |n| json!({ "id": format!("call_{n}"), "type": "function", "function": { "name": "f", "arguments": "{}" } });
        json!({ "role": "assistant", "content": null, "tool_calls": [call(0), call(1)] })
    };
    let answer = |n: usize, said: &str| json!({ "role": "tool", "tool_call_id": format!("call_{n}"), "content": said });
    let messages = json!([
        { "role": "user", "content": "go" },
        calls(), answer(1, "a1"), answer(0, "a0"),
        calls(), answer(1, "b1"), answer(0, "b0"),
    ]);
    let body = json!({ "model": "gemini-2.5-flash", "messages": messages });
    assert_eq!(order(&OpenAi, &body, 2), ["a0", "a1"]);
    assert_eq!(order(&OpenAi, &body, 4), ["b0", "b1"]);
}
