//! Over real sockets on loopback, with reqwest at the bottom.

use std::{
    error::Error as _,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_keypool::{
    ApiKeyHeader, Backoff, CooldownLayer, Error, Key, KeyPool, KeyPoolLayer, KeyRotationLayer, ReplayBody,
    ReqwestService, Retry, RetryPolicy, ServedBy, VerdictKind,
};

use crate::support::{Body, Plain, key_of, request, text};

fn pool(base: &str) -> KeyPool {
    let keys = ["one", "two"].map(|id| Key::new(format!("secret-{id}")).id(id));
    KeyPool::builder(Plain::at(base)).keys(keys).build().unwrap()
}

/// No proxy of whoever runs the tests.
fn client() -> ReqwestService {
    ReqwestService::new(reqwest::Client::builder().no_proxy()).unwrap()
}

fn quick() -> Retry {
    Retry::new().max_retries(1).backoff(Backoff::fixed(Duration::from_millis(1)))
}

/// A server that answers by this function; its base, and how often it was asked.
async fn server<F>(answer: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(&str, &http::HeaderMap, Bytes) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answer, counter) = (answer.clone(), Arc::clone(&counter));
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let (answer, counter) = (answer.clone(), Arc::clone(&counter));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    counter.fetch_add(1, Ordering::Relaxed);
                    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
                    Ok::<_, hyper::Error>(answer(target, &head.headers, body))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async { drop(connection.await) });
        }
    });
    (format!("http://{address}"), asked)
}

fn said(status: u16, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Refuses key `one` with 429; tells anyone else what it sent.
async fn picky() -> String {
    let answer = |target: &str, headers: &http::HeaderMap, body: Bytes| match headers["x-key"].to_str().unwrap() {
        "secret-one" => said(429, "rate"),
        _ => said(200, format!("{target} {}", String::from_utf8_lossy(&body))),
    };
    server(answer).await.0
}

#[tokio::test]
async fn the_whole_stack_sends_again_with_the_next_key() {
    let pool = pool(&picky().await);
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client());
    let response = stack.oneshot(request("/models/m?alt=sse")).await.unwrap();
    assert_eq!(response.extensions().get::<ServedBy>().unwrap().attempts(), 2);
    assert_eq!(text(response).await, "/models/m?alt=sse hello");
    assert_eq!(pool.snapshot().in_flight, 0);
}

#[tokio::test]
async fn piece_by_piece_with_a_cloneable_body_and_a_time_out_between() {
    let pool = pool(&picky().await);
    let stack = ServiceBuilder::new()
        .retry(RetryPolicy::new(&pool).rule(quick()))
        .timeout(Duration::from_secs(20))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(client());
    let response = stack.oneshot(request("/models/m")).await.unwrap();
    assert_eq!(text(response).await, "/models/m hello");
}

/// reqwest wants bodies that are `Sync`; few are, and behind the replay all are.
#[tokio::test]
async fn bodies_that_are_not_sync_go_through_the_replay() {
    fn takes<B: http_body::Body>(service: impl Service<Request<B>>) {
        drop(service);
    }
    let pool = pool(&picky().await);
    takes::<Incoming>(KeyPoolLayer::new(&pool).layer(client()));
    takes::<ReplayBody<Body>>(client());
    let stack = KeyPoolLayer::new(&pool).retry(quick()).exhausted_as_response().layer(client());
    let app: axum::Router = axum::Router::new().fallback_service(
        ServiceBuilder::new().map_response(|answer: Response<_>| answer.map(axum::body::Body::new)).service(stack),
    );
    let chunks = futures_util::stream::iter(["hel", "lo"].map(Ok::<_, std::convert::Infallible>));
    let streamed = Request::post("/models/m").body(axum::body::Body::from_stream(chunks)).unwrap();
    assert_eq!(text(app.oneshot(streamed).await.unwrap()).await, "/models/m hello");
}

#[tokio::test]
async fn a_redirect_is_handed_up_and_nobody_else_gets_the_key() {
    let (thief, stolen) = server(|_, _, _| said(200, "thanks")).await;
    let (base, asked) = server(move |_, _, _| {
        let mut response = said(307, "");
        response.headers_mut().insert("location", format!("{thief}/models/m").parse().unwrap());
        response
    })
    .await;
    // Whatever its builder was told before.
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::limited(5));
    let client = ReqwestService::new(builder).unwrap();
    let stack = KeyPoolLayer::new(pool(&base)).retry(quick()).layer(client);
    let response = stack.oneshot(request("/models/m")).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!((asked.load(Ordering::Relaxed), stolen.load(Ordering::Relaxed)), (1, 0));
}

