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
