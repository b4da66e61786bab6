//! The whole stack as one layer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keypool::{Backoff, Clock, Demand, Key, KeyPool, KeyPoolLayer, Models, OpenAi, ReplayBody, Retry, ServedBy};

use crate::{
    support::{self, BoxError, ask, builder, narrow_pool, pool, request, text},
    upstream::Upstream,
};

fn steady() -> Retry {
    Retry::new().backoff(Backoff::fixed(Duration::from_secs(1)))
}

fn layer(pool: &KeyPool) -> KeyPoolLayer {
    KeyPoolLayer::new(pool).retry(steady())
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_is_sent_again_with_another_key_and_another_model() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&["fault"]));
    upstream.model("pro", "rate");
    let models = Models::new().for_all(["pro", "flash"]);
    let client = layer(&pool).fallback(models).layer(upstream.clone());
    let chunks = ["hel", "lo"].map(|chunk| Ok::<_, BoxError>(http_body::Frame::data(Bytes::from(chunk))));
    let body = StreamBody::new(tokio_stream(chunks));
    let response = client.oneshot(Request::post("/models/pro").body(body).unwrap()).await.unwrap();
    let served = response.extensions().get::<ServedBy>().unwrap().clone();
    assert_eq!((served.requested_model(), served.used_model()), (Some("pro"), Some("flash")));
    assert_eq!(text(response).await, "fine");
    assert_eq!(upstream.models(), ["pro", "pro", "flash", "flash"]);
    assert_eq!(upstream.seconds(), [0, 0, 0, 1]);
    assert!(upstream.asked().iter().all(|asked| asked.body == "hello"));
}

