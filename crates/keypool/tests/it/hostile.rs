//! Clients that send unusual requests, and providers that send unusual responses.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    dialect::{ALL, CHAT, gemini, hello},
    support::{GENERATE, Gateway, TOKEN, Upstream, get, key, post, reply},
};

const PATHS: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];

fn good() -> Value {
    gemini(&json!([{ "text": "Hi there" }]), "STOP")
}

fn respond(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    if request.uri().path().ends_with(":streamGenerateContent") {
        return reply(200, "text/event-stream", format!("data: {}\r\n\r\n", good()));
    }
    reply(200, "application/json", good().to_string())
}

/// Yields each dialect's path, whether the response is streamed, and the request.
fn questions() -> impl Iterator<Item = (&'static str, bool, Value)> {
    let both =
        |(path, frontend)| [false, true].map(|stream| (path, stream, hello(frontend, &json!({ "stream": stream }))));
    PATHS.into_iter().zip(ALL).flat_map(both)
}

fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::start(&upstream.url, 3, &["--db", "none"])
}

pub fn gzip(data: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory").into()
}

fn deflate(data: &[u8]) -> Bytes {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory").into()
}

#[tokio::test]
async fn compressed_requests_are_read() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    let packed = |path: &str, coding: &str, body: Bytes| {
        let (mut head, _) = post(path, &Value::Null).into_parts();
        head.headers.insert(header::CONTENT_ENCODING, coding.parse().expect("a value"));
        Request::from_parts(head, Full::new(body))
    };
    let native = json!({ "contents": [{ "parts": [{ "text": "Hello" }] }] });
    let bodies = ALL.map(|frontend| hello(frontend, &json!({})));
    for (path, body) in PATHS.into_iter().zip(bodies).chain([(GENERATE, native)]) {
        let body = body.to_string();
        for coding in ["gzip", "X-GZIP"] {
            let answer = gateway.send(packed(path, coding, gzip(body.as_bytes()))).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let sent = upstream.requests().pop().expect("a request");
            assert!(sent.headers().get(header::CONTENT_ENCODING).is_none());
            assert!(serde_json::from_slice::<Value>(sent.body()).expect("JSON")["contents"].is_array());
        }
        let before = upstream.requests().len();
        let bomb = gzip(&vec![b' '; 33 << 20]);
        for (coding, body, status) in [("br", Bytes::from("x"), 415), ("gzip", "{}".into(), 400), ("gzip", bomb, 413)] {
            let answer = gateway.send(packed(path, coding, body)).await;
            assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
            assert!(answer.json()["error"].is_object());
        }
        assert_eq!(upstream.requests().len(), before);
    }
}

#[tokio::test]
async fn unreadable_response_is_retried_once() {
    for (kind, body) in
        [("text/html", "<html>Sign in</html>"), ("text/event-stream", "data: {\"cand\n\n"), ("text/plain", "")]
    {
        let first = std::sync::atomic::AtomicBool::new(true);
        let upstream = Upstream::start(move |request| {
            if first.fetch_xor(true, std::sync::atomic::Ordering::SeqCst) {
                reply(200, kind, body)
            } else {
                respond(request)
            }
        })
        .await;
        let gateway = gateway(&upstream);
        for (path, stream, question) in questions() {
            let answer = gateway.post(path, &question).await;
            assert!(answer.text().contains("Hi there"), "{path} {stream}: {}", answer.text());
            assert_eq!(answer.header("x-keypool-attempts"), "2");
            let keys: Vec<_> =
                upstream.requests().iter().rev().take(2).map(|sent| sent.headers()["x-goog-api-key"].clone()).collect();
            assert_ne!(keys[0], keys[1]);
        }
    }
}

