//! Response bodies are streamed, and errors and usage in them are detected.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Channel, channel::Sender};
use tower_keypool::{BoxError, ErrorClass};

use crate::support::*;

const OPENING: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hel\"}]}}]}\r\n\r\n";
const ERROR: &str = "data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n";

/// A response whose event stream is fed by the test.
fn stream() -> (Sender<Bytes, BoxError>, Answer) {
    let (sender, body) = Channel::<Bytes, BoxError>::new(16);
    let response = http::Response::builder().header("content-type", "text/event-stream").body(body.boxed_unsync());
    (sender, response.unwrap())
}

/// A response that streams these events and ends.
fn events(events: &'static [&'static str]) -> Answer {
    let (mut sender, response) = stream();
    tokio::spawn(async move {
        for event in events {
            if sender.send_data(Bytes::from_static(event.as_bytes())).await.is_err() {
                return;
            }
        }
    });
    response
}

/// A JSON response in these chunks, with an unknown length.
fn chunked(chunks: &'static [&'static str]) -> Answer {
    let mut response = events(chunks);
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn encoded(mut response: Answer, encoding: &'static str) -> Answer {
    response.headers_mut().insert("content-encoding", encoding.parse().unwrap());
    response
}

#[tokio::test(start_paused = true)]
async fn first_event_is_passed_on_at_once() {
    let openings = [
        OPENING,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{}}}\n\n",
        "data: {\"type\":\"response.created\",\"response\":{\"error\":null,\"status\":\"in_progress\"}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"error\"}}]}\n\n",
        "data: [DONE]\n\n",
    ];
    for opening in openings {
        let pool = pool(1);
        let begun = now();
        let senders = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = senders.clone();
        let response = send(&pool, move |_| {
            let (sender, response) = stream();
            kept.lock().unwrap().push(sender);
            let mut sender = kept.lock().unwrap().pop().unwrap();
            sender.try_send(Frame::data(Bytes::from_static(opening.as_bytes()))).unwrap();
            kept.lock().unwrap().push(sender);
            response
        });
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), opening);
        assert_eq!(begun.elapsed(), Duration::ZERO, "{opening}");
        assert_eq!(pool.stats().in_flight, 1, "the key is in use while the body is open");
        senders.lock().unwrap().clear();
        assert!(body.frame().await.is_none());
        assert_eq!(pool.stats().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn silent_stream_is_returned_after_five_seconds() {
    let pool = pool(1);
    let begun = now();
    let response = send(&pool, move |_| {
        let (mut sender, response) = stream();
        tokio::spawn(async move {
            sender.send_data(Bytes::from_static(b": wait\n\n")).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            sender.send_data(Bytes::from_static(OPENING.as_bytes())).await.unwrap();
        });
        response
    });
    let response = response.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(text(response).await, format!(": wait\n\n{OPENING}"));
}

#[tokio::test(start_paused = true)]
async fn error_in_the_first_event_is_retried_with_another_key() {
    let first = |key| match key {
        0 => events(&[
            "data: {\"error\":{\"code\":429,\"message\":\"Resource has been exhausted\",\"status\":\"RESOURCE_EXHAUSTED\"}}\n\n",
        ]),
        1 => answer(
            200,
            "[{\"error\":{\"code\":400,\"message\":\"API key not valid. Please pass a valid API key.\",\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"API_KEY_INVALID\"}]}}]",
        ),
        _ => events(&[OPENING]),
    };
    let pool = pool(3);
    for _ in 0..2 {
        let response = send(&pool, first).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, OPENING);
    }
    assert_eq!(pool.stats().failed, 2);
}

#[tokio::test(start_paused = true)]
async fn error_in_every_first_event_sets_the_response_status() {
    let pool = pool(3);
    let response = send(&pool, |_| events(&[": ping\n\n", ERROR])).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(attempts(&response).len(), 3);
    assert_eq!(text(response).await, format!(": ping\n\n{ERROR}"));
}

