//! Answers that are told in another dialect: those that break off, and those that send the key back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gemini_sim::{Fault, GeminiSim, Rule};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    dialects::post,
    serving::{ONE, TWO},
    support::{Answer, Served},
};

const JSON: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n";

/// An upstream that answers the first request with the first of these, and so on, those after the last with that one.
pub(crate) async fn in_turn(answers: Vec<String>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            whole_request(&mut stream).await;
            let at = count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(answers[at.min(answers.len() - 1)].as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, asked)
}

async fn whole_request(stream: &mut TcpStream) {
    let mut came = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&came).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return;
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(read @ 1..) => came.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
}

pub(crate) fn whole(body: &str) -> String {
    format!("{JSON}content-length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn vectors(count: usize) -> String {
    whole(&json!({ "embeddings": vec![json!({ "values": [1.0] }); count] }).to_string())
}

pub(crate) fn said(text: &str) -> String {
    format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"finishReason":"STOP"}}]}}"#)
}

pub(crate) async fn over(answers: Vec<String>) -> (Served, Arc<AtomicUsize>) {
    let (address, asked) = in_turn(answers).await;
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    (Served::keys(keys, &format!("http://{address}"), Duration::ZERO).await, asked)
}

pub(crate) fn chat(more: Value) -> Value {
    let mut body = json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "x" }] });
    let Value::Object(more) = more else { panic!("fields: {more}") };
    body.as_object_mut().unwrap().extend(more);
    body
}

fn message() -> Value {
    json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] })
}

#[tokio::test]
async fn a_whole_answer_that_breaks_off_is_asked_for_again() {
    let half = format!("{JSON}content-length: 1000\r\n\r\n{{\"candidates\":[{{\"conte");
    let none = format!("{JSON}content-length: 1000\r\n\r\n");
    let chunk = format!("{JSON}transfer-encoding: chunked\r\n\r\n5\r\n{{\"can\r\n");
    // As a provider ends it that lost the rest: nothing of the transfer is wrong.
    let lost = whole(&said("fine")[..60]);
    let blank = format!("{JSON}transfer-encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n");
    let response = json!({ "model": "gemini-2.5-flash", "input": "x" });
    let embedding = json!({ "model": "gemini-embedding-001", "input": "x" });
    for (cut, path, body, good) in [
        (&half, "/v1/chat/completions", chat(json!({})), whole(&said("fine"))),
        (&none, "/v1/chat/completions", chat(json!({})), whole(&said("fine"))),
        (&chunk, "/v1/chat/completions", chat(json!({})), whole(&said("fine"))),
        (&lost, "/v1/chat/completions", chat(json!({})), whole(&said("fine"))),
        (&blank, "/v1/messages", message(), whole(&said("fine"))),
        (&half, "/v1/responses", response, whole(&said("fine"))),
        (&half, "/v1/messages", message(), whole(&said("fine"))),
        (&half, "/v1/embeddings", embedding, vectors(1)),
    ] {
        let (served, asked) = over(vec![cut.clone(), good]).await;
        let answer = post(&served, path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "2"), "{path}: {answer:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 2, "{path}");
    }
}

