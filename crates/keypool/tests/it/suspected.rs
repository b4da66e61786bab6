//! Keys that refuse everything without a cause, which other keys serve.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use gemini_sim::{GeminiSim, Project, Refusal};
use http::Request;
use keypool::gateway::token::PLACEHOLDER;
use serde_json::json;
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    dialects::post,
    serving::{HELLO, ONE, TWO},
    support::{Answer, Served, ask},
};

/// `ONE` refuses everything by an unclear 403, `TWO` serves.
async fn stage() -> (GeminiSim, KeyPool, Served) {
    let refuses = gemini_sim::Key::new(ONE).refused(Refusal::NoPermission);
    let sim = GeminiSim::builder().project(Project::new("1").key(refuses)).project(Project::new("2").key(TWO));
    let sim = sim.start().await.unwrap();
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let served = Served::pool(&pool, &sim.url(), keypool::status::StoreHealth::default()).await;
    (sim, pool, served)
}

async fn native(served: &Served, path: &str, body: &str) -> Answer {
    let request = Request::post(served.url(path)).header("x-goog-api-key", PLACEHOLDER);
    ask(request.header("content-type", "application/json"), body.to_owned()).await
}

/// How many of 40 such requests were sent with `ONE`.
async fn refused(what: &str, send: impl AsyncFn(&Served) -> Answer) -> usize {
    let (_sim, pool, served) = stage().await;
    let count = AtomicUsize::new(0);
    for n in 0..40 {
        let answer = send(&served).await;
        assert_eq!(answer.status, 200, "{what}, {n}: {answer:?}");
        count.fetch_add(usize::from(answer.header("x-keypool-attempts") != "1"), Ordering::Relaxed);
    }
    let rests = pool.snapshot().keys.iter().any(|key| !key.rests.is_empty());
    assert_eq!(rests, count.load(Ordering::Relaxed) < 10, "{what}");
    count.into_inner()
}

#[tokio::test]
async fn a_key_that_refuses_what_others_serve_is_asked_no_more() {
    const FLASH: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
    let spread = json!({ "contents": [{ "parts": [{ "text": "word ".repeat(10_000) }] }] }).to_string();
    let chat = json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "Hello" }] });
    let message = json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": chat["messages"] });
    let vectors = json!({ "model": "gemini-embedding-001", "input": "Hello" });
    let count = "/v1beta/models/gemini-2.5-flash:countTokens";
    for (what, asked) in [
        ("native", refused("native", async |served| native(served, FLASH, HELLO).await).await),
        ("a count", refused("a count", async |served| native(served, count, HELLO).await).await),
        ("a body in pieces", refused("a body in pieces", async |served| native(served, FLASH, &spread).await).await),
        ("chat", refused("chat", async |served| post(served, "/v1/chat/completions", &chat).await).await),
        ("a message", refused("a message", async |served| post(served, "/v1/messages", &message).await).await),
        ("vectors", refused("vectors", async |served| post(served, "/v1/embeddings", &vectors).await).await),
    ] {
        assert!(asked < 10, "{what}: asked {asked} times");
    }
}

/// What names something that may be somebody's is refused for that, as far as anybody knows.
#[tokio::test]
async fn what_names_something_makes_nobody_suspect() {
    let video = json!({ "contents": [{ "parts": [
        { "fileData": { "fileUri": "https://www.youtube.com/watch?v=x" } }, { "text": "What is it?" },
    ] }] });
    let asked = refused("a video", async |served| {
        native(served, "/v1beta/models/gemini-2.5-flash:generateContent", &video.to_string()).await
    });
    assert!(asked.await >= 10);
}