#[tokio::test]
async fn unrequested_compression_is_decoded() {
    for (encoding, compress) in [("gzip", gzip as fn(&[u8]) -> Bytes), ("deflate", deflate)] {
        let upstream = Upstream::start(move |request| {
            let (mut head, _) = respond(request).into_parts();
            let mut body = good().to_string();
            if request.uri().path().ends_with(":streamGenerateContent") {
                body = format!("data: {body}\r\n\r\n");
            }
            head.headers.insert(header::CONTENT_ENCODING, encoding.parse().expect("a value"));
            Response::from_parts(head, Full::new(compress(body.as_bytes())))
        })
        .await;
        let gateway = gateway(&upstream);
        for (path, stream, question) in questions() {
            let answer = gateway.post(path, &question).await;
            assert!(answer.text().contains("Hi there"), "{path} {stream} {encoding}: {}", answer.text());
            assert_eq!((answer.header("x-keypool-attempts"), answer.header("content-encoding")), ("1", ""));
        }
    }
}

#[tokio::test]
async fn response_in_an_unknown_encoding_is_not_retried() {
    let upstream = Upstream::start(|_| {
        let mut response = reply(200, "application/json", vec![0x8b, 0xff, 0x01]);
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("br"));
        response
    })
    .await;
    let gateway = gateway(&upstream);
    for (path, stream, question) in questions() {
        let answer = gateway.post(path, &question).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (502, "1"), "{path} {stream}");
        assert!(answer.text().contains("its Content-Encoding (br) was not requested"), "{}", answer.text());
    }
}

#[tokio::test]
async fn response_that_breaks_off_is_logged() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
    let part = json!({ "candidates": [{ "content": { "parts": [{ "text": "Hi" }] } }] });
    let events = format!("{head}data: {part}\r\n\r\n");
    let url = breaking_upstream(move |_| events.clone()).await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let stream = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let translated = ("/v1/chat/completions", hello(CHAT, &json!({ "stream": true })));
    for (path, body) in [(stream, crate::support::hello()), translated] {
        let (head, body) = gateway.open(post(path, &body)).await.into_parts();
        // The native response is cut, too. The translated one ends with an error event.
        let _ = body.collect().await;
        let id = head.headers["x-request-id"].to_str().expect("text");
        let failed = format!("attempt failed request=\"{id}\"");
        gateway.wait_for_log(&failed).await;
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(&failed)).expect("it was logged");
        assert!(line.contains("key=\"key-0\"") && line.contains("class=\"transient\""), "{line}");
    }
}

