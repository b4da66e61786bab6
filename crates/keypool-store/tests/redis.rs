//! The Redis store when servers fail, in real time.

mod storage;

use std::{
    io::{PipeReader, Read, Write},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use keypool_store::{
    conformance::{self, candidate, request},
    redis::{RedisErrorKind, RedisOptions, RedisStore},
};
use redis_fixture::RedisServer;
use tokio::time::{sleep, timeout};
use tower_keypool::{
    Clock, Gemini, Key, KeyPool, KeyRequest, Limit, Limits, Span, Unit,
    store::{BreakerTarget, Candidate, Granted, Record, ReserveRequest, Store},
};
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

/// Maximum time until a server that is back serves again.
const BACK: Duration = Duration::from_secs(10);

/// A store that is polled for changes as often as a pool does.
struct Client {
    store: RedisStore,
    poll: tokio::task::JoinHandle<()>,
}

impl Client {
    async fn of(server: &RedisServer) -> Self {
        let store = RedisStore::connect(RedisOptions::new(server.url())).await.unwrap();
        let mut revision = store.load().await.unwrap().revision;
        let polled = store.clone();
        let poll = tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(250)).await;
                if let Ok(changes) = polled.changes(revision).await {
                    revision = changes.revision;
                }
            }
        });
        Self { store, poll }
    }

    /// Returns `None` if the store is unavailable or there is no room.
    async fn reserve(&self, candidate: &Candidate) -> Option<Granted> {
        let request = ReserveRequest { candidates: vec![candidate.clone()], cost: request(10) };
        self.store.reserve(request).await.ok()?.granted
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

/// Waits at most 30 s until a condition holds.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), wait).await.expect("in time");
}

/// Logs what this thread emits. Returns the reader of the lines, which ends when the rest is dropped.
fn log() -> (PipeReader, (DefaultGuard, Dispatch)) {
    // With only one subscriber, tracing caches that nobody listens to an event that another thread emits first.
    let second = Dispatch::new(NoSubscriber::default());
    let (reader, writer) = std::io::pipe().unwrap();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(std::sync::Mutex::new(writer)).finish();
    (reader, (set_default(log), second))
}

fn candidate_limited_to(project: &str, amount: u64) -> Candidate {
    let span = Span::Sliding(Duration::from_secs(30));
    candidate(project, &Limits::new().with(Limit { unit: Unit::Requests, span, amount }))
}

/// Fills quotas and lets `event` happen to the server. The grants must still count, and the server must serve again.
async fn survives(mut server: RedisServer, event: impl AsyncFnOnce(&mut RedisServer)) {
    let (one, other) = (Client::of(&server).await, Client::of(&server).await);
    let (minute, day, corrected) = (candidate_limited_to("minute", 5), candidate("day", &Limits::new().per_day(5)), {
        let limit = Limit { unit: Unit::InputTokens, span: Span::Sliding(Duration::from_secs(30)), amount: 100 };
        candidate("corrected", &Limits::new().with(limit))
    });
    for quota in [&minute, &day] {
        for client in [&one, &other, &one, &one, &other] {
            client.reserve(quota).await.unwrap();
        }
        assert_eq!(other.reserve(quota).await, None);
    }
    let granted = one.reserve(&corrected).await.unwrap();
    let used = conformance::used(&corrected, granted, request(10), request(95));
    let disabled = Record::Open { target: BreakerTarget::Key("k".into()), until_ms: None, class: None, reason: None };
    one.store.record(vec![used, disabled.clone()]).await.unwrap();

    event(&mut server).await;

    let clock = Clock::system();
    let (back, free) = (clock.now(), candidate_limited_to("free", 1_000));
    while other.reserve(&free).await.is_none() {
        // The other client only reads changes; the first one must report its grants.
        for quota in [&minute, &day, &corrected] {
            assert_eq!(other.reserve(quota).await, None, "over the limit");
        }
        assert!(clock.now().since(back) < BACK, "the server does not serve again");
        sleep(Duration::from_millis(10)).await;
    }
    println!("serves again after {:?}", clock.now().since(back));
    let new = Client::of(&server).await;
    for client in [&one, &other, &new] {
        for quota in [&minute, &day, &corrected] {
            assert_eq!(client.reserve(quota).await, None, "over the limit");
        }
        client.reserve(&free).await.unwrap();
    }
    assert!(new.store.load().await.unwrap().records.contains(&disabled));
}

