//! What tenants use where answers do not say it.

use std::{
    convert::Infallible,
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        listen::Bounds,
        resource::Unknown,
        tenant::{From, Grant, TenantLimits},
        token::PLACEHOLDER,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    binary::Running,
    home::Home,
    retold::{in_turn, vectors},
    serving::ONE,
    support::{Served, ask},
};

#[tokio::test]
async fn what_an_answer_does_not_say_that_it_cost_counts_as_it_was_expected() {
    let (address, _) = in_turn(vec![vectors(1)]).await;
    let upstream = format!("http://{address}");
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let within = (Unknown::Refuse, Bounds::default());
    let (served, tenants, _used) = Served::counting(&pool, &upstream, Records::default(), within).await;
    let limits = TenantLimits { tpm: Some(100), ..TenantLimits::default() };
    let token_hash = hash_of(b"kp-alice");
    tenants.set(From::Commands, vec![Grant { name: "alice".into(), token_hash, limits, ..Grant::default() }]);
    let body = json!({ "model": "gemini-embedding-001", "input": "word ".repeat(1_000) }).to_string();
    let mut refused = None;
    for _ in 0..5 {
        let request = Request::post(served.url("/v1/embeddings")).header("authorization", "Bearer kp-alice");
        let answer = ask(request, body.clone()).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a hundred tokens are no five times a thousand words");
    let error = &refused.json()["error"];
    assert_eq!((refused.status.as_u16(), &error["code"]), (429, &json!("rate_limit_exceeded")), "{refused:?}");
    assert_eq!(error["type"], "tokens", "of which kind the limit is");
}

const BOB: &str = "kp-bob-not-a-real-token-0000000001";
const WORD: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"}}],\"usage\":null}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1000,\"total_tokens\":1005}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
/// As Google says that it does not know a field.
const UNKNOWN: &str = r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"stream_options\": Cannot find field.","status":"INVALID_ARGUMENT"}}]"#;

/// A provider whose streams tell their usage where they are asked to; `knows`: one that has no such option refuses it.
async fn telling(knows: bool) -> (SocketAddr, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, came) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Value>>>::default());
    let arrivals = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let arrivals = Arc::clone(&arrivals);
            let answers = service_fn(move |request: Request<Incoming>| {
                let arrivals = Arc::clone(&arrivals);
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let asked: Value = serde_json::from_slice(&body).unwrap();
                    let wanted = asked["stream_options"]["include_usage"] == true;
                    let refuses = !knows && asked.get("stream_options").is_some();
                    let asked_wrongly = asked["n"] == 2;
                    let is_unknown = !knows && asked["n"] == 3 && asked.get("stream_options").is_some();
                    arrivals.lock().unwrap().push(asked);
                    let (status, kind, text) = match (refuses, wanted) {
                        _ if asked_wrongly => {
                            (400, "application/json", r#"{"error":{"message":"invalid image"}}"#.to_owned())
                        }
                        _ if is_unknown => (400, "application/json", UNKNOWN.to_owned()),
                        (true, _) => (
                            422,
                            "application/json",
                            r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}"#.to_owned(),
                        ),
                        (_, true) => (200, "text/event-stream", [WORD, WORD, USAGE, DONE].concat()),
                        (_, false) => (200, "text/event-stream", [WORD, WORD, DONE].concat()),
                    };
                    let answer = Response::builder().status(status).header("content-type", kind);
                    Ok::<_, Infallible>(answer.body(Full::<Bytes>::from(text)).unwrap())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answers));
        }
    });
    (address, came)
}

fn gateway(provider: SocketAddr, home: &Home) -> Running {
    let text = format!(
        "keys = [{{ secret = \"sk-unsaid-not-a-real-key-00000001\" }}]\n\
         tenants = [{{ name = \"bob\", token = \"{BOB}\", tpd = 3_000 }}]\n\
         gateway = {{ provider = \"openai\", listen = \"127.0.0.1:0\", upstream = \"http://{provider}/v1\" }}\n"
    );
    home.write("keypool.toml", &text);
    Running::of(home.command(&["serve"]))
}

