//! No key appears in what the caller gets.

use std::{error::Error, io::Write};

use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_keypool::{
    ApiKeyHeader, BoxError, ErrorIntoResponseLayer, Key, KeyPool, KeyPoolLayer, KeyRotationLayer, RedactLayer,
    ReplayBody, Secret,
};

use crate::support::*;

#[test]
fn key_is_not_shown_in_debug_output() {
    let secret = secret(0);
    let shown = format!("{:?} {:?}", Key::new(&*secret), Secret::new(&secret).unwrap());
    assert!(!shown.contains(&secret), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_by_a_redact_layer_above_or_below_the_rotation() {
    let client = || tower::service_fn(async |_: Request<Body>| Ok::<_, BoxError>(answer(200, secret(0))));
    let pool = pool(1);
    let below = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(RedactLayer::new()).service(client());
    let above = ServiceBuilder::new().layer(RedactLayer::new()).layer(KeyRotationLayer::new(&pool)).service(client());
    let masked = "*".repeat(secret(0).len());
    assert_eq!(text(below.oneshot(ask()).await.unwrap()).await, masked);
    assert_eq!(text(above.oneshot(ask()).await.unwrap()).await, masked);
}

fn percent(secret: &str) -> String {
    secret.replace('/', "%2F")
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_errors_and_their_headers() {
    let pool = pool(1);
    let body = format!(r#"{{"error":{{"code":400,"message":"no contents {} {}"}}}}"#, secret(0), percent(&secret(0)));
    let length = body.len();
    let response = send(&pool, move |_| {
        let mut response = answer(400, body.clone());
        let headers = response.headers_mut();
        headers.insert("content-length", length.into());
        headers.insert("x-url", format!("https://api.example/?key={}", percent(&secret(0))).parse().unwrap());
        response
    });
    let response = response.await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["x-url"], "https://api.example/?key=***");
    let content_length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let text = text(response).await;
    assert_eq!(text, r#"{"error":{"code":400,"message":"no contents *** ***"}}"#);
    assert_eq!(content_length, text.len());
}

/// Google repeats the key in the error for a suspended account.
#[tokio::test(start_paused = true)]
async fn key_repeated_by_the_provider_is_redacted_everywhere() {
    let pool = pool(1);
    let mut events = pool.events();
    let error = send(&pool, suspended).await.unwrap_err();
    let event = events.next().await;
    let shown = format!("{error} {error:?} {event:?} {:?} {:?}", error.attempts(), pool.snapshot(0, 9));
    assert!(shown.contains("suspended"), "{shown}");
    assert!(!shown.contains(&secret(0)), "{shown}");
}

/// An error whose `Debug` shows the URL.
#[derive(Debug)]
struct ClientError(#[expect(dead_code, reason = "it is in the Debug text")] http::Uri, std::io::Error);

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("error sending request")
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.1)
    }
}

#[tokio::test(start_paused = true)]
async fn key_in_the_url_is_redacted_in_errors_of_the_client() {
    use std::io::{Error as Io, ErrorKind::*};
    let in_message = |uri, kind| Io::new(kind, format!("error sending request for url ({uri})"));
    let causes: [(&dyn Fn(http::Uri) -> BoxError, u16); 3] = [
        (&|uri| in_message(uri, ConnectionReset).into(), 502),
        (&|uri| ClientError(uri.clone(), in_message(uri, TimedOut)).into(), 504),
        (&|uri| ClientError(uri, TimedOut.into()).into(), 504),
    ];
    for (error_of, status) in causes {
        let api = ApiKeyHeader::query("appid", "https://weather.example").unwrap();
        let pool = KeyPool::builder(api).key(Key::new(secret(0)).named("k0")).build().unwrap();
        let failing = tower::service_fn(|request: Request<ReplayBody<Body>>| {
            std::future::ready(Err::<Answer, _>(error_of(request.uri().clone())))
        });
        let request = || Request::get("/now").body(Body::default()).unwrap();
        let error = KeyPoolLayer::new(&pool).layer(failing).oneshot(request()).await.unwrap_err();
        let shown = format!("{error} {error:?} {} {:?}", error.with_cause(), error.source());
        assert!(shown.contains("error sending request") && !shown.contains("AIza"), "{shown}");
        let layers = ServiceBuilder::new().layer(ErrorIntoResponseLayer::new(&pool)).layer(KeyPoolLayer::new(&pool));
        assert_eq!(layers.service(failing).oneshot(request()).await.unwrap().status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn compressed_error_with_the_key_is_returned_uncompressed() {
    let pool = pool(1);
    let body = format!(r#"{{"error":{{"code":400,"message":"no contents {}"}}}}"#, secret(0));
    let packed = zipped(&body);
    let response = send(&pool, move |_| {
        let mut response = answer(400, packed.clone());
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        response.headers_mut().insert("content-length", packed.len().into());
        response
    });
    let response = response.await.unwrap();
    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(response.headers()["content-length"], "50");
    assert_eq!(text(response).await, r#"{"error":{"code":400,"message":"no contents ***"}}"#);
}

fn zipped(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// Returns the response to an error with this encoding and body.
async fn error_response(encoding: &'static str, body: Vec<u8>) -> Answer {
    let pool = pool(1);
    let response = send(&pool, move |_| {
        let mut response = answer(400, body.clone());
        response.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        response
    });
    response.await.unwrap().map(BodyExt::boxed_unsync)
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_errors_with_a_wrong_encoding() {
    let error = |key: &str| format!(r#"{{"error":{{"code":400,"message":"no contents {key}"}}}}"#);
    let plain = error(&secret(0));
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflated.write_all(plain.as_bytes()).unwrap();
    let (redacted, zipped, deflated) = (error("***"), zipped(&plain), deflated.finish().unwrap());
    let mut with_zlib_header = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    with_zlib_header.write_all(plain.as_bytes()).unwrap();
    let with_zlib_header = with_zlib_header.finish().unwrap();
    let escaped = plain.replace("AIza", "\\u0041\\u0049za");
    for (encoding, body, expected) in [
        ("", escaped.into_bytes(), &*redacted),
        ("", zipped.clone(), &redacted),
        ("utf-8", zipped.clone(), &redacted),
        ("deflate", zipped, &redacted),
        ("gzip", plain.clone().into_bytes(), &redacted),
        ("br", plain.into_bytes(), &redacted),
        ("deflate", deflated, &redacted),
        ("", with_zlib_header.clone(), &redacted),
        ("gzip", with_zlib_header, &redacted),
    ] {
        let response = error_response(encoding, body).await;
        assert!(!response.headers().contains_key("content-encoding"));
        assert_eq!(text(response).await, expected, "{encoding}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_whose_text_cannot_be_read_is_dropped() {
    let utf16: Vec<u8> = secret(0).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let twice = zipped(zipped(secret(0)));
    for (encoding, body) in [("", utf16.clone()), ("gzip", zipped(utf16)), ("gzip", twice.clone()), ("", twice)] {
        let response = error_response(encoding, body).await;
        assert_eq!((response.status().as_u16(), response.headers().get("content-encoding")), (400, None));
        assert_eq!(text(response).await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn key_beside_the_compressed_text_of_an_error_is_dropped() {
    let mut header = flate2::GzBuilder::new().filename(secret(0)).write(Vec::new(), flate2::Compression::fast());
    header.write_all(b"no contents").unwrap();
    let mut half = zipped(format!("no contents{}", &secret(0)[..20]));
    half.truncate(half.len() - 8);
    for body in [header.finish().unwrap(), [zipped("no contents"), secret(0).into()].concat(), half] {
        assert_eq!(text(error_response("gzip", body).await).await, "no contents");
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_of_an_error_are_dropped() {
    let pool = pool(1);
    let response = send(&pool, |_| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-key", secret(0).parse().unwrap());
        let frames = [Frame::data("{}".into()), Frame::trailers(trailers)].map(Ok::<_, BoxError>);
        answer(400, "").map(|_| StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
    });
    let body = response.await.unwrap().into_body().collect().await.unwrap();
    assert!(body.trailers().is_none());
    assert_eq!(body.to_bytes(), "{}");
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_headers_of_successful_responses() {
    let pool = pool(1);
    let response = send(&pool, |_| {
        let mut response = good();
        response.headers_mut().insert("x-upload", format!("/?key={}&id=1", percent(&secret(0))).parse().unwrap());
        response
    });
    assert_eq!(response.await.unwrap().headers()["x-upload"], "/?key=***&id=1");
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_a_stream_with_a_length() {
    let pool = pool(1);
    let error = |key: &str| format!("{EVENT}data: {{\"error\":{{\"code\":403,\"message\":\"api_key:{key}\"}}}}\n\n");
    let response = send(&pool, move |_| {
        let body = error(&secret(0));
        let length = body.len();
        let mut response = answer(200, body);
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response.headers_mut().insert("content-length", length.into());
        response
    });
    let response = response.await.unwrap();
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
    assert_eq!(text(response).await, error("***"));
}

const EVENT: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"AIza AIza-no\"}]}}]}\n\n";

/// Returns the frames that the caller gets when a stream arrives in these pieces.
async fn streamed(pieces: Vec<Vec<u8>>) -> Vec<String> {
    let pool = pool(1);
    let respond = move |_| {
        let frames = pieces.clone().into_iter().map(|piece| Ok::<_, BoxError>(Frame::data(piece.into())));
        let mut response = answer(200, "").map(|_| StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    };
    let mut body = send(&pool, respond).await.unwrap().into_body();
    let mut passed = Vec::new();
    while let Some(frame) = body.frame().await {
        passed.push(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap());
    }
    assert_eq!(pool.stats().in_flight, 0);
    passed
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_a_stream_error_at_any_chunk_boundary() {
    for end in ["\n\n", ""] {
        let error = |key: &str| {
            format!(
                "data: {{\"error\":{{\"code\":403,\"message\":\"Consumer 'api_key:{key}' AIza has been suspended.\"}}}}{end}"
            )
        };
        for key in [secret(0), percent(&secret(0))] {
            let text = error(&key);
            let expected = format!("{EVENT}{}", error("***"));
            for cut in 0..text.len() {
                let (first, last) = text.as_bytes().split_at(cut);
                let pieces = vec![EVENT.into(), first.to_vec(), last.to_vec()];
                assert_eq!(streamed(pieces).await.concat(), expected, "cut at {cut}");
            }
            let bytes = text.bytes().map(|byte| vec![byte]);
            assert_eq!(streamed([EVENT.into()].into_iter().chain(bytes).collect()).await.concat(), expected);
        }
    }
}

/// Gemini streams a JSON array unless `alt=sse` is set.
#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_an_error_at_the_end_of_an_array() {
    let good = r#"[{"candidates":[{"content":{"parts":[{"text":"hello"}]}}]}"#;
    let error = |key: &str| format!(r#",{{"error":{{"code":403,"message":"api_key:{key} is suspended"}}}}]"#);
    let text = error(&secret(0));
    for cut in 0..text.len() {
        let (first, last) = text.as_bytes().split_at(cut);
        let passed = streamed(vec![good.into(), first.to_vec(), last.to_vec()]).await;
        assert_eq!((&*passed[0], passed.concat()), (good, format!("{good}{}", error("***"))), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_events_with_the_key_are_buffered() {
    let key = secret(0);
    let pieces = ["data: {\"a\":\"hello A", "Iza", "-x\"}\n\ndata: {\"b\":\"", &key, " said", " so\"}\n\n", EVENT];
    let passed = streamed(pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect()).await;
    let event = format!("{key} said so\"}}\n\n");
    assert_eq!(passed, ["data: {\"a\":\"hello ", "AIza-x\"}\n\ndata: {\"b\":\"", &event, EVENT]);
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_an_event_too_long_to_buffer() {
    let begun = format!("data: {{\"text\":\"{} ", secret(0));
    let pieces = [EVENT.to_owned(), begun, "x".repeat(100 << 10), "y".to_owned(), "z".to_owned()];
    let passed = streamed(pieces.into_iter().map(String::into_bytes).collect()).await;
    assert_eq!(passed[2..], [format!("*** {}", "x".repeat(100 << 10)), "y".to_owned(), "z".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn key_is_redacted_in_a_late_error_too_long_to_buffer() {
    let key = secret(0);
    let error = |start: &str, (before, after): (usize, usize), key: &str| {
        format!("{start}{{\"error\":{{\"message\":\"{}{key}{}\"}}}}", "x".repeat(before), "y".repeat(after))
    };
    let event = &*format!("{EVENT}data: ");
    for (start, end) in [(event, ""), (event, "\n\n"), (event, "\n\ndata: {}\n\n"), ("[{}\n,", "]")] {
        for lengths in [(64 << 10, 0), (100 << 10, 0), (100 << 10, 200 << 10)] {
            let text = error(start, lengths, &key) + end;
            let place = text.find(&key).unwrap();
            for cut in [place, place + 1, place + 10, place + key.len() - 1, place + key.len(), text.len() - 1] {
                let (first, last) = text.as_bytes().split_at(cut);
                let pieces = [first, last].map(|text| text.chunks(20 << 10).map(Into::into));
                let passed = streamed(pieces.into_iter().flatten().collect()).await.concat();
                assert!(passed == error(start, lengths, "***") + end, "{start} {end:?} cut at {cut}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn successful_responses_are_not_redacted() {
    let pool = pool(1);
    let body = format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{}"}}]}}}}]}}"#, secret(0));
    let sent = body.clone();
    assert_eq!(text(send(&pool, move |_| answer(200, sent.clone())).await.unwrap()).await, body);
}

#[tokio::test(start_paused = true)]
async fn callers_credentials_are_not_sent() {
    use tower::{Layer, ServiceExt, service_fn};
    use tower_keypool::KeyPoolLayer;
    let pool = pool(1);
    let client = KeyPoolLayer::new(&pool).layer(service_fn(async |request: http::Request<_>| {
        let _: &tower_keypool::ReplayBody<Body> = request.body();
        let keys: Vec<_> = request.headers().get_all("x-goog-api-key").iter().collect();
        assert_eq!(keys, [secret(0).as_str()]);
        assert!(!request.headers().contains_key("authorization"));
        assert!(!request.uri().to_string().contains("of-the-caller"));
        assert_eq!(request.headers()["accept-encoding"], "br", "it is sent unchanged");
        Ok::<_, BoxError>(good())
    }));
    let mut ask = request(&format!("/v1beta/models/{MODEL}:generateContent?key=of-the-caller"));
    ask.headers_mut().insert("authorization", "Bearer of-the-caller".parse().unwrap());
    ask.headers_mut().insert("x-goog-api-key", "of-the-caller".parse().unwrap());
    ask.headers_mut().insert("accept-encoding", "br".parse().unwrap());
    assert_eq!(client.oneshot(ask).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn beginning_of_the_key_at_the_end_of_an_error_is_not_recorded() {
    let pool = pool(1);
    let mut events = pool.events();
    let key = secret(0);
    let text = format!(r#"{{"error":{{"message":"Incorrect API key provided: {}"#, &key[..key.len() - 1]);
    let error = send(&pool, move |_| answer(401, text.clone())).await.unwrap_err();
    let recorded = format!("{:?} {:?} {:?}", error.attempts(), events.next().await, pool.snapshot(0, 9));
    assert!(recorded.contains("Incorrect API key") && !recorded.contains(&key[..4]), "{recorded}");
}

#[tokio::test(start_paused = true)]
async fn long_error_is_cut_before_the_key() {
    use http_body_util::{BodyExt, StreamBody};
    let key = secret(0);
    let (half, rest) = key.split_at(10);
    let before = "x".repeat((64 << 10) - 10);
    let cases = [
        [format!("{before}{}", "x".repeat(10)), key.clone()],
        [format!("{before}{half}"), rest.to_owned()],
        [before.clone(), key.clone()],
    ];
    for texts in cases {
        let pool = pool(1);
        let length: usize = texts.iter().map(String::len).sum();
        let response = send(&pool, move |_| {
            let frames = texts.clone().map(|text| Ok(http_body::Frame::data(bytes::Bytes::from(text))));
            let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
            http::Response::builder().status(400).header("content-length", length).body(body).unwrap()
        });
        let response = response.await.unwrap();
        let content_length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let text = text(response).await;
        assert_eq!(content_length, text.len());
        assert!(text.starts_with(&before) && !text.contains(&half[..3]), "{}", &text[before.len()..]);
    }
}
