//! Answers of the upstream, as clients get them that have a text gone on from: every one must be what their types can read.

use async_openai::types::{chat::CompletionFinishReason, completions::CreateCompletionResponse};
use keypool_dialect::{Caller, Exchange, Shape, gemini, openai::Completions};
use serde_json::{Value, json};

use crate::support::{asked, data, events, shape, streamed, whole};

fn candidate(index: u32, text: &str, reason: &str) -> Value {
    let mut candidate = json!({ "content": { "parts": [{ "text": text }], "role": "model" }, "index": index });
    if !reason.is_empty() {
        candidate["finishReason"] = reason.into();
    }
    candidate
}

fn answer(candidates: &[Value]) -> Value {
    let usage = json!({ "promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15 });
    json!({ "candidates": candidates, "responseId": "r1", "usageMetadata": usage })
}

fn typed(value: &Value) -> CreateCompletionResponse {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// What a stream says, its last two events apart: what it cost, and that it is done.
fn pieces(stream: &str) -> Vec<CreateCompletionResponse> {
    let mut events = data(stream);
    assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{stream}");
    let mut pieces: Vec<_> = events.iter().map(|event| typed(&serde_json::from_str(event).unwrap())).collect();
    let cost = pieces.pop().unwrap();
    assert!(cost.choices.is_empty() && cost.usage.unwrap().total_tokens == 15, "{stream}");
    pieces
}

/// "Hi é", as two tokens.
fn likely() -> Value {
    let mut candidate = candidate(0, "Hi é", "MAX_TOKENS");
    candidate["logprobsResult"] = json!({
        "chosenCandidates": [{ "token": "Hi ", "logProbability": -0.5 }, { "token": "é", "logProbability": -0.1 }],
        "topCandidates": [
            { "candidates": [{ "token": "Hi ", "logProbability": -0.5 }, { "token": "Ho", "logProbability": -1.5 }] },
            { "candidates": [{ "token": "é", "logProbability": -0.1 }] },
        ],
    });
    answer(&[candidate])
}

#[test]
fn each_text_and_what_they_cost() {
    let value = whole(&Completions, &answer(&[candidate(0, "one", "STOP"), candidate(1, "two", "SAFETY")])).unwrap();
    let told = typed(&value);
    assert_eq!((&*told.id, &*told.object, told.usage.unwrap().completion_tokens), ("cmpl-r1", "text_completion", 5));
    let said: Vec<_> = told.choices.iter().map(|choice| (choice.index, &*choice.text, choice.finish_reason)).collect();
    let reasons = [Some(CompletionFinishReason::Stop), Some(CompletionFinishReason::ContentFilter)];
    assert_eq!(said, [(0, "one", reasons[0]), (1, "two", reasons[1])]);
}

#[test]
fn a_stream_says_the_same() {
    let stream = events(&[
        answer(&[candidate(0, "Hé", "")]),
        answer(&[candidate(1, "x", "")]),
        answer(&[candidate(0, "llo", "STOP")]),
        answer(&[candidate(1, "", "MAX_TOKENS")]),
    ]);
    for size in [1, 7, stream.len()] {
        let pieces = pieces(&streamed(&Completions, &stream, size));
        let choices: Vec<_> = pieces.iter().flat_map(|piece| &piece.choices).collect();
        for (index, text, end) in [(0, "Héllo", CompletionFinishReason::Stop), (1, "x", CompletionFinishReason::Length)]
        {
            let own: Vec<_> = choices.iter().filter(|choice| choice.index == index).collect();
            assert_eq!(own.iter().map(|choice| &*choice.text).collect::<String>(), text);
            let ends: Vec<_> = own.iter().filter_map(|choice| choice.finish_reason).collect();
            assert_eq!(ends, [end]);
        }
        assert!(pieces.iter().all(|piece| piece.id == "cmpl-r1" && piece.usage.is_none()));
    }
}

#[test]
fn how_likely_tokens_were_stands_in_lists() {
    let expected = json!({
        "tokens": ["Hi ", "é"],
        "token_logprobs": [-0.5, -0.1],
        "top_logprobs": [{ "Hi ": -0.5, "Ho": -1.5 }, { "é": -0.1 }],
        "text_offset": [0, 3],
    });
    let value = whole(&Completions, &likely()).unwrap();
    assert_eq!(value["choices"][0]["logprobs"], expected);
    assert_eq!(typed(&value).choices[0].finish_reason, Some(CompletionFinishReason::Length));
    let streamed = streamed(&Completions, &events(&[likely()]), 1_000);
    pieces(&streamed);
    let told = data(&streamed).into_iter().filter_map(|event| serde_json::from_str::<Value>(&event).ok());
    let told: Vec<Value> = told.map(|piece| piece["choices"][0]["logprobs"].clone()).filter(Value::is_object).collect();
    assert_eq!(told, [expected]);
}

#[test]
fn what_was_asked_stands_in_front_where_that_is_wanted() {
    let body = br#"{"model":"m","prompt":"Once ","echo":true}"#;
    let repeated = Completions.conversation(body, true).unwrap().repeated;
    let exchange = |stream| {
        let voice = Completions.voice(Shape { repeated: repeated.clone(), ..shape(stream) });
        Exchange::new(Box::new(gemini::Listener::new(false)), voice)
    };
    let upon = answer(&[candidate(0, "upon", "STOP"), candidate(1, "more", "STOP")]);
    let told = typed(&serde_json::from_slice(&exchange(false).whole(upon.to_string().as_bytes()).unwrap()).unwrap());
    let texts: Vec<_> = told.choices.iter().map(|choice| &*choice.text).collect();
    assert_eq!(texts, ["Once upon", "Once more"]);
    let (mut streamed, mut out) = (exchange(true), Vec::new());
    streamed.hear(events(&[upon]).into(), &mut out);
    streamed.end(&mut out);
    let told = pieces(&String::from_utf8(out).unwrap());
    let of = |index| told.iter().flat_map(|piece| &piece.choices).filter(move |choice| choice.index == index);
    assert_eq!(of(0).map(|choice| &*choice.text).collect::<String>(), "Once upon");
    assert_eq!(of(1).map(|choice| &*choice.text).collect::<String>(), "Once more");
}

#[test]
fn it_is_asked_for_as_a_turn() {
    let body = json!({ "model": "m", "prompt": ["Once"], "max_tokens": 9, "logprobs": 2, "n": 2, "stop": ["."] });
    let asked = asked(&Completions, &body).unwrap();
    assert_eq!(asked["contents"], json!([{ "role": "user", "parts": [{ "text": "Once" }] }]));
    let config = &asked["generationConfig"];
    assert_eq!(
        (&config["maxOutputTokens"], &config["candidateCount"], &config["logprobs"]),
        (&json!(9), &json!(2), &json!(2))
    );
    assert_eq!((&config["responseLogprobs"], &config["stopSequences"]), (&json!(true), &json!(["."])));
}
