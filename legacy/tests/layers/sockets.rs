//! Over real sockets on loopback, with hyper-util's client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Backoff, BoxError, CooldownLayer, Error, ExhaustedAsResponseLayer, Gemini, Key, KeyPool, KeyPoolLayer,
    KeyRotationLayer, Limits, ReplayBody, Retry, RetryPolicy, ServedBy, Verdict, VerdictKind,
};

use crate::support::{Body, Plain, key_of, request, text};

fn pool(base: &str) -> KeyPool {
    let keys = ["one", "two"].map(|id| Key::new(format!("secret-{id}")).id(id));
    KeyPool::builder(Plain::at(base)).keys(keys).build().unwrap()
}

fn client<B: http_body::Body<Data: Send> + Send>() -> Client<HttpConnector, B> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn quick() -> Retry {
    Retry::new().max_retries(1).backoff(Backoff::fixed(Duration::from_millis(1)))
}

/// An address where nothing listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Refuses key `one` with 429, and tells anyone else what it was asked.
async fn somewhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                let (status, said) = match key_of(&request).as_str() {
                    "one" => (429, "rate".to_owned()),
                    _ => (200, format!("{} {}", request.headers()["host"].to_str().unwrap(), request.uri())),
                };
                Response::builder().status(status).body(Full::<Bytes>::from(said))
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async { drop(connection.await) });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_refused_connection_is_followed_by_the_next_key_also_with_a_time_out_between() {
    let pool = pool(&nowhere().await);
    let plain = ServiceBuilder::new()
        .retry(RetryPolicy::new(&pool).rule(quick()))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(client::<Body>());
    let error: Error = plain.oneshot(request("/models/m")).await.unwrap_err();
    assert_eq!(error.verdict().unwrap().code_of(), "connect");
    assert_eq!(error.to_string(), "no answer over key two: transient fault (connect), after 2 attempts");
    assert_eq!(error.served_by().unwrap().earlier()[0].key.to_string(), "one");

    let timed = ServiceBuilder::new()
        .retry(RetryPolicy::new(&pool).rule(quick()))
        .timeout(Duration::from_secs(20))
        .layer(KeyRotationLayer::new(&pool))
        .timeout(Duration::from_secs(20))
        .layer(CooldownLayer::new(&pool))
        .service(client::<Body>());
    let error: BoxError = timed.oneshot(request("/models/m")).await.unwrap_err();
    let ours = Error::find(&*error).unwrap();
    assert_eq!((ours.served_by().unwrap().attempts(), ours.verdict().unwrap().code_of()), (2, "connect"));
    assert!(ours.served_by().unwrap().key().is_some());
}

#[tokio::test]
async fn the_whole_stack_speaks_to_a_server_as_its_own_host() {
    let base = somewhere().await;
    let pool = pool(&base);
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client::<ReplayBody<Body>>());
    let mut incoming = request("/models/m?alt=sse");
    incoming.headers_mut().insert("host", http::HeaderValue::from_static("localhost:5000"));
    *incoming.version_mut() = http::Version::HTTP_2;
    let response = stack.oneshot(incoming).await.unwrap();
    assert_eq!(response.extensions().get::<ServedBy>().unwrap().attempts(), 2);
    let host = base.trim_start_matches("http://");
    assert_eq!(text(response).await, format!("{host} /models/m?alt=sse"));
}

/// The app stands behind a socket of its own, as a client of it sees it.
#[tokio::test]
async fn an_axum_app_answers_through_it() {
    let base = somewhere().await;
    let pool = pool(&base);
    let stack = KeyPoolLayer::new(&pool).exhausted_as_response().layer(client::<ReplayBody<axum::body::Body>>());
    let app: axum::Router = axum::Router::new().fallback_service(
        ServiceBuilder::new().map_response(|answer: Response<_>| answer.map(axum::body::Body::new)).service(stack),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let caller = client::<Full<Bytes>>();
    let ask = |said: &'static str| {
        let request = Request::post(format!("http://{address}/models/m?alt=sse")).header("x-key", "of-the-caller");
        caller.request(request.body(Full::from(said)).unwrap())
    };
    let answer = ask("hello").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, format!("{} /models/m?alt=sse", base.trim_start_matches("http://")));
    // No key is left: what axum's `Infallible` cannot say comes as an answer.
    for id in ["one", "two"] {
        pool.disable(&id.into(), "BY_HAND").unwrap();
    }
    let refused = ask("again").await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(text(refused).await.contains("disabled (by hand)"));
    server.abort();
}