#[tokio::test]
async fn flushed_server_gets_its_state_from_the_clients() {
    let Some(server) = RedisServer::start() else { return };
    survives(server, async |server| drop(server.command(&["FLUSHALL"]))).await;
}

#[tokio::test]
async fn server_that_lost_its_counts_gets_them_from_the_clients() {
    let Some(server) = RedisServer::start() else { return };
    survives(server, async |server| drop(server.command(&["DEL", "{keypool}:quotas"]))).await;
}

#[tokio::test]
async fn empty_server_gets_its_state_from_the_clients() {
    let Some(server) = RedisServer::start() else { return };
    survives(server, async |server| server.start_empty()).await;
}

#[tokio::test]
async fn killed_server_restarts_from_its_file() {
    let Some(server) = RedisServer::lasting() else { return };
    survives(server, async |server| server.start_again()).await;
}

#[tokio::test]
async fn promoted_replica_gets_missed_writes_from_the_clients() {
    let (Some(server), Some(mut replica)) = (RedisServer::start(), RedisServer::start()) else { return };
    Client::of(&server).await;
    replica.follow(&server);
    // From now on the replica misses all writes.
    replica.promote();
    survives(server, async |server| {
        replica.take_the_place_of(server);
        std::mem::swap(server, &mut replica);
    })
    .await;
}

#[tokio::test]
async fn frozen_server_serves_again_after_a_pause() {
    let Some(server) = RedisServer::start() else { return };
    survives(server, async |server| {
        server.freeze();
        sleep(Duration::from_secs(3)).await;
        server.thaw();
    })
    .await;
}

#[tokio::test]
async fn restarted_server_serves_again() {
    let Some(server) = RedisServer::start() else { return };
    survives(server, async |server| {
        server.kill();
        sleep(Duration::from_secs(3)).await;
        server.start_empty();
    })
    .await;
}

#[tokio::test]
async fn calls_fail_quickly_while_the_server_is_unavailable() {
    let Some(mut server) = RedisServer::start() else { return };
    let (client, free) = (Client::of(&server).await, candidate_limited_to("free", 1_000));
    let fails = async || {
        let request = ReserveRequest { candidates: vec![free.clone()], cost: request(0) };
        let answer = timeout(Duration::from_secs(5), client.store.reserve(request)).await.expect("in time");
        std::error::Error::source(&answer.unwrap_err()).unwrap().to_string()
    };
    server.freeze();
    assert!(fails().await.ends_with("did not answer in time"));
    server.kill();
    assert!(fails().await.contains("cannot be reached"));
}

#[tokio::test]
async fn timed_out_call_does_not_fail_other_calls() {
    let Some(server) = RedisServer::start() else { return };
    let (client, free) = (Client::of(&server).await, candidate_limited_to("free", 1_000));
    client.poll.abort();
    let reserve = || {
        let (store, candidates) = (client.store.clone(), vec![free.clone()]);
        tokio::spawn(async move { store.reserve(ReserveRequest { candidates, cost: request(0) }).await })
    };
    server.freeze();
    let early = reserve();
    sleep(Duration::from_millis(700)).await;
    let later: Vec<_> = (0..20).map(|_| reserve()).collect();
    assert!(early.await.unwrap().is_err());
    server.thaw();
    for call in later {
        assert!(call.await.unwrap().unwrap().granted.is_some());
    }
}

