//! Connections that do not end by themselves, and what becomes of those in flight when the gateway ends.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use keypool::gateway::token::PLACEHOLDER;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::service_fn;
use tower_keypool::Key;

use crate::{
    binary::{Running, key_file, keypool},
    home::Home,
    live::{PATH, Socket},
    serving::{HELLO, ONE, TWO},
    support::{Served, ask, client, echo},
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

const STREAM: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";

/// `keypool serve` over one key of this simulator, with these settings.
fn serve(sim: &GeminiSim, settings: &[(&str, &str)]) -> Running {
    let mut command = keypool(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url()]);
    command.env("GEMINI_API_KEY", ONE).envs(settings.iter().copied());
    Running::of(command)
}

/// A stream, of which the first piece has come.
async fn begun(running: &Running) -> (Bytes, http::Response<hyper::body::Incoming>) {
    let request = Request::post(format!("{}{STREAM}", running.url)).header("x-goog-api-key", PLACEHOLDER);
    let request = request.header("content-type", "application/json").body(Full::<Bytes>::from(HELLO)).unwrap();
    let mut response = client().request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    (first, response)
}

async fn ready(running: &Running) -> u16 {
    ask(Request::get(format!("{}/-/ready", running.url)), "").await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_first_then_takes_no_connection_and_ends_when_its_streams_have() {
    let sim = GeminiSim::builder().key(ONE).chunks(20).chunk_latency(Duration::from_millis(100)).start().await.unwrap();
    let mut running = serve(&sim, &[("KEYPOOL__GATEWAY__DRAIN_DELAY", "5s")]);
    let (first, response) = begun(&running).await;
    assert_eq!(ready(&running).await, 200);
    running.signal("-TERM");
    running.line_with("requests are taken for another 5 s");
    // Whoever balances loads hears of it while it still serves.
    assert_eq!(ready(&running).await, 503);
    let beside = begun(&running).await;
    running.line_with("answers under way get 10 s");
    let address = running.url.strip_prefix("http://").unwrap().to_owned();
    let closed = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed).await.expect("no connection is taken any more");
    for (first, response) in [(first, response), beside] {
        let rest = response.into_body().collect().await.unwrap().to_bytes();
        let whole = [first, rest].concat();
        assert_eq!(String::from_utf8(whole).unwrap().matches("data: ").count(), 20);
    }
    let (code, told) = running.ended();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("cut off"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_cut_off_and_a_second_signal_waits_for_nothing() {
    let sim = GeminiSim::builder().key(ONE).chunks(100).chunk_latency(Duration::from_secs(1)).start().await.unwrap();
    let mut running = serve(&sim, &[("KEYPOOL__GATEWAY__GRACE", "300ms")]);
    let (_, response) = begun(&running).await;
    running.signal("-INT");
    assert!(running.line_with("cut off").contains(" WARN 1 connection of clients"));
    let told = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&told).contains("is stopping"), "{told:?}");
    assert_eq!(running.ended().0, Some(0));

    // A socket counts as well, and is told.
    let mut running = serve(&sim, &[("KEYPOOL__GATEWAY__GRACE", "300ms")]);
    let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut socket = Socket::open(address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    socket.say(1, r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#).await;
    assert!(socket.hear().await.unwrap().1.contains("setupComplete"));
    running.signal("-TERM");
    assert!(running.line_with("cut off").contains(" WARN 1 connection of clients"));
    assert_eq!(socket.closed().await.0, 1001);
    assert_eq!(running.ended().0, Some(0));

    for settings in [&[][..], &[("KEYPOOL__GATEWAY__DRAIN_DELAY", "1h")]] {
        let mut running = serve(&sim, settings);
        let (_, response) = begun(&running).await;
        running.signal("-TERM");
        running.line_with("ending: ");
        // Two in one moment are one, however long that takes.
        let stopping = async {
            loop {
                if let Some(told) = running.has_ended() {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                running.signal("-TERM");
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(60), stopping).await.expect("it does not wait");
        assert!(told.starts_with("exit status: 130"), "{told}");
        assert!(response.into_body().collect().await.is_err());
    }
}

/// A client that is told so knows that its answer is not whole, and asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_off_ends_with_an_error_of_its_dialect() {
    const CHAT: &str =
        r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}],"max_tokens":9,"stream":true}"#;
    let sim = GeminiSim::builder().key(ONE).key(TWO).chunks(100).chunk_latency(Duration::from_millis(100));
    let sim = sim.start().await.unwrap();
    let home = Home::new();
    let second = format!(
        "[[providers]]\nname = \"second\"\nkind = \"gemini\"\nupstream = \"{}\"\nkeys = [{{ id = \"two\", secret = \"{TWO}\" }}]\n",
        sim.url()
    );
    home.write("keypool.toml", &second);
    let beside = format!("/to/second{STREAM}");
    for (path, body, begin, word) in [
        ("/v1/chat/completions", CHAT, "data: {\"error\":{", "server_error"),
        ("/v1/messages", CHAT, "event: error\ndata: {\"error\":{", "\"overloaded_error\"},\"type\":\"error\"}"),
        (STREAM, HELLO, "data: {\"error\":{\"code\":503,", "\"status\":\"UNAVAILABLE\"}}"),
        (&*beside, HELLO, "data: {\"error\":{\"code\":503,", "\"status\":\"UNAVAILABLE\"}}"),
    ] {
        let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url()]);
        command.env("GEMINI_API_KEY", ONE).env("KEYPOOL__GATEWAY__GRACE", "300ms");
        let mut running = Running::of(command);
        let request = Request::post(format!("{}{path}", running.url)).header("content-type", "application/json");
        let request = request.header("x-goog-api-key", PLACEHOLDER).body(Full::<Bytes>::from(body)).unwrap();
        let mut response = client().request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        running.signal("-TERM");
        let rest = response.into_body().collect().await.expect("it ends as an answer does").to_bytes();
        let whole = String::from_utf8([first, rest].concat()).unwrap();
        let event = whole.trim_end().replace("\r\n", "\n");
        let event = event.rsplit("\n\n").next().unwrap();
        assert!(event.starts_with(begin) && event.contains(word) && whole.ends_with("\n\n"), "{path}: {whole}");
        assert!(event.contains("is stopping") && !whole.contains("[DONE]"), "{path}: {whole}");
        assert!(running.line_with("cut off").contains(" WARN 1 connection of clients"));
        assert_eq!(running.ended().0, Some(0), "{path}");
    }
}