/// Over HTTP/2 a server is given its own name as scheme and authority of every request.
#[tokio::test]
async fn an_axum_app_answers_http2_as_it_does_http1() {
    let base = somewhere().await;
    let pool = pool(&base);
    let whole = ServiceBuilder::new()
        .layer(KeyPoolLayer::new(&pool).exhausted_as_response())
        .service(client::<ReplayBody<axum::body::Body>>());
    let apart = ServiceBuilder::new()
        .layer(ExhaustedAsResponseLayer::new())
        .layer(KeyPoolLayer::new(&pool))
        .service(client::<ReplayBody<axum::body::Body>>());
    let told = KeyPoolLayer::new(&pool).as_server().layer(client::<ReplayBody<axum::body::Body>>());
    let told = service_fn(move |request| {
        let answer = told.clone().oneshot(request);
        async { Ok::<_, std::convert::Infallible>(answer.await.expect("an answer").map(axum::body::Body::new)) }
    });
    let heard = format!("{} /models/m?alt=sse", base.trim_start_matches("http://"));
    for app in [whole, apart]
        .map(|stack| axum::Router::new().fallback_service(stack))
        .into_iter()
        .chain([axum::Router::new().fallback_service(told)])
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        for http2 in [false, true] {
            let caller = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
            let request =
                Request::post(format!("http://{address}/models/m?alt=sse")).body(Body::from("hello")).unwrap();
            let answer = caller.request(request).await.unwrap();
            assert_eq!((answer.status().as_u16(), text(answer).await), (200, heard.clone()), "HTTP/2: {http2}");
        }
        server.abort();
    }
}

#[tokio::test]
async fn a_plain_function_is_a_client_too() {
    let pool = pool("http://api.example");
    let stack = KeyPoolLayer::new(&pool).layer(service_fn(async |request: Request<ReplayBody<Body>>| {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(key_of(&request))))
    }));
    let response = stack.oneshot(request("/models/m")).await.unwrap();
    assert_eq!(text(response).await, "one");
}

/// A body of ten bytes that does not say how long it is.
fn ten_bytes() -> UnsyncBoxBody<Bytes, BoxError> {
    let frames = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"0123456789")))]);
    UnsyncBoxBody::new(StreamBody::new(frames))
}

/// It is the caller's mistake: no key pays for it, and nobody waits for bytes that never come.
#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_is_the_callers_fault() {
    let base = swallowing().await;
    for (http2, length) in [(false, "50"), (false, "5"), (true, "50"), (true, "5")] {
        let pool = pool(&base);
        let http = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(http);
        let request = Request::post("/models/m").header("content-length", length).body(ten_bytes()).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), stack.oneshot(request));
        let error = answer.await.expect("it does not hang").unwrap_err();
        let what = format!("HTTP/2: {http2}, {length}: {error}");
        assert_eq!(error.verdict().map(Verdict::kind), Some(VerdictKind::CallerFault), "{what}");
        assert_eq!((error.status().as_u16(), error.served_by().unwrap().attempts()), (400, 1), "{what}");
        assert!(error.verdict().unwrap().advice_of().contains("content-length"), "{what}");
        let snapshot = pool.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.available_keys), (0, 2), "{what}");
    }
    // Known before anything is sent.
    for length in ["50", "5"] {
        let pool = pool(&base);
        let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client::<ReplayBody<Body>>());
        let request = Request::post("/models/m").header("content-length", length).body(Body::from("0123456789"));
        let answer = tokio::time::timeout(Duration::from_secs(20), stack.oneshot(request.unwrap()));
        let error = answer.await.expect("it does not hang").unwrap_err();
        assert_eq!((error.status().as_u16(), error.served_by().unwrap().attempts()), (400, 1), "{error}");
        assert_eq!(error.verdict().unwrap().code_of(), "unsent body");
    }
    // As long as it says.
    let stack = KeyPoolLayer::new(pool(&base)).retry(quick()).layer(client());
    let request = Request::post("/models/m").header("content-length", "10").body(ten_bytes()).unwrap();
    assert_eq!(text(stack.oneshot(request).await.unwrap()).await, "10");
}

