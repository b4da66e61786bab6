//! How an answer begins for clients of other APIs: a stream that fails before its first word has the status of its
//! failure, so that clients take it for what it is, and send it again where that helps.

use std::time::Duration;

use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};
use tower_keypool::Key;

use crate::{
    hostile::answering,
    serving::ONE,
    support::{Answer, Served, ask},
};

const PATHS: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];

/// What a client gets of a provider that answers so.
async fn told(path: &str, stream: bool, upstream: &str) -> Answer {
    let upstream = format!("http://{}", answering(upstream.to_owned()).await);
    let served = Served::keys([Key::new(ONE).id("one")], &upstream, Duration::ZERO).await;
    let messages = json!([{ "role": "user", "content": "x" }]);
    let body = if path == "/v1/responses" {
        json!({ "model": "gemini-2.5-flash", "input": "x", "stream": stream })
    } else {
        json!({ "model": "gemini-2.5-flash", "max_tokens": 99, "messages": messages, "stream": stream })
    };
    let mut request = Request::post(served.url(path)).header("content-type", "application/json");
    request = if path == "/v1/messages" {
        request.header("x-api-key", PLACEHOLDER).header("anthropic-version", "2023-06-01")
    } else {
        request.header("authorization", format!("Bearer {PLACEHOLDER}"))
    };
    ask(request.header("x-request-id", "an-id"), body.to_string()).await
}

fn sse(events: &[Value]) -> String {
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect();
    let events = events.concat();
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{events}")
}

fn error(code: u16, status: &str) -> Value {
    json!({ "error": { "code": code, "message": "so it is", "status": status } })
}

fn says(text: &str, finish: Option<&str>) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] }, "finishReason": finish }] })
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_word_has_the_failures_status() {
    for path in PATHS {
        for (code, status, expected) in
            [(400, "INVALID_ARGUMENT", 400), (404, "NOT_FOUND", 404), (503, "UNAVAILABLE", 503)]
        {
            let expected = if (path, code) == ("/v1/messages", 503) { 529 } else { expected };
            let answer = told(path, true, &sse(&[error(code, status)])).await;
            assert_eq!(answer.status.as_u16(), expected, "{path}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/json", "{path}");
            assert_eq!(answer.json()["error"]["message"], "so it is", "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_without_a_candidate_fails_as_the_whole_answer_does() {
    let nothing = json!({ "usageMetadata": { "promptTokenCount": 3 }, "responseId": "r" });
    for path in PATHS {
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{nothing}",
            nothing.to_string().len()
        );
        let (stream, whole) =
            (told(path, true, &sse(std::slice::from_ref(&nothing))).await, told(path, false, &whole).await);
        assert_eq!((stream.status, whole.status), (StatusCode::BAD_GATEWAY, StatusCode::BAD_GATEWAY), "{path}");
        assert_eq!(stream.json()["error"]["message"], whole.json()["error"]["message"], "{path}");
    }
}

#[tokio::test]
async fn what_fails_after_the_first_word_is_an_event_still() {
    for path in PATHS {
        let answer = told(path, true, &sse(&[says("Good", None), error(503, "UNAVAILABLE")])).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains("Good") && text.contains("so it is"), "{path}: {text}");
        let fine = told(path, true, &sse(&[says("Good", None), says(" day", Some("STOP"))])).await;
        let text = String::from_utf8(fine.body.to_vec()).unwrap();
        assert!(text.contains("Good") && text.contains(" day") && !text.contains("error\":{"), "{path}: {text}");
    }
}

#[tokio::test]
async fn clients_of_anthropics_find_the_requests_id_where_they_look_for_it() {
    let path = "/v1/messages";
    for stream in [false, true] {
        let head = if stream { "text/event-stream" } else { "application/json" };
        let said = says("Good", Some("STOP"));
        let body = if stream { format!("data: {said}\r\n\r\n") } else { said.to_string() };
        let upstream =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = told(path, stream, &upstream).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!((answer.header("request-id"), answer.header("x-request-id")), ("an-id", "an-id"));
    }
    let refused = told(path, false, "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{refused:?}");
    assert_eq!((refused.header("request-id"), &refused.json()["request_id"]), ("an-id", &json!("an-id")));
    // Nobody else's clients look for it there.
    let other = told("/v1/chat/completions", false, "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").await;
    assert!(other.header("request-id").is_empty() && other.json().get("request_id").is_none(), "{other:?}");
}
