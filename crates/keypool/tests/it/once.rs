//! What makes something is not asked for again where it may have been made: a second one would be paid for, too, and lie with a
//! key that nobody asks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gemini_sim::{Canned, Fault, Forgetful, GeminiSim, Project, Refusal, Rule};
use http::{Request, StatusCode};
use keypool::{
    database::Records,
    gateway::{Gateway, Setup, dialect::Dialect, guard::Guard, route::Dialects, token::PLACEHOLDER, token::Token},
    stack,
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tower_keypool::{Anthropic, Backoff, Base, Clock, Gemini, Key, KeyPool, Models, OpenAi, Retry};

use crate::{
    serving::{ONE, TWO},
    support::{Answer, Served, ask},
};

/// A gateway before a provider that speaks this dialect, which is the simulator: two owners.
async fn served(dialect: Dialect, url: &str) -> Served {
    let keys = || [Key::new(ONE).id("one").owner("p1"), Key::new(TWO).id("two").owner("p2")];
    let builder = match dialect {
        Dialect::Gemini => KeyPool::builder(Gemini::at(url).unwrap()),
        Dialect::OpenAi => KeyPool::builder(OpenAi::at(url).unwrap()),
        Dialect::Anthropic => KeyPool::builder(Anthropic::at(url).unwrap()),
    };
    let pool = builder.keys(keys()).wait(Duration::ZERO).build().unwrap();
    let retry = Retry::new().backoff(Backoff::fixed(Duration::from_millis(1)));
    let stack = stack::stack(&pool, Models::new(), retry);
    let dialects = Dialects { provider: dialect, ..Dialects::default() };
    let setup = Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), dialects);
    let gateway = Gateway::new(setup, Base::parse(url).unwrap(), Clock::system());
    Served::serving(gateway.keeping(Records::default(), pool)).await
}

async fn sim() -> GeminiSim {
    GeminiSim::builder().project(Project::new("1").key(ONE)).project(Project::new("2").key(TWO)).start().await.unwrap()
}

async fn post(served: &Served, dialect: Dialect, path: &str, body: &Value) -> Answer {
    let request = Request::post(served.url(path)).header("content-type", "application/json");
    let request = match dialect {
        Dialect::Gemini => request.header("x-goog-api-key", PLACEHOLDER),
        Dialect::OpenAi => request.header("authorization", format!("Bearer {PLACEHOLDER}")),
        Dialect::Anthropic => request.header("x-api-key", PLACEHOLDER).header("anthropic-version", "2023-06-01"),
    };
    ask(request, body.to_string()).await
}

/// What leaves open whether it was done: these answers, and none.
const UNCLEAR: [Option<u16>; 5] = [Some(500), Some(502), Some(503), Some(504), None];

/// A provider that takes requests and closes their connections; how often it was asked.
async fn closing() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut read = [0; 4096];
                if stream.read(&mut read).await.is_ok_and(|length| length > 0) {
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (url, counted)
}

/// How often the provider was asked, and what came of it.
async fn asked(status: Option<u16>, dialect: Dialect, (path, body): (&str, &Value)) -> (u64, StatusCode) {
    let Some(status) = status else {
        let (url, asked) = closing().await;
        let status = post(&served(dialect, &url).await, dialect, path, body).await.status;
        return (asked.load(Ordering::Relaxed), status);
    };
    let sim = sim().await;
    sim.script(Rule::new(Fault::Canned(Canned::new(status).json(&json!({ "error": { "message": "failed" } })))));
    let status = post(&served(dialect, &sim.url()).await, dialect, path, body).await.status;
    (sim.report().total.arrivals, status)
}

fn contents() -> Value {
    json!({ "contents": [{ "parts": [{ "text": "x" }] }] })
}

#[tokio::test]
async fn what_may_have_been_made_is_not_asked_for_again() {
    let input = |more: Value| {
        let mut body = json!({ "model": "m", "input": "x" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (dialect, path, body) in [
        (Dialect::Gemini, "/v1beta/models/veo:predictLongRunning", json!({ "instances": [{ "prompt": "x" }] })),
        (Dialect::Gemini, "/v1beta/models/m:batchGenerateContent", json!({ "batch": {} })),
        (Dialect::Gemini, "/v1beta/cachedContents", json!({ "model": "models/m" })),
        (Dialect::Gemini, "/v1beta/interactions", input(json!({ "background": true }))),
        (Dialect::Gemini, "/v1beta/fileSearchStores", json!({})),
        (Dialect::Gemini, "/v1beta/openai/batches", json!({ "endpoint": "/v1/embeddings" })),
        (Dialect::OpenAi, "/v1/batches", json!({ "endpoint": "/v1/embeddings" })),
        (Dialect::OpenAi, "/v1/fine_tuning/jobs", json!({ "model": "m" })),
        (Dialect::OpenAi, "/v1/videos", json!({ "model": "m", "prompt": "x" })),
        (Dialect::OpenAi, "/v1/responses", input(json!({ "background": true }))),
        (Dialect::Anthropic, "/v1/messages/batches", json!({ "requests": [] })),
    ] {
        for fault in UNCLEAR {
            let (asked, status) = asked(fault, dialect, (path, &body)).await;
            assert_eq!(asked, 1, "{path} {fault:?}: {status}");
            assert!(status.is_server_error(), "{path} {fault:?}: {status}");
        }
    }
}

#[tokio::test]
async fn what_makes_nothing_is_asked_for_again() {
    for (dialect, path, body) in [
        (Dialect::Gemini, "/v1beta/models/m:generateContent", contents()),
        (Dialect::Gemini, "/v1beta/interactions", json!({ "model": "m", "input": "x" })),
        (Dialect::OpenAi, "/v1/responses", json!({ "model": "m", "input": "x" })),
        (Dialect::Anthropic, "/v1/messages", json!({ "model": "m", "messages": [] })),
    ] {
        for fault in UNCLEAR {
            let (asked, status) = asked(fault, dialect, (path, &body)).await;
            assert!(asked > 1, "{path} {fault:?}: {status}");
        }
    }
}

#[tokio::test]
async fn what_was_refused_is_made_with_another_key() {
    for refusal in [Refusal::ApiKeyInvalid, Refusal::ConsumerSuspended] {
        let sim = sim().await;
        let served = served(Dialect::Gemini, &sim.url()).await;
        sim.script(vec![
            Rule::new(Fault::Refuse(refusal.clone())).times(1),
            Rule::new(Fault::Canned(Canned::new(200).json(&json!({ "name": "batches/b1" })))),
        ]);
        let made =
            post(&served, Dialect::Gemini, "/v1beta/models/m:batchGenerateContent", &json!({ "batch": {} })).await;
        assert_eq!((made.status, made.header("x-keypool-attempts")), (StatusCode::OK, "2"), "{refusal:?}: {made:?}");
    }
}

#[tokio::test]
async fn what_makes_something_goes_over_no_connection_that_lay_idle() {
    let provider = Forgetful::start(1).await.unwrap();
    let served = served(Dialect::Gemini, provider.url()).await;
    let call = async |path: &str| post(&served, Dialect::Gemini, path, &contents()).await;
    assert_eq!(call("/v1beta/models/m:generateContent").await.status, StatusCode::OK);
    provider.forget();
    let made = call("/v1beta/models/m:batchGenerateContent").await;
    assert_eq!((made.status, made.header("x-keypool-attempts")), (StatusCode::OK, "1"), "{made:?}");
}