#[tokio::test]
async fn json_in_place_of_events_needs_no_retry() {
    let upstream = Upstream::start(|_| reply(200, "application/json", json!([good()]).to_string())).await;
    let gateway = gateway(&upstream);
    for (path, frontend) in PATHS.into_iter().zip(ALL) {
        let answer = gateway.post(path, &hello(frontend, &json!({ "stream": true }))).await;
        assert!(answer.text().contains("Hi there"), "{}", answer.text());
        assert_eq!(answer.header("x-keypool-attempts"), "1");
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn redirect_becomes_a_502() {
    let upstream = Upstream::start(|_| {
        let mut answer = reply(307, "text/html", "");
        answer
            .headers_mut()
            .insert(header::LOCATION, "https://elsewhere.example/v1?key=s3cret".parse().expect("a value"));
        answer
    })
    .await;
    let gateway = gateway(&upstream);
    let bodies = ALL.map(|frontend| hello(frontend, &json!({})));
    for (path, body) in PATHS.into_iter().zip(bodies).chain([(GENERATE, json!({}))]) {
        let answer = gateway.post(path, &body).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::BAD_GATEWAY, ""), "{path}");
        let text = answer.text();
        assert!(text.contains("elsewhere.example") && text.contains("upstream") && !text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn unusual_paths_are_normalized() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    let native = json!({ "contents": [{ "parts": [{ "text": "Hello" }] }] });
    let with_bearer = |method: Method, path: &str, body: &Value| {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"));
        request.header("content-type", "application/json").body(Full::from(body.to_string())).expect("a request")
    };
    for (path, sent) in [
        ("/models/gemini-2.5-flash:generateContent", GENERATE),
        ("/gemini/models/gemini-2.5-flash:generateContent", GENERATE),
        ("/v1beta/models/gemini-2.5-flash%3AgenerateContent", GENERATE),
        ("/v1/models/gemini-2.5-flash%3agenerateContent", "/v1/models/gemini-2.5-flash:generateContent"),
        ("/v1beta/models/gemini-2.5-flash:generateContent/", GENERATE),
        (
            "/v1beta1/publishers/google/models/gemini-2.5-flash:generateContent",
            "/v1beta1/publishers/google/models/gemini-2.5-flash:generateContent",
        ),
    ] {
        let answer = gateway.send(with_bearer(Method::POST, path, &native)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(upstream.requests().pop().expect("a request").uri().path(), sent);
    }
    let answer = gateway.send(with_bearer(Method::POST, "/gemini/v1/chat/completions", &hello(CHAT, &json!({})))).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hi there");
    let before = upstream.requests().len();
    for method in [Method::TRACE, Method::OPTIONS] {
        assert_eq!(gateway.send(with_bearer(method, GENERATE, &native)).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    let request = Request::get(format!("/v1beta/unknown/x?alt=json;key={TOKEN}")).body(Full::default());
    assert_eq!(gateway.send(request.expect("a request")).await.status, 401);
    let unknown = gateway.send(get("/v1beta/unknown/x?key=wrong")).await;
    assert_eq!((unknown.status, upstream.requests().len()), (StatusCode::OK, before + 1));
    assert_eq!(upstream.requests().pop().expect("a request").uri().query(), None);
}

#[tokio::test]
async fn token_is_found_in_any_form_of_authorization() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    // user:TOKEN, and TOKEN: without a password.
    let basic = ["dXNlcjpQTEFDRUhPTERFUl9HRU1JTklfVE9LRU4=", "UExBQ0VIT0xERVJfR0VNSU5JX1RPS0VOOg=="];
    let good =
        [TOKEN.to_owned(), format!("bearer  {TOKEN}"), format!("Basic {}", basic[0]), format!("basic {}", basic[1])];
    let bad = ["Basic ?".to_owned(), "Bearer x".to_owned(), format!("Digest {TOKEN}"), "Basic dXNlcjp4".to_owned()];
    for (values, status) in [(good, 200), (bad, 401)] {
        for value in values {
            let request = Request::post("/v1/chat/completions").header("authorization", &value);
            let answer =
                gateway.send(request.body(Full::from(hello(CHAT, &json!({})).to_string())).expect("a request")).await;
            assert_eq!(answer.status.as_u16(), status, "{value}");
        }
    }
    for sent in upstream.requests() {
        assert!(sent.headers().get("authorization").is_none());
    }
}

/// Starts a provider that sends these bytes on its nth connection and then closes it.
async fn breaking_upstream(answer: impl Fn(usize) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        for n in 0.. {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            // Only the end of the request body has this text.
            while !request.ends_with(b"}]}]}") {
                assert!(stream.read_buf(&mut request).await.expect("a request") > 0);
            }
            stream.write_all(answer(n).as_bytes()).await.expect("sent");
            tokio::spawn(async move {
                // So that the gateway passes on the start first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                drop(stream);
            });
        }
    });
    url
}

#[tokio::test]
async fn response_that_breaks_before_its_first_byte_is_retried() {
    const STREAM: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let head =
        |length| format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    let body = json!({ "contents": [{ "parts": [{ "text": "Hello" }] }] });
    for path in [GENERATE, STREAM] {
        let good = good().to_string();
        let url = breaking_upstream(move |n| head(good.len()) + if n == 0 { "" } else { &good }).await;
        let gateway = Gateway::start(&url, 2, &["--db", "none"]);
        let answer = gateway.post(path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "2"), "{path}");

        let gateway = Gateway::start(&breaking_upstream(move |_| head(9)).await, 2, &["--db", "none"]);
        let answer = gateway.post(path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (502, "3"), "{path}");
        assert!(answer.text().contains("broke off at its start"), "{}", answer.text());
    }
}

#[tokio::test]
async fn broken_response_of_a_creating_request_is_a_502() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"name\": \"cachedC";
    let gateway = Gateway::start(&breaking_upstream(move |_| cut.to_owned()).await, 1, &["--db", "none"]);
    let body = json!({ "contents": [{ "parts": [{ "text": "Hello" }] }] });
    let answer = gateway.post("/v1beta/cachedContents", &body).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.text());
    assert!(answer.text().contains("broke off"), "{}", answer.text());
}

