use http::{Method, Request};

use super::*;
use crate::provider::ModelIn;

fn head(method: Method, uri: &str) -> Parts {
    Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
}

#[test]
fn what_requests_ask_for() {
    let openai = OpenAi::new();
    for path in ["/v1/chat/completions", "/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/audio/speech"] {
        let head = head(Method::POST, path);
        let asks = openai.asks(&head);
        assert_eq!((asks.model, asks.free), (ModelIn::Body, false), "{path}");
    }
    for (method, path) in [
        (Method::GET, "/v1/models"),
        (Method::POST, "/v1/files"),
        (Method::POST, "/v1/batches"),
        (Method::GET, "/v1/responses/r"),
        (Method::POST, "/v1/responses/r/cancel"),
        (Method::DELETE, "/v1/files/f"),
    ] {
        let head = head(method, path);
        let asks = openai.asks(&head);
        assert_eq!((asks.model, asks.free), (ModelIn::Nowhere, true), "{path}");
    }
    let socket = head(Method::GET, "/v1/realtime?model=gpt%2Drealtime");
    let realtime = openai.asks(&socket);
    assert_eq!((realtime.model, realtime.free), (ModelIn::Head("gpt-realtime".into()), false));
    let mut socket = head(Method::GET, "/v1/realtime?a=model=b&model=spoken&c");
    assert_eq!(openai.resolve(&mut socket, "gpt/x&y"), Retarget::Done);
    assert_eq!(socket.uri, "/v1/realtime?a=model=b&model=gpt%2Fx%26y&c");
    assert_eq!(openai.resolve(&mut head(Method::GET, "/v1/realtime?call_id=c"), "m"), Retarget::No);
    let mut form = head(Method::POST, "/v1/audio/transcriptions");
    form.headers.insert("content-type", "multipart/form-data; boundary=x".parse().unwrap());
    assert_eq!(openai.asks(&form).model, ModelIn::Nowhere);
}

#[test]
fn a_base_of_its_own() {
    let router = OpenAi::at("https://openrouter.ai/api/v1").unwrap();
    assert_eq!(router.asks(&head(Method::POST, "/api/v1/chat/completions")).model, ModelIn::Body);
    assert!(router.asks(&head(Method::POST, "/api/v1/files")).free);
    assert!(OpenAi::at("ftp://x").is_err());
}

#[test]
fn azure_keeps_the_model_in_the_path() {
    let azure = OpenAi::azure("https://r.openai.azure.com").unwrap();
    let mut head = head(Method::POST, "/openai/deployments/a/chat/completions?api-version=1");
    assert_eq!(azure.retarget(&mut head, "b/c"), Retarget::Done);
    assert_eq!(head.uri, "/openai/deployments/b%2Fc/chat/completions?api-version=1");
    azure.inject(&mut head, &azure.prepare("0123").unwrap()).unwrap();
    assert_eq!(head.headers["api-key"], "0123");
    assert!(head.headers.get("authorization").is_none());
}

#[test]
fn models_in_bodies_are_spliced_but_for_embeddings() {
    let openai = OpenAi::new();
    assert_eq!(openai.retarget(&mut head(Method::POST, "/v1/chat/completions"), "m"), Retarget::InBody);
    assert_eq!(openai.retarget(&mut head(Method::POST, "/v1/embeddings"), "m"), Retarget::No);
    assert_eq!(openai.retarget(&mut head(Method::GET, "/v1/models"), "m"), Retarget::No);
    assert_eq!(openai.resolve(&mut head(Method::POST, "/v1/embeddings"), "m"), Retarget::InBody);
    assert_eq!(openai.resolve(&mut head(Method::GET, "/v1/models"), "m"), Retarget::No);
    let mut azure = head(Method::POST, "/openai/deployments/a/embeddings?api-version=1");
    assert_eq!(openai.resolve(&mut azure, "b"), Retarget::Done);
    assert_eq!(azure.uri, "/openai/deployments/b/embeddings?api-version=1");
}

#[test]
fn rate_headers_of_good_answers() {
    let openai = OpenAi::new();
    let mut headers = HeaderMap::new();
    assert_eq!(openai.rate_headers(&headers, &Clock::system()), None);
    for (name, value) in [
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "7"),
        ("x-ratelimit-reset-requests", "6m0s"),
        ("x-ratelimit-remaining-tokens", "-1"),
        ("x-ratelimit-reset-tokens", "1s"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let news = openai.rate_headers(&headers, &Clock::system()).unwrap();
    assert_eq!(news.remaining.len(), 1);
    // 93 of them are back in six minutes.
    assert_eq!((news.remaining[0].remaining, news.remaining[0].reset.as_millis()), (7, 3_870));
}

#[test]
fn requests_a_day_come_back_one_by_one() {
    let reset = |limit: &str, remaining: &str, reset: &str| {
        let headers: HeaderMap = [
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        OpenAi::new().rate_headers(&headers, &Clock::system()).unwrap().remaining[0].reset
    };
    assert_eq!(reset("17280", "0", "24h0m0s"), Duration::from_secs(5));
    assert_eq!(reset("14400", "14370", "3m0s"), Duration::from_secs(6), "Groq's");
    assert_eq!(reset("100000", "0", "24h0m0s"), Duration::from_secs(1), "no more than one a second is tried");
    assert_eq!(reset("60", "0", "59s"), Duration::from_secs(59), "a minute's is waited for");
    assert_eq!(reset("0x", "0", "24h0m0s"), Duration::from_secs(86_400), "nobody knows how many there are");
}

#[test]
fn what_remains_by_the_one_field_for_it() {
    let openai = OpenAi::new();
    for field in ["limit=10, remaining=0, reset=5", "\"default\";r=0;t=5"] {
        let headers: HeaderMap = [("ratelimit".parse().unwrap(), field.parse().unwrap())].into_iter().collect();
        let news = openai.rate_headers(&headers, &Clock::system()).unwrap_or_else(|| panic!("{field}"));
        assert_eq!((news.remaining[0].remaining, news.remaining[0].reset), (0, Duration::from_secs(5)), "{field}");
    }
}

#[test]
fn its_own_errors_have_its_shape() {
    let body = OpenAi::new().error_body(StatusCode::SERVICE_UNAVAILABLE, "all \"out\"", None);
    let json: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["error"]["message"], "all \"out\"");
    assert_eq!(json["error"]["code"], "no_available_keys");
    assert!(json["error"]["param"].is_null());
}
