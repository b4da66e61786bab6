//! Pools, requests, and responses as Gemini sends them.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keypool::{
    Attempts, BoxError, Error, Gemini, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, ReplayBody, stack::KeyPoolBody,
};

pub(crate) type Body = Full<Bytes>;
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;
pub(crate) type Result = std::result::Result<Response<KeyPoolBody<UnsyncBoxBody<Bytes, BoxError>>>, Error>;

pub(crate) const MODEL: &str = "gemini-2.5-flash";

pub(crate) fn secret(number: usize) -> String {
    format!("AIza-not-a-real-key/{number:04}")
}

/// Builds a pool with the keys `k0`, `k1` and so on, each with its own project.
pub(crate) fn builder(keys: usize) -> KeyPoolBuilder {
    let key = |number| Key::new(secret(number)).named(&*format!("k{number}")).project(format!("p{number}"));
    KeyPool::builder(Gemini::new()).keys((0..keys).map(key))
}

pub(crate) fn pool(keys: usize) -> KeyPool {
    builder(keys).build().unwrap()
}

pub(crate) fn ask() -> Request<Body> {
    request(&format!("/v1beta/models/{MODEL}:generateContent"))
}

pub(crate) fn request(path: &str) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(Full::from(r#"{"contents":[]}"#)).unwrap()
}

/// Returns the number of the key that a request carries.
pub(crate) fn key_of<B>(request: &Request<B>) -> usize {
    let key = request.headers()["x-goog-api-key"].to_str().unwrap();
    key[key.len() - 4..].parse().unwrap()
}

pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

pub(crate) fn good() -> Answer {
    answer(
        200,
        r#"{"candidates":[{"content":{"parts":[{"text":"hello"}]}}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}}"#,
    )
}

pub(crate) fn error(status: u16, word: &str, message: &str, details: &str) -> Answer {
    let body =
        format!(r#"{{"error":{{"code":{status},"message":"{message}","status":"{word}","details":[{details}]}}}}"#);
    answer(status, body)
}

pub(crate) fn reason(reason: &str) -> String {
    format!(r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"googleapis.com"}}"#)
}

pub(crate) fn invalid() -> Answer {
    error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", &reason("API_KEY_INVALID"))
}

pub(crate) fn suspended(key: usize) -> Answer {
    let message = format!("Permission denied: Consumer 'api_key:{}' has been suspended.", secret(key));
    error(403, "PERMISSION_DENIED", &message, &reason("CONSUMER_SUSPENDED"))
}

/// A 403 response without a cause.
pub(crate) fn denied() -> Answer {
    error(403, "PERMISSION_DENIED", "The caller does not have permission", "")
}

pub(crate) fn rate_limited(seconds: u64) -> Answer {
    let delay = format!(r#"{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{seconds}s"}}"#);
    error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", &delay)
}

pub(crate) fn overloaded() -> Answer {
    error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.", "")
}

pub(crate) fn callers_fault() -> Answer {
    error(400, "INVALID_ARGUMENT", "Unable to submit request because it has no contents.", "")
}

/// A counter of the requests that reach the provider.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Adds one and returns the count before it.
    pub(crate) fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A provider that responds at once; the closure gets the number of the key.
pub(crate) fn provider(
    respond: impl Fn(usize) -> Answer + Clone,
) -> impl Service<Request<ReplayBody<Body>>, Response = Answer, Error = BoxError, Future: Send> + Clone {
    service_fn(move |request: Request<ReplayBody<Body>>| {
        let answer = respond(key_of(&request));
        async move { Ok(answer) }
    })
}

/// Sends one request through the whole stack.
pub(crate) async fn send(pool: &KeyPool, respond: impl Fn(usize) -> Answer + Clone) -> Result {
    send_request(pool, ask(), respond).await
}

pub(crate) async fn send_request(
    pool: &KeyPool,
    request: Request<Body>,
    respond: impl Fn(usize) -> Answer + Clone,
) -> Result {
    KeyPoolLayer::new(pool).layer(provider(respond)).oneshot(request).await
}

pub(crate) async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let body = Box::pin(response.into_body()).collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// Returns the ids of the keys that a request tried.
pub(crate) fn tried(attempts: &Attempts) -> Vec<String> {
    attempts.iter().map(|attempt| attempt.key().to_string()).collect()
}

pub(crate) fn attempts<B>(response: &Response<B>) -> &Attempts {
    response.extensions().get().expect("every response carries its attempts")
}

/// Describes each breaker that is not closed, such as `key k0 Disabled`.
pub(crate) fn breakers(pool: &KeyPool) -> Vec<String> {
    let snapshot = pool.snapshot(0, usize::MAX);
    let of_keys = snapshot.keys.iter().flat_map(|key| &key.breakers);
    let of_projects = snapshot.projects.iter().flat_map(|project| &project.breakers);
    let all = of_keys.chain(of_projects).chain(&snapshot.breakers);
    let mut all: Vec<_> = all.map(|breaker| format!("{} {:?}", breaker.target, breaker.state)).collect();
    all.sort();
    all
}

#[expect(clippy::disallowed_methods, reason = "the tests follow the runtime's clock as the pools do")]
pub(crate) fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