/// A stream of what is there already.
fn tokio_stream<T: Unpin>(
    items: impl IntoIterator<Item = T, IntoIter: Unpin>,
) -> impl futures_core::Stream<Item = T> + Unpin {
    struct Items<I>(I);
    impl<I: Iterator + Unpin> futures_core::Stream for Items<I> {
        type Item = I::Item;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<I::Item>> {
            std::task::Poll::Ready(self.0.next())
        }
    }
    Items(items.into_iter())
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_a_key_as_long_as_it_was_told() {
    let (pool, upstream) = (narrow_pool(), Upstream::new(&[]));
    let client = layer(&pool).wait(Duration::from_secs(10)).layer(upstream.clone());
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(client.clone().oneshot(ask()))).collect();
    for call in calls {
        assert_eq!(text(call.await.unwrap().unwrap()).await, "fine");
    }
    let held = pool.try_acquire("m").unwrap();
    assert!(client.clone().oneshot(ask()).await.unwrap_err().is_exhausted());
    assert!(upstream.asked().len() == 4);
    drop(held);
    let mut impatient = ask();
    impatient.extensions_mut().insert(Demand::new("m").wait(Duration::ZERO));
    client.oneshot(impatient).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_sent_once() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&["rate"]));
    let client = layer(&pool).replay_limit(2).layer(upstream.clone());
    let response = client.oneshot(ask()).await.unwrap();
    assert_eq!(text(response).await, "rate");
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_service_serves_many_requests_one_after_the_other() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&["rate", "fault", "fine", "fault"]));
    let mut client = layer(&pool).layer(upstream.clone());
    for _ in 0..3 {
        let response =
            ServiceExt::<Request<support::Body>>::ready(&mut client).await.unwrap().call(ask()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
    }
    assert_eq!(upstream.keys(), ["a", "b", "b", "b", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_at_once_over_ten_keys_of_ten_a_minute_all_succeed() {
    let ids: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let limits = tower_keypool::Limits::new().per_minute(10);
    let pool = builder(&ids).limits("m", limits).build().unwrap();
    let upstream = Upstream::new(&[]);
    let client = layer(&pool).layer(upstream.clone());
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(client.clone().oneshot(ask()))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    let error = client.oneshot(ask()).await.unwrap_err();
    assert!(error.is_exhausted(), "{error}");
    for id in ids {
        assert_eq!(upstream.keys().iter().filter(|key| **key == *id).count(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_moment_everything_is_free_again() {
    let (pool, upstream) = (narrow_pool(), Upstream::new(&["fault"; 400]));
    let client = layer(&pool).wait(Duration::from_secs(2)).layer(upstream);
    for millis in (0..6_000).step_by(300) {
        let (first, second) =
            (tokio::spawn(client.clone().oneshot(ask())), tokio::spawn(client.clone().oneshot(ask())));
        tokio::time::sleep(Duration::from_millis(millis)).await;
        for task in [first, second] {
            task.abort();
            drop(task.await);
        }
        assert_eq!(support::free_slots(&pool), 1, "dropped after {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_to_elsewhere_never_reach_the_client() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    let client = layer(&pool).allow_host("up.example").layer(upstream.clone());
    assert!(client.clone().oneshot(request("http://evil.example/models/m")).await.unwrap_err().is_refused());
    client.oneshot(request("http://up.example/models/m")).await.unwrap();
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_model_in_the_body_is_replaced_and_the_length_with_it() {
    let keys = ["a", "b"].map(|id| Key::new(format!("secret-{id}")).id(id));
    let clock = Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH);
    let pool = KeyPool::builder(OpenAi::new()).keys(keys).clock(clock).build().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let upstream = service_fn(move |request: Request<ReplayBody<support::Body>>| {
        let seen = Arc::clone(&seen);
        async move {
            let length = request.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
            let body = request.into_body().collect().await?.to_bytes();
            assert_eq!(body.len(), length);
            let text = String::from_utf8(body.to_vec())?;
            let out = text.contains("\"large\"");
            seen.lock().unwrap().push(text);
            let answer = if out { support::bad(404, NO_MODEL) } else { support::ok() };
            Ok::<_, BoxError>(answer)
        }
    });
    let models = Models::new().for_all(["large", "the-small-one"]);
    let client = layer(&pool).fallback(models).layer(upstream);
    let body = r#"{"messages":[{"content":"\"model\":\"large\""}],"model":"large","n":1}"#;
    let request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(support::Body::from(body))
        .unwrap();
    let response = client.oneshot(request).await.unwrap();
    let served = response.extensions().get::<ServedBy>().unwrap().clone();
    assert_eq!((served.requested_model(), served.used_model()), (Some("large"), Some("the-small-one")));
    assert_eq!(text(response).await, "fine");
    let last = asked.lock().unwrap().last().unwrap().clone();
    assert_eq!(last, body.replace("\"model\":\"large\",\"n\"", "\"model\":\"the-small-one\",\"n\""));
}

/// What `OpenAI` says of a model that it does not have.
const NO_MODEL: &str = r#"{"error":{"message":"The model `large` does not exist","type":"invalid_request_error","code":"model_not_found"}}"#;

/// Tokens are estimated for nearly every request, and whoever waits with an estimate books the room for it: those
/// behind stand in line, they do not fail.
#[tokio::test(start_paused = true)]
async fn behind_somebody_who_waits_others_wait_too() {
    for busy in [false, true] {
        let (pool, upstream) = (narrow_pool(), Upstream::new(&["rate briefly"]).taking(Duration::from_millis(300)));
        let client = layer(&pool).wait(Duration::from_secs(60)).layer(upstream.clone());
        let mut hasty = ask();
        hasty.extensions_mut().insert(Demand::new("m").wait(Duration::ZERO));
        let limited = client.clone().oneshot(hasty).await.unwrap();
        assert_eq!(limited.status(), 429, "it does not wait for the only key");
        // Its slot is held for as long as the answer is read.
        let held = busy.then_some(limited);
        let calls: Vec<_> = (0..4).map(|_| tokio::spawn(client.clone().oneshot(ask()))).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(held);
        for call in calls {
            assert_eq!(text(call.await.unwrap().unwrap()).await, "fine");
        }
        assert_eq!(upstream.asked().len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_wait_is_told_what_ends_it() {
    let (pool, upstream) = (narrow_pool(), Upstream::new(&["rate briefly"]));
    let client = layer(&pool).layer(upstream.clone());
    let held = client.clone().oneshot(ask()).await.unwrap();
    let error = client.clone().oneshot(ask()).await.unwrap_err();
    assert!(error.to_string().ends_with("; next in 2 s at the earliest"), "{error}");
    drop(held);
    let error = client.oneshot(ask()).await.unwrap_err();
    assert!(error.to_string().ends_with("; next in 2 s"), "{error}");
}

/// Counts how often it is cloned.
struct Counted(Upstream, std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(self.0.clone(), self.1.clone())
    }
}

impl<R> Service<R> for Counted
where
    Upstream: Service<R>,
{
    type Response = <Upstream as Service<R>>::Response;
    type Error = <Upstream as Service<R>>::Error;
    type Future = <Upstream as Service<R>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_is_cloned_for_another_attempt_only() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&["fine", "fine", "rate", "fine"]));
    let clones = std::sync::Arc::default();
    let mut client = layer(&pool).layer(Counted(upstream.clone(), std::sync::Arc::clone(&clones)));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let client = ServiceExt::<Request<support::Body>>::ready(&mut client).await.unwrap();
        assert_eq!(text(client.call(ask()).await.unwrap()).await, "fine");
        seen.push(clones.load(std::sync::atomic::Ordering::Relaxed));
    }
    // One stands by from the first request on.
    assert_eq!(seen, [1, 1, 2]);
    assert_eq!(upstream.asked().len(), 4);
}
