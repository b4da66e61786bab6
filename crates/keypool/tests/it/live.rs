//! Sockets of the Live API, through the gateway and over real connections.

use std::{net::SocketAddr, time::Duration};

use gemini_sim::{GeminiSim, Project, Refusal};
use http::Request;
use keypool::{
    database::{Records, used::Use},
    gateway::{
        Paces,
        capability::hash_of,
        listen::Bounds,
        resource::Unknown,
        tenant::{From, Grant, TenantLimits},
        token::PLACEHOLDER,
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    home::{self, Home},
    resources,
    serving::{ONE, TWO},
    support::{Served, ask},
};

pub(crate) const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

const SETUP: &str = r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#;

/// The keys that hold something.
fn serving(pool: &KeyPool) -> Vec<String> {
    let keys = pool.snapshot().keys;
    keys.iter().filter(|key| key.in_flight > 0).map(|key| key.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sockets_line_says_what_it_is_for_and_whose_key_serves_it() {
    let (home, sim) = (Home::new(), home::simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &[]);
    let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
    let target = format!("{PATH}?key={PLACEHOLDER}");
    let id = |id: &str| format!("x-request-id: {id}\r\n");
    let mut served = Socket::open(address, &target, &id("served")).await;
    served.set_up(SETUP).await;
    let mut odd = Socket::open(address, &target, &id("odd")).await;
    odd.say(1, "{}").await;
    while odd.hear().await.is_some() {}
    drop(Socket::open(address, &target, &id("silent")).await);
    Socket::open(address, PATH, &id("stranger")).await;
    drop((served, odd));
    let said = home::end(running).await;
    let line = |id: &str| {
        let lines: Vec<_> = said.lines().filter(|line| line.contains(&format!("request={id} "))).collect();
        assert_eq!(lines.len(), 1, "{id}: {said}");
        lines[0].to_owned()
    };
    let served = line("served");
    for part in ["tenant=default", "key=one", "model=gemini-2.5-flash", "status=101", "attempts=1", "ttfb_ms="] {
        assert!(served.contains(part), "{part}: {served}");
    }
    let odd = line("odd");
    assert!(odd.contains("status=101 closed=1008 attempts=0") && !odd.contains("key="), "{odd}");
    assert!(line("silent").contains("status=101 attempts=0") && line("stranger").contains("status=401"), "{said}");
    assert!(!said.lines().any(|line| line.contains("request=") && line.contains(PLACEHOLDER)), "{said}");
}

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

    /// Its first message, which is taken.
    pub(crate) async fn set_up(&mut self, setup: &str) {
        self.say(1, setup).await;
        assert_eq!(self.hear().await.unwrap(), (1, r#"{"setupComplete":{}}"#.to_owned()));
    }

    /// It is closed: the code, and why.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let (code, data) = self.hear_bytes().await.unwrap();
        assert_eq!(code, 8, "{}", String::from_utf8_lossy(&data));
        let why = String::from_utf8(data[2..].to_vec()).unwrap();
        (u16::from_be_bytes([data[0], data[1]]), why)
    }

    pub(crate) async fn say(&mut self, code: u8, text: &str) {
        let mut frame = vec![0x80 | code];
        if let Some(short) = u8::try_from(text.len()).ok().filter(|length| *length < 126) {
            frame.push(0x80 | short);
        } else {
            frame.push(0x80 | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
    }

    /// A part of a message.
    async fn part(&mut self, first: u8, text: &str) {
        let mut frame = vec![first, 0xfe];
        frame.extend((text.len() as u16).to_be_bytes());
        frame.extend([1, 2, 3, 4]);
        frame.extend(text.bytes().zip([1, 2, 3, 4].into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Two short messages at once.
    async fn say_both(&mut self, one: &str, other: &str) {
        let mut frames = Vec::new();
        for text in [one, other] {
            frames.extend([0x81, 0xfe]);
            frames.extend((text.len() as u16).to_be_bytes());
            frames.extend([0; 4]);
            frames.extend(text.as_bytes());
        }
        self.stream.write_all(&frames).await.unwrap();
    }

    /// The same to somebody who may not read all of it.
    pub(crate) async fn say_as_far_as_possible(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend((text.len() as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        let _ = self.stream.write_all(&frame).await;
    }

    /// These bytes, whatever they are.
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame's code and text; `None` at the end.
    pub(crate) async fn hear(&mut self) -> Option<(u8, String)> {
        let (code, data) = self.hear_bytes().await?;
        Some((code, String::from_utf8_lossy(&data).into_owned()))
    }

    pub(crate) async fn hear_bytes(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        tokio::time::timeout(Duration::from_secs(60), self.stream.read_exact(&mut head)).await.unwrap().ok()?;
        let length = match head[1] {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            short => usize::from(short),
        };
        let mut data = vec![0; length];
        self.stream.read_exact(&mut data).await.unwrap();
        Some((head[0] & 0xf, data))
    }
}

pub(crate) async fn until(what: &str, fine: impl Fn() -> bool) {
    for _ in 0..500 {
        if fine() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn frames_that_are_none_are_called_so() {
    let (sim, no_text) = (sim().await, (1007, "a text that is not UTF-8"));
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let long = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[b'x'; 126]].concat();
    for (frame, (code, why)) in [
        (&b"\x81\x02{}"[..], (1002, "a frame without a mask")),
        (b"\xc1\x82\0\0\0\0{}", (1002, "a frame with reserved bits")),
        (b"\x83\x82\0\0\0\0{}", (1002, "a frame of no kind that there is")),
        (b"\x80\x82\0\0\0\0{}", (1002, "the rest of no message")),
        (b"\x01\x81\0\0\0\0{\x81\x81\0\0\0\0}", (1002, "a message within another")),
        (b"\x09\x81\0\0\0\0x", (1002, "a control frame that is long or in parts")),
        (&long, (1002, "a control frame that is long or in parts")),
        (b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0", (1002, "a frame of an impossible length")),
        (b"\x81\x83\x01\x01\x01\x01{\xfe}", no_text),
        // A letter in two parts, and half of one.
        (b"\x01\x82\0\0\0\0{\xe2\x80\x81\0\0\0\0}", no_text),
        (b"\x81\x82\0\0\0\0{\xe2", no_text),
    ] {
        for begun in [false, true] {
            let mut socket = Socket::open(served.address, &format!("{PATH}?key={PLACEHOLDER}"), "").await;
            if begun {
                socket.set_up(SETUP).await;
            }
            socket.send(frame).await;
            assert_eq!(socket.closed().await, (code, why.to_owned()), "{frame:?} {begun}");
        }
    }
    until("no lease is left", || pool.snapshot().in_flight == 0).await;
}

/// Go's client puts `/ws/…` behind whatever base URL it was given.
#[tokio::test]
async fn a_base_url_with_its_version_has_sockets_too() {
    let sim = sim().await;
    let (served, _) = Served::kept(&pool(&sim), &sim.url(), Records::default()).await;
    for base in ["/v1beta", "/v1beta/", ""] {
        let mut socket = Socket::open(served.address, &format!("{base}{PATH}?key={PLACEHOLDER}"), "").await;
        assert!(socket.head.starts_with("HTTP/1.1 101"), "{base}: {}", socket.head);
        socket.set_up(SETUP).await;
    }
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
        socket.set_up(SETUP).await;
        socket.say(1, r#"{"clientContent":{"turns":["echo-key"]}}"#).await;
        let (_, said) = socket.hear().await.unwrap();
        assert!(said.contains(&"*".repeat(ONE.len())) && !said.contains(ONE) && !said.contains(TWO), "{said}");
        assert!(socket.hear().await.unwrap().1.contains("turnComplete"));
        // Nor any other key of the pool, which a provider may know of another session.
        socket.say(1, &format!(r#"{{"clientContent":{{"turns":["repeat-turn {ONE} and {TWO}"]}}}}"#)).await;
        let (_, said) = socket.hear().await.unwrap();
        let stars = ["*".repeat(ONE.len()), "*".repeat(TWO.len())].join(" and ");
        assert!(said.contains(&stars) && !said.contains(ONE) && !said.contains(TWO), "{said}");
        assert!(socket.hear().await.unwrap().1.contains("turnComplete"));
        sockets.push(socket);
    }
    assert_eq!(pool.snapshot().in_flight, 2, "a lease each, for as long as it is open");
    let mut full = Socket::open(served.address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    full.say(1, SETUP).await;
    let (code, why) = full.closed().await;
    assert!(code == 1013 && why.contains("2 busy"), "{code} {why}");

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
    socket.say(1, r#"{"setup":{}}"#).await;
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
        let opened = open(&served, &key).await;
        assert_eq!(serving(&pool), ["two"]);
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
            let mut opened = Socket::open(served.address, &target, &headers).await;
            assert!(opened.head.starts_with("HTTP/1.1 101 "), "{}", opened.head);
            opened.set_up(SETUP).await;
            assert_eq!(serving(&pool), [made.header("x-keypool-key")]);
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
    let revoked = Socket::open(served.address, PATH, "x-goog-api-key: kp-alice\r\n").await;
    let mut stays = Socket::open(served.address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    assert!(revoked.head.contains(" 101 ") && stays.head.contains(" 101 "), "{}", revoked.head);
    let talks = open(&served, "x-goog-api-key: kp-alice\r\n").await;
    tenants.set(From::Commands, Vec::new());
    for mut socket in [revoked, talks] {
        let (code, why) = socket.closed().await;
        assert!(code == 1008 && why.contains("revoked"), "{code} {why}");
        assert!(socket.hear().await.is_none());
    }
    stays.set_up(SETUP).await;
    stays.say(9, "x").await;
    assert_eq!(stays.hear().await.unwrap().0, 10);
    served.stop().await;
    let (code, why) = stays.closed().await;
    assert!(code == 1001 && why.contains("gateway ends"), "{code} {why}");
    assert!(stays.hear().await.is_none());
    until("no lease is left", || pool.snapshot().in_flight == 0).await;
}

/// Whoever opens sockets could hold as many connections as he likes.
#[tokio::test]
async fn sockets_count_among_the_connections_until_they_end() {
    let sim = sim().await;
    let pool = pool(&sim);
    let paces = Paces { body: Duration::from_secs(60), reader: Duration::from_secs(60) };
    let bounds = Bounds { connections: 2, of_one_address: 2, paces };
    let (served, _) = Served::kept_within(&pool, &sim.url(), Records::default(), (Unknown::Refuse, bounds)).await;
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    let (one, _two) = (open(&served, &key).await, open(&served, &key).await);
    for _ in 0..20 {
        // The connections' tasks have ended by then.
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        let refused = TcpStream::connect(served.address).await.unwrap();
        let mut told = String::new();
        let read = tokio::time::timeout(Duration::from_secs(60), { refused }.read_to_string(&mut told)).await;
        assert!(read.is_ok() && told.starts_with("HTTP/1.1 503 "), "{told}");
    }
    drop(one);
    until("its lease ends", || pool.snapshot().in_flight == 1).await;
    let again = open(&served, &key).await;
    assert_eq!(pool.snapshot().in_flight, 2);
    drop(again);
}

#[tokio::test]
async fn a_session_ends_when_its_tenants_tokens_or_time_are_over() {
    let sim = sim().await;
    let pool = pool(&sim);
    let records = Records::default();
    let within = (Unknown::Refuse, Bounds::default());
    let (served, tenants, _used) = Served::counting(&pool, &sim.url(), records.clone(), within).await;
    let tokens = TenantLimits { tpd: Some(30), ..TenantLimits::default() };
    let now = pool.clock().wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let ending = Grant { expires: Some(now + 5_000), ..grant("carol", TenantLimits::default()) };
    tenants.set(From::Commands, vec![grant("bob", tokens), ending]);
    let (bob, carol) = ("x-goog-api-key: kp-bob\r\n", "x-goog-api-key: kp-carol\r\n");
    let (mut socket, mut time) = (open(&served, bob).await, open(&served, carol).await);
    let mut said = 0;
    let why = loop {
        socket.say(1, r#"{"clientContent":{"turns":["hello"]}}"#).await;
        match socket.hear_bytes().await.unwrap() {
            (8, data) => break data,
            _ => said += 1,
        }
        assert!(said < 40, "it goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let expected = [&1013_u16.to_be_bytes()[..], b"this token has used its tokens of this day"].concat();
    assert_eq!(why, expected);
    assert_eq!(time.closed().await, (1008, "this token has ended".to_owned()));
    // Neither hangs up, and nothing is held for them.
    until("what was held is free", || pool.snapshot().in_flight == 0).await;
    drop((socket, time));
}

async fn open(served: &Served, headers: &str) -> Socket {
    let mut socket = Socket::open(served.address, PATH, headers).await;
    assert!(socket.head.starts_with("HTTP/1.1 101 "), "{}", socket.head);
    socket.set_up(SETUP).await;
    socket
}

fn grant(name: &str, limits: TenantLimits) -> Grant {
    let token_hash = hash_of(format!("kp-{name}").as_bytes());
    Grant { name: name.into(), token_hash, limits, ..Grant::default() }
}

fn about(name: &str) -> String {
    let uri = format!("https://generativelanguage.googleapis.com/v1beta/{name}");
    let turns = json!([{ "role": "user", "parts": [{ "fileData": { "fileUri": uri } }] }]);
    json!({ "clientContent": { "turns": turns, "turnComplete": true } }).to_string()
}

#[tokio::test]
async fn what_a_later_message_names_is_its_tenants_and_lies_where_the_session_is_served() {
    let sim = sim().await;
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    tenants.set(From::Commands, ["alice", "bob"].map(|name| grant(name, TenantLimits::default())).into());
    let file = resources::upload(&served, "kp-alice").await;
    let asked = get(&served, "kp-alice", &file).await;
    let (mut with, mut without) = (0, 0);
    for _ in 0..20 {
        let mut socket = open(&served, "x-goog-api-key: kp-alice\r\n").await;
        let is_there = serving(&pool) == [asked.clone()];
        // In pieces, as it may come; what stands in front of it went on by then.
        let message = about(&file);
        let (first, rest) = message.split_at(message.len() / 2);
        socket.part(0x01, first).await;
        socket.say(9, "ping").await;
        assert_eq!(socket.hear().await.unwrap().0, 10);
        socket.part(0x80, rest).await;
        if is_there {
            assert!(socket.hear().await.unwrap().1.contains("Hello."));
            with += 1;
        } else {
            let (code, why) = socket.closed().await;
            assert!(code == 1008 && why.contains("another project"), "{code} {why}");
            without += 1;
        }
        drop(socket);
        until("it ended", || pool.snapshot().in_flight == 0).await;
        if with > 0 && without > 0 {
            break;
        }
    }
    assert!(with > 0 && without > 0, "{with} {without}");

    for (who, message) in [
        ("bob", about(&file)),
        ("alice", about("files/made-up")),
        ("alice", about(&file).replace("fileUri", "fil\\u0065Uri").replace("files/", "\\u0066iles/made-up")),
        ("alice", about(&file).replace('"', "'")),
        ("alice", about(&file).replace("user", &"user ".repeat(1 << 18))),
        ("bob", about(&file).replace("user", &" ".repeat((1 << 20) - 300))),
    ] {
        let mut socket = open(&served, &format!("x-goog-api-key: kp-{who}\r\n")).await;
        socket.say_as_far_as_possible(&message).await;
        let (code, why) = socket.closed().await;
        assert!(matches!(code, 1002 | 1008 | 1009), "{who}: {code} {why}");
        assert!(!why.contains(&file), "{why}");
        assert!(socket.hear().await.is_none());
        until("the lease ends with it", || pool.snapshot().in_flight == 0).await;
    }
    // What comes along with the setup is a later message, too.
    let mut socket = Socket::open(served.address, PATH, "x-goog-api-key: kp-bob\r\n").await;
    socket.say_both(SETUP, &about(&file)).await;
    assert_eq!(socket.closed().await.0, 1008);

    // Nothing of anybody's: however long, and whatever it looks like.
    let mut socket = open(&served, "x-goog-api-key: kp-bob\r\n").await;
    for text in ["x".repeat(3 << 20), "fileUri: files/a".to_owned()] {
        let turns = json!([{ "role": "user", "parts": [{ "text": text }] }]);
        socket.say(1, &json!({ "clientContent": { "turns": turns } }).to_string()).await;
        assert!(socket.hear().await.unwrap().1.contains("Hello."));
        assert!(socket.hear().await.unwrap().1.contains("turnComplete"));
    }
}

#[tokio::test]
async fn a_session_is_a_request_of_its_tenants_and_its_answers_cost_tokens() {
    let sim = sim().await;
    let pool = pool(&sim);
    let records = Records::default();
    let within = (Unknown::Refuse, Bounds::default());
    let (served, tenants, used) = Served::counting(&pool, &sim.url(), records.clone(), within).await;
    let requests = TenantLimits { rpd: Some(3), ..TenantLimits::default() };
    let tokens = TenantLimits { tpd: Some(30), ..TenantLimits::default() };
    tenants.set(From::Commands, vec![grant("alice", requests), grant("bob", tokens)]);
    let (alice, bob) = ("x-goog-api-key: kp-alice\r\n", "x-goog-api-key: kp-bob\r\n");
    let limited = async |who| {
        let socket = Socket::open(served.address, PATH, who).await;
        let head = socket.head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 429 ") && head.contains("retry-after: "), "{head}");
    };
    drop(open(&served, alice).await);
    until("it ended", || pool.snapshot().in_flight == 0).await;
    assert_eq!(refused(&served, alice, r#"{"setup":{"model":"m","cachedContent":"cachedContents/x"}}"#).await.0, 1008);
    drop(Socket::open(served.address, PATH, alice).await);
    limited(alice).await;

    let mut socket = open(&served, bob).await;
    for _ in 0..4 {
        socket.say(1, r#"{"clientContent":{"turns":["hello"]}}"#).await;
        assert!(socket.hear().await.unwrap().1.contains("Hello."));
        assert!(socket.hear().await.unwrap().1.contains("turnComplete"));
    }
    drop(socket);
    until("it ended", || pool.snapshot().in_flight == 0).await;
    limited(bob).await;

    let mut told = String::new();
    for _ in 0..100 {
        let lines = used.read(&records, "it", ("2000-01-01", "2999-12-31"), NOW).await.unwrap();
        let all = lines.iter().map(|(line, used)| format!("{} {} {used:?}\n", line.tenant, line.model));
        told = all.collect::<Vec<_>>().concat();
        if told.contains("failed: 2") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let line = |tenant: &str, model: &str, requests, failed, input_tokens, output_tokens| {
        format!("{tenant} {model} {:?}\n", Use { requests, failed, input_tokens, output_tokens })
    };
    let expected = [
        line("alice", "", 2, 2, 0, 0),
        line("alice", "gemini-2.5-flash", 1, 0, 0, 0),
        line("bob", "gemini-2.5-flash", 1, 0, 36, 12),
    ];
    assert_eq!(told, expected.concat());
}

/// In Unix milliseconds; any day.
const NOW: i64 = 1_800_000_000_000;

/// The key that sees something.
async fn get(served: &Served, token: &str, name: &str) -> String {
    let request = Request::get(served.url(&format!("/v1beta/{name}"))).header("x-goog-api-key", token);
    ask(request, "").await.header("x-keypool-key").to_owned()
}

/// A socket whose first message is not taken: its closing frame.
async fn refused(served: &Served, headers: &str, setup: &str) -> (u16, String) {
    let mut socket = Socket::open(served.address, PATH, headers).await;
    assert!(socket.head.starts_with("HTTP/1.1 101 "), "{}", socket.head);
    socket.say(1, setup).await;
    socket.closed().await
}

/// It is the provider that says so, in the words that clients show (go-genai), and no key is blamed.
#[tokio::test]
async fn a_model_that_is_not_there_is_the_clients_own_mistake() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    for _ in 0..5 {
        let (code, why) = refused(&served, &key, r#"{"setup":{"model":"models/nope-live"}}"#).await;
        assert!(
            code == 1008 && why.starts_with("models/nope-live is not found for API version v1beta"),
            "{code} {why}"
        );
        until("it ended", || pool.snapshot().in_flight == 0).await;
    }
    let (mut one, mut two) = (open(&served, &key).await, open(&served, &key).await);
    for socket in [&mut one, &mut two] {
        socket.say(1, r#"{"clientContent":{"turnComplete":true}}"#).await;
        assert!(socket.hear().await.unwrap().1.contains("Hello."));
    }
}

#[tokio::test]
async fn the_first_message_names_the_model_whose_limits_count() {
    let sim = sim().await;
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    let builder = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys).wait(Duration::ZERO);
    let limits = tower_keypool::Limits::new().per_minute(1);
    let pool = builder.limits("gemini-2.5-flash", limits).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    let (_one, _two) = (open(&served, &key).await, open(&served, &key).await);
    assert_eq!(serving(&pool), ["one", "two"], "each has one a minute");
    let (code, why) = refused(&served, &key, SETUP).await;
    assert!(code == 1013 && why.contains("gemini-2.5-flash"), "{code} {why}");
    let other = r#"{"setup":{"model":"models/gemini-2.0-flash"}}"#;
    let mut socket = Socket::open(served.address, PATH, &key).await;
    socket.set_up(other).await;

    // So a list of models holds here, too.
    let named = |name: &str, models: &[&str]| Grant {
        name: name.into(),
        token_hash: hash_of(format!("kp-{name}").as_bytes()),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        ..Grant::default()
    };
    tenants.set(From::Commands, vec![named("alice", &["gemini-2.0-*"])]);
    let alice = "x-goog-api-key: kp-alice\r\n";
    let mut fine = Socket::open(served.address, PATH, alice).await;
    fine.set_up(other).await;
    let before = pool.snapshot().started;
    for setup in [SETUP, r#"{"setup":{}}"#, r#"{"clientContent":{}}"#, "not JSON"] {
        let (code, why) = refused(&served, alice, setup).await;
        assert!(matches!(code, 1002 | 1008), "{setup}: {code} {why}");
    }
    let long = format!("{{\"setup\":{{\"model\":\"m\",\"x\":\"{}\"}}}}", "x".repeat(2 << 20));
    let mut socket = Socket::open(served.address, PATH, alice).await;
    let _ = tokio::time::timeout(Duration::from_secs(60), socket.say_as_far_as_possible(&long)).await;
    assert_eq!(socket.closed().await.0, 1009);
    assert_eq!(pool.snapshot().started, before, "nothing of these reached anybody");
}

#[tokio::test]
async fn a_session_is_resumed_with_its_own_owner_and_by_its_own_tenant() {
    const RESUMABLE: &str = r#"{"setup":{"model":"models/gemini-2.5-flash","sessionResumption":{}}}"#;

    let sim = sim().await;
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let grant = |name: &str| Grant {
        name: name.into(),
        token_hash: hash_of(format!("kp-{name}").as_bytes()),
        ..Grant::default()
    };
    tenants.set(From::Commands, vec![grant("alice"), grant("bob")]);
    let alice = "x-goog-api-key: kp-alice\r\n";
    let mut first = Socket::open(served.address, PATH, alice).await;
    first.set_up(RESUMABLE).await;
    let told: serde_json::Value = serde_json::from_str(&first.hear().await.unwrap().1).unwrap();
    let handle = told["sessionResumptionUpdate"]["newHandle"].as_str().unwrap().to_owned();
    let owner = serving(&pool);
    drop(first);
    until("it ended", || pool.snapshot().in_flight == 0).await;
    let resume = RESUMABLE.replace("{}", &format!("{{\"handle\":\"{handle}\"}}"));
    for _ in 0..4 {
        let mut again = Socket::open(served.address, PATH, alice).await;
        again.set_up(&resume).await;
        assert_eq!(serving(&pool), owner, "the other project knows nothing of it");
        drop(again);
        until("it ended", || pool.snapshot().in_flight == 0).await;
    }
    let started = pool.snapshot().started;
    for (who, setup) in [("bob", resume.clone()), ("alice", resume.replace("handle-", "made-up-"))] {
        let (code, why) = refused(&served, &format!("x-goog-api-key: kp-{who}\r\n"), &setup).await;
        assert!(code == 1008 && why.contains("not known here"), "{who}: {code} {why}");
    }
    let cached = r#"{"setup":{"model":"models/m","cachedContent":"cachedContents/of-somebody"}}"#;
    assert_eq!(refused(&served, alice, cached).await.0, 1008);
    assert_eq!(pool.snapshot().started, started, "neither was tried anywhere");
}

#[tokio::test]
async fn a_closing_frame_that_speaks_of_a_limit_rests_what_it_is_about() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    let mut socket = open(&served, &key).await;
    let key_id = serving(&pool).remove(0);
    socket.say(1, r#"{"clientContent":{"turns":["exceed-quota"]}}"#).await;
    let (code, why) = socket.closed().await;
    assert!(code == 1011 && why.starts_with("You exceeded your current quota"), "{code} {why}");
    until("the lease ends", || pool.snapshot().in_flight == 0).await;
    let other = open(&served, &key).await;
    assert_ne!(serving(&pool), std::slice::from_ref(&key_id), "it rests");
    let (code, _) = refused(&served, &key, SETUP).await;
    assert_eq!(code, 1013, "one rests, and one is busy");
    drop(other);
    // What a caller may have chosen says nothing.
    until("the lease ends", || pool.snapshot().in_flight == 0).await;
    let mut socket = Socket::open(served.address, PATH, &key).await;
    socket.say(1, r#"{"setup":{"x":"You exceeded your current quota"}}"#).await;
    assert_eq!(socket.closed().await.0, 1007);
    until("the lease ends", || pool.snapshot().in_flight == 0).await;
    drop(open(&served, &key).await);
}

#[tokio::test]
async fn a_session_is_set_up_once_and_first_of_all() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let models = vec!["gemini-2.5-flash".to_owned()];
    tenants.set(From::Commands, vec![Grant { models, ..grant("alice", TenantLimits::default()) }]);
    for headers in [format!("x-goog-api-key: {PLACEHOLDER}\r\n"), "x-goog-api-key: kp-alice\r\n".to_owned()] {
        let started = pool.snapshot().started;
        for first in [r#"{"clientContent":{"turns":[]}}"#, "{}", r#"{"setup":null}"#, r#"{"setup":"x"}"#, "[]", "1"] {
            let (code, why) = refused(&served, &headers, first).await;
            assert!(matches!(code, 1008) && (why.contains("setup") || why.contains("model")), "{first}: {code} {why}");
        }
        assert_eq!(pool.snapshot().started, started, "none of these got a key");
        let other = SETUP.replace("2.5-flash", "2.5-pro");
        let long = format!("{{\"clientContent\":{{\"x\":\"{}\"}},\"setup\":{{}}}}", "x".repeat(2 << 20));
        for again in [
            SETUP.to_owned(),
            other.clone(),
            other.replace("setup", "set\\u0075p"),
            other.replace("{\"setup\"", "{\"clientContent\":{},\"setup\""),
            other.replace('"', "'"),
            other.replacen("\"setup\"", "setup", 1),
            long,
        ] {
            let mut socket = open(&served, &headers).await;
            socket.say_as_far_as_possible(&again).await;
            let (code, why) = socket.closed().await;
            let short: String = again.chars().take(80).collect();
            assert!(matches!(code, 1002 | 1008 | 1009), "{short}: {code} {why}");
            assert!(code != 1008 || why.contains("set up once"), "{short}: {why}");
            drop(socket);
            until("the lease ends with it", || pool.snapshot().in_flight == 0).await;
        }
        let mut along = Socket::open(served.address, PATH, &headers).await;
        along.say_both(SETUP, &other).await;
        assert_eq!(along.closed().await.0, 1008);
        drop(along);
        until("the lease ends with it", || pool.snapshot().in_flight == 0).await;
        // Words about it are none.
        let mut socket = open(&served, &headers).await;
        let turns = json!([{ "role": "user", "parts": [{ "text": "what does \"setup\" mean, and setup: x?" }] }]);
        socket.say(1, &json!({ "clientContent": { "turns": turns } }).to_string()).await;
        assert!(socket.hear().await.unwrap().1.contains("Hello."));
        drop(socket);
        until("the lease ends with it", || pool.snapshot().in_flight == 0).await;
    }
}

#[tokio::test]
async fn who_pings_or_closes_before_the_setup_is_answered() {
    let sim = sim().await;
    let (served, _) = Served::kept(&pool(&sim), &sim.url(), Records::default()).await;
    let mut socket = Socket::open(served.address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    socket.say(9, "there?").await;
    assert_eq!(socket.hear().await.unwrap(), (10, "there?".to_owned()));
    let (one, other) = SETUP.split_at(9);
    socket.part(0x01, one).await;
    socket.say(9, "still there?").await;
    assert_eq!(socket.hear().await.unwrap(), (10, "still there?".to_owned()));
    socket.part(0x80, other).await;
    assert_eq!(socket.hear().await.unwrap(), (1, r#"{"setupComplete":{}}"#.to_owned()));

    for (said, heard) in [("\u{c}\u{0}bye", "\u{c}\u{0}"), ("", "")] {
        let mut socket = Socket::open(served.address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
        socket.say(8, said).await;
        assert_eq!(socket.hear().await, Some((8, heard.to_owned())));
        assert_eq!(socket.hear().await, None);
    }
}

#[tokio::test]
async fn who_leaves_while_the_session_waits_for_a_key_takes_none() {
    let sim = sim().await;
    let builder = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE).max_concurrent(1));
    let pool = builder.wait(Duration::from_secs(600)).build().unwrap();
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let headers = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    let first = open(&served, &headers).await;
    let (mut gone, mut polite) =
        (Socket::open(served.address, PATH, &headers).await, Socket::open(served.address, PATH, &headers).await);
    gone.say(1, SETUP).await;
    polite.say(1, SETUP).await;
    until("both wait", || pool.snapshot().waiters == 2).await;
    polite.say(9, "there?").await;
    assert_eq!(polite.hear().await.unwrap(), (10, "there?".to_owned()));
    polite.say(8, "").await;
    assert_eq!(polite.hear().await.unwrap(), (8, String::new()));
    drop(gone);
    until("nobody waits any more", || pool.snapshot().waiters == 0).await;
    drop(first);
    until("the key is free", || pool.snapshot().in_flight == 0).await;
    assert_eq!((pool.snapshot().started, sim.report().total.accepted), (1, 1));

    // What is said meanwhile is the provider's, and behind the setup.
    let first = open(&served, &headers).await;
    let mut early = Socket::open(served.address, PATH, &headers).await;
    early.say(1, SETUP).await;
    until("it waits", || pool.snapshot().waiters == 1).await;
    early.say(1, r#"{"clientContent":{"turns":["hello"],"turnComplete":true}}"#).await;
    early.say(9, "heard?").await;
    assert_eq!(early.hear().await.unwrap(), (10, "heard?".to_owned()));
    drop(first);
    assert_eq!(early.hear().await.unwrap(), (1, r#"{"setupComplete":{}}"#.to_owned()));
    assert!(early.hear().await.unwrap().1.contains("Hello."));
}

#[tokio::test]
async fn a_session_waits_as_long_as_it_says() {
    let sim = sim().await;
    let builder = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE).max_concurrent(1));
    let pool = builder.wait(Duration::from_secs(600)).build().unwrap();
    let (served, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let headers = |wait: &str| format!("x-goog-api-key: {PLACEHOLDER}\r\nx-keypool-wait: {wait}\r\n");
    let _first = open(&served, &headers("0")).await;
    let mut socket = Socket::open(served.address, PATH, &headers("0.01")).await;
    socket.say(1, SETUP).await;
    let (code, why) = socket.closed().await;
    assert!(code == 1013 && why.contains("1 busy"), "{code} {why}");
    let music = PATH.replace("Content", "Music");
    let socket = Socket::open(served.address, &music, &headers("0")).await;
    assert!(socket.head.starts_with("HTTP/1.1 503 "), "{}", socket.head);
    let socket = Socket::open(served.address, PATH, &headers("soon")).await;
    assert!(socket.head.starts_with("HTTP/1.1 400 "), "{}", socket.head);
}
