//! What is no part of an answer itself, and told in ways of its own or not at all: no answer is lost over it.

use keypool_dialect::{Kind, anthropic::Anthropic, openai::OpenAi};
use serde_json::{Value, json};

use crate::support::{data, events, streamed, whole};

fn answer(usage: Value) -> Value {
    json!({
        "candidates": [{ "content": { "parts": [{ "text": "hi" }] }, "finishReason": "STOP" }],
        "usageMetadata": usage,
    })
}

#[test]
fn an_answer_is_told_whatever_it_says_that_it_cost() {
    for (usage, [prompt, completion]) in [
        (json!(null), [0, 0]),
        (json!({ "promptTokenCount": null, "candidatesTokenCount": 7 }), [0, 7]),
        (json!({ "promptTokenCount": "5", "candidatesTokenCount": "7" }), [5, 7]),
        (json!({ "promptTokenCount": 5.0, "candidatesTokenCount": -7 }), [5, 0]),
        (json!({ "promptTokenCount": [5], "candidatesTokenCount": 7, "promptTokensDetails": null }), [0, 7]),
        (
            json!({ "promptTokenCount": 5, "candidatesTokenCount": 7, "promptTokensDetails": [{ "modality": 3 }, 4] }),
            [5, 7],
        ),
        (json!("none"), [0, 0]),
    ] {
        let answer = answer(usage);
        let got = whole(&OpenAi, &answer).unwrap();
        assert_eq!(got["choices"][0]["message"]["content"], "hi", "{answer}");
        assert_eq!(got["usage"]["prompt_tokens"], prompt, "{answer}");
        assert_eq!(got["usage"]["completion_tokens"], completion, "{answer}");
        let got = whole(&Anthropic, &answer).unwrap();
        assert_eq!(got["usage"]["output_tokens"], completion, "{answer}");
        let told = data(&streamed(&OpenAi, &events(std::slice::from_ref(&answer)), 1000));
        assert_eq!(told.last().unwrap(), "[DONE]", "{answer}");
    }
}

#[test]
fn more_than_anybody_can_count_is_no_panic() {
    let most = json!({ "promptTokenCount": u64::MAX, "candidatesTokenCount": 1e300, "thoughtsTokenCount": u64::MAX });
    let got = whole(&OpenAi, &answer(most)).unwrap();
    assert_eq!(got["choices"][0]["message"]["content"], "hi");
}

#[test]
fn a_whole_answer_that_names_no_end_is_at_its_end() {
    let whole_of = |parts: Value| whole(&OpenAi, &json!({ "candidates": [{ "content": { "parts": parts } }] }));
    let got = whole_of(json!([{ "text": "hi" }])).unwrap();
    assert_eq!(
        (&got["choices"][0]["message"]["content"], &got["choices"][0]["finish_reason"]),
        (&json!("hi"), &json!("stop"))
    );
    let got = whole_of(json!([{ "functionCall": { "name": "f" } }])).unwrap();
    assert_eq!(got["choices"][0]["finish_reason"], "tool_calls");
    // Nothing was said, or it may go on.
    assert_eq!(whole_of(json!([])).unwrap_err().kind, Kind::BadGateway);
    assert_eq!(whole(&OpenAi, &json!({})).unwrap_err().kind, Kind::BadGateway);
    let begun = json!({ "candidates": [{ "content": { "parts": [{ "text": "hi" }] } }] });
    assert!(streamed(&OpenAi, &events(&[begun]), 1000).contains("has no end"));
}

#[test]
fn what_is_null_is_not_there() {
    let usage = json!({ "promptTokenCount": 3 });
    for candidate in [
        json!({ "content": { "role": "model", "parts": null }, "finishReason": "STOP", "index": null }),
        json!({ "content": null, "finishReason": "STOP", "safetyRatings": null }),
        json!({ "content": { "parts": [{ "text": null, "thought": null }] }, "finishReason": "STOP" }),
    ] {
        let answer = json!({ "candidates": [candidate], "usageMetadata": usage });
        let got = whole(&OpenAi, &answer).unwrap();
        assert_eq!(got["choices"][0]["finish_reason"], "stop", "{answer}");
        let told = data(&streamed(&OpenAi, &events(std::slice::from_ref(&answer)), 1000));
        assert_eq!(told.last().unwrap(), "[DONE]", "{answer}");
    }
    let blocked = json!({ "candidates": null, "promptFeedback": { "blockReason": "SAFETY" } });
    assert_eq!(whole(&OpenAi, &blocked).unwrap()["choices"][0]["finish_reason"], "content_filter");
    // The usage of a stream comes in an event of its own.
    let said = answer(json!(null));
    let counted = json!({ "candidates": null, "usageMetadata": usage });
    let told = streamed(&OpenAi, &events(&[said, counted]), 1000);
    assert!(told.contains("\"prompt_tokens\":3") && told.ends_with("[DONE]\n\n"), "{told}");
}
