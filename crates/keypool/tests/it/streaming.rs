//! Both ways, chunk by chunk: nothing is held until the other side has finished.

use std::time::Duration;

use bytes::Bytes;
use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use keypool::gateway::token::PLACEHOLDER;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tower_keypool::Key;

use crate::{
    serving::{HELLO, ONE},
    support::{Served, ask, client},
};

const PATH: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
const PATIENCE: Duration = Duration::from_secs(60);

fn event(text: &str) -> String {
    format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}}}]}}\r\n\r\n")
}

/// An HTTP/1.1 chunk.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn the_first_event_arrives_before_the_last_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, mut may_go_on) = mpsc::channel::<()>(1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = vec![0; 4096];
        let _ = stream.read(&mut read).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}{}", chunk(&event("one"))).as_bytes()).await.unwrap();
        // The last goes out only when the client has said that it has the first.
        may_go_on.recv().await.unwrap();
        stream.write_all(format!("{}0\r\n\r\n", chunk(&event("two"))).as_bytes()).await.unwrap();
    });
    let served = Served::keys([Key::new(ONE)], &upstream, Duration::ZERO).await;

    let request = Request::post(served.url(PATH)).header("x-goog-api-key", PLACEHOLDER).body(Full::from(HELLO));
    let response = client().request(request.unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let first = tokio::time::timeout(PATIENCE, body.frame()).await.expect("the first event is not held back");
    assert_eq!(first.unwrap().unwrap().into_data().unwrap(), event("one"));
    go_on.send(()).await.unwrap();
    let rest = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
    assert_eq!(rest, event("two"), "byte for byte");
}

#[tokio::test]
async fn a_request_streams_up_before_it_is_whole() {
    // Of a length that nobody knows, and of a MiB to the byte.
    for length in [None, Some(1 << 20)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let (seen, mut sees) = mpsc::channel::<()>(1);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            let mut told = false;
            loop {
                let mut read = [0; 4096];
                let n = stream.read(&mut read).await.unwrap();
                all.extend_from_slice(&read[..n]);
                let end = String::from_utf8_lossy(&all[all.len().saturating_sub(8192)..]).into_owned();
                if !told && end.contains("first half") {
                    told = true;
                    seen.send(()).await.unwrap();
                }
                if end.contains("second half") {
                    break;
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        });
        let served = Served::keys([Key::new(ONE)], &upstream, Duration::ZERO).await;

        let (first, end) = ("{\"a\":\"first half", " second half\"}");
        let (chunks, receiver) = mpsc::channel::<String>(1);
        let body = StreamBody::new(futures_of(receiver));
        let mut request = Request::post(served.url("/v1beta/models/gemini-2.5-flash:generateContent"))
            .header("x-goog-api-key", PLACEHOLDER)
            .body(body)
            .unwrap();
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.into());
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = tokio::spawn(async move { client.request(request).await.unwrap().status() });
        chunks.send(first.to_owned()).await.unwrap();
        tokio::time::timeout(PATIENCE, sees.recv()).await.expect("the first half went up alone").unwrap();
        let between = length.map_or(0, |length| length - first.len() - end.len());
        chunks.send(" ".repeat(between) + end).await.unwrap();
        drop(chunks);
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
}

type Frame = Result<http_body::Frame<Bytes>, std::convert::Infallible>;

fn futures_of(mut receiver: mpsc::Receiver<String>) -> impl futures_util::Stream<Item = Frame> + Send {
    futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(http_body::Frame::data(Bytes::from(chunk)))))
    })
}

#[tokio::test]
async fn a_stream_of_the_simulator_is_whole() {
    let sim = GeminiSim::builder().key(ONE).chunks(5).chunk_latency(Duration::from_millis(5)).start().await.unwrap();
    let served = Served::keys([Key::new(ONE)], &sim.url(), Duration::ZERO).await;
    let request = Request::post(served.url(PATH)).header("x-goog-api-key", PLACEHOLDER);
    let answer = ask(request.header("content-type", "application/json"), HELLO).await;
    assert_eq!(answer.status, StatusCode::OK);
    let events = String::from_utf8(answer.body.to_vec()).unwrap().matches("data: ").count();
    assert_eq!(events, 5);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_slot_back() {
    let sim = GeminiSim::builder().key(ONE).chunks(50).chunk_latency(Duration::from_secs(2)).start().await.unwrap();
    let served = Served::keys([Key::new(ONE).max_concurrent(1)], &sim.url(), Duration::from_secs(60)).await;
    let open = |path: &str| {
        let request = Request::post(served.url(path))
            .header("x-goog-api-key", PLACEHOLDER)
            .header("content-type", "application/json");
        client().request(request.body(Full::<Bytes>::from(HELLO)).unwrap())
    };
    let mut first = open(PATH).await.unwrap();
    assert!(first.body_mut().frame().await.is_some());
    // The only slot is taken; it is free once the client has gone.
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(60), open(PATH)).await.expect("the slot came back").unwrap();
    assert_eq!(second.status(), StatusCode::OK);
}