#[tokio::test]
async fn cluster_node_conforms() {
    let Some(server) = RedisServer::with(&["--save", "", "--cluster-enabled", "yes"]).map(Arc::new) else { return };
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually(async || server.command(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok")).await;
    conformance::run(&storage::Redis::on(&server, storage::START_MS).await).await;
    let keys = server.command(&["KEYS", "*"]);
    assert!(keys.texts().len() == 4 && keys.texts().iter().all(|key| key.starts_with("{test-")), "{keys:?}");
}

#[test]
fn scripts_use_only_declared_keys() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/redis");
    let mut calls = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "lua") {
            let text = std::fs::read_to_string(path).unwrap();
            for call in text.split("redis.call(").skip(1) {
                let (command, rest) = call.split_once('\'').unwrap().1.split_once('\'').unwrap();
                assert!(command == "TIME" || rest.starts_with(", KEYS["), "{command}{}", &rest[..20]);
                calls += 1;
            }
        }
    }
    assert!(calls > 10);
}

#[tokio::test]
async fn evicting_policy_is_logged_once() {
    let Some(mut server) = RedisServer::with(&["--save", "", "--maxmemory-policy", "allkeys-lru"]) else { return };
    let (log, guard) = log();
    let client = Client::of(&server).await;
    server.start_again();
    eventually(async || client.reserve(&candidate_limited_to("free", 1_000)).await.is_some()).await;
    drop((guard, client));
    let text = std::io::read_to_string(log).unwrap();
    assert_eq!(text.matches("set its maxmemory-policy to noeviction").count(), 1, "{text}");
    assert!(text.contains("policy=\"allkeys-lru\""), "{text}");
}

