//! Answers as providers write them: what is good is kept, and what is not says why.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use keypool_client::{
    Client,
    batch::{Batch, Task, TaskResult},
};
use serde_json::{Value, json};
use tower_keypool::{BoxError, Clock, Gemini, KeyPool, Models, OpenAi, Provider, ReplayBody};

use crate::provider::{self, Says};

/// What comes of a task whose provider always answers this.
async fn answered(provider: impl Provider, answer: &Value) -> TaskResult {
    let wall = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_781_550_000);
    let pool = KeyPool::builder(provider).keys(provider::keys(1)).clock(Clock::tokio_from(wall)).build().unwrap();
    let body = answer.to_string();
    let transport = tower::service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
        let answer = Full::<Bytes>::from(body.clone());
        async move {
            Ok::<_, BoxError>(Response::builder().header("content-type", "application/json").body(answer).unwrap())
        }
    });
    let client = Client::builder(&pool).transport(transport).build();
    let mut run = Batch::new(client).model("m").max_retries(0).run([Task::prompt("x")]);
    run.next().await.unwrap()
}

async fn openai(answer: &Value) -> TaskResult {
    answered(OpenAi::at("http://provider.invalid/v1").unwrap(), answer).await
}

async fn gemini(answer: &Value) -> TaskResult {
    answered(Gemini::at("http://provider.invalid").unwrap(), answer).await
}

fn why(result: &TaskResult) -> (&str, &str) {
    result.error.as_ref().map(|error| (error.kind, &*error.message)).unwrap_or_default()
}

/// The code of a failed task is the provider's own word, and no status or sentence in the place of one.
#[tokio::test(start_paused = true)]
async fn codes_are_words_of_the_provider() {
    let code = |result: &TaskResult| result.error.as_ref().and_then(|error| error.code.clone());
    let of = async |error: Value| code(&openai(&json!({ "error": error })).await);
    assert_eq!(of(json!({ "message": "no", "code": 502 })).await.as_deref(), Some("502"));
    assert_eq!(of(json!({ "message": "no", "type": "server_error" })).await.as_deref(), Some("server_error"));
    assert_eq!(of(json!({ "message": "no", "code": null })).await, None);
    let message = json!({ "content": null, "refusal": "I'm sorry, I can't help with that." });
    let refused = openai(&json!({ "choices": [{ "message": message, "finish_reason": "stop" }] })).await;
    assert_eq!(code(&refused).as_deref(), Some("refusal"), "{refused:?}");
    assert!(why(&refused).1.contains("I can't help with that"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_compatible_providers_answer_is_kept() {
    let said = |message: Value| json!({ "choices": [{ "message": message, "finish_reason": "stop" }] });
    let parts = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] },
        { "type": "text", "text": "in " }, { "type": "text", "text": "parts" }]);
    for (message, text, count) in [
        (json!({ "content": "fine", "refusal": "" }), "fine", 0),
        (json!({ "content": parts }), "in parts", 0),
        (json!({ "content": [{ "type": "image_url", "image_url": {} }] }), "", 1),
        (json!({ "content": null, "function_call": { "name": "f", "arguments": "{}" } }), "", 1),
        (json!({ "content": null, "audio": { "id": "a", "data": "AAAA", "transcript": "hi" } }), "hi", 1),
    ] {
        let result = openai(&said(message.clone())).await;
        assert!(result.success, "{message}: {result:?}");
        assert_eq!(
            (result.text.as_deref().unwrap_or_default(), result.parts.as_ref().map_or(0, Vec::len)),
            (text, count),
            "{message}"
        );
    }
    for message in [
        json!({ "content": null, "refusal": "I cannot" }),
        json!({ "content": [{ "type": "refusal", "refusal": "I cannot" }] }),
    ] {
        let result = openai(&said(message.clone())).await;
        assert!(why(&result).0 == "blocked" && why(&result).1.contains("I cannot"), "{message}: {result:?}");
    }
    let answer = json!({ "choices": [{ "message": { "content": "x" } }],
        "usage": { "prompt_tokens": "3", "completion_tokens": 2.0 } });
    let usage = openai(&answer).await.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(3), Some(2)));
}

#[tokio::test(start_paused = true)]
async fn an_error_with_a_good_status_keeps_its_words() {
    let result = openai(&json!({ "error": { "message": "Provider returned error", "code": 502 } })).await;
    assert!(why(&result).1.contains("Provider returned error") && why(&result).0 != "unreadable", "{result:?}");
    let result = openai(&json!({ "hello": "there" })).await;
    assert!(why(&result).0 == "unreadable" && why(&result).1.contains("choices"), "{result:?}");
    let result = openai(&json!({ "choices": null, "error": { "message": "no luck" } })).await;
    assert!(why(&result).1.contains("no luck"), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn what_gemini_leaves_open_makes_no_answer_unreadable() {
    let of = |content: Value, reason: &str| json!({ "candidates": [{ "content": content, "finishReason": reason }] });
    let ran = json!({ "outcome": "OUTCOME_OK", "output": "4" });
    let result = gemini(&of(json!({ "parts": [{ "codeExecutionResult": ran }] }), "STOP")).await;
    assert!(result.success && result.parts.as_ref().is_some_and(|parts| parts.len() == 1), "{result:?}");
    for answer in [
        of(json!({ "parts": null }), "STOP"),
        json!({ "candidates": null, "usageMetadata": { "promptTokenCount": 1 } }),
    ] {
        assert_eq!(why(&gemini(&answer).await).0, "empty", "{answer}");
    }
    let mut answer = of(json!({ "parts": [{ "text": "x" }] }), "STOP");
    answer["usageMetadata"] = json!({ "promptTokenCount": "7", "candidatesTokenCount": 2, "thoughtsTokenCount": null });
    let result = gemini(&answer).await;
    let usage = result.usage.unwrap();
    assert_eq!((result.success, usage.input_tokens, usage.output_tokens), (true, Some(7), Some(2)));
    for reason in ["IMAGE_PROHIBITED_CONTENT", "IMAGE_SAFETY", "IMAGE_RECITATION"] {
        let result = gemini(&of(json!({ "parts": [{ "text": "part" }] }), reason)).await;
        assert_eq!((result.success, why(&result).0), (false, "blocked"), "{reason}: {result:?}");
    }
}

/// What comes from another address than the provider's is told, with what to look at, and in nobody's own names.
#[tokio::test(start_paused = true)]
async fn what_is_no_answer_of_the_provider_is_told_in_plain_words() {
    let says = [
        (
            Says::Leads as fn(&'static str) -> Says,
            "https://login.example/start?token=1",
            "redirect to https://login.example/start",
        ),
        (|body| Says::Other(200, body), "[]", "an array"),
        (|body| Says::Other(200, body), "\"ok\"", "a text"),
        (|body| Says::Other(200, body), "", "nothing"),
        (|body| Says::Other(200, body), "<!doctype html><title>Welcome</title>", "no JSON"),
    ];
    for (make, body, expected) in says {
        let pool = provider::pool(provider::keys(2)).build().unwrap();
        let (client, _) =
            provider::client(&pool, Models::new(), move |_, _, _| (Duration::from_millis(10), make(body)));
        let single = client.generate("hello").await.unwrap_err().to_string();
        let mut run = Batch::new(client).max_retries(0).run(["hello"]);
        let failed = run.next().await.unwrap().error.unwrap();
        for said in [single, failed.message] {
            assert!(said.contains(expected), "{body}: {said}");
            assert!(said.contains("base URL"), "{body}: {said}");
            assert!(!said.contains("struct") && !said.contains("token"), "{body}: {said}");
        }
    }
}
