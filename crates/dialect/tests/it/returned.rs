//! What tools answered, in whichever order they were done.

use keypool_dialect::{Caller, Kind, anthropic::Anthropic, openai::OpenAi, responses::Responses};
use serde_json::{Value, json};

use crate::support::{asked, kind};

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

/// What is said behind an answer is often about its picture.
#[test]
fn pictures_that_tools_answer_stand_before_what_is_said_behind_them() {
    let calls = ["a", "b"].map(|id| json!({ "type": "tool_use", "id": id, "name": "f", "input": {} }));
    let answer = |id: &str, data: &str| {
        let source = json!({ "type": "base64", "media_type": "image/png", "data": data });
        json!({ "type": "tool_result", "tool_use_id": id, "content": [{ "type": "image", "source": source }] })
    };
    let text = |text: &str| json!({ "type": "text", "text": text });
    for (content, said) in [
        (
            json!([answer("b", "BBBB"), answer("a", "AAAA"), text("What is in them?")]),
            ["AAAA", "BBBB", "What is in them?"],
        ),
        (json!([answer("a", "AAAA"), text("And now:"), answer("b", "BBBB")]), ["AAAA", "And now:", "BBBB"]),
    ] {
        let messages = json!([
            { "role": "user", "content": "draw" }, { "role": "assistant", "content": calls },
            { "role": "user", "content": content },
        ]);
        let body = json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": messages });
        let got = asked(&Anthropic, &body).unwrap();
        let parts = got["contents"][3]["parts"].as_array().unwrap();
        let got: Vec<&str> =
            parts.iter().map(|part| part["text"].as_str().or(part["inlineData"]["data"].as_str()).unwrap()).collect();
        assert_eq!(got, said);
    }
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

/// Of each dialect: somebody asks, the model calls, and what comes then.
struct Round<'c> {
    field: &'static str,
    caller: &'c dyn Caller,
    called: fn(&[&str]) -> Vec<Value>,
    answered: fn(&str, &str) -> Value,
    said: fn(&str, &str) -> Value,
}

impl Round<'_> {
    fn asked(&self, said: Vec<Value>) -> Result<Value, (Kind, String)> {
        let mut body = json!({ "model": "gemini-2.5-flash" });
        let field = self.field;
        body[field] = said.into();
        if field == "messages" {
            body["max_tokens"] = 9.into();
        }
        asked(self.caller, &body).map(|body| body["contents"].clone()).map_err(|fault| {
            let (kind, at) = kind(&fault);
            (kind, at.to_owned())
        })
    }

    fn say(&self, role: &str, text: &str) -> Value {
        (self.said)(role, text)
    }
}

fn rounds() -> [Round<'static>; 3] {
    let said = |role: &str, text: &str| json!({ "role": role, "content": text });
    [
        Round {
            field: "messages",
            caller: &OpenAi,
            called: |ids| {
                let call =
                    |id: &&str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
                vec![
                    json!({ "role": "assistant", "content": null, "tool_calls": ids.iter().map(call).collect::<Vec<_>>() }),
                ]
            },
            answered: |id, said| json!({ "role": "tool", "tool_call_id": id, "content": said }),
            said,
        },
        Round {
            field: "messages",
            caller: &Anthropic,
            called: |ids| {
                let call = |id: &&str| json!({ "type": "tool_use", "id": id, "name": "f", "input": {} });
                vec![json!({ "role": "assistant", "content": ids.iter().map(call).collect::<Vec<_>>() })]
            },
            answered: |id, said| json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": said }] }),
            said,
        },
        Round {
            field: "input",
            caller: &Responses,
            called: |ids| {
                let call =
                    |id: &&str| json!({ "type": "function_call", "call_id": id, "name": "f", "arguments": "{}" });
                ids.iter().map(call).collect()
            },
            answered: |id, said| json!({ "type": "function_call_output", "call_id": id, "output": said }),
            said,
        },
    ]
}

/// Who speaks, and what stands there in short.
fn short(contents: &Value) -> Vec<String> {
    let part = |part: &Value| match part {
        _ if part["functionCall"].is_object() => "call".to_owned(),
        _ if part["functionResponse"].is_object() => part["functionResponse"]["response"]["result"].to_string(),
        _ => part["text"].to_string(),
    };
    let turns = contents.as_array().unwrap().iter();
    turns
        .map(|turn| turn["parts"].as_array().unwrap().iter().map(part).collect::<Vec<_>>().join("+").replace('"', ""))
        .collect()
}

#[test]
fn what_tools_answered_stands_right_behind_its_calls() {
    for round in rounds() {
        let Round { called, answered, .. } = round;
        let ask = |more: Vec<Value>| {
            let said = [vec![round.say("user", "go")], called(&["a", "b"]), more].concat();
            round.asked(said).map(|contents| short(&contents))
        };
        let (a, b) = (answered("a", "A"), answered("b", "B"));
        assert_eq!(ask(vec![a.clone(), b.clone()]).unwrap(), ["go", "call+call", "A+B"]);
        // Somebody spoke in between.
        let wait = round.say("user", "wait");
        assert_eq!(ask(vec![b.clone(), wait.clone(), a.clone()]).unwrap(), ["go", "call+call", "A+B", "wait"]);
        let mut later = vec![wait, b.clone(), a.clone(), round.say("assistant", "")];
        later.extend(called(&["a"]));
        later.extend([answered("a", "C"), round.say("user", "on")]);
        assert_eq!(ask(later).unwrap(), ["go", "call+call", "A+B", "wait", "call", "C", "on"]);
        // A model said nothing.
        let silent = vec![a.clone(), b.clone(), round.say("assistant", ""), round.say("user", "on")];
        assert_eq!(ask(silent).unwrap(), ["go", "call+call", "A+B", "on"]);
    }
}

#[test]
fn calls_of_one_id_are_answered_one_after_the_other() {
    for round in rounds() {
        let Round { called, answered, .. } = round;
        let ids = ["same", "same"];
        let said = [vec![round.say("user", "go")], called(&ids), vec![answered("same", "A"), answered("same", "B")]];
        assert_eq!(short(&round.asked(said.concat()).unwrap()), ["go", "call+call", "A+B"]);
    }
}

#[test]
fn a_conversation_whose_calls_and_answers_do_not_match_is_named() {
    let at = [
        ["messages[1].tool_calls", "messages[4].tool_call_id", "messages[1].tool_call_id"],
        ["messages.1", "messages.4.content.0", "messages.1.content.0"],
        ["input[2]", "input[5].call_id", "input[1].call_id"],
    ];
    for (round, [unanswered, twice, unasked]) in rounds().into_iter().zip(at) {
        let Round { called, answered, .. } = round;
        let ask = |more: Vec<Value>| round.asked([vec![round.say("user", "go")], more].concat()).unwrap_err();
        let (a, b) = (answered("a", "A"), answered("b", "B"));
        let fault = |at: &str| (Kind::Invalid, at.to_owned());
        for rest in [vec![a.clone()], vec![a.clone(), round.say("user", "on")]] {
            assert_eq!(ask([called(&["a", "b"]), rest].concat()), fault(unanswered));
        }
        assert_eq!(ask([called(&["a", "b"]), vec![a.clone(), b.clone(), a.clone()]].concat()), fault(twice));
        assert_eq!(ask(vec![a.clone(), round.say("user", "on")]), fault(unasked));
    }
}
