//! Texts that are gone on from, as there were before chats: `OpenAI`'s `/v1/completions`.

#![allow(clippy::needless_pass_by_value, reason = "tables read better without the signs")]

use gemini_sim::{AnswerText, GeminiSim};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    dialects::{events, post, served},
    serving::ONE,
};

async fn saying(text: &str) -> GeminiSim {
    GeminiSim::builder().key(ONE).chunks(3).answer(AnswerText::Fixed(text.into())).start().await.unwrap()
}

fn prompt(more: Value) -> Value {
    let mut body = json!({ "model": "gemini-2.5-flash", "prompt": "Once upon" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_text_is_gone_on_from() {
    let sim = saying(" a time").await;
    let served = served(&sim).await;
    for path in ["/v1/completions", "/openai/v1/completions", "/openai/completions"] {
        // As LangChain's `OpenAI` asks, whose text comes in a list.
        let more = json!({ "prompt": ["Once upon"], "max_tokens": 256, "n": 1, "top_p": 1, "user": "u", "seed": null });
        let answer = post(&served, path, &prompt(more)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!((answer.header("x-keypool-key"), answer.header("x-keypool-ignored")), ("one", "user"));
        let body = answer.json();
        assert_eq!(body["object"], "text_completion");
        assert!(body["id"].as_str().unwrap().starts_with("cmpl-"), "{body}");
        assert_eq!(
            body["choices"],
            json!([{ "text": " a time", "index": 0, "logprobs": null, "finish_reason": "stop" }])
        );
        assert!(body["usage"]["prompt_tokens"].as_u64() > Some(0), "{body}");
    }
    let several = post(&served, "/v1/completions", &prompt(json!({ "n": 2, "best_of": 2, "echo": true }))).await.json();
    let texts: Vec<_> = several["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, ["Once upon a time", "Once upon a time"]);
    // What its tokens say, as `tiktoken` numbers them.
    let ids = post(&served, "/v1/completions", &prompt(json!({ "prompt": [[9906, 1917]], "echo": true }))).await.json();
    assert_eq!(ids["choices"][0]["text"], "Hello world a time");
}

#[tokio::test]
async fn it_comes_in_pieces() {
    let sim = saying("one two three").await;
    let served = served(&sim).await;
    let more = json!({ "stream": true, "echo": true, "stream_options": { "include_usage": true } });
    let answer = post(&served, "/v1/completions", &prompt(more)).await;
    assert!(answer.header("content-type").starts_with("text/event-stream"), "{answer:?}");
    let mut events = events(&answer);
    assert_eq!(events.pop().unwrap(), "[DONE]");
    let pieces: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let (cost, pieces) = pieces.split_last().unwrap();
    assert!(cost["choices"] == json!([]) && cost["usage"]["completion_tokens"].as_u64() > Some(0), "{cost}");
    assert!(pieces.iter().all(|piece| piece["object"] == "text_completion" && piece["usage"].is_null()), "{pieces:?}");
    let text: String = pieces.iter().map(|piece| piece["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(text, "Once uponone two three");
    let over: Vec<_> = pieces.iter().map(|piece| &piece["choices"][0]["finish_reason"]).collect();
    assert_eq!(over.iter().filter(|reason| !reason.is_null()).count(), 1);
    assert_eq!(over.last().unwrap(), &"stop");
}

#[tokio::test]
async fn what_it_cannot_have_is_named() {
    let sim = saying("x").await;
    let served = served(&sim).await;
    for (more, param) in [
        (json!({ "prompt": ["a", "b"] }), "prompt"),
        (json!({ "prompt": null }), "prompt"),
        (json!({ "suffix": "end" }), "suffix"),
        (json!({ "best_of": 3 }), "best_of"),
        (json!({ "logit_bias": { "50256": -100 } }), "logit_bias"),
    ] {
        let refused = post(&served, "/v1/completions", &prompt(more)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{param}");
        let error = &refused.json()["error"];
        assert_eq!((&error["param"], &error["type"]), (&json!(param), &json!("invalid_request_error")));
    }
    let unknown = post(&served, "/v1/completions", &prompt(json!({ "model": "nope" }))).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
}
