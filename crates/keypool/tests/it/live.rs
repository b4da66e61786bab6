//! Sockets of the Live API, through the gateway and over real connections.

use std::{net::SocketAddr, time::Duration};

use gemini_sim::{GeminiSim, Project, Refusal};
use http::Request;
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant},
        token::PLACEHOLDER,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    serving::{ONE, TWO},
    support::{Served, ask},
};

pub(crate) const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

fn pool(sim: &GeminiSim) -> KeyPool {
    let keys = [Key::new(ONE).id("one").max_concurrent(1), Key::new(TWO).id("two").max_concurrent(1)];
    KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap()
}

async fn sim() -> GeminiSim {
    let builder = GeminiSim::builder().project(Project::new("1").key(ONE)).project(Project::new("2").key(TWO));
    builder.start().await.unwrap()
}

/// A client's end of a socket, and the head of the answer that opened it.
pub(crate) struct Socket {
    stream: TcpStream,
    pub(crate) head: String,
}

impl Socket {
    pub(crate) async fn open(address: SocketAddr, target: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-extensions: permessage-deflate\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).await.unwrap() == 0 {
                break;
            }
            head.push(byte[0]);
        }
        Self { stream, head: String::from_utf8(head).unwrap() }
    }

    pub(crate) async fn say(&mut self, code: u8, text: &str) {
        let mut frame = vec![0x80 | code, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next frame's code and text; `None` at the end.
    pub(crate) async fn hear(&mut self) -> Option<(u8, String)> {
        let mut head = [0; 2];
        tokio::time::timeout(Duration::from_secs(5), self.stream.read_exact(&mut head)).await.unwrap().ok()?;
        let length = match head[1] {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            short => usize::from(short),
        };
        let mut data = vec![0; length];
        self.stream.read_exact(&mut data).await.unwrap();
        Some((head[0] & 0xf, String::from_utf8_lossy(&data).into_owned()))
    }
}

async fn until(what: &str, fine: impl Fn() -> bool) {
    for _ in 0..500 {
        if fine() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn a_socket_holds_its_lease_and_never_shows_the_key() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let mut sockets = Vec::new();
    for (target, headers) in [
        (PATH.to_owned(), format!("x-goog-api-key: {PLACEHOLDER}\r\n")),
        (format!("/{PATH}?key={PLACEHOLDER}"), String::new()),
    ] {
        let mut socket = Socket::open(served.address, &target, &headers).await;
        assert!(socket.head.starts_with("HTTP/1.1 101 "), "{}", socket.head);
        let head = socket.head.to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        assert!(socket.head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "the provider's own proof: {head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        socket.say(1, r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#).await;
        assert_eq!(socket.hear().await.unwrap(), (1, r#"{"setupComplete":{}}"#.to_owned()));
        socket.say(1, r#"{"clientContent":{"turns":["echo-key"]}}"#).await;
        let (_, said) = socket.hear().await.unwrap();
        assert!(said.contains(&"*".repeat(ONE.len())) && !said.contains(ONE) && !said.contains(TWO), "{said}");
        assert!(socket.hear().await.unwrap().1.contains("turnComplete"));
        sockets.push(socket);
    }
    assert_eq!(pool.snapshot().in_flight, 2, "a lease each, for as long as it is open");
    let full = Socket::open(served.address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    assert!(full.head.starts_with("HTTP/1.1 503 "), "{}", full.head);

    // The client says goodbye, or just leaves.
    let mut polite = sockets.pop().unwrap();
    polite.say(9, "ping").await;
    assert_eq!(polite.hear().await.unwrap(), (10, "ping".to_owned()));
    polite.say(8, "").await;
    assert_eq!(polite.hear().await.unwrap().0, 8);
    assert!(polite.hear().await.is_none());
    drop(sockets);
    until("the leases end with their sockets", || pool.snapshot().in_flight == 0).await;
    assert_eq!(sim.report().total.accepted, 2);
    assert_eq!(pool.snapshot().started, 2, "each counts as a request");
}

#[tokio::test]
async fn the_provider_may_hang_up_and_refusals_are_answers() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    let mut socket = Socket::open(served.address, PATH, &key).await;
    socket.say(1, r#"{"clientContent":{}}"#).await;
    let (code, reason) = socket.hear().await.unwrap();
    assert!(code == 8 && reason.ends_with("setup must be the first message"), "{code} {reason}");
    assert!(socket.hear().await.is_none(), "closed on both sides");
    until("the lease ends with the provider's end", || pool.snapshot().in_flight == 0).await;

    for (target, headers, status) in [
        (PATH, "", "401"),
        (PATH, "x-goog-api-key: wrong\r\n", "401"),
        (PATH, "authorization: Token auth_tokens/made-up\r\n", "401"),
        ("/v1beta/models", key.as_str(), "400"),
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.Nothing", key.as_str(), "404"),
    ] {
        let refused = Socket::open(served.address, target, headers).await;
        assert!(refused.head.starts_with(&format!("HTTP/1.1 {status} ")), "{target} {headers}: {}", refused.head);
    }
    // A key that is refused before it opens gives way to another.
    sim.refuse_key(ONE, Some(Refusal::ConsumerSuspended));
    for _ in 0..2 {
        let opened = Socket::open(served.address, PATH, &key).await;
        assert!(opened.head.starts_with("HTTP/1.1 101 "), "{}", opened.head);
        assert!(opened.head.contains("x-keypool-key: two"), "{}", opened.head);
        drop(opened);
        until("it ended", || pool.snapshot().in_flight == 0).await;
    }
}

#[tokio::test]
async fn a_token_of_the_providers_opens_a_socket_over_its_owner_alone() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    for _ in 0..3 {
        let request = Request::post(served.url("/v1alpha/auth_tokens")).header("x-goog-api-key", PLACEHOLDER);
        let made = ask(request, r#"{"uses":1}"#).await;
        let token = made.json()["name"].as_str().unwrap().to_owned();
        let path = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained";
        for (target, headers) in [
            (path.to_owned(), format!("authorization: Token {token}\r\n")),
            (format!("{path}?access_token={}", token.replace('/', "%2F")), String::new()),
        ] {
            let opened = Socket::open(served.address, &target, &headers).await;
            assert!(opened.head.starts_with("HTTP/1.1 101 "), "{}", opened.head);
            let key = format!("x-keypool-key: {}", made.header("x-keypool-key"));
            assert!(opened.head.contains(&key), "{} {key}", opened.head);
            drop(opened);
            until("it ended", || pool.snapshot().in_flight == 0).await;
        }
    }
}

#[tokio::test]
async fn who_is_revoked_loses_the_socket_and_the_end_takes_all() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let grant = Grant { name: "alice".into(), token_hash: hash_of(b"kp-alice"), ..Grant::default() };
    tenants.set(From::Commands, vec![grant]);
    let mut revoked = Socket::open(served.address, PATH, "x-goog-api-key: kp-alice\r\n").await;
    let mut stays = Socket::open(served.address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    assert!(revoked.head.contains(" 101 ") && stays.head.contains(" 101 "), "{}", revoked.head);
    tenants.set(From::Commands, Vec::new());
    assert!(revoked.hear().await.is_none());
    stays.say(9, "x").await;
    assert_eq!(stays.hear().await.unwrap().0, 10);
    served.stop().await;
    assert!(stays.hear().await.is_none());
    until("no lease is left", || pool.snapshot().in_flight == 0).await;
}
