use std::{io, time::Duration};

use http_body_util::{BodyExt, Empty, Full};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::{Gemini, Key};

fn pool() -> KeyPool {
    KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-001")).build().unwrap()
}

async fn response_to(error: impl Into<BoxError>) -> Response<Bytes> {
    let mut error = Some(error.into());
    let failing = service_fn(move |_: Request<()>| {
        std::future::ready(Err::<Response<Full<Bytes>>, _>(error.take().expect("one request")))
    });
    let response = ErrorIntoResponseLayer::new(&pool()).layer(failing).oneshot(Request::new(())).await.unwrap();
    let (head, body) = response.into_parts();
    let length = http_body::Body::size_hint(&body).exact();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(length, Some(body.len() as u64));
    Response::from_parts(head, body)
}

fn unavailable(reasons: &[(UnavailableReason, usize)], retry_after: Option<Duration>) -> Error {
    let keys = reasons.iter().map(|(_, keys)| keys).sum();
    Error::unavailable(Unavailable { model: None, keys, reasons: reasons.to_vec(), retry_after })
}

#[tokio::test]
async fn keys_at_their_limits_are_429_and_other_reasons_503() {
    use UnavailableReason::{Busy, Cooling, DailyLimit, Disabled, Limit, Tried};
    for (reasons, status) in [
        (&[(Limit, 2)][..], 429),
        (&[(DailyLimit, 1), (Disabled, 3), (Tried, 1)], 429),
        (&[(Limit, 2), (Cooling, 1)], 503),
        (&[(Busy, 1)], 503),
        (&[(Disabled, 1)], 503),
        (&[], 503),
    ] {
        let response = response_to(unavailable(reasons, None)).await;
        assert_eq!(response.status(), status, "{reasons:?}");
        assert!(!response.headers().contains_key("retry-after"));
    }
    let response = response_to(unavailable(&[(Limit, 1)], Some(Duration::from_millis(2_100)))).await;
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["error"]["code"], 429);
    assert!(body["error"]["message"].as_str().unwrap().starts_with("no key is available"), "{body}");
}

#[tokio::test]
async fn status_depends_on_the_cause_of_the_error() {
    let io = |kind: io::ErrorKind| Box::new(io::Error::from(kind)) as BoxError;
    let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
    let body_failed = Error::request("the body ended early");
    for (error, status) in [
        (Box::new(Error::transport(io(io::ErrorKind::ConnectionRefused))) as BoxError, 502),
        (Error::transport(io(io::ErrorKind::TimedOut)).into(), 504),
        (Error::transport(Box::new(elapsed)).into(), 504),
        (Error::transport(body_failed.into()).into(), 400),
        (Error::request("no host").into(), 400),
        (Error::shut_down().into(), 503),
        (Error::config("bad").into(), 500),
        (io(io::ErrorKind::ConnectionRefused), 503),
        (tower::load_shed::error::Overloaded::new().into(), 503),
        (io(io::ErrorKind::TimedOut), 504),
        (Box::new(Wrapped(unavailable(&[(UnavailableReason::Limit, 1)], None))), 429),
    ] {
        assert_eq!(response_to(error).await.status(), status);
    }
}

#[tokio::test]
async fn body_shows_the_cause_of_a_failed_connection_but_no_error_of_another_crate() {
    let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
    let response = response_to(Error::transport(Box::new(refused))).await;
    assert!(response.body().ends_with(b"}") && find(response.body(), "connection refused"), "{:?}", response.body());
    let foreign = io::Error::other("GET https://host/?key=secret failed");
    assert!(!find(response_to(foreign).await.body(), "secret"));
}

fn find(text: &[u8], word: &str) -> bool {
    memchr::memmem::find(text, word.as_bytes()).is_some()
}

#[tokio::test]
async fn good_responses_pass_and_a_service_that_fails_to_become_ready_gives_a_response() {
    let good = service_fn(|_: Request<()>| std::future::ready(Ok::<_, BoxError>(Response::new(Full::from("good")))));
    let response = ErrorIntoResponseLayer::new(&pool()).layer(good).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "good");

    let mut service = ErrorIntoResponseLayer::new(&pool()).layer(NeverReady);
    service.ready().await.unwrap();
    let response = service.call(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 503);
}

#[derive(Debug)]
struct Wrapped(Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a worker failed")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

struct NeverReady;

impl Service<Request<()>> for NeverReady {
    type Response = Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("closed".into()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        unreachable!("it is never ready")
    }
}