/// Callers who leave in the middle of a long prompt use up nothing: the provider never hears of it.
#[tokio::test]
async fn a_body_that_fails_while_it_is_looked_through_goes_nowhere_and_counts_for_nothing() {
    let heads = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::clone(&heads);
    let app = axum::Router::new().fallback(async move |request: axum::extract::Request| {
        seen.fetch_add(1, Ordering::SeqCst);
        axum::body::to_bytes(request.into_body(), usize::MAX).await.map_or(0, |body| body.len()).to_string()
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let limits = Limits::new().per_day(1).tokens_per_minute(10_000_000);
    let pool = KeyPool::builder(Gemini::at(&base).unwrap()).key(Key::new("AIza-not-a-key-0001")).limits("*", limits);
    let pool = pool.build().unwrap();
    let stack = KeyPoolLayer::new(&pool).retry(quick()).layer(client());
    let ask = |frames: Vec<Result<Frame<Bytes>, BoxError>>| {
        Request::post("/v1beta/models/gemini-2.5-flash:generateContent")
            .header("content-type", "application/json")
            .header("content-length", "300000")
            .body(UnsyncBoxBody::<Bytes, BoxError>::new(StreamBody::new(futures_util::stream::iter(frames))))
            .unwrap()
    };
    let piece = || Ok(Frame::data(Bytes::from(vec![b' '; 100_000])));
    for _ in 0..3 {
        let gone = Err(BoxError::from("the caller left"));
        let error = stack.clone().oneshot(ask(vec![piece(), piece(), gone])).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.verdict().unwrap().code_of()), (400, "unsent body"), "{error}");
    }
    // The day's one request is still there.
    let whole = stack.oneshot(ask(vec![piece(), piece(), piece()])).await.unwrap();
    assert_eq!(text(whole).await, "300000");
    assert_eq!(heads.load(Ordering::SeqCst), 1, "no other was ever sent");
}

/// hyper itself says so of a body that nobody replays.
#[tokio::test]
async fn a_body_that_ends_early_under_the_layers_alone_is_the_callers_fault_too() {
    let pool = pool(&swallowing().await);
    let stack = ServiceBuilder::new()
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(client::<UnsyncBoxBody<Bytes, BoxError>>());
    let request = Request::post("/models/m").header("content-length", "50").body(ten_bytes()).unwrap();
    let error: Error = stack.clone().oneshot(request).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.verdict().unwrap().code_of()), (400, "body"), "{error}");

    let frames = futures_util::stream::iter([Ok(Frame::data(Bytes::from("x"))), Err(BoxError::from("the disk died"))]);
    let request = Request::post("/models/m").body(UnsyncBoxBody::new(StreamBody::new(frames))).unwrap();
    let error = stack.oneshot(request).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.verdict().unwrap().code_of()), (400, "body"), "{error}");
}

/// Reads what it is sent, over HTTP/1 or HTTP/2, and says how many bytes that was.
async fn swallowing() -> String {
    let app = axum::Router::new().fallback(async |body: Bytes| body.len().to_string());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_client_without_tls_for_an_address_with_it_is_told_so_at_once() {
    let pool = pool("https://127.0.0.1:1");
    let client = KeyPoolLayer::new(&pool).layer(client::<ReplayBody<Body>>());
    let error = client.oneshot(request("/models/m")).await.map(drop).unwrap_err();
    let verdict = error.verdict().unwrap();
    assert_eq!((verdict.kind(), verdict.code_of()), (VerdictKind::Misconfigured, "scheme"), "{error}");
    // The error itself says what to do.
    assert!(error.to_string().contains("build it with TLS"), "{error}");
    assert_eq!(error.served_by().unwrap().attempts(), 1);
    assert_eq!(pool.snapshot().resting_keys, 0);
}