#[tokio::test]
async fn last_event_without_a_blank_line_is_read() {
    let upstream = Upstream::start(|_| reply(200, "text/event-stream", format!("data: {}\n", good()))).await;
    let gateway = gateway(&upstream);
    for (path, frontend) in PATHS.into_iter().zip(ALL) {
        let answer = gateway.post(path, &hello(frontend, &json!({ "stream": true }))).await;
        assert!(answer.text().contains("Hi there") && !answer.text().contains("broke off"), "{}", answer.text());
        assert_eq!(answer.header("x-keypool-attempts"), "1");
    }
}

#[tokio::test]
async fn error_event_is_returned_with_its_message() {
    let error = json!({ "error": { "code": 400, "message": "It is wrong.", "status": "INVALID_ARGUMENT" } });
    let body = format!("event: error\r\ndata: {error}\r\n\r\n");
    let upstream = Upstream::start(move |_| reply(200, "text/event-stream", body.clone())).await;
    let gateway = gateway(&upstream);
    for (path, frontend) in PATHS.into_iter().zip(ALL) {
        let answer = gateway.post(path, &hello(frontend, &json!({ "stream": true }))).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["message"]), (400, &json!("It is wrong.")));
    }
}

#[tokio::test]
async fn absolute_target_with_the_gateways_host_is_served() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    let head = format!("POST http://localhost{GENERATE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\n");
    let request = format!("{head}connection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    let answer = gateway.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(upstream.requests()[0].uri(), GENERATE);
}

#[tokio::test]
async fn refused_client_can_send_its_whole_body_first() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    let mut stream = TcpStream::connect(gateway.url.trim_start_matches("http://")).await.expect("a connection");
    let (length, piece) = (4 << 20, [b'x'; 16 << 10]);
    let head = format!("POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head");
    // The response has arrived and is unread while the body is still being sent.
    stream.readable().await.expect("a response");
    for _ in 0..length / piece.len() {
        stream.write_all(&piece).await.expect("the gateway reads on");
    }
    let last = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(last.as_bytes()).await.expect("the connection is used again");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("two responses");
    assert!(answers.starts_with("HTTP/1.1 401") && answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn refused_client_gets_no_100_continue() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    let mut stream = TcpStream::connect(gateway.url.trim_start_matches("http://")).await.expect("a connection");
    let head = format!("POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n");
    let head = format!("{head}expect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head");
    let mut answer = String::new();
    // On an open connection, the next request would be taken for the body of this one.
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer));
    read.await.expect("the connection is closed").expect("a response");
    assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn reason_phrase_of_the_provider_is_not_passed_on() {
    let head = format!("HTTP/1.1 400 bad {}\r\ncontent-type: application/json\r\n", key(0));
    let url = breaking_upstream(move |_| format!("{head}content-length: 2\r\n\r\n{{}}")).await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let body = crate::support::hello().to_string();
    let head =
        format!("POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\nconnection: close\r\n");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let answer = gateway.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}

