//! A key that the provider echoes is overwritten, wherever it stands.

use base64::{
    Engine,
    prelude::{
        BASE64_STANDARD as STANDARD, BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD, BASE64_URL_SAFE as URL_SAFE,
        BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD,
    },
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use percent_encoding::percent_decode_str;
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{ApiKeyHeader, Gemini, Key, KeyPool, KeyPoolLayer, ReplayBody, VerdictKind};

use super::support::{Bench, KEY, STARS, Step, Steps, answer, collect, event, events, full, json, kind, text};

#[tokio::test(start_paused = true)]
async fn split_over_chunks_at_every_place() {
    let whole = format!("{{\"text\":\"AIza {KEY}{KEY} AIzaSy\"}}");
    let masked = whole.replace(KEY, STARS);
    for status in [200, 404] {
        for cut in 0..whole.len() {
            let bench = Bench::new();
            let response = bench.get(json(status, Steps::chunks([&whole[..cut], &whole[cut..]]).sized())).await;
            assert_eq!(response.body().size_hint().exact(), Some(whole.len() as u64));
            assert_eq!(text(response).await, masked, "{status} cut at {cut}");
        }
        let bench = Bench::new();
        let response = bench.get(json(status, Steps::chunks(whole.as_bytes().chunks(1)))).await;
        assert_eq!(text(response).await, masked);
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_border_of_what_is_held() {
    for size in [1, 1000, 65_536, 100_000] {
        for at in [65_530, 65_536 - KEY.len(), 65_536] {
            let bench = Bench::new();
            let whole = format!("{}{KEY}{}", "x".repeat(at), "y".repeat(1000));
            let response = bench.get(json(403, Steps::chunks(whole.as_bytes().chunks(size)))).await;
            assert_eq!(kind(&response), VerdictKind::Suspended);
            assert_eq!(text(response).await, whole.replace(KEY, STARS));
        }
    }
}

/// As providers and what stands before them write bytes that they do not want to show, or a whole header.
#[tokio::test(start_paused = true)]
async fn in_an_error_as_hex_and_as_base64() {
    let hex = |letter: fn(u8) -> String| KEY.bytes().map(letter).collect::<String>();
    let mut forms = vec![hex(|byte| format!("{byte:02x}")), hex(|byte| format!("{byte:02X}"))];
    for before in ["", "u", "u:", "Bearer ", "user:"] {
        for after in ["", "\n", "\r\n", ":x"] {
            for alphabet in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                forms.push(alphabet.encode(format!("{before}{KEY}{after}")));
            }
        }
    }
    for form in forms {
        let bench = Bench::new();
        let whole = format!("{{\"error\":{{\"message\":\"authorization: {form} is wrong\"}}}}");
        let told = text(bench.get(json(403, Steps::chunks([&*whole]))).await).await;
        assert_eq!(told.len(), whole.len(), "{told}");
        let stars = told.matches('*').count();
        // But for what stands beside the key in the same text.
        assert!(stars >= KEY.len() * 4 / 3, "{form}: {told}");
        let left = told.split_once("authorization: ").unwrap().1.split_once(" is wrong").unwrap().0.replace('*', "");
        assert!(left.len() <= 12 && told.ends_with(" is wrong\"}}"), "{form}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_an_error_event_of_a_200() {
    let error = format!("data: {{\"error\":{{\"code\":403,\"message\":\"api_key:{KEY} was suspended\"}}}}\r\n\r\n");
    for before in [String::new(), event("fine", 1)] {
        let bench = Bench::new();
        let whole = format!("{before}{error}");
        let response = bench.get(events(Steps::chunks(whole.as_bytes().chunks(13)))).await;
        assert_eq!(text(response).await, whole.replace(KEY, STARS));
        assert!(bench.pool.try_acquire("m").is_err());
        assert!(!format!("{:?}", bench.pool.snapshot()).contains(KEY));
    }
}

#[tokio::test(start_paused = true)]
async fn in_headers_and_trailers() {
    let bench = Bench::new();
    for status in [200, 302, 429] {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-tail", KEY.parse().unwrap());
        let mut response = answer(status, "text/html", Steps::chunks(["a"]).then(Step::Trailers(trailers)));
        response.headers_mut().insert("location", format!("https://x/?key={KEY}&a=b").parse().unwrap());
        let mut odd = b"\xff".to_vec();
        odd.extend_from_slice(KEY.as_bytes());
        response.headers_mut().insert("x-odd", HeaderValue::from_bytes(&odd).unwrap());
        let response = bench.get(response).await;
        assert_eq!(response.headers()["location"], format!("https://x/?key={STARS}&a=b"));
        assert_eq!(&response.headers()["x-odd"].as_bytes()[1..], STARS.as_bytes());
        assert_eq!(response.into_body().collect().await.unwrap().trailers().unwrap()["x-tail"], STARS);
    }
}

/// Names are of lower case. Of good answers they are looked at where a value has room for a key, too.
#[tokio::test(start_paused = true)]
async fn in_the_name_of_a_header() {
    let name = format!("x-{}", KEY.to_lowercase());
    for status in [200, 400, 429, 503] {
        let bench = Bench::new();
        let mut answer = json(status, Steps::chunks(["{}"]));
        let headers = answer.headers_mut();
        headers.insert(http::HeaderName::try_from(&name).unwrap(), HeaderValue::from_static("1"));
        headers.insert("x-long", HeaderValue::from_static("long enough for a key to stand in this one"));
        headers.insert("x-not-a-key-though-long-enough-for-one", HeaderValue::from_static("1"));
        let response = bench.get(answer).await;
        let names: Vec<&str> = response.headers().keys().map(http::HeaderName::as_str).collect();
        assert!(!names.contains(&&*name) && names.contains(&"x-not-a-key-though-long-enough-for-one"), "{names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn percent_encoded_in_a_query() {
    let bench = Bench::with("abc+def/ghi==&jkl");
    let whole = "abc+def/ghi==&jkl and https://x/?key=abc%2Bdef%2Fghi%3D%3D%26jkl abc%2Bde abc+de";
    let response = bench.get(json(200, Steps::chunks(whole.as_bytes().chunks(3)))).await;
    let masked = "***************** and https://x/?key=*************************** abc%2Bde abc+de";
    assert_eq!(masked.len(), whole.len());
    assert_eq!(text(response).await, masked);
}

#[tokio::test(start_paused = true)]
async fn escaped_in_json() {
    let whole = r#"{"a":"abc+def\/ghi==&jkl","b":"abc+def/ghi\u003d\u003d\u0026jkl","c":"abc+def\/gh"}"#;
    for status in [200, 404] {
        for size in [1, 3, 1000] {
            let bench = Bench::with("abc+def/ghi==&jkl");
            let response = bench.get(json(status, Steps::chunks(whole.as_bytes().chunks(size)))).await;
            let masked = format!(r#"{{"a":"{}","b":"{}","c":"abc+def\/gh"}}"#, "*".repeat(18), "*".repeat(32));
            assert_eq!(masked.len(), whole.len());
            assert_eq!(text(response).await, masked);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_begins_like_the_key_is_not_kept_from_whoever_counts_bytes() {
    let bench = Bench::new();
    let response = bench.get(json(200, full(&KEY[..20]))).await;
    let mut body = response.into_body();
    let mut left = body.size_hint().exact().unwrap();
    while left > 0 {
        left -= body.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64;
        assert_eq!(body.size_hint().exact(), Some(left));
    }
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn what_begins_like_the_key_when_the_body_breaks_off() {
    for (begun, shown) in [(7, &KEY[..7]), (8, &STARS[..8]), (38, &STARS[..38])] {
        let bench = Bench::new();
        let response = bench.get(json(200, Steps::chunks(["ab", &KEY[..begun]]).then(Step::Fail))).await;
        let (got, error) = collect(response).await;
        assert_eq!((&got[2..], error.is_some()), (shown.as_bytes(), true));
        let bench = Bench::new();
        let response = bench.get(json(200, Steps::chunks(["ab", &KEY[..begun]]))).await;
        assert_eq!(text(response).await[2..], KEY[..begun]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_few_letters_maims_no_text() {
    let bench = Bench::with("data");
    let response = bench.get(json(200, full("{\"data\":1}"))).await;
    assert_eq!(text(response).await, "{\"data\":1}");
}

#[tokio::test(start_paused = true)]
#[cfg(feature = "hyper")]
async fn in_the_reason_phrase_that_hyper_hands_on() {
    use hyper::ext::ReasonPhrase;

    for (reason, stays) in [("Slow Down", true), (&*format!("API key {KEY} refused"), false)] {
        for status in [200, 400] {
            let bench = Bench::new();
            let mut response = json(status, full("{}"));
            response.extensions_mut().insert(ReasonPhrase::try_from(reason.to_owned()).unwrap());
            let response = bench.get(response).await;
            let sent = response.extensions().get::<ReasonPhrase>().map(|reason| reason.as_bytes().to_vec());
            assert_eq!(sent, stays.then(|| reason.as_bytes().to_vec()), "{status}");
        }
    }
}

/// A redirect that repeats where it was asked, and a body that does.
#[tokio::test(start_paused = true)]
async fn a_key_in_the_query_as_it_was_sent() {
    for key in ["my-secret_key.12345678~", "a+b/c=d&e%20-_12345678"] {
        let provider = ApiKeyHeader::query("appid", "https://api.example").unwrap();
        let pool = KeyPool::builder(provider).key(Key::new(key)).build().unwrap();
        for status in [200, 301, 404] {
            let client = KeyPoolLayer::new(&pool).layer(service_fn(move |request: Request<_>| {
                let asked = request.uri().to_string();
                let answer = Response::builder().status(status).header("location", &asked).header("x-asked", &asked);
                drop::<Request<ReplayBody<Full<Bytes>>>>(request);
                std::future::ready(Ok::<_, std::io::Error>(answer.body(Full::<Bytes>::from(asked)).unwrap()))
            }));
            let response = client.oneshot(Request::get("/x?city=Ulm").body(Full::default()).unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            let told = format!("{:?} {:?}", head.headers, body.collect().await.unwrap().to_bytes());
            let plain = percent_decode_str(&told).decode_utf8_lossy();
            assert!(told.contains("city=Ulm") && !plain.contains(key), "{status}: {told}");
        }
    }
}

const OTHER: &str = "AIzaSyTEST-the-key-of-another-request-01";
const THIRD: &str = "AQ.TEST/a+third-key-of-the-same-pool==02";

/// As writers of texts spell a key.
fn spelled(key: &str) -> Vec<String> {
    let each = |form: fn(u8) -> String| key.bytes().map(form).collect::<String>();
    vec![
        key.to_owned(),
        key.to_uppercase(),
        key.replace('/', "\\/").replace('=', "\\u003d"),
        each(|byte| format!("\\u{byte:04x}")),
        each(|byte| format!("%{byte:02X}")),
        each(|byte| format!("{byte:02x}")),
        STANDARD.encode(format!("Bearer {key}")),
    ]
}

/// A provider that knows several keys of one pool, and tells each caller of all.
#[tokio::test(start_paused = true)]
async fn no_error_and_no_header_shows_any_key_of_the_pool() {
    for key in [KEY, OTHER, THIRD] {
        for text in spelled(key) {
            for status in [200, 302, 400, 403, 503] {
                let said = format!("{{\"error\":{{\"message\":\"of {text}, and so on\"}}}}");
                let head = text.clone();
                let answering = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
                    let (said, head) = (said.clone(), head.clone());
                    async move {
                        drop(request);
                        let body = if status == 200 { "{\"candidates\":[]}".to_owned() } else { said };
                        let response = Response::builder().status(status).header("content-type", "application/json");
                        let response = response.header("location", format!("https://h.example/?key={head}&a"));
                        Ok::<_, tower_keypool::BoxError>(
                            response.header("x-a", head).body(Full::<Bytes>::from(body)).unwrap(),
                        )
                    }
                });
                let pool = KeyPool::builder(ApiKeyHeader::header("x-key", "https://h.example").unwrap());
                let keys = [KEY, OTHER, THIRD].map(|key| Key::new(key).max_concurrent(1));
                let pool = pool.keys(keys).build().unwrap();
                let request = Request::get("https://h.example/a").body(Full::<Bytes>::default()).unwrap();
                let response = KeyPoolLayer::new(&pool).layer(answering).oneshot(request).await.unwrap();
                let shown = format!("{:?}", response.headers());
                assert!(!shown.contains(&text) && shown.contains("****"), "{status}: {text}: {shown}");
                let told = response.into_body().collect().await.unwrap().to_bytes();
                let shown = told.windows(text.len()).any(|piece| piece == text.as_bytes());
                assert!(!shown, "{status}: {text}: {told:?}");
            }
        }
    }
}

/// Nor does a stream whose first event is one.
#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_with_an_error_shows_no_key_of_the_pool() {
    let said =
        format!("data: {{\"error\":{{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"message\":\"{OTHER}\"}}}}\r\n\r\n");
    let shown = said.clone();
    let answering = service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
        let body = Full::<Bytes>::from(said.clone());
        let response = Response::builder().header("content-type", "text/event-stream").body(body).unwrap();
        async move { Ok::<_, tower_keypool::BoxError>(response) }
    });
    let pool = KeyPool::builder(Gemini::at("https://h.example").unwrap()).keys([Key::new(KEY), Key::new(OTHER)]);
    let pool = pool.build().unwrap();
    let uri = "https://h.example/v1beta/models/m:streamGenerateContent?alt=sse";
    let request = Request::post(uri).body(Full::<Bytes>::default()).unwrap();
    let response = KeyPoolLayer::new(&pool).layer(answering).oneshot(request).await.unwrap();
    let told = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(told, shown.replace(OTHER, &"*".repeat(OTHER.len())));
}

/// Nor one that turns into an error, and what comes behind it.
#[tokio::test(start_paused = true)]
async fn a_stream_that_turns_into_an_error_shows_no_key_of_the_pool() {
    let good = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\r\n\r\n".to_owned();
    let error = |key: &str| {
        format!("data: {{\"error\":{{\"code\":503,\"status\":\"UNAVAILABLE\",\"message\":\"{key}\"}}}}\r\n\r\n")
    };
    let mut pieces = vec![good.clone(), good];
    for key in [OTHER, THIRD] {
        pieces.extend(spelled(key).iter().map(|key| error(key)));
    }
    let behind = format!("data: {{\"error\":{{\"code\":503,\"message\":\"{OTHER}\",\"details\":[");
    pieces.extend([behind, format!("\"and {THIRD}\"]}}}}\r\n\r\n")]);
    for together in [1, 2, pieces.len()] {
        let chunks: Vec<Vec<u8>> = pieces.chunks(together).map(|some| some.concat().into_bytes()).collect();
        let answering = service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
            let body = Steps::chunks(chunks.iter().map(Vec::as_slice));
            let response = Response::builder().header("content-type", "text/event-stream").body(body).unwrap();
            async move { Ok::<_, tower_keypool::BoxError>(response) }
        });
        let pool = KeyPool::builder(Gemini::at("https://h.example").unwrap());
        let pool = pool.keys([KEY, OTHER, THIRD].map(Key::new)).build().unwrap();
        let uri = "https://h.example/v1beta/models/m:streamGenerateContent?alt=sse";
        let request = Request::post(uri).body(Full::<Bytes>::default()).unwrap();
        let response = KeyPoolLayer::new(&pool).layer(answering).oneshot(request).await.unwrap();
        let told = text(response).await;
        assert!(told.starts_with(&pieces[..2].concat()), "what is good is as it was: {told}");
        for key in [OTHER, THIRD].iter().flat_map(|key| spelled(key)) {
            assert!(!told.contains(&key), "{together}: {key}: {told}");
        }
    }
}

/// A good answer shows no key of the attempts before it, in one piece or in many.
#[tokio::test(start_paused = true)]
async fn a_good_answer_shows_no_key_of_an_earlier_attempt() {
    for pieces in [1, 2, 9] {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
        let kept = std::sync::Arc::clone(&seen);
        let answering = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
            let seen = std::sync::Arc::clone(&kept);
            async move {
                let mut seen = seen.lock().unwrap();
                seen.push(request.headers()["x-key"].to_str().unwrap().to_owned());
                let (status, said) =
                    if seen.len() < 2 { (503, String::new()) } else { (200, format!("<{}>", seen.join("|"))) };
                let size = said.len().div_ceil(pieces).max(1);
                let body = Steps::chunks(said.as_bytes().chunks(size));
                let response = Response::builder().status(status).header("content-type", "text/plain");
                Ok::<_, tower_keypool::BoxError>(response.header("x-seen", seen.join(" ")).body(body).unwrap())
            }
        });
        let pool = KeyPool::builder(ApiKeyHeader::header("x-key", "https://h.example").unwrap());
        let pool = pool.keys([Key::new(OTHER), Key::new(THIRD)]).build().unwrap();
        let request = Request::get("https://h.example/a").body(Full::<Bytes>::default()).unwrap();
        let response = KeyPoolLayer::new(&pool).layer(answering).oneshot(request).await.unwrap();
        let told = format!("{:?} {:?}", response.headers().clone(), text(response).await);
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 2);
        assert!(seen[0] != seen[1] && told.contains("<***") && seen.iter().all(|key| !told.contains(key)), "{told}");
    }
}

/// What came in one piece with the end of what is read of an error.
#[tokio::test(start_paused = true)]
async fn behind_what_is_read_of_a_long_error() {
    let other = "AIza-not-a-real-key-of-another-00002";
    let bench = Bench::new();
    bench.pool.add(tower_keypool::Key::new(other)).unwrap();
    let long =
        format!("{{\"error\":{{\"code\":400,\"message\":\"{} {other} {}\"}}}}", "x".repeat(66_000), KEY.to_lowercase());
    let told = text(bench.get(json(400, Steps::chunks([&long]))).await).await;
    assert!(!told.contains(other) && !told.contains(&KEY.to_lowercase()), "{}", &told[65_990..]);
    assert_eq!(told.len(), long.len());
}