/// An error and everything behind it, as a log would show it.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error} {error:?} {:?}", error.served_by());
    let mut next = error.source();
    while let Some(source) = next {
        write!(shown, " / {source} {source:?}").expect("a String takes everything");
        next = source.source();
    }
    shown
}

#[tokio::test]
async fn errors_name_the_key_and_show_no_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let provider = ApiKeyHeader::query("key", &base).unwrap();
    let keys = ["one", "two"].map(|id| Key::new(format!("secret-{id}-0123456789")).id(id));
    let pool = KeyPool::builder(provider).keys(keys).build().unwrap();
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client());
    let error = stack.oneshot(request("/models/m")).await.unwrap_err();
    assert_eq!(error.verdict().unwrap().code_of(), "connect");
    let served = error.served_by().unwrap();
    let mut tried = [served.earlier()[0].key.to_string(), served.key().unwrap().to_string()];
    tried.sort();
    assert_eq!(tried, ["one", "two"]);
    assert!(error.to_string().starts_with(&format!("no answer over key {}: ", served.key().unwrap())));
    let shown = shown(&error);
    assert!(!shown.contains("secret-") && !shown.contains("/models/m"), "{shown}");
    assert_eq!(pool.snapshot().in_flight, 0);
}

#[tokio::test]
async fn its_own_time_out_is_no_fault_of_the_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(&format!("http://{}", listener.local_addr().unwrap()));
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(30));
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(ReqwestService::new(builder).unwrap());
    let error = stack.oneshot(request("/models/m")).await.unwrap_err();
    assert_eq!((error.verdict().unwrap().code_of(), error.status().as_u16()), ("timeout", 504));
    assert_eq!(error.served_by().unwrap().attempts(), 2);
    assert_eq!(pool.snapshot().available_keys, 2);
    silent.abort();
}

#[tokio::test]
async fn an_answer_that_breaks_off_fails_in_its_body_without_a_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    });
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client());
    let response = stack.oneshot(request("/models/m")).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("secret-") && !shown.contains("/models/m"), "{shown}");
    assert_eq!(pool.snapshot().in_flight, 0);
    assert_eq!(pool.snapshot().verdicts.get(&VerdictKind::Broken), Some(&1));
}

#[tokio::test]
async fn a_request_that_reqwest_cannot_take_is_an_error() {
    let keyed = request("/models/m");
    let mut service = client();
    // No scheme, no authority: nowhere to go.
    let error = service.call(keyed).await.unwrap_err();
    assert!(error.url().is_none());
}

#[tokio::test]
async fn a_body_of_8_mib_is_sent_whole_with_each_key() {
    let answer = |_: &str, headers: &http::HeaderMap, body: Bytes| match headers["x-key"].to_str().unwrap() {
        "secret-one" => said(429, "rate"),
        _ => said(200, body.len().to_string()),
    };
    let pool = pool(&server(answer).await.0);
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client());
    let piece = Bytes::from(vec![7; 64 << 10]);
    let chunks = (0..128).map(move |_| Ok::<_, std::convert::Infallible>(http_body::Frame::data(piece.clone())));
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
    let response = stack.oneshot(Request::post("/models/m").body(body).unwrap()).await.unwrap();
    assert_eq!(text(response).await, (8 << 20).to_string());
}

#[tokio::test]
async fn exactly_one_key_leaves() {
    let answer = |_: &str, headers: &http::HeaderMap, _: Bytes| {
        assert!(!headers.contains_key("authorization"));
        let mut seen = Request::new(());
        *seen.headers_mut() = headers.clone();
        said(200, key_of(&seen))
    };
    let pool = pool(&server(answer).await.0);
    let mut asked = request("/models/m");
    asked.headers_mut().insert("authorization", "Bearer mine".parse().unwrap());
    asked.headers_mut().insert("x-key", "mine".parse().unwrap());
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client());
    assert_eq!(text(stack.oneshot(asked).await.unwrap()).await, "one");
}