#[tokio::test]
async fn response_that_stops_arriving_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n";
            // A shorter start would be held and then sent again.
            let padding = " ".repeat(1 << 10);
            // A response before the request would be an error of its own.
            stream.read_u8().await.expect("a request");
            stream.write_all(format!("{head}{{\"candidates\":[{padding}").as_bytes()).await.expect("sent");
            streams.push(stream);
        }
    });
    let gateway = Gateway::configured(&url, 2, "[gateway]\nanswer_timeout = \"1s\"\n");
    let limit = Duration::from_secs(15);
    let answer = gateway.open(post(GENERATE, &crate::support::hello())).await;
    assert_eq!(answer.status(), 200);
    tokio::time::timeout(limit, answer.into_body().collect()).await.expect("an end").expect_err("it breaks off");
    for (path, stream, question) in questions() {
        let answer = tokio::time::timeout(limit, gateway.post(path, &question)).await.expect("an end");
        assert_eq!(answer.status, 502, "{path} {stream}: {}", answer.text());
    }
}

#[tokio::test]
async fn stream_without_any_usable_attempt_is_an_error() {
    let garbage = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 14\r\n\r\ndata: {\"cand\n\n";
    let url = breaking_upstream(move |n| if n == 0 { garbage.to_owned() } else { String::new() }).await;
    let gateway = Gateway::start(&url, 2, &["--db", "none"]);
    let answer = gateway.post("/v1/chat/completions", &hello(CHAT, &json!({ "stream": true }))).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[tokio::test]
async fn only_readable_encodings_are_requested() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    for (accepted, sent) in
        [("br, GZIP;q=0.8", Some("gzip")), ("gzip", Some("gzip")), ("br", None), ("gzip;q=0, zstd", None)]
    {
        let mut request = post(GENERATE, &crate::support::hello());
        request.headers_mut().insert(header::ACCEPT_ENCODING, accepted.parse().expect("a value"));
        assert_eq!(gateway.send(request).await.status, 200);
        let request = upstream.requests().pop().expect("a request");
        let value = request.headers().get(header::ACCEPT_ENCODING).map(|value| value.to_str().expect("text"));
        assert_eq!(value, sent, "{accepted}");
    }
}

#[tokio::test]
async fn error_in_an_unrequested_encoding_is_replaced() {
    for (status, encodings) in [(400, &["br"][..]), (400, &["gzip", "gzip"]), (300, &["br"])] {
        let upstream = Upstream::start(move |request| {
            let body = [&[0x8b, 0xff, 0x01], request.headers()["x-goog-api-key"].as_bytes()].concat();
            let mut response = reply(status, "application/json", body);
            for encoding in encodings {
                response.headers_mut().append(header::CONTENT_ENCODING, header::HeaderValue::from_static(encoding));
            }
            response
        })
        .await;
        let gateway = Gateway::start(&upstream.url, 1, &[]);
        let native = (GENERATE, false, crate::support::hello());
        for (path, stream, question) in std::iter::once(native).chain(questions()) {
            let answer = gateway.post(path, &question).await;
            assert_eq!(answer.status, if status < 400 { 502 } else { status }, "{path} {stream}");
            let message = format!("cannot be read: its Content-Encoding ({}) was not requested", encodings[0]);
            let text = answer.text();
            assert!(text.contains(&message) && !text.contains("AIza"), "{path} {stream}: {text}");
            gateway.wait_for_log_of(&answer).await;
        }
        assert!(!gateway.log().contains("AIzaSy"), "{}", gateway.log());
    }
}

#[tokio::test]
async fn compressed_error_with_a_wrong_encoding_contains_no_key() {
    for encodings in [&["gzip", "gzip"][..], &["utf-8"], &["aws-chunked"], &["br"]] {
        let upstream = Upstream::start(move |request| {
            let key = request.headers()["x-goog-api-key"].to_str().expect("text");
            let error = json!({ "error": { "code": 400, "message": format!("no contents {key}") } });
            let mut response = reply(400, "application/json", gzip(error.to_string().as_bytes()));
            for encoding in encodings {
                response.headers_mut().append(header::CONTENT_ENCODING, header::HeaderValue::from_static(encoding));
            }
            response
        })
        .await;
        let gateway = Gateway::start(&upstream.url, 1, &[]);
        for (path, stream, question) in questions() {
            let answer = gateway.post(path, &question).await;
            assert!(answer.text().contains("no contents ***"), "{path} {stream} {encodings:?}: {}", answer.text());
            gateway.wait_for_log_of(&answer).await;
        }
        assert!(!gateway.log().contains("AIzaSy"), "{}", gateway.log());
    }
}

#[tokio::test]
async fn unreadable_object_of_a_list_is_a_502() {
    for (status, content_type, encoding) in [(200, "text/html", "identity"), (502, "application/json", "br")] {
        let upstream = Upstream::start(move |request| {
            if *request.method() == Method::POST {
                return reply(200, "application/json", r#"{"name":"cachedContents/a"}"#);
            }
            let mut response = reply(status, content_type, [b"<\xff", key(0).as_bytes()].concat());
            response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static(encoding));
            response
        })
        .await;
        let gateway = Gateway::start(&upstream.url, 1, &[]);
        assert_eq!(gateway.post("/v1beta/cachedContents", &crate::support::hello()).await.status, 200);
        let list = gateway.get("/v1beta/cachedContents").await;
        assert_eq!(list.status, 502, "{}", list.text());
        assert!(list.json()["error"]["message"].as_str().is_some_and(|text| !text.contains("AIza")), "{}", list.text());
    }
}

#[tokio::test]
async fn repeated_pages_of_models_are_listed_once() {
    let upstream = Upstream::start(|_| {
        let model = |n| json!({ "name": format!("models/m-{n}"), "supportedGenerationMethods": ["generateContent"] });
        let models: Vec<Value> = (0..2_000).map(model).collect();
        reply(200, "application/json", json!({ "models": models, "nextPageToken": "again" }).to_string())
    })
    .await;
    let gateway = gateway(&upstream);
    let list = gateway.get("/v1/models").await.json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2_000));
    assert!(upstream.requests().len() <= 12, "{}", upstream.requests().len());
}