fn streamed(running: &Running) -> http::request::Builder {
    Request::post(format!("{}/v1/chat/completions", running.url)).header("authorization", format!("Bearer {BOB}"))
}

/// A provider whose streams say so many words and then nothing more, neither usage nor an end.
async fn unending(words: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut room, mut read) = ([0; 4096], 0);
                while !room[..read].ends_with(b"}") {
                    read += stream.read(&mut room[read..]).await.unwrap();
                }
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
                stream.write_all([head, &WORD.repeat(words)].concat().as_bytes()).await.unwrap();
                // Until the gateway leaves.
                while stream.read(&mut room).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

/// Reads of a stream until it has come so far, and leaves. The status.
async fn leave_after(running: &Running, words: usize) -> u16 {
    let body = json!({ "model": "gpt-x", "stream": true, "messages": [] }).to_string();
    let address = running.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {BOB}");
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut read, mut came) = (vec![0; 64 << 10], Vec::new());
    loop {
        let more = stream.read(&mut read).await.unwrap();
        came.extend_from_slice(&read[..more]);
        let status = came.get(9..12).map_or(0, |status| std::str::from_utf8(status).unwrap().parse().unwrap());
        if more == 0
            || (status != 0 && status != 200)
            || came.windows(5).filter(|word| word == b"word ").count() >= words
        {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_stream_in_front_of_its_usage_pays_for_what_came() {
    let provider = unending(1_600).await;
    let home = Home::new();
    let running = gateway(provider, &home);
    assert_eq!(leave_after(&running, 1_600).await, 200);
    // That it has left is seen a moment later. The prompts alone would do for a hundred times as many.
    let mut left = 0;
    while leave_after(&running, 1).await == 200 {
        left += 1;
        assert!(left < 10, "two tokens a word were more than all of a day's");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::task::spawn_blocking(move || running.end()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_cost_is_asked_for_where_the_client_did_not() {
    let (provider, came) = telling(true).await;
    let home = Home::new();
    let running = gateway(provider, &home);
    let body = json!({ "model": "gpt-x", "stream": true, "messages": [] }).to_string();
    let mut good = 0;
    let refused = loop {
        let answer = ask(streamed(&running), body.clone()).await;
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(answer.body, [WORD, WORD, DONE].concat(), "the client did not ask");
        good += 1;
        assert!(good < 10, "a thousand tokens each, of three thousand a day");
    };
    assert_eq!((refused.status.as_u16(), good), (429, 3), "{refused:?}");
    assert_eq!(came.lock().unwrap().len(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_is_told_and_a_provider_without_the_option_is_left_alone() {
    let asks = json!({ "model": "gpt-x", "stream": true, "stream_options": { "include_usage": true } }).to_string();
    let does_not = json!({ "model": "gpt-x", "stream": true }).to_string();
    let (provider, _) = telling(true).await;
    let home = Home::new();
    let running = gateway(provider, &home);
    assert_eq!(ask(streamed(&running), asks).await.body, [WORD, WORD, USAGE, DONE].concat());
    let (provider, came) = telling(false).await;
    let home = Home::new();
    let running = gateway(provider, &home);
    for attempts in ["2", "1", "1"] {
        let answer = ask(streamed(&running), does_not.clone()).await;
        assert_eq!(
            (&*answer.body, answer.header("x-keypool-attempts")),
            ([WORD, WORD, DONE].concat().as_bytes(), attempts)
        );
    }
    assert_eq!(came.lock().unwrap().len(), 4, "it is asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_with_room_for_one_request_keeps_the_next_ones_plain() {
    let (provider, came) = telling(false).await;
    let home = Home::new();
    let text = format!(
        "keys = [{{ secret = \"sk-unsaid-not-a-real-key-00000004\", min_interval = \"700ms\" }}]\n\
         tenants = [{{ name = \"bob\", token = \"{BOB}\", tpd = 3_000 }}]\n\
         pool = {{ wait = \"100ms\" }}\n\
         gateway = {{ provider = \"openai\", listen = \"127.0.0.1:0\", upstream = \"http://{provider}/v1\" }}\n"
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let body = |model: &str| json!({ "model": model, "stream": true }).to_string();
    // Refused for the option, and then there is no room for the same without it.
    assert_eq!(ask(streamed(&running), body("gpt-x")).await.status, 503);
    let again = ask(streamed(&running).header("x-keypool-wait", "5"), body("gpt-x")).await;
    assert_eq!((again.status.as_u16(), &*again.body), (200, [WORD, WORD, DONE].concat().as_bytes()));
    // Another model of the same provider is another deployment.
    let other = ask(streamed(&running).header("x-keypool-wait", "5"), body("gpt-y")).await;
    assert_eq!(other.status, 200);
    let asked: Vec<bool> = came.lock().unwrap().iter().map(|asked| asked.get("stream_options").is_some()).collect();
    assert_eq!(asked, [true, false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_own_mistake_goes_out_once_and_says_nothing_of_the_option() {
    let (provider, came) = telling(true).await;
    let home = Home::new();
    let running = gateway(provider, &home);
    let wrong = json!({ "model": "gpt-x", "stream": true, "n": 2 }).to_string();
    let answer = ask(streamed(&running), wrong).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (400, &br#"{"error":{"message":"invalid image"}}"#[..]));
    let right = json!({ "model": "gpt-x", "stream": true }).to_string();
    assert_eq!(ask(streamed(&running), right).await.status, 200);
    let came = came.lock().unwrap();
    assert_eq!(came.len(), 2);
    assert!(came.iter().all(|asked| asked["stream_options"]["include_usage"] == true), "{came:?}");
}

/// A gateway whose keys have a limit of tokens, asked by whoever has its one token.
fn limited(provider: SocketAddr, home: &Home, kind: &str) -> Running {
    let (upstream, secret) = match kind {
        "openai" => (format!("http://{provider}/v1"), "sk-unsaid-not-a-real-key-00000002"),
        _ => (format!("http://{provider}"), "AIzaSyTEST-unsaid-not-a-real-key-0000002"),
    };
    let text = format!(
        "keys = [{{ secret = \"{secret}\" }}]\n\
         pool = {{ wait = 0 }}\n\
         limits = {{ default = {{ \"*\" = {{ total_tpm = 3_000 }} }} }}\n\
         gateway = {{ provider = \"{kind}\", openai = \"passthrough\", listen = \"127.0.0.1:0\", upstream = \"{upstream}\" }}\n"
    );
    home.write("keypool.toml", &text);
    Running::of(home.command(&["serve"]))
}

fn asked(running: &Running, path: &str) -> http::request::Builder {
    let request = Request::post(format!("{}{path}", running.url));
    request.header("content-type", "application/json").header("authorization", format!("Bearer {PLACEHOLDER}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_counts_for_its_key_whoever_asks_and_wherever() {
    for (kind, path) in [
        ("openai", "/v1/chat/completions"),
        ("openai", "/openai/v1/chat/completions"),
        ("gemini", "/v1/chat/completions"),
        ("gemini", "/v1beta/openai/chat/completions"),
        ("gemini", "/gemini/v1beta/openai/chat/completions"),
    ] {
        let (provider, came) = telling(true).await;
        let home = Home::new();
        let running = limited(provider, &home, kind);
        let body = r#"{"model": "gemini-2.5-flash", "stream":true, "messages" :[ ]}"#;
        let mut good = 0;
        while good < 10 {
            let answer = ask(asked(&running, path), body).await;
            if answer.status != 200 {
                break;
            }
            assert_eq!(answer.body, [WORD, WORD, DONE].concat(), "the client did not ask");
            good += 1;
        }
        assert!((2..=3).contains(&good), "a thousand tokens each, of three thousand: {good} at {kind} {path}");
        let came = came.lock().unwrap();
        assert!(came.iter().all(|asked| asked["stream_options"]["include_usage"] == true), "{came:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_provider_beside_is_asked_too_by_whatever_path() {
    let (provider, came) = telling(true).await;
    let home = Home::new();
    let text = format!(
        "keys = [{{ secret = \"AIzaSyTEST-unsaid-not-a-real-key-0000003\" }}]\n\
         gateway = {{ listen = \"127.0.0.1:0\", upstream = \"http://{provider}\" }}\n\
         [[providers]]\nname = \"open\"\nkind = \"openai\"\nupstream = \"http://{provider}/v1\"\n\
         keys = [{{ secret = \"sk-unsaid-not-a-real-key-00000003\" }}]\n\
         [[providers]]\nname = \"more\"\nkind = \"gemini\"\nupstream = \"http://{provider}\"\n\
         keys = [{{ secret = \"AIzaSyTEST-unsaid-not-a-real-key-0000005\" }}]\n"
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    for path in [
        "/to/open/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/v1/chat/completions",
        "/to/more/v1beta/openai/chat/completions",
        "/gemini/v1beta/openai/chat/completions",
    ] {
        let answer = ask(asked(&running, path), r#"{"model":"gpt-x","stream":true,"messages":[]}"#).await;
        assert_eq!(answer.body, [WORD, WORD, DONE].concat(), "{path}");
        let arrived = came.lock().unwrap().pop().unwrap();
        assert_eq!(arrived["stream_options"]["include_usage"], true, "{path}");
    }
}

/// What is none goes on as it came, and so does what cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stream_of_a_chat_goes_on_as_it_came() {
    let (provider, came) = telling(true).await;
    let home = Home::new();
    let running = limited(provider, &home, "openai");
    for (path, body) in [
        ("/v1/chat/completions", r#"{ "stream":false , "n":1e0}"#),
        ("/v1/responses", r#"{ "stream":true }"#),
        ("/v1/chat/completions", r#"{"stream":true, "stream_options":{"include_usage":true}}"#),
    ] {
        assert_eq!(ask(asked(&running, path), body).await.status, 200, "{path}");
        let arrived = came.lock().unwrap().pop().unwrap();
        assert_eq!(arrived, serde_json::from_str::<Value>(body).unwrap());
    }
    // What was said is listed by the same path.
    let listed = Request::get(format!("{}/v1/chat/completions", running.url));
    let answer = ask(listed.header("authorization", format!("Bearer {PLACEHOLDER}")), "{}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_compatible_endpoint_to_a_stream_that_was_asked_its_cost_are_openais() {
    let (provider, came) = telling(false).await;
    let home = Home::new();
    let running = limited(provider, &home, "gemini");
    // It does not know the option: that is nobody's business.
    let streamed = json!({ "model": "gemini-2.5-flash", "stream": true, "n": 3, "messages": [] }).to_string();
    let answer = ask(asked(&running, "/v1/chat/completions"), streamed).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, [WORD, WORD, DONE].concat().into()));
    assert_eq!(came.lock().unwrap().len(), 2);
    // A client that asked for it is told so, in its own words.
    let wants = json!({ "model": "gemini-2.5-flash", "stream": true, "n": 3, "messages": [],
        "stream_options": { "include_usage": true } });
    let refused = ask(asked(&running, "/v1/chat/completions"), wants.to_string()).await;
    let error = &refused.json()["error"];
    assert_eq!((refused.status.as_u16(), &error["type"]), (400, &json!("invalid_request_error")), "{refused:?}");
    assert!(error["message"].as_str().unwrap().contains("stream_options") && error["status"].is_null());
}

/// One that was read, to see what it is about.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_compatible_endpoint_that_was_read_is_openais() {
    let said =
        json!([{ "error": { "code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT" } }]).to_string();
    let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let (address, _) = in_turn(vec![format!("{head}content-length: {}\r\n\r\n{said}", said.len())]).await;
    let home = Home::new();
    let running = limited(address, &home, "gemini");
    let body = json!({ "model": "gemini-2.5-flash", "stream": true, "messages": [] }).to_string();
    let answer = ask(asked(&running, "/v1/chat/completions"), body).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status.as_u16(), &error["message"]), (400, &json!("no such thing")), "{answer:?}");
    assert!(error["type"] == "invalid_request_error" && error["status"].is_null(), "{answer:?}");
}

/// A provider that answers each request with what this makes of its body.
async fn answering(made: impl Fn(&Value) -> Response<Vec<u8>> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let made = made.clone();
            let answers = service_fn(move |request: Request<Incoming>| {
                let made = made.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let asked = serde_json::from_slice(&body).unwrap_or_default();
                    Ok::<_, Infallible>(made(&asked).map(|body| Full::new(Bytes::from(body))))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answers));
        }
    });
    address
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::fast());
    to.write_all(text).unwrap();
    to.finish().unwrap()
}

/// What says nothing of the key, though it comes as a 403 or packed.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_option_is_one_in_whatever_form_it_comes() {
    for (status, encoding) in [(403, "identity"), (400, "gzip"), (403, "gzip")] {
        let provider = answering(move |asked| {
            let refuses = asked.get("stream_options").is_some();
            let answer = Response::builder().header("content-encoding", encoding);
            let (status, kind, text) = if refuses {
                (
                    status,
                    "application/json",
                    r#"{"error":{"message":"'stream_options' is not allowed for this model","type":"forbidden"}}"#
                        .into(),
                )
            } else {
                (200, "text/event-stream", [WORD, DONE].concat())
            };
            let body = if encoding == "gzip" { packed(text.as_bytes()) } else { text.into_bytes() };
            answer.status(status).header("content-type", kind).body(body).unwrap()
        })
        .await;
        let home = Home::new();
        let running = limited(provider, &home, "openai");
        for _ in 0..3 {
            let body = r#"{"model": "gpt-x", "stream":true, "messages" :[ ]}"#;
            let answer = ask(asked(&running, "/v1/chat/completions"), body).await;
            assert_eq!(answer.status, 200, "{status} {encoding}: {answer:?}");
            let said: Bytes = if encoding == "gzip" {
                packed([WORD, DONE].concat().as_bytes()).into()
            } else {
                [WORD, DONE].concat().into()
            };
            assert_eq!(answer.body, said, "{status} {encoding}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_error_to_such_a_stream_comes_whole() {
    let long = json!({ "error": { "message": "no ".repeat(100_000), "type": "invalid_request_error" } }).to_string();
    let said = long.clone();
    let provider = answering(move |_| Response::builder().status(400).body(said.clone().into_bytes()).unwrap()).await;
    let home = Home::new();
    let running = limited(provider, &home, "openai");
    let body = r#"{"model": "gpt-x", "stream":true, "messages" :[ ]}"#;
    let answer = ask(asked(&running, "/v1/chat/completions"), body).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (400, long.len()));
    assert!(answer.body == long);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_packed_tells_who_did_not_ask_nothing() {
    for encoding in ["gzip", "identity"] {
        let provider = answering(move |_| {
            let text = [WORD, WORD, USAGE, DONE].concat().into_bytes();
            let body = if encoding == "gzip" { packed(&text) } else { text };
            let answer = Response::builder().header("content-type", "text/event-stream");
            answer.header("content-encoding", encoding).body(body).unwrap()
        })
        .await;
        let home = Home::new();
        let running = limited(provider, &home, "openai");
        let body = r#"{"model": "gpt-x", "stream":true, "messages" :[ ]}"#;
        let answer = ask(asked(&running, "/v1/chat/completions"), body).await;
        assert_eq!((answer.status.as_u16(), answer.body), (200, [WORD, WORD, DONE].concat().into()), "{encoding}");
    }
}

/// One whose keys have a limit for one model, of a request a minute.
fn rare(provider: SocketAddr, home: &Home) -> Running {
    let text = format!(
        "keys = [{{ secret = \"sk-unsaid-not-a-real-key-00000006\", tier = \"free\" }}]\n\
         pool = {{ wait = 0 }}\n\
         limits = {{ known = {{ \"rare-1\" = {{ free = {{ rpm = 1 }} }} }} }}\n\
         gateway = {{ provider = \"openai\", listen = \"127.0.0.1:0\", upstream = \"http://{provider}/v1\" }}\n"
    );
    home.write("keypool.toml", &text);
    Running::of(home.command(&["serve"]))
}

/// A form of a file, with the model behind it, as the client in JavaScript writes it.
fn form(model: &str, border: &str) -> String {
    let file = "RIFF".repeat(50_000);
    format!(
        "--{border}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{file}\r\n\
         --{border}\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--{border}--\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_packed_bodies_count_by_their_models() {
    let provider = answering(|_| Response::new(b"{}".to_vec())).await;
    let posted = |running: &Running, path: &str, kind: &str| {
        let request = Request::post(format!("{}{path}", running.url)).header("content-type", kind);
        request.header("authorization", format!("Bearer {PLACEHOLDER}"))
    };
    for path in ["/v1/audio/transcriptions", "/v1/images/edits"] {
        let home = Home::new();
        let running = rare(provider, &home);
        let kind = "multipart/form-data; boundary=----b0";
        let statuses = async |model: &str| {
            let first = ask(posted(&running, path, kind), form(model, "----b0")).await.status.as_u16();
            [first, ask(posted(&running, path, kind), form(model, "----b0")).await.status.as_u16()]
        };
        assert_eq!(statuses("often-1").await, [200, 200], "{path}");
        assert_eq!(statuses("rare-1").await, [200, 503], "{path}");
        // One that is written in another way is the provider's to read.
        let odd = form("rare-1", "other");
        assert_eq!(ask(posted(&running, path, kind), odd).await.status, 200, "{path}");
    }
    let home = Home::new();
    let running = rare(provider, &home);
    for (model, expected) in [("often-1", [200, 200]), ("rare-1", [200, 503])] {
        for status in expected {
            let body = packed(json!({ "model": model, "input": "x" }).to_string().as_bytes());
            let request = posted(&running, "/v1/embeddings", "application/json").header("content-encoding", "gzip");
            assert_eq!(ask(request, body).await.status, status, "{model}");
        }
    }
}

/// What the gateway would only have looked at is the provider's to refuse.
#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_that_cannot_be_unpacked_here_goes_on_as_it_came() {
    let came = Arc::<Mutex<Vec<usize>>>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (provider, arrivals) = (listener.local_addr().unwrap(), Arc::clone(&came));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let arrivals = Arc::clone(&arrivals);
            let answers = service_fn(move |request: Request<Incoming>| {
                let arrivals = Arc::clone(&arrivals);
                async move {
                    assert_eq!(request.headers()["content-encoding"], "gzip");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    arrivals.lock().unwrap().push(body.len());
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}")))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answers));
        }
    });
    let home = Home::new();
    let running = rare(provider, &home);
    for body in [packed(&vec![b' '; 33 << 20]), b"no gzip".to_vec()] {
        let request = asked(&running, "/v1/chat/completions").header("content-encoding", "gzip");
        assert_eq!(ask(request, body.clone()).await.status, 200);
        assert_eq!(came.lock().unwrap().pop(), Some(body.len()));
    }
}