#[tokio::test(start_paused = true)]
async fn error_within_a_stream_is_passed_on_and_counted() {
    // The second form comes from gateways that put the error into the choice.
    let choice = "data: {\"choices\":[{\"error\":{\"code\":502,\"message\":\"Upstream error\"}}]}\n\n";
    let named = "event: error\ndata: {\"message\":\"slow down\",\"code\":429}\n\n";
    let minimax = "data: {\"choices\":null,\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit\"}}\n\n";
    let limited = "data: {\"candidates\":[{\"finishReason\":\"PUP_LIMITED_DISABLED\"}]}\n\n";
    let interaction =
        "data: {\"interaction\":{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\"}}}\n\n";
    for (error, class) in [
        (ERROR, ErrorClass::Transient),
        (choice, ErrorClass::Transient),
        (named, ErrorClass::RateLimit),
        (minimax, ErrorClass::RateLimit),
        (limited, ErrorClass::KeyRejected),
        (interaction, ErrorClass::RateLimit),
    ] {
        let pool = pool(2);
        let frames: &'static [&'static str] = Box::leak(Box::new([OPENING, error]));
        let response = send(&pool, move |_| events(frames)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, [OPENING, error].concat());
        let stats = pool.stats();
        assert_eq!((stats.failed, stats.by_class.get(&class).copied()), (1, Some(1)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_read_from_plain_streamed_and_compressed_bodies() {
    let usage = r#"{"candidates":[],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}}"#;
    let event = format!("{OPENING}data: {usage}\n\n");
    let event: &'static str = event.leak();
    let packed = gzip(usage);
    let answers: [Box<dyn Fn() -> Answer>; 4] = [
        Box::new(|| answer(200, usage)),
        Box::new(move || events(Box::leak(Box::new([event])))),
        Box::new(move || encoded(answer(200, packed.clone()), "gzip")),
        Box::new(move || {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            zlib.write_all(usage.as_bytes()).unwrap();
            encoded(answer(200, zlib.finish().unwrap()), "deflate")
        }),
    ];
    for (at, respond) in answers.iter().enumerate() {
        let pool = pool(1);
        let mut response = None;
        response.replace(respond());
        let response = std::sync::Arc::new(std::sync::Mutex::new(response));
        let response = send(&pool, move |_| response.lock().unwrap().take().unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!((pool.stats().input_tokens, pool.stats().output_tokens), (7, 5), "{at}");
    }
}

/// Text in tool arguments must not be taken for usage.
#[tokio::test(start_paused = true)]
async fn tool_arguments_are_not_usage() {
    let pool = pool(1);
    let call = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"usage":{"input_tokens":1000000},"usageMetadata":{"promptTokenCount":1000000}}}}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1}}"#;
    text(send(&pool, move |_| answer(200, call)).await.unwrap()).await;
    assert_eq!(pool.stats().input_tokens, 3);
}