/// One that has no place for such an event breaks off, and is told as one that did, not as one that its client left.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_off_without_a_word_is_told_as_broken_off() {
    let sim =
        GeminiSim::builder().key(ONE).chunks(100).chunk_latency(Duration::from_millis(100)).start().await.unwrap();
    let running = serve(&sim, &[("KEYPOOL__GATEWAY__GRACE", "300ms")]);
    let uri = format!("{}{}", running.url, STREAM.strip_suffix("?alt=sse").unwrap());
    let request = Request::post(uri).header("content-type", "application/json").header("x-request-id", "array");
    let request = request.header("x-goog-api-key", PLACEHOLDER).body(Full::<Bytes>::from(HELLO)).unwrap();
    let mut response = client().request(request).await.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"["), "{first:?}");
    running.signal("-TERM");
    assert!(response.into_body().collect().await.is_err());
    let (code, told) = running.ended();
    assert_eq!(code, Some(0), "{told}");
    let broken = told.lines().filter(|line| line.contains("WARN the answer broke off behind its head request=array"));
    assert_eq!(broken.count(), 1, "{told}");
}

/// Whoever has no answer yet is told so in its dialect, and neither cut off without a word nor taken for one who left.
#[tokio::test(flavor = "multi_thread")]
async fn who_still_waits_for_an_answer_at_the_end_is_told_to_ask_again() {
    const CHAT: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}],"max_tokens":9}"#;
    let sim = GeminiSim::builder().key(ONE).latency(Duration::from_secs(3600)).start().await.unwrap();
    let running = serve(&sim, &[("KEYPOOL__GATEWAY__GRACE", "300ms")]);
    let newer = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let asking = async |client: &Client<_, _>, id: &str, path: &str, body: &'static str| {
        let request = Request::post(format!("{}{path}", running.url)).header("content-type", "application/json");
        let request = request.header("x-goog-api-key", PLACEHOLDER).header("x-request-id", id);
        let response = client.request(request.body(Full::<Bytes>::from(body)).unwrap()).await.expect("it is answered");
        let (head, body) = response.into_parts();
        assert_eq!(head.status, 503, "{id}");
        assert_eq!(head.headers["retry-after"], "1");
        assert_eq!(head.headers["x-request-id"], id);
        String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap()
    };
    let native = "/v1beta/models/gemini-2.5-flash:generateContent";
    let older = client();
    let stop = async {
        let metrics = || ask(Request::get(format!("{}/-/metrics", running.url)), "");
        while !String::from_utf8_lossy(&metrics().await.body).contains("\nkeypool_requests_in_flight 4\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.signal("-TERM");
    };
    let (a, b, c, d, ()) = tokio::join!(
        asking(&older, "native", native, HELLO),
        asking(&newer, "native2", native, HELLO),
        asking(&older, "chat", "/v1/chat/completions", CHAT),
        asking(&newer, "messages2", "/v1/messages", CHAT),
        stop
    );
    for (told, word) in [(a, "UNAVAILABLE"), (b, "UNAVAILABLE"), (c, "server_error"), (d, "overloaded_error")] {
        assert!(told.contains("is stopping") && told.contains(word), "{told}");
    }
    let (code, log) = running.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("the client left"), "{log}");
    for id in ["native", "native2", "chat", "messages2"] {
        assert!(log.contains(&format!("request={id} tenant=default status=503")), "{id}: {log}");
    }
}

