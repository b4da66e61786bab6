//! What passes through byte for byte, both ways: any method, version, query and body, in whatever pieces, with trailers.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use keypool::gateway::token::PLACEHOLDER;
use tokio::net::TcpListener;
use tower_keypool::Key;

use crate::{serving::ONE, support::Served};

type Body = BoxBody<Bytes, Infallible>;

fn pieces(bytes: &Bytes, step: usize, trailers: Option<HeaderMap>) -> Body {
    let mut frames: Vec<_> =
        (0..bytes.len()).step_by(step).map(|at| bytes.slice(at..bytes.len().min(at + step))).collect();
    let data = std::mem::take(&mut frames).into_iter().map(Frame::data);
    let frames: Vec<Result<_, Infallible>> = data.chain(trailers.map(Frame::trailers)).map(Ok).collect();
    StreamBody::new(stream::iter(frames)).boxed()
}

/// Answers with what came: method and target in headers, the same bytes in pieces, the same trailers and one more.
async fn mirror(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap();
    let mut trailers = body.trailers().cloned().unwrap_or_default();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    let bytes = body.to_bytes();
    let response = Response::builder()
        .header("x-method", head.method.as_str())
        .header("x-target", head.uri.path_and_query().unwrap().as_str())
        .header("x-kind", head.headers.get("content-type").cloned().unwrap_or(HeaderValue::from_static("none")))
        .header("content-type", "application/octet-stream")
        .header("trailer", "x-sum, x-came");
    Ok(response.body(pieces(&bytes, 7_001, Some(trailers))).unwrap())
}

async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service_fn(mirror)).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn every_method_version_query_and_byte_passes_both_ways() {
    let upstream = format!("http://{}", upstream().await);
    let served = Served::keys([Key::new(ONE).id("one")], &upstream, Duration::ZERO).await;
    let mut random = fastrand::Rng::with_seed(7);
    for http2 in [false, true] {
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Body>();
        for (method, path) in [
            ("POST", "/v1beta/models/m:generateContent?alt=sse&%24of=a%2Cb"),
            ("POST", "/v1/models/m:streamGenerateContent"),
            ("PUT", "/v1alpha/whatever"),
            ("PATCH", "/v1main/models/m"),
            ("DELETE", "/v7/models/m"),
            ("PURGE", "/v1beta/models/m:whatever?x=1&x=2&y"),
            ("OPTIONS", "/anything/at%20all"),
        ] {
            for length in [0, 1, 1_000, 100_000] {
                let bytes: Bytes = (0..length).map(|_| random.u8(..)).collect::<Vec<_>>().into();
                let mut trailers = HeaderMap::new();
                trailers.insert("x-came", HeaderValue::from_static("with it"));
                let request = Request::builder()
                    .method(Method::from_bytes(method.as_bytes()).unwrap())
                    .uri(served.url(path))
                    .header("x-goog-api-key", PLACEHOLDER)
                    .header("content-type", "application/x-any")
                    .header("te", "trailers")
                    .header("trailer", "x-came")
                    .body(pieces(&bytes, 999, (length > 0).then_some(trailers)))
                    .unwrap();
                let answer = client.request(request).await.unwrap();
                assert_eq!(answer.status(), 200, "{method} {path}");
                let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
                assert_eq!((header("x-method"), header("x-target")), (method.to_owned(), path.to_owned()));
                assert_eq!(header("x-kind"), "application/x-any");
                let body = answer.into_body().collect().await.unwrap();
                let trailers = body.trailers().cloned().unwrap_or_default();
                assert_eq!(
                    trailers.get("x-sum").map(HeaderValue::as_bytes),
                    Some(&b"42"[..]),
                    "{method} {path} {length}"
                );
                if length > 0 {
                    assert_eq!(trailers["x-came"], "with it", "{method} {path} {length}");
                }
                assert!(body.to_bytes() == bytes, "{method} {path} {length}");
            }
        }
    }
}