#[tokio::test]
async fn connection_error_names_the_cause_without_the_password() {
    let connect = async |url: &str| {
        let error = RedisStore::connect(RedisOptions::new(url)).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", tower_keypool::Error::from(error.clone()));
        assert!(!text.contains("hush"), "{text}");
        (error.kind(), error.to_string())
    };
    assert_eq!(connect("redis//:hush@localhost").await.0, RedisErrorKind::Invalid);
    assert_eq!(connect("http://:hush@localhost").await.0, RedisErrorKind::Invalid);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("redis://:hush@{address}");
    let silent = format!("Redis at {address} did not answer in time");
    assert_eq!(connect(&url).await, (RedisErrorKind::TimedOut, silent));
    let web = std::thread::spawn(move || {
        // The connection of the call that timed out is still in the queue.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1_024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let not_redis = format!("{address} does not answer like a Redis server");
    assert_eq!(connect(&url).await, (RedisErrorKind::NotRedis, not_redis));
    web.join().unwrap();
    let (kind, text) = connect(&url).await;
    assert!(kind == RedisErrorKind::Unreachable && text.contains("refused"), "{text}");

    let Some(server) = RedisServer::with(&["--save", "", "--requirepass", "open sesame"]) else { return };
    let address = format!("127.0.0.1:{}", server.port());
    let denied = format!("Redis at {address} refuses the user or password; check both in the store's address");
    assert_eq!(connect(&format!("redis://:hush@{address}")).await, (RedisErrorKind::Denied, denied.clone()));
    assert_eq!(connect(&server.url()).await, (RedisErrorKind::Denied, denied));
    RedisStore::connect(RedisOptions::new(server.url()).password("open sesame")).await.unwrap();
}

#[tokio::test]
async fn error_of_the_server_says_what_to_do() {
    let options: [(&[&str], &str); 2] = [
        (&["--maxmemory", "1"], "is out of memory; raise its maxmemory"),
        (
            &["--cluster-enabled", "yes"],
            "is a node of a cluster, which is not supported; use a server that has all data",
        ),
    ];
    for (options, advice) in options {
        let Some(server) = RedisServer::with(&[&["--save", ""], options].concat()) else { return };
        let store = RedisStore::connect(RedisOptions::new(server.url())).await.unwrap();
        let error = store.load().await.unwrap_err();
        let error = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(error, format!("Redis at 127.0.0.1:{} {advice}", server.port()));
    }
}

#[tokio::test]
async fn tls_connection_works() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name).display().to_string());
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let tls_port = ["--save", "", "--tls-port", &port.to_string()].map(str::to_owned);
    let options: Vec<&str> = tls_port.iter().map(String::as_str).chain(tls).collect();
    let Some(_server) = RedisServer::with(&options) else { return };
    let options = RedisOptions::new(format!("rediss://localhost:{port}"));
    let unknown = RedisStore::connect(options.clone()).await.unwrap_err();
    assert_eq!(unknown.kind(), RedisErrorKind::Unreachable);
    assert!(unknown.to_string().ends_with("trust the authority of its certificate (`redis_ca_file`)"), "{unknown}");
    let empty = RedisStore::connect(options.clone().root_certificates(made.signing_key.serialize_pem())).await;
    assert_eq!(empty.unwrap_err().to_string(), "the certificates to trust (`redis_ca_file`) contain none in PEM form");
    let store = RedisStore::connect(options.root_certificates(made.cert.pem())).await.unwrap();
    store.load().await.unwrap();
    let plain = RedisServer::start().unwrap();
    let error = RedisStore::connect(RedisOptions::new(format!("rediss://localhost:{}", plain.port()))).await;
    let expected = format!("Redis at localhost:{} over TLS did not answer in time", plain.port());
    assert_eq!(error.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn pools_share_a_limit() {
    let Some(server) = RedisServer::start() else { return };
    let pool = async || {
        let store = RedisStore::connect(RedisOptions::new(server.url())).await.unwrap();
        let builder =
            KeyPool::builder(Gemini::new()).store(store).limits("gemini-2.5-flash", Limits::new().per_minute(3));
        let key = |name: &str| Key::new(format!("AIza-{name}")).project(name);
        builder.key(key("one")).key(key("two")).open().await.unwrap()
    };
    let (one, other) = (pool().await, pool().await);
    let mut leases = Vec::new();
    for _ in 0..10 {
        for pool in [&one, &other] {
            leases.extend(pool.acquire(KeyRequest::model("gemini-2.5-flash")).await);
        }
    }
    assert_eq!(leases.len(), 6);
    drop(leases);
    drop((one, other));
    pool().await.acquire(KeyRequest::model("gemini-2.5-flash")).await.unwrap_err();
}

#[tokio::test]
async fn client_without_info_does_not_disturb_the_others() {
    let Some(server) = RedisServer::start() else { return };
    server.command(&["ACL", "SETUSER", "plain", "on", ">open", "~*", "&*", "+@all", "-info"]);
    let (log, guard) = log();
    let options = RedisOptions::new(server.url()).username("plain").password("open");
    let plain = RedisStore::connect(options).await.unwrap();
    let client = Client::of(&server).await;
    plain.load().await.unwrap();
    for _ in 0..3 {
        assert!(client.reserve(&candidate_limited_to("free", 1_000)).await.is_some());
        plain.changes(0).await.unwrap();
    }
    drop((guard, client, plain));
    let text = std::io::read_to_string(log).unwrap();
    assert_eq!(text.matches("does not report its run id").count(), 1, "{text}");
}

#[tokio::test]
async fn lost_records_do_not_prevent_a_start() {
    let Some(server) = RedisServer::start() else { return };
    let client = Client::of(&server).await;
    let opened =
        |key: &str| Record::Open { target: BreakerTarget::Key(key.into()), until_ms: None, class: None, reason: None };
    client.store.record(vec![opened("lost")]).await.unwrap();
    let keys = server.command(&["KEYS", "*:records"]);
    server.command(&["DEL", keys.texts()[0]]);
    client.store.record(vec![opened("kept")]).await.unwrap();
    let new = RedisStore::connect(RedisOptions::new(server.url())).await.unwrap();
    assert_eq!(new.load().await.unwrap().records, [opened("kept")]);
}
