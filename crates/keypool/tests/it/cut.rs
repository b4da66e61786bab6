//! Streams of HTTP/2 that are reset as if nothing were wrong, before their end: no half passes as the whole.

use std::time::Duration;

use keypool::{
    client::{Client, Roots},
    gateway::token::PLACEHOLDER,
    stack,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower_keypool::{Gemini, Key, KeyPool, Models, Retry};

use crate::{
    framed::{begin, block, frame},
    serving::ONE,
    support::Served,
    tls,
};

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `NO_ERROR`.
const NOTHING_WRONG: [u8; 4] = [0; 4];

/// Takes what comes by one connection and answers nothing: each piece, until it is over.
async fn listening() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut piece = vec![0; 16 << 10];
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            let _ = tell.send(String::from_utf8_lossy(&piece[..read]).into_owned());
        }
    });
    (url, told)
}

/// The next piece; none: it is over.
async fn next(arrived: &mut mpsc::UnboundedReceiver<String>) -> Option<String> {
    tokio::time::timeout(Duration::from_secs(60), arrived.recv()).await.expect("it goes on, or ends")
}

#[tokio::test]
async fn a_request_that_is_cut_reaches_nobody_as_a_whole_one() {
    let (upstream, mut arrived) = listening().await;
    let served = Served::keys([Key::new(ONE).id("one")], &upstream, Duration::ZERO).await;
    let authority = served.address.to_string();
    let mut stream = begin(served.address).await;
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", &authority),
        (":path", "/upload/v1beta/files"),
        ("x-goog-api-key", PLACEHOLDER),
        ("x-goog-upload-protocol", "raw"),
    ]);
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, &head)).await.unwrap();
    stream.write_all(&frame(0, 0, 1, b"the first half")).await.unwrap();
    // It is on its way before it is cut.
    let mut came = String::new();
    while !came.contains("the first half") {
        came += &next(&mut arrived).await.expect("it begins");
    }
    stream.write_all(&frame(RESET, 0, 1, &NOTHING_WRONG)).await.unwrap();
    while let Some(piece) = next(&mut arrived).await {
        came += &piece;
    }
    assert!(!came.ends_with("0\r\n\r\n"), "{came}");
}

/// Answers each request of HTTP/2 with this half and a reset.
async fn cutting(half: &'static str) -> (String, tempfile::NamedTempFile) {
    let (acceptor, authority) = tls::acceptor(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                stream.read_exact(&mut [0; 24]).await.unwrap();
                stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
                let mut head = [0; 9];
                while stream.read_exact(&mut head).await.is_ok() {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    stream.read_exact(&mut vec![0; length]).await.unwrap();
                    if head[3] > HEADERS || head[4] & END_STREAM == 0 {
                        continue;
                    }
                    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let said = block(&[(":status", "200"), ("content-type", "application/json")]);
                    stream.write_all(&frame(HEADERS, END_HEADERS, id, &said)).await.unwrap();
                    if !half.is_empty() {
                        stream.write_all(&frame(0, 0, id, half.as_bytes())).await.unwrap();
                    }
                    stream.write_all(&frame(RESET, 0, id, &NOTHING_WRONG)).await.unwrap();
                }
            });
        }
    });
    (url, authority)
}

#[tokio::test]
async fn an_answer_that_is_cut_is_no_whole_one() {
    // The half of it, and nothing at all.
    for half in [r#"{"candidates": [{"content""#, ""] {
        let (upstream, authority) = cutting(half).await;
        let roots = Roots::from_file(authority.path()).unwrap();
        let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(Key::new(ONE)).wait(Duration::ZERO);
        let pool = pool.build().unwrap();
        let client = Client::trusting(pool.provider().base(), &roots);
        let served = Served::over(stack::stack_over(&pool, Models::new(), Retry::new(), client), &upstream).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let request = format!(
            "POST /v1beta/models/m:generateContent {:?}\r\nhost: {}\r\nx-goog-api-key: {PLACEHOLDER}\r\n\
             content-length: 2\r\nconnection: close\r\n\r\n{{}}",
            http::Version::HTTP_11,
            served.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await;
        ended.expect("it ends").unwrap();
        let whole =
            answer.starts_with("HTTP/1.1 200 ") && (answer.ends_with("0\r\n\r\n") || answer.contains("content-length"));
        assert!(!whole, "{half:?}: {answer}");
    }
}
