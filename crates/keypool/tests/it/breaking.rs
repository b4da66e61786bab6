//! Answers that break off, or turn into an error, once their heads have gone out: the client sees it, and so do usage, log
//! and the pool.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keypool::{gateway::token::PLACEHOLDER, outgoing::Outgoing, status::StoreHealth};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, Priority, VerdictKind};

use crate::{
    admin::{TOKEN, get},
    binary::{Running, keypool},
    dialects::post,
    home::Home,
    retold::{chat, in_turn, said, whole},
    serving::{HELLO, ONE, TWO},
    support::{Answer, Served, ask, try_ask},
};

const NATIVE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n";
const JSON: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";

fn event(json: &str) -> String {
    format!("data: {json}\r\n\r\n")
}

/// Answers whose beginning is a good one.
fn failing() -> Vec<(&'static str, String)> {
    let begun = event(r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#);
    let error = event(r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#);
    let chunk = format!("{EVENTS}transfer-encoding: chunked\r\n\r\n{:x}\r\n{begun}\r\n", begun.len());
    vec![
        ("an error behind it", format!("{EVENTS}\r\n{begun}{error}")),
        ("no end", format!("{EVENTS}\r\n{begun}")),
        ("broken off", format!("{chunk}55\r\ndata: ")),
    ]
}

/// `serve` over a provider that answers so, once.
async fn running(answer: String) -> (Running, tempfile::TempDir) {
    let (address, _) = in_turn(vec![answer]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.txt"), format!("{ONE} id=one\n")).unwrap();
    let upstream = format!("http://{address}");
    let mut command = keypool(&["serve", "--listen", "127.0.0.1:0", "--upstream", &upstream, "--wait", "0"]);
    command.args(["--admin-token", TOKEN]).current_dir(folder.path());
    (Running::of(command), folder)
}

/// What is told of a request that failed: usage, metrics, and its lines of the log.
async fn is_told_as_failed(what: &str, running: Running) {
    let used = get(&running, "/usage?by=tenant").await;
    assert_eq!((&used["total"]["requests"], &used["total"]["failed"]), (&json!(1), &json!(1)), "{what}: {used}");
    let metrics = ask(Request::get(format!("{}/-/metrics", running.url)), "").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let broken =
        |line: &&str| line.starts_with("keypool_gateway_requests_total{") && line.contains("outcome=\"broken\"");
    let line = metrics.lines().find(broken).unwrap_or_else(|| panic!("{what}: {metrics}"));
    assert!(line.ends_with(" 1"), "{what}: {line}");
    let (_, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    let of_it: Vec<&str> = told.lines().filter(|line| line.contains("request=mine-1")).collect();
    let warned = of_it.iter().any(|line| line.contains(" WARN ") && line.contains("broke off"));
    assert!(of_it.len() == 2 && warned, "{what}: {told}");
    assert!(!told.contains(ONE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_translated_stream_that_fails_after_its_beginning_counts_as_failed() {
    let message = json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "stream": true,
        "messages": [{ "role": "user", "content": "x" }] });
    let response = json!({ "model": "gemini-2.5-flash", "input": "x", "stream": true });
    for (path, body) in [
        ("/v1/chat/completions", chat(json!({ "stream": true }))),
        ("/v1/messages", message),
        ("/v1/responses", response),
    ] {
        for (what, answer) in failing() {
            let (running, _folder) = running(answer).await;
            let request = Request::post(format!("{}{path}", running.url)).header("x-request-id", "mine-1");
            let request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
            let told = ask(request.header("content-type", "application/json"), body.to_string()).await;
            assert_eq!(told.status, 200, "{what}: {told:?}");
            assert!(String::from_utf8_lossy(&told.body).contains("error"), "{what}: {told:?}");
            is_told_as_failed(&format!("{path}, {what}"), running).await;
        }
    }
}

async fn stream_natively(running: &Running) -> Answer {
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    let request = Request::post(format!("{}{path}?alt=sse", running.url)).header("x-request-id", "mine-1");
    ask(request.header("x-goog-api-key", PLACEHOLDER), HELLO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_passed_on_counts_as_failed_where_it_ends_in_an_error_or_says_no_reason_to_end() {
    let (mut failing, error) = (failing(), r#"{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}"#);
    // A client reads it as any stream, to its end.
    failing.retain(|(what, _)| *what != "broken off");
    failing.push(("nothing but an error", format!("{EVENTS}\r\n{}", event(error))));
    let begun = r#"[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#;
    failing.push(("an error behind it, in a list", format!("{JSON}\r\n{begun},{error}]")));
    failing.push(("no end, in a list", format!("{JSON}\r\n{begun}]")));
    for (what, answer) in failing {
        let (running, _folder) = running(answer).await;
        let told = stream_natively(&running).await;
        assert_eq!(told.status, 200, "{what}: {told:?}");
        is_told_as_failed(what, running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_passed_on_counts_as_good_where_it_says_why_it_ends() {
    let begun = event(r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#);
    let stop = event(r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}"#);
    let blocked = event(r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#);
    let spaced = r#"[{"candidates": [{"finishReason": "STOP"}]}]"#;
    let wide = event(r#"{ "candidates" : [ { "finishReason" : "STOP" } ] }"#);
    for (what, answer) in [
        ("a reason", format!("{EVENTS}\r\n{begun}{stop}")),
        ("a reason, and more", format!("{EVENTS}\r\n{begun}{stop}{begun}")),
        ("blocked", format!("{EVENTS}\r\n{blocked}")),
        ("a list", format!("{JSON}\r\n{spaced}")),
        ("written widely", format!("{EVENTS}\r\n{begun}{wide}")),
    ] {
        let (running, _folder) = running(answer).await;
        let told = stream_natively(&running).await;
        assert_eq!(told.status, 200, "{what}: {told:?}");
        let used = get(&running, "/usage?by=tenant").await;
        assert_eq!((&used["total"]["requests"], &used["total"]["failed"]), (&json!(1), &json!(0)), "{what}: {used}");
    }
}

const ENDED_CHAT: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// A stream of another dialect: of which, where it is asked for, how it begins, what is an end, and what is none.
type Stream = (&'static str, &'static str, String, Vec<String>, Vec<String>);

fn dialects() -> [Stream; 3] {
    let named = |kind: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"response\":{{}}}}\n\n");
    let delta = r#"{"choices":[{"index":0,"delta":{"content":"ends with [DONE]"},"finish_reason":null}]}"#;
    let text = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    let start =
        r#"{"type":"message_start","message":{"role":"assistant","usage":{"input_tokens":1,"output_tokens":1}}}"#;
    let enough = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#;
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let failed = r#"{"error":{"message":"The server had an error","type":"server_error","code":500}}"#;
    let data = |json: &str| format!("data: {json}\n\n");
    let (error, stop) = (format!("event: error\n{}", data(error)), data(r#"{"type":"message_stop"}"#));
    [
        (
            "openai",
            "/v1/chat/completions",
            data(delta),
            vec![data(ENDED_CHAT), data("[DONE]"), data(ENDED_CHAT) + &data("[DONE]"), "data: [DONE]".into()],
            vec![String::new(), data(failed), data(failed) + &data("[DONE]")],
        ),
        (
            "openai",
            "/v1/responses",
            named("response.created") + &named("response.output_text.delta"),
            vec![named("response.completed"), named("response.incomplete")],
            vec![String::new(), named("response.failed"), error.clone()],
        ),
        (
            "anthropic",
            "/v1/messages",
            format!("event: message_start\n{}event: content_block_delta\n{}", data(start), data(text)),
            vec![data(enough) + "event: message_stop\n" + &stop],
            vec![String::new(), data(enough), error],
        ),
    ]
}

/// `serve` that has a provider of this kind beside its own, which answers so, in turn.
async fn running_beside(kind: &str, answers: Vec<String>) -> (Running, Home) {
    let (address, _) = in_turn(answers).await;
    let home = Home::new();
    home.write(
        "keypool.toml",
        &format!(
            "keys = [{{ id = \"one\", secret = \"{ONE}\" }}]\n[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:9\"\n[pool]\nwait = 0\n\
             [admin]\ntoken = \"{TOKEN}\"\n[[providers]]\nname = \"other\"\nkind = \"{kind}\"\n\
             upstream = \"http://{address}{}\"\nkeys = [{{ id = \"two\", secret = \"{TWO}\" }}, {{ id = \"three\", secret = \"{TWO}-3\" }}]\n",
            if kind == "openai" { "/v1" } else { "" }
        ),
    );
    (Running::of(home.command(&["serve"])), home)
}

async fn stream_beside(running: &Running, path: &str) -> Answer {
    let request = Request::post(format!("{}/to/other{path}", running.url)).header("x-request-id", "mine-1");
    let request = request.header("x-api-key", PLACEHOLDER).header("content-type", "application/json");
    ask(request, json!({ "model": "m", "stream": true, "messages": [] }).to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_provider_counts_as_failed_where_it_does_not_come_to_its_end() {
    for (kind, path, begun, _, failing) in dialects() {
        for end in failing {
            let what = format!("{path}: {end}");
            let (running, _home) = running_beside(kind, vec![format!("{EVENTS}\r\n{begun}{end}")]).await;
            let told = stream_beside(&running, path).await;
            assert_eq!((told.status.as_u16(), told.body), (200, format!("{begun}{end}").into()), "{what}");
            is_told_as_failed(&what, running).await;
        }
    }
}

/// What opens a stream tells nothing of how it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_behind_what_opens_a_stream_is_heard_by_nobody_where_another_key_serves() {
    let named = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
    let created = named("response.created", r#"{"type":"response.created","response":{"id":"r","error":null}}"#);
    let limited = r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"rate_limit_exceeded","message":"Rate limit reached for m on requests per min (RPM): Limit 3"}}}"#;
    let done = named("response.completed", r#"{"type":"response.completed","response":{}}"#);
    let answers = [named("response.failed", limited), done.clone()].map(|end| format!("{EVENTS}\r\n{created}{end}"));
    let (running, _home) = running_beside("openai", answers.to_vec()).await;
    let told = stream_beside(&running, "/v1/responses").await;
    assert_eq!((told.status.as_u16(), told.header("x-keypool-attempts")), (200, "2"), "{told:?}");
    assert_eq!(told.body, created + &done);
}

/// Whoever asked for words got none, whatever the answer calls itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_nothing_is_asked_for_again_of_other_providers_too() {
    for (kind, path, begun, good, _) in dialects() {
        for nothing in [
            format!("{JSON}content-length: 0\r\n\r\n"),
            format!("{JSON}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            format!("{JSON}\r\n \n"),
            format!("{EVENTS}\r\ndata: [DONE]\n\n"),
        ] {
            let whole = begun.clone() + &good[0];
            let (running, _home) = running_beside(kind, vec![nothing.clone(), format!("{EVENTS}\r\n{whole}")]).await;
            let told = stream_beside(&running, path).await;
            assert_eq!((told.status.as_u16(), told.body), (200, whole.into()), "{path}: {nothing}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_provider_counts_as_good_where_it_says_that_it_is_at_its_end() {
    for (kind, path, begun, good, _) in dialects() {
        for end in good {
            let what = format!("{path}: {end}");
            let (running, _home) = running_beside(kind, vec![format!("{EVENTS}\r\n{begun}{end}")]).await;
            let told = stream_beside(&running, path).await;
            assert_eq!((told.status.as_u16(), told.body), (200, format!("{begun}{end}").into()), "{what}");
            let used = get(&running, "/usage?by=tenant").await;
            assert_eq!(
                (&used["total"]["requests"], &used["total"]["failed"]),
                (&json!(1), &json!(0)),
                "{what}: {used}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_that_breaks_off_in_the_middle_is_broken_for_everybody() {
    for (what, cut) in [
        ("half of it", format!("{JSON}content-length: 1000\r\n\r\n{{\"candidates\":[{{\"conte")),
        ("half a chunk", format!("{JSON}transfer-encoding: chunked\r\n\r\n15\r\n{{\"candidates\":[{{\"con\r\n")),
    ] {
        let (running, _folder) = running(cut.clone()).await;
        let request = Request::post(format!("{}{NATIVE}", running.url)).header("x-request-id", "mine-1");
        let told = try_ask(request.header("x-goog-api-key", PLACEHOLDER), HELLO).await;
        assert!(told.is_err(), "{what}: {told:?}");
        // What its key used is written behind.
        let (mut errors, mut looks) = (json!(null), 0);
        while errors != json!({ "broken": 1 }) {
            assert!(looks < 200, "{what}: {errors}");
            tokio::time::sleep(Duration::from_millis(10)).await;
            (errors, looks) = (get(&running, "/usage?by=key").await["total"]["errors"].clone(), looks + 1);
        }
        is_told_as_failed(what, running).await;

        let (pool, served, _) = pooled(vec![cut]).await;
        assert!(generate(&served).await.is_err(), "{what}");
        let verdicts = pool.snapshot().verdicts;
        assert_eq!(verdicts.get(&VerdictKind::Broken), Some(&1), "{what}: {verdicts:?}");
    }
}

async fn pooled(answers: Vec<String>) -> (KeyPool, Served, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let (address, asked) = in_turn(answers).await;
    let upstream = format!("http://{address}");
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two").priority(Priority(1))];
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let served = Served::pool(&pool, &upstream, StoreHealth::default()).await;
    (pool, served, asked)
}

async fn generate(served: &Served) -> Result<Answer, tower_keypool::BoxError> {
    let request = Request::post(served.url(NATIVE)).header("x-goog-api-key", PLACEHOLDER);
    try_ask(request.header("content-type", "application/json"), HELLO).await
}

/// Nothing of it has gone to the client: another key may serve.
#[tokio::test]
async fn an_answer_that_ends_before_its_body_begins_is_asked_for_again() {
    let good = whole(&said("fine"));
    for (what, cut) in [
        ("a length", format!("{JSON}content-length: 1000\r\n\r\n")),
        ("chunks", format!("{JSON}transfer-encoding: chunked\r\n\r\n")),
    ] {
        let (pool, served, asked) = pooled(vec![cut, good.clone()]).await;
        let answer = generate(&served).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "2"), "{what}: {answer:?}");
        assert_eq!(answer.body, said("fine"), "{what}");
        assert_eq!(asked.load(Ordering::Relaxed), 2, "{what}");
        let failed: u32 = pool.snapshot().keys.iter().map(|key| key.succeeded).sum();
        assert_eq!(failed, 1, "{what}: one good answer");
    }
}

/// An account that was switched off says so in a good answer: the first such goes up, since nobody pays for a look at
/// each before; from then on they are held, and another key is asked.
#[tokio::test]
async fn a_whole_answer_that_says_its_key_is_switched_off_gives_way_once_one_did() {
    let off = whole(r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"PUP_LIMITED_DISABLED"}]}"#);
    let good = whole(&said("fine"));
    let (pool, served, _) = pooled(vec![off.clone(), off, good.clone()]).await;
    let first = generate(&served).await.unwrap();
    assert!(String::from_utf8_lossy(&first.body).contains("PUP_LIMITED_DISABLED"), "{first:?}");
    pool.enable(&"one".into()).unwrap();
    let second = generate(&served).await.unwrap();
    assert_eq!((second.header("x-keypool-key"), second.header("x-keypool-attempts")), ("two", "2"), "{second:?}");
    assert_eq!(second.body, said("fine"));
}

/// Nothing of it has gone to the client, and every key says the same: a good head with nothing behind it would be taken for an
/// empty answer.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_within_its_first_event_on_every_attempt_is_a_502() {
    let chunk = format!("{EVENTS}transfer-encoding: chunked\r\n\r\n");
    for (what, cut) in [
        ("half a chunk", format!("{chunk}55\r\ndata: {{\"candi")),
        ("half an event, and no end of the chunks", format!("{chunk}10\r\ndata: {{\"candida\"\r\n")),
        ("no event", chunk.clone()),
        ("half an event, whose end is the connection's", format!("{EVENTS}\r\ndata: {{\"candi")),
        ("nothing, whose end is the connection's", format!("{EVENTS}\r\n")),
        ("half a list", format!("{JSON}transfer-encoding: chunked\r\n\r\n10\r\n[{{\"candidates\":[\r\n")),
    ] {
        let (pool, served, asked) = pooled(vec![cut]).await;
        let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
        let path = if what == "half a list" { path.to_owned() } else { format!("{path}?alt=sse") };
        let request = Request::post(served.url(&path)).header("x-goog-api-key", PLACEHOLDER);
        let answer = ask(request.header("content-type", "application/json"), HELLO).await;
        assert_eq!(answer.status.as_u16(), 502, "{what}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], 502, "{what}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8", "{what}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains(ONE) && !text.contains(TWO), "{what}: {text}");
        assert_eq!((asked.load(Ordering::Relaxed), answer.header("x-keypool-attempts")), (4, "4"), "{what}");
        assert_eq!(pool.snapshot().in_flight, 0, "{what}");
    }
}

/// A good head with nothing behind it would be taken for an empty answer, however its end is said.
#[tokio::test(start_paused = true)]
async fn a_stream_without_a_word_is_a_502_in_every_framing() {
    let chunks = |head: &str, chunks: &[&str]| {
        let chunks: Vec<String> = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        format!("{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks.concat())
    };
    let sized = |head: &str, body: &str| format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    for (what, empty) in [
        ("events of no length", sized(EVENTS, "")),
        ("events in no chunks", chunks(EVENTS, &[])),
        ("events, closed", format!("{EVENTS}\r\n")),
        ("events, comments", sized(EVENTS, ": nothing\n\n")),
        ("events, an end alone", sized(EVENTS, "data: [DONE]\n\n")),
        ("a list of no length", sized(JSON, "")),
        ("a list in no chunks", chunks(JSON, &[])),
        ("a list, closed", format!("{JSON}\r\n")),
        ("a list of nothing", sized(JSON, "[]")),
        ("a list of nothing in chunks", chunks(JSON, &["[", "\n]"])),
        ("a list of nothing, closed", format!("{JSON}\r\n[ ]\n")),
    ] {
        let (pool, served, asked) = pooled(vec![empty.clone()]).await;
        let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
        let path = if what.contains("list") { path.to_owned() } else { format!("{path}?alt=sse") };
        let request = Request::post(served.url(&path)).header("x-goog-api-key", PLACEHOLDER);
        let answer = ask(request.header("content-type", "application/json"), HELLO).await;
        assert_eq!(answer.status.as_u16(), 502, "{what}: {answer:?}");
        assert_eq!((asked.load(Ordering::Relaxed), answer.header("x-keypool-attempts")), (4, "4"), "{what}");
        assert_eq!(pool.snapshot().in_flight, 0, "{what}");
        if what.contains("events") {
            let (_, served, _) = pooled(vec![empty]).await;
            let told = post(&served, "/v1/chat/completions", &chat(json!({ "stream": true }))).await;
            assert_eq!((told.status.as_u16(), told.header("x-keypool-attempts")), (502, "4"), "{what}: {told:?}");
        }
    }
}

/// As over HTTP/2, where a reset may come in one packet with what was said before it.
#[tokio::test]
async fn what_came_before_a_break_goes_out_before_it() {
    let event = event(&said("so far"));
    for length in [None, Some("1000")] {
        let said = event.clone();
        let stack = tower::service_fn(move |_: Request<Outgoing>| {
            let frames = [Ok(Frame::data(said.clone().into())), Err(BoxError::from("reset"))];
            let answer = Response::builder().header("content-type", "text/event-stream");
            let answer = length.into_iter().fold(answer, |answer, length| answer.header("content-length", length));
            let answer =
                answer.body(StreamBody::new(futures_util::stream::iter::<[Result<Frame<Bytes>, _>; 2]>(frames)));
            std::future::ready(Ok::<_, tower_keypool::Error>(answer.unwrap()))
        });
        let served = Served::over(stack, "http://upstream.invalid").await;
        let mut client = TcpStream::connect(served.address).await.unwrap();
        let head = format!("POST {NATIVE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {PLACEHOLDER}\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{HELLO}", HELLO.len());
        client.write_all(request.as_bytes()).await.unwrap();
        let mut came = Vec::new();
        let _ = client.read_to_end(&mut came).await;
        let came = String::from_utf8(came).unwrap();
        assert!(came.starts_with("HTTP/1.1 200 ") && came.contains(&event), "{length:?}: {came:?}");
        assert!(!came.ends_with("0\r\n\r\n"), "{length:?}: it is no whole one: {came:?}");
        // Over HTTP/2 a reset overtakes what is not written yet, now and then.
        let stream = TokioIo::new(TcpStream::connect(served.address).await.unwrap());
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        for n in 0..30 {
            let request = Request::post(served.url(NATIVE)).header("x-goog-api-key", PLACEHOLDER);
            let request = request.body(Full::new(Bytes::from_static(HELLO.as_bytes()))).unwrap();
            let answer = sender.send_request(request).await.expect("its head");
            let (mut body, mut came) = (answer.into_body(), Vec::new());
            let broke = loop {
                match body.frame().await {
                    Some(Ok(frame)) => came.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                    other => break other.is_some(),
                }
            };
            assert_eq!((String::from_utf8(came).unwrap(), broke), (event.clone(), true), "{length:?} {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_another_provider_is_refused_before_it_is_opened_there() {
    let (running, _home) = running_beside("openai", Vec::new()).await;
    let request =
        Request::get(format!("{}/to/other/v1/realtime?model=m", running.url)).header("x-api-key", PLACEHOLDER);
    let request = request.header("connection", "upgrade").header("upgrade", "websocket");
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let told = ask(request, "").await;
    assert!(told.status.as_u16() == 404 && told.json().to_string().contains("WebSockets are carried"), "{told:?}");
    assert_eq!(told.header("x-keypool-attempts"), "");
}