#[tokio::test]
async fn key_is_removed_from_late_errors_of_translated_responses() {
    let upstream = Upstream::start(|request| {
        let key = request.headers()["x-goog-api-key"].to_str().expect("text");
        let error = json!({ "code": 429, "message": format!("quota of {key}"), "status": "RESOURCE_EXHAUSTED" });
        let late = json!({ "usageMetadata": { "promptTokenCount": 1 }, "error": error });
        match request.headers()["user-agent"].as_bytes() {
            b"sized" => reply(200, "application/json", late.to_string()),
            b"gzip" => reply(200, "application/json", gzip(late.to_string().as_bytes())),
            _ => reply(200, "text/event-stream", gzip(format!("data: {}\n\ndata: {late}\n\n", good()).as_bytes())),
        }
    })
    .await;
    let gateway = gateway(&upstream);
    for (path, stream, question) in questions() {
        for kind in ["sized", "gzip", "events"] {
            let mut request = post(path, &question);
            request.headers_mut().insert(header::USER_AGENT, kind.parse().expect("a value"));
            let answer = gateway.send(request).await;
            assert!(!answer.text().contains("AIza"), "{path} {stream} {kind}: {}", answer.text());
            assert!(kind == "events" || answer.text().contains("quota of ***"), "{path} {kind}: {}", answer.text());
            gateway.wait_for_log_of(&answer).await;
        }
    }
    assert!(!gateway.log().contains("AIzaSy"), "{}", gateway.log());
}

