//! Upstreams that break the rules of HTTP: the bytes of their answers are written by hand.

use std::{net::SocketAddr, time::Duration};

use keypool::gateway::token::PLACEHOLDER;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower_keypool::Key;

use crate::{
    serving::ONE,
    support::{Served, raw},
};

/// An upstream that answers every connection's first request with these bytes, and closes.
pub(crate) async fn answering(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// The stack with a policy of its own for sending again.
async fn served_with(pool: &tower_keypool::KeyPool, policy: tower_keypool::RetryPolicy, upstream: &str) -> Served {
    let stack = tower::ServiceBuilder::new()
        .layer(tower_keypool::ReplayLayer::default().pool(pool))
        .retry(policy)
        .layer(tower_keypool::KeyRotationLayer::new(pool))
        .layer(tower_keypool::CooldownLayer::new(pool))
        .service(keypool::client::Client::new(pool.provider().base()));
    Served::over(stack, upstream).await
}

/// What a client gets of such an answer, byte for byte.
async fn told(bytes: impl Into<Vec<u8>>) -> String {
    let upstream = format!("http://{}", answering(bytes).await);
    let served = Served::keys([Key::new(ONE).id("one")], &upstream, Duration::ZERO).await;
    let head = format!(
        "POST /v1beta/models/m:countTokens HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\
         x-goog-api-key: {PLACEHOLDER}\r\n\r\n"
    );
    raw(served.address, &head).await
}

#[tokio::test]
async fn a_body_in_chunks_is_not_cut_to_a_length_that_its_head_tells_too() {
    let answer =
        told("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")
            .await;
    assert!(answer.contains("hello world"), "{answer}");
    assert!(!answer.contains("content-length"), "{answer}");
}

/// Nobody asked for it, and hyper takes off the chunks alone.
#[tokio::test]
async fn what_is_packed_for_the_transfer_is_not_passed_on_as_if_it_were_not() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, format!("{{\"text\":\"{ONE}\"}}").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    for (status, expected) in [("200 OK", "502 "), ("404 Not Found", "404 ")] {
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ntransfer-encoding: gzip, chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n", packed.len());
        let bytes = [head.as_bytes(), chunk.as_bytes(), &packed, b"\r\n0\r\n\r\n"].concat();
        let answer = told(bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
        assert!(!answer.contains('\u{fffd}'), "nothing of it: {answer}");
    }
}

#[tokio::test]
async fn the_words_behind_a_status_are_not_passed_on() {
    let answer = told(format!("HTTP/1.1 404 no such thing for {ONE}\r\ncontent-length: 0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(!answer.contains(ONE));
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_a_bad_answer() {
    let answer = told("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

fn pool_at(upstream: &str) -> tower_keypool::KeyPool {
    tower_keypool::KeyPool::builder(tower_keypool::Gemini::at(upstream).unwrap())
        .key(Key::new(ONE).id("one"))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_connection_that_the_provider_gives_up_as_a_request_goes_out_is_replaced_at_once() {
    const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((mut stream, _)) = listener.accept().await {
            let gives_up = std::mem::take(&mut first);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                for n in 0.. {
                    if !matches!(stream.read(&mut head).await, Ok(1..)) || (gives_up && n == 1) {
                        return;
                    }
                    let _ = stream.write_all(FINE).await;
                }
            });
        }
    });
    let pool = pool_at(&upstream);
    let pauses = tower_keypool::RetryPolicy::new(&pool).backoff(tower_keypool::Backoff::fixed(Duration::from_hours(1)));
    let served = served_with(&pool, pauses, &upstream).await;
    for attempts in ["1", "2"] {
        let head = format!(
            "POST /v1beta/models/m:generateContent HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             x-goog-api-key: {PLACEHOLDER}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let answer = raw(served.address, &head).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains(&format!("x-keypool-attempts: {attempts}\r\n")), "{answer}");
    }
}

#[tokio::test]
async fn an_error_that_breaks_off_keeps_its_status_and_what_came_of_it() {
    for (status, head) in [
        ("400 Bad Request", "content-length: 100"),
        ("404 Not Found", "content-length: 100"),
        ("429 Too Many Requests", "transfer-encoding: chunked"),
    ] {
        let text = if head.starts_with('c') { "{\"error\":" } else { "9\r\n{\"error\":\r\n" };
        let bytes = format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-type: application/json\r\n\r\n{text}");
        let answer = told(bytes).await;
        // No other key, and nobody's wait: a limit is told as the gateway tells it.
        let expected = if status.starts_with("429") { "503" } else { &status[..3] };
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{status}: {answer:?}");
        assert!(answer.contains("{\"error\":"), "{status}: {answer:?}");
        assert!(expected == "503" || answer.ends_with("0\r\n\r\n"), "it ends: {status}: {answer:?}");
    }
}

#[tokio::test]
async fn answers_that_are_no_http_are_a_502() {
    for bytes in [
        "SSH-2.0-OpenSSH_9\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    ] {
        let upstream = format!("http://{}", answering(bytes).await);
        let pool = pool_at(&upstream);
        let pauses = tower_keypool::RetryPolicy::new(&pool).max_retries(0);
        let served = served_with(&pool, pauses, &upstream).await;
        let answer = raw(
            served.address,
            &format!(
                "GET /v1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-goog-api-key: {PLACEHOLDER}\r\n\r\n"
            ),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{bytes:?}: {answer}");
    }
}

/// Whoever may send requests could keep others from listing models or files for as long as a 429 rests.
#[tokio::test]
async fn a_limit_of_a_nameless_model_does_not_rest_the_list_of_models() {
    const LIMITED: &str = concat!(
        r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m","details":[{"@type":"type.googleapis.com/"#,
        r#"google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","#,
        r#""quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"39s"}]}}"#
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let chat = head[..read].starts_with(b"POST");
            let (status, body) = if chat { ("429 Too Many Requests", LIMITED) } else { ("200 OK", "{}") };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: \
                 close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let served = Served::keys([Key::new(ONE).id("one")], &upstream, Duration::ZERO).await;
    let head = |line: &str, length: usize| {
        format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-goog-api-key: {PLACEHOLDER}\r\ncontent-length: \
             {length}\r\n\r\n"
        )
    };
    let body = r#"{"model":"a\nb","messages":[]}"#;
    raw(served.address, &(head("POST /v1beta/openai/chat/completions", body.len()) + body)).await;
    let list = raw(served.address, &head("GET /v1beta/models", 0)).await;
    assert!(list.starts_with("HTTP/1.1 200 "), "{list}");
}