/// As the first process of a container, which no signal ends that it does not listen to.
#[test]
fn it_ends_while_it_waits_for_its_store_to_come() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = keypool(&["serve", "--listen", "127.0.0.1:0", "--redis", &format!("redis://{nobody}")]);
    command.env("GEMINI_API_KEY", ONE).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    while !told.contains("waiting for it") {
        assert_ne!(out.read_line(&mut told).unwrap(), 0, "{told}");
    }
    // A hang-up asks for what is configured now, and ends nothing.
    for signal in ["-HUP", "-TERM"] {
        let signalled = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
    }
    out.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{told}");
    assert!(told.contains(" INFO ended before anybody was let in\n"), "{told}");
}

/// Beyond this process: what was counted is in the database, and what was lent is free at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_held_is_handed_back_and_what_it_counted_is_kept() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (keys, database) = (key_file(&format!("{ONE} rpm=5 rpd=100\n")), folder.path().join("keypool.db"));
    let serve = || {
        let args = ["serve", "--keys", keys.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--wait", "0"];
        let mut command =
            keypool(&[&args[..], &["--upstream", &sim.url(), "--db", database.to_str().unwrap()]].concat());
        // Nobody could have what a process held that did not say so.
        command.env("KEYPOOL_LEASE", "300");
        Running::of(command)
    };
    let statuses = async |running: &Running, n: usize| {
        let mut statuses = Vec::new();
        for _ in 0..n {
            let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
            let request =
                Request::post(url).header("x-goog-api-key", PLACEHOLDER).header("content-type", "application/json");
            statuses.push(ask(request, HELLO).await.status.as_u16());
        }
        statuses
    };
    let (first, second) = (serve(), serve());
    assert_eq!(statuses(&first, 2).await, [200, 200]);
    first.signal("-TERM");
    assert_eq!(first.ended().0, Some(0));
    assert_eq!(statuses(&second, 4).await, [200, 200, 200, 503]);
}