#[tokio::test(start_paused = true)]
async fn unsupported_encoding_is_passed_on() {
    let pool = pool(2);
    for encoding in ["br", "zstd", "gzip, br"] {
        let response = send(&pool, move |_| encoded(answer(200, "\u{1}{\"error\"\u{2}"), encoding)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-encoding"], encoding);
        assert_eq!(text(response).await, "\u{1}{\"error\"\u{2}");
    }
    let response =
        send(&pool, |key| if key == 0 { encoded(answer(429, "\u{1}"), "br") } else { good() }).await.unwrap();
    assert_eq!(response.status(), 200);
    // A body that is not gzip although its header says so passes, too.
    let response = send(&pool, |_| encoded(answer(200, "plain"), "gzip")).await.unwrap();
    assert_eq!(text(response).await, "plain");
}

#[tokio::test(start_paused = true)]
async fn compressed_errors_are_classified_and_passed_on_decompressed() {
    let pool = pool(1);
    let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
    let packed = gzip(body);
    let error = send(&pool, move |_| encoded(answer(400, packed.clone()), "gzip")).await.unwrap_err();
    assert_eq!(error.attempts().last().unwrap().class(), Some(ErrorClass::KeyRejected));

    let body = r#"{"error":{"code":400,"message":"no contents","status":"INVALID_ARGUMENT"}}"#;
    let packed = gzip(body);
    let response = send(&self::pool_of_two(), move |_| encoded(answer(400, packed.clone()), "gzip")).await.unwrap();
    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(text(response).await, body);
}

#[tokio::test(start_paused = true)]
async fn compressed_error_with_two_headers_for_its_encoding_is_retried() {
    let packed = gzip(r#"{"error":{"code":400,"message":"API key expired.","status":"INVALID_ARGUMENT"}}"#);
    let pool = pool(2);
    let response = send(&pool, move |key| {
        let mut response = encoded(answer(400, packed.clone()), "gzip");
        response.headers_mut().append("content-encoding", "gzip".parse().unwrap());
        if key == 0 { response } else { good() }
    });
    assert_eq!(response.await.unwrap().status(), 200);
}

/// The caller gets what arrived of an error whose connection broke.
#[tokio::test(start_paused = true)]
async fn broken_error_is_passed_on_as_a_whole_response() {
    let pool = pool(1);
    let response = send(&pool, move |_| {
        let (mut sender, mut response) = stream();
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert("content-length", "1000".parse().unwrap());
        tokio::spawn(async move {
            sender.send_data(Bytes::from_static(br#"{"error":"no contents"}"#)).await.unwrap();
            sender.abort("connection reset".into());
        });
        response
    });
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-length"], "23");
    assert_eq!(text(response).await, r#"{"error":"no contents"}"#);
}

#[tokio::test(start_paused = true)]
async fn response_that_breaks_at_its_start_is_sent_again() {
    for start in ["data: {\"candidates\":[", "{\"candidates\":["] {
        let pool = pool(2);
        let calls = Calls::default();
        let response = send(&pool, |_| {
            if calls.next() > 0 {
                return good();
            }
            let (mut sender, response) = stream();
            tokio::spawn(async move {
                sender.send_data(Bytes::from_static(start.as_bytes())).await.unwrap();
                sender.abort("connection reset".into());
            });
            response
        });
        let response = response.await.unwrap();
        assert_eq!((response.status().as_u16(), attempts(&response).len()), (200, 2), "{start}");
        assert!(text(response).await.contains("hello"));
    }
}

#[tokio::test(start_paused = true)]
async fn error_with_status_200_and_without_a_json_type_is_found() {
    for content_type in [None, Some(""), Some("text/plain"), Some("text/html; charset=UTF-8")] {
        let pool = pool(2);
        let response = send(&pool, |key| {
            if key == 1 {
                return good();
            }
            let (mut head, body) = invalid().into_parts();
            head.status = StatusCode::OK;
            head.headers.remove("content-type");
            if let Some(content_type) = content_type {
                head.headers.insert("content-type", content_type.parse().unwrap());
            }
            Answer::from_parts(head, body)
        });
        let response = response.await.unwrap();
        assert_eq!(
            attempts(&response).iter().map(tower_keypool::pool::Attempt::class).collect::<Vec<_>>(),
            [Some(ErrorClass::KeyRejected), None]
        );
    }
}

/// The length of the body is not known, and the error is not its first member.
#[tokio::test(start_paused = true)]
async fn error_in_a_json_body_in_chunks_is_retried() {
    for body in [
        r#"{"id":"gen","error":{"code":429,"message":"Rate limit exceeded"}}"#,
        r#"{"user_id":"u","error":{"code":402,"message":"Insufficient credits"}}"#,
        r#"{"id":"gen","choices":[{"index":0,"message":{"role":"assistant","content":""},"error":{"code":502,"message":"x"},"finish_reason":"error"}]}"#,
        r#"{"id":"r","object":"response","status":"failed","error":{"code":"server_error","message":"x"},"output":[]}"#,
        r#"{"id":"x","choices":null,"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
        r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}],"usageMetadata":{"promptTokenCount":3}}"#,
        r#"[{"error":{"code":503,"message":"overloaded"}}]"#,
    ] {
        for cut in [body.len(), 2, 20, body.len() - 1] {
            let (first, last) = body.split_at(cut);
            let frames: &'static [&'static str] = Box::leak(Box::new([first, last]));
            let response = send(&pool(2), move |key| if key == 0 { chunked(frames) } else { good() }).await.unwrap();
            assert_eq!(attempts(&response).len(), 2, "{body} cut at {cut}");
            assert!(text(response).await.contains("hello"));
            let response = send(&pool(1), move |_| chunked(frames)).await;
            let response = response.map(|response| response.status());
            assert!(response.as_ref().map_or(true, |status| status.as_u16() >= 400), "{response:?}: {body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn start_of_a_json_answer_is_passed_on_at_once() {
    let long = format!(r#"{{"id":"r","error":null,"output":[{{"text":"{}"#, "x".repeat(2_000));
    let begun = now();
    for start in ["[{\"candidates\":[]}", "{\"message\":{},\"error\":null}\n", long.leak()] {
        let pool = pool(1);
        let response = send(&pool, move |_| {
            let (mut sender, mut response) = stream();
            response.headers_mut().insert("content-type", "application/json".parse().unwrap());
            tokio::spawn(async move {
                sender.send_data(Bytes::from_static(start.as_bytes())).await.unwrap();
                tokio::time::sleep(Duration::from_secs(60)).await;
            });
            response
        });
        let frame = response.await.unwrap().into_body().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), start);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

fn pool_of_two() -> tower_keypool::KeyPool {
    pool(2)
}

#[tokio::test(start_paused = true)]
async fn long_error_is_cut_at_64_kib() {
    let pool = pool(1);
    let long = format!(r#"{{"error":{{"code":400,"message":"{}"}}}}"#, "x".repeat(300 << 10));
    let sent = Bytes::from(long.clone());
    let response = send(&pool, move |_| {
        let (mut sender, mut response) = stream();
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let sent = sent.clone();
        tokio::spawn(async move {
            for chunk in sent.chunks(5_000) {
                if sender.send_data(Bytes::copy_from_slice(chunk)).await.is_err() {
                    return;
                }
            }
        });
        response
    });
    let response = response.await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(text(response).await, long[..64 << 10]);
}

#[tokio::test(start_paused = true)]
async fn endless_error_body_is_read_for_at_most_five_seconds() {
    let pool = pool(2);
    let begun = now();
    let response = send(&pool, move |key| {
        if key == 1 {
            return good();
        }
        let (mut sender, mut response) = stream();
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        tokio::spawn(async move {
            sender.send_data(Bytes::from_static(b"{\"error\":{")).await.unwrap();
            tokio::time::sleep(Duration::from_secs(600)).await;
        });
        response
    });
    assert_eq!(response.await.unwrap().status(), 200);
    assert!(begun.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn body_error_is_passed_on_and_opens_no_breaker() {
    let pool = pool(2);
    let response = send(&pool, move |_| {
        let (mut sender, response) = stream();
        tokio::spawn(async move {
            sender.send_data(Bytes::from_static(OPENING.as_bytes())).await.unwrap();
            sender.abort("connection reset".into());
        });
        response
    });
    let error = response.await.unwrap().into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
    assert_eq!(breakers(&pool), Vec::<String>::new());
    assert_eq!((pool.stats().failed, pool.stats().in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn is_end_stream_and_size_hint_change_nothing() {
    let pool = pool(1);
    let mut body = send(&pool, |_| good()).await.unwrap().into_body();
    for _ in 0..3 {
        assert!(!body.is_end_stream());
        assert!(body.size_hint().exact().is_some_and(|length| length > 50));
        assert_eq!(pool.stats().in_flight, 1);
    }
    let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(data.len() > 50);
    assert!(body.is_end_stream());
    assert_eq!(pool.stats().in_flight, 0, "the last frame ends the lease");
}

#[tokio::test(start_paused = true)]
async fn estimate_above_the_limit_waits_for_an_empty_window() {
    let pool = builder(1).limits(MODEL, tower_keypool::Limits::new().tokens_per_minute(1_000)).build().unwrap();
    let long = |path: &str| {
        let mut request = request(path);
        *request.body_mut() =
            format!(r#"{{"contents":[{{"parts":[{{"text":"{}"}}]}}]}}"#, "word ".repeat(2_000)).into();
        request
    };
    let path = format!("/v1beta/models/{MODEL}:generateContent");
    assert_eq!(send_request(&pool, long(&path), |_| good()).await.unwrap().status(), StatusCode::OK);
    let error = send_request(&pool, long(&path), |_| good()).await.unwrap_err();
    assert!(error.retry_after().is_some_and(|after| after <= Duration::from_secs(61)), "{error}");
}

/// When the provider counts more tokens than a quarter of the bytes, later estimates follow its latest counts.
#[tokio::test(start_paused = true)]
async fn estimates_follow_the_tokens_that_responses_report() {
    let pool = builder(1).limits(MODEL, tower_keypool::Limits::new().tokens_per_minute(1_000)).build().unwrap();
    let send = || async {
        let mut request = ask();
        let text = "word ".repeat(31);
        *request.body_mut() = format!(r#"{{"contents":[{{"parts":[{{"text":"{text}"}}]}}]}}"#).into();
        let usage = r#"{"candidates":[],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":5}}"#;
        send_request(&pool, request, |_| answer(200, usage)).await
    };
    text(send().await.unwrap()).await;
    let mut in_flight = Vec::new();
    while let Ok(response) = send().await {
        in_flight.push(response);
    }
    assert_eq!(in_flight.len(), 9, "ten prompts of 100 tokens fit, and one was already answered");
}
