//! Which paths make something that stays: each provider knows its own.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    Anthropic, Clock, Demand, Gemini, Key, KeyPool, KeyPoolLayer, OpenAi, Provider, ReplayBody, Retry,
};

use crate::support::{Body, refused};

/// How often such a request is sent where each answer is this one.
async fn sent(provider: impl Provider, request: Request<Body>, answer: Result<u16, io::ErrorKind>) -> usize {
    let keys = (0..3).map(|n| Key::new(format!("AIza-not-a-real-key-{n:03}")));
    let clock = Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH);
    let pool = KeyPool::builder(provider).keys(keys).clock(clock).build().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let client = KeyPoolLayer::new(&pool).retry(Retry::new().max_retries(2)).layer(service_fn(
        move |_: Request<ReplayBody<Body>>| {
            counted.fetch_add(1, Relaxed);
            async move {
                let status = answer.map_err(io::Error::from)?;
                let mut response = Response::new(Full::<bytes::Bytes>::from("{}"));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok::<_, io::Error>(response)
            }
        },
    ));
    let _ = client.oneshot(request).await;
    count.load(Relaxed)
}

fn post(path: &str) -> Request<Body> {
    Request::builder().method(Method::POST).uri(path).body(Full::from("{\"model\":\"m\"}")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_ends_it_and_a_refusal_does_not() {
    for path in
        ["/v1beta/models/veo:predictLongRunning", "/v1beta/models/m:batchGenerateContent", "/v1beta/cachedContents"]
    {
        for unknown in
            [Ok(500), Ok(502), Ok(503), Ok(504), Err(io::ErrorKind::ConnectionReset), Err(io::ErrorKind::TimedOut)]
        {
            assert_eq!(sent(Gemini::new(), post(path), unknown).await, 1, "{path} {unknown:?}");
        }
        // Full, and never sent.
        for known in [Ok(429), Err(refused().kind())] {
            assert!(sent(Gemini::new(), post(path), known).await > 1, "{path} {known:?}");
        }
    }
    // What is generated for this one caller may as well be generated again.
    assert_eq!(sent(Gemini::new(), post("/v1beta/models/m:generateContent"), Ok(500)).await, 3);
    assert_eq!(sent(OpenAi::new(), post("/v1/chat/completions"), Ok(500)).await, 3);
}

#[tokio::test(start_paused = true)]
async fn each_provider_knows_its_paths_and_a_caller_may_say_so() {
    for path in ["/v1/batches", "/v1/fine_tuning/jobs", "/v1/videos", "/v1/files", "/v1/vector_stores"] {
        assert_eq!(sent(OpenAi::new(), post(path), Ok(500)).await, 1, "{path}");
    }
    assert_eq!(sent(OpenAi::new(), post("/v1/batches/batch_1/cancel"), Ok(500)).await, 3);
    assert_eq!(sent(Anthropic::new(), post("/v1/messages/batches"), Ok(500)).await, 1);
    assert_eq!(sent(Anthropic::new(), post("/v1/messages"), Ok(500)).await, 3);
    let mut own = post("/v1/responses");
    own.extensions_mut().insert(Demand::new("m").once());
    assert_eq!(sent(OpenAi::new(), own, Ok(500)).await, 1);
}
