//! Requests whose model nobody knows are counted, and where their body names it, it is found.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    ApiKeyHeader, BoxError, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, Limits, OpenAi, Provider, ReplayBody, ServedBy,
};

use crate::support::Body;

fn builder(provider: impl Provider + 'static) -> KeyPoolBuilder {
    KeyPool::builder(provider).key(Key::new("sk-not-a-real-key").id("a"))
}

/// How many of ten are sent, and the model that they were counted for.
async fn of_ten(pool: &KeyPool, request: impl Fn() -> Request<Body>) -> (usize, Option<String>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let client = KeyPoolLayer::new(pool).layer(service_fn(move |request: Request<ReplayBody<Body>>| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            request.into_body().collect().await?;
            Ok::<_, BoxError>(Response::new(Full::new(Bytes::from("{}"))))
        }
    }));
    let mut model = None;
    for _ in 0..10 {
        if let Ok(answer) = client.clone().oneshot(request()).await {
            model = answer.extensions().get::<ServedBy>().and_then(|by| by.used_model().map(str::to_owned));
        }
    }
    (sent.load(Ordering::Relaxed), model)
}

fn post(path: &str, kind: (&str, &str), body: impl Into<Bytes>) -> Request<Body> {
    Request::post(path).header(kind.0, kind.1).body(Full::from(body.into())).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn what_names_no_model_counts_and_what_costs_none_does_not() {
    let two = || Limits::new().per_minute(2);
    let headers = ApiKeyHeader::header("x-k", "https://a.example").unwrap();
    let pool = builder(headers).limits("*", two()).build().unwrap();
    assert_eq!(of_ten(&pool, || post("/do", JSON, "{}")).await, (2, None));
    let pool = builder(OpenAi::new()).limits("*", two()).build().unwrap();
    assert_eq!(of_ten(&pool, || post("/v1/chat/completions", JSON, "no json")).await.0, 2);
    let list = || Request::get("/v1/models").body(Full::default()).unwrap();
    assert_eq!(of_ten(&pool, list).await.0, 10, "a list is free");
}