/// Sends a request in HTTP/1.1 that lists trailers as welcome, and returns the whole response as it arrives.
async fn raw_answer(gateway: &Gateway) -> String {
    let body = crate::support::hello().to_string();
    let head = format!("POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\nte: trailers\r\n");
    gateway.raw(&format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await
}

#[tokio::test]
async fn trailers_contain_no_key_and_no_headers() {
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let trailers =
        format!("x-checksum: 7\r\nx-{}: 1\r\nx-key: {}\r\ncontent-length: 3\r\nset-cookie: a=b\r\n", key(0), key(0));
    let good = good().to_string();
    let head = format!("{chunked}trailer: x-checksum, x-key, set-cookie\r\nx-{}: 1\r\n\r\n", key(0));
    let url = breaking_upstream(move |_| format!("{head}{:x}\r\n{good}\r\n0\r\n{trailers}\r\n", good.len())).await;
    let answer = raw_answer(&Gateway::start(&url, 1, &["--db", "none"])).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Hi there"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains(&key(0).to_ascii_lowercase()), "{answer}");
    let trailers = answer.split("\r\n0\r\n").nth(1);
    assert_eq!(trailers, Some("x-checksum: 7\r\nx-key: ***\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn response_in_http_1_0_has_an_end_in_http_1_1() {
    let good = good().to_string();
    let url = breaking_upstream(move |_| format!("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{good}"));
    let answer = raw_answer(&Gateway::start(&url.await, 1, &["--db", "none"])).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn length_beside_chunks_is_ignored() {
    let good = good().to_string();
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
    let url = breaking_upstream(move |_| format!("{head}{:x}\r\n{good}\r\n0\r\n\r\n", good.len())).await;
    let answer = raw_answer(&Gateway::start(&url, 1, &["--db", "none"])).await;
    assert!(answer.contains("Hi there") && !answer.contains("content-length: 3\r\n"), "{answer}");
}

#[tokio::test]
async fn encoded_paths_lead_to_the_same_limits() {
    let upstream = Upstream::start(respond).await;
    let config = "[[models]]\nname = \"gemini-day\"\nlimits = { rpd = 1 }\n[pool]\nwait = \"0s\"\n";
    let gateway = Gateway::configured(&upstream.url, 1, config);
    let body = json!({ "model": "gemini-day", "input": "Hello" });
    assert_eq!(gateway.post("/v1beta/%69nteractions", &body).await.status, 200);
    for path in ["/v1beta/interactions", "/v1beta/%69nteractions", "/v1beta/interaction%73"] {
        assert_eq!(gateway.post(path, &body).await.status, 503, "{path}");
    }
    for path in ["/v1beta/interactions;x", "/v1beta/interactions%3Bx", "/gemini/batch;x"] {
        assert_eq!(gateway.post(path, &body).await.status, 400, "{path}");
    }
    assert_eq!(gateway.post("/gemini/%62atch", &body).await.status, 404);
    for body in ["{\"model\":\"x\",\"model\":\"gemini-day\"}", "\u{feff}{\"model\":\"gemini-day\"}"] {
        let (head, _) = post("/v1beta/openai/chat/completions", &Value::Null).into_parts();
        let answer = gateway.send(Request::from_parts(head, Full::from(body))).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
    }
    assert_eq!(upstream.requests().len(), 1);
    for (path, kind, body) in [
        ("/upload/v1beta/files", "application/json", "{\"model\":1,\"model\":2}"),
        ("/v1beta/files/f", "text/csv", "\u{feff}a,b\n1,2\n"),
    ] {
        let request = Request::put(path).header("x-goog-api-key", TOKEN).header("content-type", kind);
        let answer = gateway.send(request.body(Full::from(body)).expect("a request")).await;
        assert_ne!(answer.status, 400, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn limits_of_a_model_apply_to_forms() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let config = "[gateway]\nprovider = \"openai\"\n[pool]\nwait = \"0s\"\n[[models]]\nname = \"whisper-1\"\nlimits = { rpd = 1 }\n";
    let gateway = Gateway::configured(&upstream.url, 1, config);
    for (model, status) in [("whisper-1", 200), ("whisper-1", 503), ("gpt-4o-transcribe", 200)] {
        let form = format!(
            "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nx\r\n--b--\r\n"
        );
        let request = Request::post("/v1/audio/transcriptions").header("authorization", format!("Bearer {TOKEN}"));
        let request = request.header("content-type", "multipart/form-data; boundary=b").body(Full::from(form));
        let answer = gateway.send(request.expect("a request")).await;
        assert_eq!(answer.status.as_u16(), status, "{model}: {}", answer.text());
    }
}

#[tokio::test]
async fn clients_address_and_token_do_not_reach_the_provider() {
    let upstream = Upstream::start(respond).await;
    let gateway = gateway(&upstream);
    let mut request = post(&format!("{GENERATE}?foo={TOKEN}&alt=json"), &crate::support::hello());
    let headers = ["x-forwarded-for", "x-forwarded-port", "cf-connecting-ip", "true-client-ip", "cdn-loop", "trailer"];
    for name in headers {
        request.headers_mut().insert(name, "192.0.2.7".parse().expect("a value"));
    }
    request.headers_mut().insert("x-auth-token", TOKEN.parse().expect("a value"));
    let own = [("x-own", "kept".to_owned()), ("cf-aig-cache-ttl", "60".to_owned()), ("x-note", format!("not {TOKEN}"))];
    for (name, value) in &own {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    assert_eq!(gateway.send(request).await.status, 200);
    let sent = upstream.requests().pop().expect("a request");
    assert_eq!(sent.uri().query(), Some("alt=json"));
    for (name, value) in own {
        assert_eq!(sent.headers()[name], value);
    }
    for name in headers.into_iter().chain(["x-auth-token"]) {
        assert!(!sent.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn headers_about_the_providers_origin_do_not_reach_the_client() {
    const NAMES: [&str; 7] = [
        "strict-transport-security",
        "clear-site-data",
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "nel",
        "report-to",
        "x-other",
    ];
    let upstream = Upstream::start(|request| {
        let mut answer = respond(request);
        for name in NAMES {
            answer.headers_mut().insert(name, http::HeaderValue::from_static("*"));
        }
        answer
    })
    .await;
    let gateway = gateway(&upstream);
    for (path, body) in [(GENERATE, json!({})), (PATHS[0], hello(ALL[0], &json!({})))] {
        let answer = gateway.post(path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let passed: Vec<&str> = NAMES.into_iter().filter(|name| answer.headers.contains_key(*name)).collect();
        assert_eq!(passed, if path == GENERATE { &["x-other"][..] } else { &[] }, "{path}");
    }
}

#[tokio::test]
async fn long_body_keeps_its_length() {
    let upstream = Upstream::start(respond).await;
    let gateway = Gateway::configured(&upstream.url, 1, "[gateway]\nreplay_mib = 1\n");
    let text = "x".repeat(2 << 20);
    let body = json!({ "contents": [{ "parts": [{ "text": text }] }] });
    assert_eq!(gateway.post(GENERATE, &body).await.status, 200);
    let sent = upstream.requests().pop().expect("a request");
    assert_eq!(sent.headers()["content-length"], body.to_string().len().to_string());
    assert_eq!(sent.body().len(), body.to_string().len());
}

#[tokio::test]
async fn response_head_that_is_too_large_for_http2_is_an_error() {
    for (length, status) in [(40 << 10, 200), (60 << 10, 502)] {
        let upstream = Upstream::start(move |_| {
            let mut answer = reply(200, "application/json", "{}");
            answer.headers_mut().insert("x-long", "a".repeat(length).parse().expect("a value"));
            answer
        })
        .await;
        let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
        let answer = gateway.post(GENERATE, &json!({})).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.text().contains("the provider's response head is too large"), status == 502);
    }
}