#[tokio::test]
async fn a_whole_answer_that_is_always_cut_is_a_502_in_the_callers_words() {
    for (cut, path, body) in [
        (whole(&said("fine")[..60]), "/v1/chat/completions", chat(json!({}))),
        (format!("{JSON}\r\n"), "/v1/messages", message()),
    ] {
        let (served, asked) = over(vec![cut]).await;
        let answer = post(&served, path, &body).await;
        assert_eq!(answer.status.as_u16(), 502, "{path}: {answer:?}");
        assert!(answer.json()["error"]["message"].is_string(), "{path}: {answer:?}");
        assert!((2..=4).contains(&asked.load(Ordering::Relaxed)), "{path}: {asked:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_in_front_of_a_whole_answer_is_no_part_of_it() {
    let marked = |body: &str| format!("{JSON}\r\n\u{feff}{body}");
    let vectors = json!({ "embeddings": [{ "values": [1.0] }] }).to_string();
    let response = json!({ "model": "gemini-2.5-flash", "input": "x" });
    for (path, body, said) in [
        ("/v1/chat/completions", chat(json!({})), said("fine")),
        ("/v1/responses", response, said("fine")),
        ("/v1/messages", message(), said("fine")),
        ("/v1/embeddings", json!({ "model": "gemini-embedding-001", "input": "x" }), vectors),
    ] {
        let (served, asked) = over(vec![marked(&said)]).await;
        let answer = post(&served, path, &body).await;
        assert_eq!((answer.status.as_u16(), asked.load(Ordering::Relaxed)), (200, 1), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn of_many_texts_a_piece_that_breaks_off_loses_none() {
    let half = format!("{JSON}content-length: 1000\r\n\r\n{{\"embeddings\":[{{\"val");
    let (served, _) = over(vec![vectors(100), half, vectors(1)]).await;
    let answer = post(&served, "/v1/embeddings", &json!({ "model": "m", "input": vec!["x"; 101] })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 101);
}

pub(crate) fn shown(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test]
async fn a_key_that_was_escaped_is_not_told_in_plain() {
    let one = format!("\\u0041{}", &ONE[1..]);
    let middle = format!("{}\\u{:04x}{}", &ONE[..10], u32::from(ONE.as_bytes()[10]), &ONE[11..]);
    let all = ONE.chars().fold(String::new(), |all, c| format!("{all}\\u{:04X}", u32::from(c)));
    for spelled in [one, middle, all] {
        let good = said(&format!("say {spelled} end"));
        let first = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#;
        let failed = format!(r#"{{"error":{{"code":400,"message":"bad {spelled} end","status":"INVALID_ARGUMENT"}}}}"#);
        let event = |json: &str| format!("data: {json}\r\n\r\n");
        for (what, answer, streams) in [
            ("a good answer", whole(&good), false),
            ("a stream", format!("{EVENTS}{}", event(&good)), true),
            ("an error at first", format!("{EVENTS}{}", event(&failed)), true),
            ("an error later", format!("{EVENTS}{}{}", event(first), event(&failed)), true),
        ] {
            let (address, _) = in_turn(vec![answer]).await;
            let served = Served::keys([Key::new(ONE).id("one")], &format!("http://{address}"), Duration::ZERO).await;
            let response = json!({ "model": "m", "input": "x" });
            for (path, mut body) in
                [("/v1/chat/completions", chat(json!({}))), ("/v1/messages", message()), ("/v1/responses", response)]
            {
                body["stream"] = streams.into();
                let told = shown(&post(&served, path, &body).await);
                assert!(!told.contains(ONE), "{what}, {path}: {told}");
                // Nor as it was escaped, where a text goes on as it stood.
                assert!(!told.contains(&spelled), "{what}, {path}: {told}");
                assert!(told.contains(&"*".repeat(ONE.len())), "{what}, {path}: {told}");
                assert!(told.contains(" end"), "{what}, {path}: {told}");
            }
        }
    }
    // Words of an error are looked through as an error is: for other spellings, too.
    let failed = format!(r#"{{"error":{{"code":400,"message":"bad {} end"}}}}"#, ONE.to_uppercase());
    let events = format!(
        "{EVENTS}data: {}\r\n\r\ndata: {failed}\r\n\r\n",
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#
    );
    let (served, _) = over(vec![events]).await;
    let told = shown(&post(&served, "/v1/chat/completions", &chat(json!({ "stream": true }))).await);
    assert!(!told.contains(&ONE.to_uppercase()) && told.contains(" end"), "{told}");
}

#[tokio::test]
async fn an_answer_that_comes_packed_unasked_is_told_as_ever() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = crate::dialects::served(&sim).await;
    for (more, end) in [(json!({}), "\"finish_reason\":\"stop\""), (json!({ "stream": true }), "[DONE]")] {
        let plain = post(&served, "/v1/chat/completions", &chat(more.clone())).await;
        sim.script(Rule::new(Fault::Gzip));
        let packed = post(&served, "/v1/chat/completions", &chat(more)).await;
        assert_eq!((packed.status, packed.headers.get("content-encoding")), (StatusCode::OK, None), "{packed:?}");
        assert!(shown(&packed).contains(end) && packed.body.len().abs_diff(plain.body.len()) < 100, "{packed:?}");
        sim.clear_script();
    }
}

#[tokio::test]
async fn an_error_of_the_compatible_endpoint_is_in_openais_shape_however_it_comes() {
    let google = json!({ "error": { "code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT" } });
    let openais =
        json!({ "error": { "message": "no such thing", "type": "x", "param": null, "code": "y" } }).to_string();
    let html = "<html><title>400. no such thing</title></html>".to_owned();
    for said in [google.to_string(), json!([google]).to_string(), openais.clone(), html] {
        let kind = if said.starts_with('<') { "text/html" } else { "application/json" };
        let head = format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: {kind}\r\n");
        let (address, _) = in_turn(vec![format!("{head}content-length: {}\r\n\r\n{said}", said.len())]).await;
        let upstream = format!("http://{address}");
        let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(Key::new(ONE)).wait(Duration::ZERO);
        let (served, _) = Served::kept_compatible(&pool.build().unwrap(), &upstream, false).await;
        let answer = post(&served, "/v1/chat/completions", &chat(json!({}))).await;
        assert_eq!(answer.status.as_u16(), 400, "{answer:?}");
        if said == openais {
            assert_eq!(answer.body, said.as_bytes(), "as it came");
        } else {
            let error = &answer.json()["error"];
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains(if said.starts_with('<') { "400" } else { "no such thing" }), "{answer:?}");
            assert!(error["type"].is_string() && error["status"].is_null(), "{answer:?}");
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
}
