//! What gets in, what does not, and in which shape it is told.

use std::time::Duration;

use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::service_fn;

use crate::support::{Served, ask, echo, raw};

async fn served() -> Served {
    Served::over(service_fn(echo), "http://upstream.invalid").await
}

#[tokio::test]
async fn the_token_opens_in_four_places() {
    let served = served().await;
    let url = served.url("/v1beta/models");
    let bearer = format!("Bearer {PLACEHOLDER}");
    for (name, value) in [("x-goog-api-key", PLACEHOLDER), ("x-api-key", PLACEHOLDER), ("authorization", &*bearer)] {
        assert_eq!(ask(Request::get(&url).header(name, value), "").await.status, StatusCode::OK, "{name}");
    }
    assert_eq!(ask(Request::get(format!("{url}?key={PLACEHOLDER}")), "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_token_is_told_in_the_clients_own_shape() {
    let served = served().await;
    let gemini = ask(Request::post(served.url("/v1beta/models/m:generateContent")), "{}").await;
    assert_eq!(gemini.status, StatusCode::UNAUTHORIZED);
    assert_eq!(gemini.json()["error"]["status"], "UNAUTHENTICATED");
    assert_eq!(gemini.json()["error"]["code"], 401);

    for path in ["/v1beta/openai/chat/completions", "/openai/v1/models"] {
        let openai = ask(Request::get(served.url(path)).header("authorization", "Bearer no"), "").await;
        assert_eq!(openai.status, StatusCode::UNAUTHORIZED);
        assert_eq!(openai.json()["error"]["code"], "invalid_api_key");
    }

    let request = Request::post(served.url("/v1/messages")).header("x-api-key", "no").header("anthropic-version", "1");
    let anthropic = ask(request, "{}").await;
    assert_eq!(anthropic.status, StatusCode::UNAUTHORIZED);
    assert_eq!(anthropic.json()["type"], "error");
    assert_eq!(anthropic.json()["error"]["type"], "authentication_error");
}

#[tokio::test]
async fn what_is_said_to_the_gateway_alone_goes_nowhere() {
    let served = served().await;
    let request = Request::post(served.url("/v1beta/models/gemini-pro:generateContent"))
        .header("x-goog-api-key", PLACEHOLDER)
        .header("x-keypool-admin", "an-admin-token")
        .header("x-keypool-trace", "1");
    let echoed = ask(request, "{\"contents\":[]}").await.json();
    assert_eq!(echoed["headers"]["x-goog-api-key"], PLACEHOLDER, "the stack takes it out, and there is none here");
    assert!(
        echoed["headers"]["x-keypool-admin"].is_null() && echoed["headers"]["x-keypool-trace"].is_null(),
        "{echoed}"
    );
}

#[tokio::test]
async fn what_curl_calls_a_form_goes_on_as_json() {
    let served = served().await;
    let request = Request::post(served.url("/v1beta/models/gemini-pro:generateContent?alt=sse"))
        .header("x-goog-api-key", PLACEHOLDER)
        .header("content-type", "application/x-www-form-urlencoded");
    let echoed = ask(request, "{\"contents\":[]}").await.json();
    assert_eq!(echoed["headers"]["content-type"], "application/json");
    assert_eq!(echoed["uri"], "/v1beta/models/gemini-pro:generateContent?alt=sse");
    assert_eq!(echoed["body"], "{\"contents\":[]}");
    assert_eq!(echoed["method"], json!("POST"));
}

#[tokio::test]
async fn hosts_and_origins_that_are_not_ours_are_refused() {
    let served = served().await;
    let with = |name: &str, value: &str| {
        let request = Request::get(served.url("/v1beta/models")).header("x-goog-api-key", PLACEHOLDER);
        ask(request.header(name, value), "")
    };
    assert_eq!(with("host", "pool.example:5000").await.status, StatusCode::OK);
    assert_eq!(with("host", "rebound.example").await.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(with("origin", "http://evil.example").await.status, StatusCode::FORBIDDEN);
    assert_eq!(with("origin", "null").await.status, StatusCode::FORBIDDEN);
    assert_eq!(with("sec-fetch-site", "cross-site").await.status, StatusCode::FORBIDDEN);
    let own = served.url("");
    assert_eq!(with("origin", &own).await.status, StatusCode::OK);
    // A page of ours under the other name of this machine.
    assert_eq!(with("origin", &own.replace("127.0.0.1", "localhost")).await.status, StatusCode::OK);
    assert_eq!(with("origin", "http://localhost:1").await.status, StatusCode::FORBIDDEN);
    let named = Request::get(served.url("/v1beta/models")).header("host", "rebound.example");
    let named = named.header("origin", "http://rebound.example");
    assert_eq!(ask(named, "").await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn targets_that_lead_elsewhere_are_refused() {
    let served = served().await;
    let head = format!("host: {}\r\nx-goog-api-key: {PLACEHOLDER}\r\nconnection: close\r\n\r\n", served.address);
    for (target, status) in [
        ("GET /v1beta/models", "200"),
        ("GET /v1beta/../admin", "400"),
        ("GET /v1beta/%2e%2e/admin", "400"),
        ("GET //evil.example/v1beta/models", "400"),
        ("GET http://evil.example/v1beta/models", "400"),
        ("CONNECT evil.example:443", "405"),
        ("OPTIONS *", "400"),
    ] {
        let answer = raw(served.address, &format!("{target} HTTP/1.1\r\n{head}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {answer}");
    }
    // Ours, too: as for a proxy.
    let absolute = format!("OPTIONS http://{}/v1beta/models HTTP/1.1\r\n{head}", served.address);
    let answer = raw(served.address, &absolute).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("the path alone"), "{answer}");

    let twice = format!("GET /v1beta/models HTTP/1.1\r\nhost: localhost\r\n{head}");
    assert!(raw(served.address, &twice).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn http2_is_spoken_too() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};

    let served = served().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<bytes::Bytes>>();
    let request = Request::post(served.url("/v1beta/models/m:countTokens"))
        .header("x-goog-api-key", PLACEHOLDER)
        .body(Full::from("{}"))
        .unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let echoed: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(echoed["uri"], "/v1beta/models/m:countTokens");
    assert_eq!(echoed["version"], "HTTP/1.1", "each side has its own version");
    // The host stands in the target alone, whatever the path is moved to.
    let moved = Request::post(served.url("/gemini/v1beta/models/m:countTokens?alt=json"))
        .header("x-goog-api-key", PLACEHOLDER)
        .body(Full::from("{}"))
        .unwrap();
    let response = client.request(moved).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let echoed: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(echoed["uri"], "/v1beta/models/m:countTokens?alt=json");
}

#[tokio::test]
async fn it_stops_when_told_to_and_refuses_connections_then() {
    // Another test may have its port by then: it is free again.
    for _ in 0..5 {
        let served = served().await;
        let address = served.address;
        let kept = TcpStream::connect(address).await.unwrap();
        tokio::time::timeout(Duration::from_secs(50), served.stop()).await.expect("before its grace is over");
        let refused = TcpStream::connect(address).await.is_err();
        drop(kept);
        if refused {
            return;
        }
    }
    panic!("it still listens");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_to_its_end_is_waited_for_half_a_minute() {
    let served = served().await;
    let clock = tower_keypool::Clock::system();
    for is_first in [true, false] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        if !is_first {
            // Without a token, it is answered here.
            stream.write_all(b"GET /v1beta/models HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
        }
        let began = clock.tick();
        stream.write_all(b"GET /v1beta/models HTTP/1.1\r\nho").await.unwrap();
        assert_eq!(stream.read(&mut [0; 4096]).await.unwrap_or(0), 0);
        let waited = clock.tick().since(began).as_secs();
        assert!((30..=36).contains(&waited), "{waited} s");
    }
}

#[tokio::test]
async fn who_sends_a_long_body_to_be_refused_sees_the_answer() {
    let served = served().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let body = vec![b' '; 8 << 20];
    for _ in 0..2 {
        let head = format!(
            "POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1\r\nhost: {}\r\nx-goog-api-key: wrong\r\n\
             content-length: {}\r\n\r\n",
            served.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Answered by now; most clients write on, and fail where that fails.
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(&body).await.unwrap();
        let (mut answer, mut piece) = (String::new(), [0; 4096]);
        while !answer.contains("valid") {
            let read = stream.read(&mut piece).await.unwrap();
            assert_ne!(read, 0, "{answer}");
            answer += std::str::from_utf8(&piece[..read]).unwrap();
        }
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}
