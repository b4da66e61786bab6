//! Models, tokens, embeddings and the end of a text.

use std::time::Duration;

use gemini_sim::{AnswerText, GeminiSim, Limits, Project};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{Answer, MODEL, body, post, prompt, send};

fn sim() -> GeminiSim {
    let project = Project::new("1").limits(Limits::none().rpm(1)).key("k");
    GeminiSim::builder().project(project).build()
}

async fn get(sim: &GeminiSim, path: &str) -> Answer {
    let request = Request::get(path).header("x-goog-api-key", "k");
    send(sim, request.body(Full::default()).unwrap()).await
}

async fn post_json(sim: &GeminiSim, path: &str, value: Value) -> Answer {
    let request = post(path).header("x-goog-api-key", "k");
    send(sim, request.body(body(&value)).unwrap()).await
}

#[tokio::test]
async fn list_of_models_is_paged_and_not_charged() {
    let sim = sim();
    let whole = get(&sim, "/v1beta/models").await.json();
    let whole = whole["models"].as_array().unwrap().clone();
    let (mut paged, mut path) = (Vec::new(), "/v1beta/models?pageSize=3".to_owned());
    loop {
        let page = get(&sim, &path).await.json();
        paged.extend(page["models"].as_array().unwrap().clone());
        match page["nextPageToken"].as_str() {
            Some(token) => path = format!("/v1beta/models?pageSize=3&pageToken={token}"),
            None => break,
        }
    }
    assert_eq!(paged, whole);
    let one = get(&sim, &format!("/v1/models/{MODEL}")).await.json();
    assert!(whole.contains(&one));
    assert_eq!(get(&sim, "/v1/models/none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(sim.report().total.charged, 0);
}

#[tokio::test]
async fn count_tokens_agrees_with_the_charge_and_is_not_charged() {
    let sim = sim();
    let text = "four characters make a token";
    let path = format!("/v1beta/models/{MODEL}:countTokens");
    let plain = post_json(&sim, &path, prompt(text)).await.json();
    assert_eq!(plain["totalTokens"], 7);
    let mut inner = prompt(text);
    inner["model"] = format!("models/{MODEL}").into();
    let wrapped = json!({ "generateContentRequest": inner });
    assert_eq!(post_json(&sim, &path, wrapped).await.json()["totalTokens"], 7);
    assert_eq!((sim.report().total.tokens, sim.log().most_tokens_in_any(Duration::MAX, |_| true)), (0, 0));
    let path = format!("/v1/models/{MODEL}:generateContent");
    let usage = &post_json(&sim, &path, prompt(text)).await.json()["usageMetadata"];
    assert_eq!(usage["promptTokenCount"], 7);
    let candidates = usage["candidatesTokenCount"].as_u64().unwrap();
    assert_eq!(usage["totalTokenCount"], 7 + candidates);
}

/// With one request a minute, the refused request must leave room for the next.
#[tokio::test]
async fn refused_embeddings_use_no_quota() {
    let sim = sim();
    let content = json!({ "parts": [{ "text": "x" }] });
    let large = json!({ "content": content, "outputDimensionality": 4_000 });
    let path = "/v1beta/models/gemini-embedding-001:embedContent";
    assert_eq!(post_json(&sim, path, large).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(post_json(&sim, path, json!({ "content": content })).await.status, StatusCode::OK);
    let total = sim.report().total;
    assert_eq!((total.accepted, total.charged, total.rejected_as("malformed")), (1, 1, 1));
}

#[tokio::test]
async fn usage_grows_over_a_stream_to_the_total() {
    let sim = GeminiSim::builder().key("k").chunks(50).build();
    let path = format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse");
    let stream = post_json(&sim, &path, prompt("x")).await;
    let events: Vec<Value> = stream
        .text()
        .split_terminator("\r\n\r\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    assert_eq!(events.len(), 50);
    let counts = events.iter().map(|e| e["usageMetadata"]["candidatesTokenCount"].as_u64());
    let counts: Vec<_> = counts.map(Option::unwrap).collect();
    assert!(counts.is_sorted());
    let text: String =
        events.iter().map(|event| event["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(*counts.last().unwrap(), gemini_sim::tokens_of_text(&text));
    let finished: Vec<_> = events.iter().map(|e| e["candidates"][0].get("finishReason")).collect();
    assert!(finished[..49].iter().all(Option::is_none));
    assert_eq!(finished[49].unwrap(), "STOP");
    assert!(!stream.text().contains("[DONE]"));
}

#[tokio::test]
async fn stop_sequence_ends_the_text() {
    let sim = GeminiSim::builder().key("k").answer(AnswerText::Fixed("one two three four".into())).build();
    let mut request = prompt("hello");
    request["generationConfig"] = json!({ "stopSequences": ["three"] });
    let answer = post_json(&sim, &format!("/v1beta/models/{MODEL}:generateContent"), request).await.json();
    let candidate = &answer["candidates"][0];
    let found = (&candidate["finishReason"], &candidate["content"]["parts"][0]["text"]);
    assert_eq!(found, (&json!("STOP"), &json!("one two ")));
}
