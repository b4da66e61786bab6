//! Connections that do not end by themselves, and what becomes of those in flight when the gateway ends.

use std::time::Duration;

use bytes::Bytes;
use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use keypool::gateway::token::PLACEHOLDER;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::service_fn;
use tower_keypool::Key;

use crate::{
    serving::{HELLO, ONE},
    support::{Served, client, echo},
};

/// Time stands still until everybody waits: half a minute passes at once.
#[tokio::test(start_paused = true)]
async fn a_connection_that_never_finishes_its_head_is_closed() {
    let served = Served::over(service_fn(echo), "http://upstream.invalid").await;
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "GET /v1beta/models HTTP/1.1\r\nhost: localhost\r\nx-slow: "] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(120), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{begun:?} holds a connection for ever");
    }
}

#[tokio::test]
async fn a_stream_in_flight_ends_whole_when_the_gateway_stops() {
    let sim = GeminiSim::builder().key(ONE).chunks(6).chunk_latency(Duration::from_millis(60)).start().await.unwrap();
    let served = Served::keys([Key::new(ONE)], &sim.url(), Duration::ZERO).await;
    let request = Request::post(served.url("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"))
        .header("x-goog-api-key", PLACEHOLDER)
        .header("content-type", "application/json");
    let mut response = client().request(request.body(Full::<Bytes>::from(HELLO)).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    let (rest, ()) = tokio::join!(response.into_body().collect(), served.stop());
    let whole = [first, rest.unwrap().to_bytes()].concat();
    assert_eq!(String::from_utf8(whole).unwrap().matches("data: ").count(), 6);
}
