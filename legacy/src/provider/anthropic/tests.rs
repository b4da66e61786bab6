use http::Request;

use super::*;
use crate::time::ManualClock;

fn head(method: Method, path: &str) -> Parts {
    Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0
}

#[test]
fn the_callers_version_is_kept() {
    let anthropic = Anthropic::new().bearer();
    let mut head = head(Method::POST, "/v1/messages");
    head.headers.insert(VERSION, HeaderValue::from_static("2026-10-21"));
    head.headers.insert("x-api-key", HeaderValue::from_static("of-the-caller"));
    anthropic.strip(&mut head);
    anthropic.inject(&mut head, &anthropic.prepare("sk-ant-x").unwrap()).unwrap();
    assert_eq!(head.headers["anthropic-version"], "2026-10-21");
    assert_eq!(head.headers["authorization"], "Bearer sk-ant-x");
    assert!(head.headers.get("x-api-key").is_none());
}

#[test]
fn what_requests_ask_for() {
    let anthropic = Anthropic::new();
    let head_of_count = head(Method::POST, "/v1/messages/count_tokens");
    let count = anthropic.asks(&head_of_count);
    assert_eq!((count.model, count.free), (ModelIn::Body, true));
    for (method, path) in
        [(Method::GET, "/v1/models"), (Method::POST, "/v1/messages/batches"), (Method::POST, "/v1/files")]
    {
        let mut head = head(method, path);
        let asks = anthropic.asks(&head);
        assert_eq!((asks.model, asks.free), (ModelIn::Nowhere, true), "{path}");
        assert_eq!(anthropic.retarget(&mut head, "m"), Retarget::No);
    }
    assert_eq!(anthropic.retarget(&mut head(Method::POST, "/v1/messages"), "m"), Retarget::InBody);
}

/// Gateways that speak the language send the field of the IETF.
#[test]
fn the_field_of_the_ietf_counts_as_well() {
    let headers: HeaderMap = [("ratelimit", "\"requests\";r=0;t=7, \"tokens\";r=90;t=20")]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let news = Anthropic::new().rate_headers(&headers, &Clock::system()).expect("there are some");
    let told: Vec<_> = news.remaining.iter().map(|rate| (rate.unit, rate.remaining, rate.reset.as_secs())).collect();
    assert_eq!(told, [(crate::limit::Unit::Requests, 0, 7), (crate::limit::Unit::Tokens, 90, 20)]);
    let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    let answer = Answer::new(StatusCode::TOO_MANY_REQUESTS, &headers, body, std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(Anthropic::new().judge(&answer).retry_after(), Some(Duration::from_secs(7)));
}

#[test]
fn resets_are_measured_by_the_answers_date_or_the_pools_clock() {
    let anthropic = Anthropic::new();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("anthropic-ratelimit-input-tokens-limit", "20000"),
        ("anthropic-ratelimit-input-tokens-remaining", "5"),
        ("anthropic-ratelimit-input-tokens-reset", "2026-11-18T12:07:40+01:00"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let before =
        |seconds| "2026-11-18T11:07:40Z".parse::<jiff::Timestamp>().unwrap() - jiff::SignedDuration::from_secs(seconds);
    let clock = ManualClock::at(before(25).into()).clock();
    let told = |headers: &HeaderMap| {
        let news = anthropic.rate_headers(headers, &clock).unwrap();
        (news.remaining[0].remaining, news.remaining[0].reset.as_secs())
    };
    // Proxies leave the date out.
    assert_eq!(told(&headers), (5, 25));
    headers.insert("date", "Wed, 18 Nov 2026 11:07:30 GMT".parse().unwrap());
    assert_eq!(told(&headers), (5, 10));
}

#[test]
fn its_own_errors_have_its_shape() {
    let body = Anthropic::new().error_body(StatusCode::SERVICE_UNAVAILABLE, "out", None);
    assert_eq!(body, r#"{"error":{"message":"out","type":"overloaded_error"},"type":"error"}"#);
}

/// Its buckets refill all the while, so that the pause that it asks for is over as soon as one more may go: who does not know the
/// limit sends all that wait for it then.
#[test]
fn a_limit_of_requests_that_it_names_is_learned() {
    let headers: HeaderMap = [("retry-after", "2")]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let judged = |of: &str| {
        let message =
            format!("This request would exceed the rate limit for your organization (0a-1) of {of} per minute. For …");
        let body = json!({"type": "error", "error": {"type": "rate_limit_error", "message": message}}).to_string();
        let answer =
            Answer::new(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes(), std::time::SystemTime::UNIX_EPOCH);
        Anthropic::new().judge(&answer)
    };
    let verdict = judged("1,050 requests");
    let news = verdict.news_of().expect("it names a limit");
    let limit = crate::verdict::Violation {
        unit: crate::limit::Unit::Requests,
        span: crate::limit::Span::MINUTE,
        amount: Some(1_050),
    };
    assert_eq!((&news.violations[..], news.decisive), (&[limit][..], Some(limit)));
    assert_eq!(verdict.retry_after(), Some(Duration::from_secs(2)));
    assert_eq!(judged("20,000 input tokens").news_of(), None, "what was read from a cache does not count there");
}
