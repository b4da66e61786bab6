//! The recorded answers of the real providers, through the layer: judged as their provider judges them whole, and
//! handed up as they came.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    Answer, Anthropic, Clock, CooldownLayer, Gemini, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, Limits, OpenAi,
    Provider, Verdict, VerdictKind,
};

use super::support::{BoxError, KEY, Steps, served, text};

/// Prompt tokens that some of them tell.
const USAGE: [(&str, u64); 6] = [
    ("anthropic_200_stream_usage", 25),
    ("gemini_200_midstream_raw_json_tail", 9),
    ("gemini_200_ok", 6),
    ("gemini_200_stream_json_array", 4),
    ("gemini_200_stream_sse_max_tokens", 20),
    ("openai_200_stream_usage", 9),
];

fn builder(name: &str) -> KeyPoolBuilder {
    match name.split('_').next().unwrap() {
        "openai" | "azure" | "openrouter" => KeyPool::builder(OpenAi::new()),
        "anthropic" => KeyPool::builder(Anthropic::new()),
        _ => KeyPool::builder(Gemini::new()),
    }
}

fn pool(name: &str) -> KeyPool {
    builder(name).key(Key::new(KEY)).limits("m", Limits::new().tokens_per_minute(1_000_000)).build().unwrap()
}

fn all() -> Vec<(String, Response<String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let body = match &json["body"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            json => json.to_string(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = u16::try_from(json["status"].as_u64().unwrap()).unwrap().try_into().unwrap();
        for (name, value) in json["headers"].as_object().into_iter().flatten() {
            let value = HeaderValue::try_from(value.as_str().unwrap()).unwrap();
            response.headers_mut().insert(HeaderName::try_from(name).unwrap(), value);
        }
        // The samples are told in plain text.
        response.headers_mut().remove("content-encoding");
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), response)
    };
    files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).map(read).collect()
}

/// What of a verdict does not depend on the moment it was made.
fn facts(verdict: &Verdict) -> impl PartialEq + std::fmt::Debug {
    (verdict.kind(), verdict.scope_of(), verdict.elsewhere_of(), verdict.code_of().to_owned(), verdict.is_named())
}

#[tokio::test]
async fn each_is_judged_as_its_provider_judges_it_whole() {
    let (mut errors, mut streams, mut told) = (0, 0, 0);
    for (name, sample) in all() {
        let pool = pool(&name);
        let provider: &dyn Provider = &**pool.provider();
        let lease = pool.try_acquire("m").unwrap();
        lease.started();
        let (head, body) = sample.into_parts();
        let is_stream = head.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/event"));
        let expected = if head.status.as_u16() >= 400 {
            errors += 1;
            provider.judge(&Answer::new(head.status, &head.headers, body.as_bytes(), SystemTime::UNIX_EPOCH))
        } else if is_stream {
            streams += 1;
            // Only the first event is waited for that tells anything.
            let nth = 1 + usize::from(body.starts_with("event: message_start"));
            let first = body.split("data:").nth(nth).unwrap_or(&body).split("\n\n").next().unwrap();
            let first = first.split("\r\n\r\n").next().unwrap();
            let answer = Answer::new(head.status, &head.headers, first.as_bytes(), SystemTime::UNIX_EPOCH);
            provider.judge(&answer.event())
        } else {
            Verdict::SUCCESS
        };
        let mut request = Request::get("https://api.example/m").body(()).unwrap();
        request.extensions_mut().insert(lease.granted().clone());
        let mut answer = Some(Response::from_parts(head, Steps::chunks(body.as_bytes().chunks(17))));
        let below = service_fn(move |_| std::future::ready(Ok::<_, BoxError>(answer.take().unwrap())));
        let response = CooldownLayer::new(&pool).layer(below).oneshot(request).await.unwrap();
        assert_eq!(facts(served(&response).verdict()), facts(&expected), "{name}");
        assert_eq!(text(response).await, body, "{name}");
        if let Some((_, tokens)) = USAGE.iter().find(|(sample, _)| *sample == name) {
            let used = pool.snapshot().keys[0].lanes[0].limits[0].used;
            assert_eq!(used, *tokens, "{name}");
            told += 1;
        }
        let broken = pool.snapshot().verdicts.get(&VerdictKind::Broken).copied().unwrap_or(0);
        assert_eq!(broken, u64::from(name == "gemini_200_midstream_raw_json_tail"), "{name}");
    }
    assert!(told >= 6, "{told} told their usage");
    assert!(errors > 50 && streams > 5, "{errors} errors, {streams} streams");
}

/// Whatever a provider keeps saying, to whatever model: each key is asked once, and again only after a rest or a pause. The
/// shortest rest of them lasts 8.64 s.
#[tokio::test(start_paused = true)]
async fn none_makes_a_storm_of_one_request() {
    for (name, sample) in all() {
        let keys = ["one", "two", "three"].map(|id| Key::new(format!("{KEY}-{id}")).id(id).owner(id));
        let time = Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_153_560));
        let pool = builder(&name).keys(keys).clock(time).build().unwrap();
        let calls = AtomicUsize::new(0);
        let (head, body) = sample.into_parts();
        let below = service_fn(|_: Request<tower_keypool::ReplayBody<http_body_util::Full<bytes::Bytes>>>| {
            assert!(calls.fetch_add(1, Relaxed) < 1_000, "{name} is asked without end");
            let answer = Response::from_parts(head.clone(), http_body_util::Full::<bytes::Bytes>::from(body.clone()));
            std::future::ready(Ok::<_, BoxError>(answer))
        });
        let layer = KeyPoolLayer::new(&pool).wait(Duration::from_secs(50));
        let asked = Request::post("/v1/models/m:generateContent").body(http_body_util::Full::from("{}")).unwrap();
        // Whether it ends with an answer or an error is not the point here.
        let _ = layer.layer(below).oneshot(asked).await;
        let calls = calls.load(Relaxed);
        assert!((1..=3 * 6).contains(&calls), "{name}: {calls} calls");
    }
}
