//! What becomes of answers that flow for a token while it is revoked.

use std::time::Duration;

use bytes::Bytes;
use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant, TenantLimits},
        token::PLACEHOLDER,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    binary::Running,
    home::{ACTS, Home},
    live::until,
    serving::{HELLO, ONE},
    support::{Served, client},
};

const NATIVE: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";

const CHAT: &str = r#"{"model":"gemini-2.5-flash","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// A stream of this token's, of which the first piece has come.
async fn begun(served: &Served, token: &str, target: &str, body: &'static str) -> Incoming {
    let request = Request::post(served.url(target)).header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/json").body(Full::<Bytes>::from(body)).unwrap();
    let mut response = client().request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{target}");
    response.body_mut().frame().await.unwrap().unwrap();
    response.into_body()
}

#[tokio::test]
async fn what_flows_for_a_token_ends_when_that_is_revoked() {
    let sim =
        GeminiSim::builder().key(ONE).chunks(100).chunk_latency(Duration::from_millis(300)).start().await.unwrap();
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE)).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let grant = |rpm| {
        let limits = TenantLimits { rpm: Some(rpm), ..TenantLimits::default() };
        vec![Grant { name: "alice".into(), token_hash: hash_of(b"kp-alice"), limits, ..Grant::default() }]
    };
    tenants.set(From::Commands, grant(100));
    let mut events = begun(&served, "kp-alice", &format!("/gemini{NATIVE}?alt=sse"), HELLO).await;
    let array = begun(&served, "kp-alice", &format!("/gemini{NATIVE}"), HELLO).await;
    let chat = begun(&served, "kp-alice", "/v1/chat/completions", CHAT).await;
    let mut others = begun(&served, PLACEHOLDER, &format!("/gemini{NATIVE}?alt=sse"), HELLO).await;
    // What it may is another matter.
    tenants.set(From::Commands, grant(50));
    let more = events.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(more.starts_with(b"data: ") && !String::from_utf8_lossy(&more).contains("revoked"), "{more:?}");

    tenants.set(From::Commands, Vec::new());
    let told = events.collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&told).contains("\"UNAUTHENTICATED\""), "{told:?}");
    let told = chat.collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&told).contains("this token was revoked"), "{told:?}");
    // There is no place for a word in it.
    array.collect().await.unwrap_err();
    let more = others.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(more.starts_with(b"data: ") && !String::from_utf8_lossy(&more).contains("revoked"), "{more:?}");
    drop(others);
    until("no lease is left", || pool.snapshot().in_flight == 0).await;
}

/// A provider whose pieces all end within an event.
async fn halves() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 8192];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"candidates\":[{\"content\":";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let piece = "{\"parts\":[{\"text\":\"x\"}]}}]}\r\n\r\ndata: {\"candidates\":[{\"content\":";
                while stream.write_all(piece.as_bytes()).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn what_is_always_within_an_event_breaks_off() {
    let url = halves().await;
    let pool = KeyPool::builder(Gemini::at(&url).unwrap()).key(Key::new(ONE)).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &url, Records::default()).await;
    let grant = Grant { name: "alice".into(), token_hash: hash_of(b"kp-alice"), ..Grant::default() };
    tenants.set(From::Commands, vec![grant]);
    let events = begun(&served, "kp-alice", &format!("/gemini{NATIVE}?alt=sse"), HELLO).await;
    tenants.set(From::Commands, Vec::new());
    let cut = tokio::time::timeout(Duration::from_secs(10), events.collect()).await.expect("it ends");
    cut.unwrap_err();
    until("no lease is left", || pool.snapshot().in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_what_was_cut_says_why() {
    let sim =
        GeminiSim::builder().key(ONE).chunks(200).chunk_latency(Duration::from_millis(100)).start().await.unwrap();
    let home = Home::new();
    let tenant = "[[tenants]]\nname = 'alice'\ntoken = 'kp-alice-of-this-test'\n";
    home.write("keypool.toml", tenant);
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url()]);
    command.env("GEMINI_API_KEY", ONE);
    let mut running = Running::of(command);
    let mut flowing = Vec::new();
    for (id, target) in [("array", NATIVE.to_owned()), ("events", format!("{NATIVE}?alt=sse"))] {
        let request =
            Request::post(format!("{}{target}", running.url)).header("x-goog-api-key", "kp-alice-of-this-test");
        let request = request.header("content-type", "application/json").header("x-request-id", id);
        let mut response = client().request(request.body(Full::<Bytes>::from(HELLO)).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{id}");
        response.body_mut().frame().await.unwrap().unwrap();
        flowing.push(response.into_body());
    }
    home.write("keypool.toml", "# nobody\n[retry]\nmax_retries = 2\n");
    for body in flowing {
        let _ = body.collect().await;
    }
    let told = tokio::task::spawn_blocking(move || {
        let lines = [(); 2].map(|()| running.line_with("the answer broke off behind its head: its token was revoked"));
        (running, lines)
    });
    let (_running, lines) = tokio::time::timeout(ACTS, told).await.expect("it is told").unwrap();
    for id in ["array", "events"] {
        assert!(lines.iter().any(|line| line.contains(&format!("request={id} "))), "{lines:?}");
    }
}
