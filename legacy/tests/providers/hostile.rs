//! Bodies and headers that mean harm: a sane verdict comes of each, and never a panic.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use tower_keypool::{
    Answer, Anthropic, ApiKeyHeader, Gemini, OpenAi, Provider, Until, Verdict, VerdictKind as K, retry_after,
};

use crate::sample::{Sample, now};

fn providers() -> Vec<Box<dyn Provider>> {
    vec![
        Box::new(Gemini::new()),
        Box::new(OpenAi::new()),
        Box::new(OpenAi::azure("https://a.example").unwrap()),
        Box::new(Anthropic::new()),
        Box::new(ApiKeyHeader::header("x-key", "https://a.example").unwrap()),
    ]
}

fn judge(provider: &dyn Provider, status: u16, headers: &HeaderMap, body: &[u8], event: bool) -> Verdict {
    let answer = Answer::new(StatusCode::from_u16(status).unwrap(), headers, body, now());
    provider.judge(&if event { answer.event() } else { answer })
}

/// What holds for every verdict, whatever it was made of.
fn is_sane(verdict: &Verdict) {
    if let Until::For(wait) | Until::Probed(wait) = verdict.until_of() {
        assert!(wait <= retry_after::LONGEST, "{verdict:?}");
    }
    assert!(verdict.code_of().len() <= 64);
    assert!(verdict.is_success() || !verdict.advice_of().is_empty(), "{verdict:?}");
    if let Some(news) = verdict.news_of() {
        assert!(news.violations.len() <= 32 && news.remaining.len() <= 8);
        assert!(news.consumer.as_ref().is_none_or(|consumer| consumer.len() <= 80));
        assert!(news.quota_model.as_ref().is_none_or(|model| model.len() <= 128));
    }
}

const STATUSES: [u16; 27] = [
    100, 101, 200, 204, 302, 304, 400, 401, 402, 403, 404, 407, 408, 409, 413, 418, 421, 425, 429, 451, 499, 500, 502,
    503, 504, 529, 999,
];

#[test]
fn bodies_that_mean_harm() {
    let long = "x".repeat(200_000);
    let bodies: Vec<Vec<u8>> = vec![
        vec![],
        vec![0xff; 1000],
        "[".repeat(100_000).into_bytes(),
        "{\"error\":".repeat(20_000).into_bytes(),
        format!("{{\"error\":{}", "[".repeat(100_000)).into_bytes(),
        format!(r#"{{"error":{{"message":"{long}"}}}}"#).into_bytes(),
        b"{\"error\":{\"message\":\"cut of".to_vec(),
        b"<?xml".to_vec(),
        format!("<?xml version=\"1.0\"?><Error><Message>{long}<html").into_bytes(),
        b"{\"error\":{\"message\":\"\\".to_vec(),
        b"{\"error\":{\"message\":\"\xc3".to_vec(),
        br#"{"error":{"code":[],"message":{},"status":7,"details":"no"}}"#.to_vec(),
        br#"{"error":{"code":-1e999,"details":[null,1,"x",[],{"violations":{}},{"violations":[null,1]}]}}"#.to_vec(),
        br#"{"error":{"details":[{"retryDelay":"-5s"},{"retryDelay":"NaN"},{"retryDelay":{"seconds":"1e99"}}]}}"#
            .to_vec(),
        br#"{"error":{"details":[{"retryDelay":{"seconds":18446744073709551615}}],"message":"retry in 1e9h"}}"#
            .to_vec(),
        br#"{"error":[{"error":[]}]}"#.to_vec(),
        br#"{"error":true}"#.to_vec(),
        br#"{"error":"text"}"#.to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"error\"".to_vec(),
        b"data: {\"error\":\n\ndata: \"error\"\n\n{\"error\"".to_vec(),
        format!("{{\"error\":{{\"details\":[{}0]}}}}", r#"{"reason":"A","violations":[{}]},"#.repeat(1_500))
            .into_bytes(),
        "metric: , limit: , model: \n".repeat(2_000).into_bytes(),
        "Please retry in ".repeat(4_000).into_bytes(),
        [b"<html>".to_vec(), vec![0x80; 70_000]].concat(),
    ];
    let headers = HeaderMap::new();
    for provider in providers() {
        for body in &bodies {
            for status in [200, 302, 400, 403, 404, 429, 503] {
                for event in [false, true] {
                    is_sane(&judge(&*provider, status, &headers, body, event));
                }
            }
        }
    }
}

#[test]
fn without_a_body_the_status_speaks() {
    for (status, kind) in [
        (400, K::CallerFault),
        (401, K::InvalidKey),
        (403, K::InvalidKey),
        (404, K::CallerFault),
        (429, K::RateLimited),
        (500, K::Transient),
        (502, K::Transient),
        (503, K::Overloaded),
        (504, K::Transient),
    ] {
        for provider in providers() {
            let verdict = judge(&*provider, status, &HeaderMap::new(), b"", false);
            assert_eq!(verdict.kind(), kind, "{} {status}", provider.name());
        }
    }
}

/// Every sample, cut anywhere: no panic; and once its telling part has come through, the verdict stands.
#[test]
fn samples_cut_short() {
    for sample in Sample::all() {
        let provider = sample.provider();
        for end in (0..sample.body.len()).step_by(7) {
            is_sane(&judge(&*provider, sample.status.as_u16(), &sample.headers, &sample.body[..end], false));
        }
    }
    let of = |name: &str, end: usize| {
        let sample = Sample::all().into_iter().find(|sample| sample.name == name).unwrap();
        let body = &sample.body[..sample.body.len() - end];
        judge(&*sample.provider(), sample.status.as_u16(), &sample.headers, body, false)
    };
    for end in 1..40 {
        assert_eq!(of("gemini_403_consumer_suspended", end).kind(), K::Suspended);
        assert_eq!(of("gemini_429_rpd_free", end).until_of(), Until::DayEnd);
        assert_eq!(of("gemini_403_key_reported_leaked", end).code_of(), "KEY_LEAKED");
    }
    // Cut inside the sentence itself: no structure left, the text still speaks.
    let body = br#"{"error": {"code": 429, "message": "Your prepayment credits are depleted. Please go to AI Stu"#;
    let verdict = judge(&Gemini::new(), 429, &HeaderMap::new(), body, false);
    assert_eq!(verdict.code_of(), "PREPAY_DEPLETED");
}

#[test]
fn waits_that_are_absurd() {
    for text in
        ["-1", "NaN", "inf", "1e308", "315360000", "99999999999999999999999999", "Wed, 31 Dec 9999 23:59:59 GMT"]
    {
        let headers = HeaderMap::from_iter([(HeaderName::from_static("retry-after"), HeaderValue::from_static(text))]);
        for provider in providers() {
            for status in [429, 503] {
                let verdict = judge(&*provider, status, &headers, b"", false);
                is_sane(&verdict);
                let wait = verdict.retry_after().unwrap_or_default();
                assert!(wait <= Duration::from_secs(26 * 3_600), "{text}: {wait:?}");
            }
        }
    }
    let body =
        br#"{"error":{"message":"Please retry in 87600h.","details":[{"violations":[{"quotaId":"PerMinute"}]}]}}"#;
    let verdict = judge(&Gemini::new(), 429, &HeaderMap::new(), body, false);
    assert_eq!((verdict.kind(), verdict.until_of()), (K::RateLimited, Until::Backoff), "ten years are no promise");
}

#[test]
fn keys_in_errors_stay_there() {
    const KEYS: [&str; 6] = [
        "AIzaSyA-not-a-real-key-0000000000000000",
        "AQ.Ab8RN6KnotArealKey00000000000000000000",
        "sk-proj-abcdefghijklmnopqrstuvwxyzabcdefghijklmn",
        "sk-ant-api03-abcdefghijkl",
        "0123456789abcdef0123456789abcdef",
        "gsk_aB3dE5fG7hI9jK1lM3nO5pQ7",
    ];
    for key in KEYS {
        let body = format!(
            r#"{{"type":"{key}","error":{{"code":"{key}","type":"{key}","status":"{key}","message":"{key}","innererror":
            {{"code":"{key}"}},"details":[{{"reason":"{key}","metadata":{{"consumer":"api_key:{key}"}}}},
            {{"metadata":{{"consumer":"projects/{key}"}}}}],"errors":[{{"reason":"{key}"}}]}}}}"#
        );
        for provider in providers() {
            for status in STATUSES {
                for event in [false, true] {
                    let verdict = judge(&*provider, status, &HeaderMap::new(), body.as_bytes(), event);
                    let shown = format!("{verdict} {verdict:?}");
                    assert!(!shown.contains(key), "{} {status}: {shown}", provider.name());
                }
            }
        }
    }
}

/// JSON that looks like errors: real members, any values.
fn errors() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[A-Z_]{1,20}",
        "\\PC{0,30}",
        Just("PerDay".to_owned()),
        Just("51s".to_owned()),
        Just("limit: 0".to_owned()),
        Just("429".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text.prop_map(Into::into),
    ];
    let name = prop::sample::select(vec![
        "error",
        "message",
        "code",
        "type",
        "status",
        "details",
        "reason",
        "violations",
        "quotaId",
        "quotaMetric",
        "quotaValue",
        "quotaDimensions",
        "model",
        "retryDelay",
        "metadata",
        "consumer",
        "quota_limit",
        "response",
        "candidates",
        "finishReason",
        "headers",
        "X-RateLimit-Reset",
        "error_code",
        "errors",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
    .prop_map(|json| json.to_string())
}

proptest! {
    #[test]
    fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..400), at in 0..STATUSES.len(), event: bool) {
        for provider in providers() {
            is_sane(&judge(&*provider, STATUSES[at], &HeaderMap::new(), &body, event));
        }
    }

    #[test]
    fn any_error(body in errors(), cut in 0usize..400, at in 0..STATUSES.len(), event: bool, wait in "[ -~]{0,20}") {
        let headers = HeaderMap::from_iter([(HeaderName::from_static("retry-after"), HeaderValue::try_from(wait).unwrap())]);
        let end = body.len().saturating_sub(cut);
        for provider in providers() {
            for body in [body.as_bytes(), &body.as_bytes()[..end]] {
                is_sane(&judge(&*provider, STATUSES[at], &headers, body, event));
            }
        }
    }

    /// Quotes that open and do not close, names of resources without a name, prefaces without an end: in a message, in a
    /// bare text, whatever the request named.
    #[test]
    fn any_message(
        message in "(['\"`:/. \\[\\]\n*-]|\u{201c}|\u{2018}|\u{2019}|\u{130}|error|models/|files/|API key|not valid|[a-z]{0,4}){0,30}",
        asked in "\\PC{0,8} ?\\PC{0,8}",
        at in 0..STATUSES.len(),
    ) {
        let json = serde_json::json!({"error": {"message": message}}).to_string();
        let headers = HeaderMap::new();
        let status = StatusCode::from_u16(STATUSES[at]).unwrap();
        for provider in providers() {
            for body in [json.as_bytes(), &json.as_bytes()[..json.len() / 2], message.as_bytes()] {
                for asked in [&asked, &message] {
                    is_sane(&provider.judge(&Answer::new(status, &headers, body, now()).asked(Some(asked))));
                }
            }
        }
    }

    /// A head may be anything that HTTP allows: no panic, and no credential of the caller is left.
    #[test]
    fn any_head(path in "(/[a-zA-Z0-9:%._~-]{0,12}){0,6}", query in "[a-zA-Z0-9=&%._-]{0,30}", model in "\\PC{0,20}") {
        let uri = format!("https://a.example{path}?{query}&key=SECRET&K%65Y=SECRET");
        let Ok(request) = http::Request::post(uri).header("authorization", "SECRET").body(()) else { return Ok(()) };
        let (head, ()) = request.into_parts();
        for provider in providers() {
            let mut head = head.clone();
            let before = head.clone();
            let asked = provider.asks(&before);
            provider.strip(&mut head);
            let secret = provider.prepare("the-key").unwrap();
            provider.inject(&mut head, &secret).unwrap();
            let shown = format!("{:?} {:?}", head.uri, head.headers);
            prop_assert!(!shown.contains("SECRET"), "{shown}");
            prop_assert_eq!(provider.asks(&head), asked);
            let done = provider.retarget(&mut head, &model) == tower_keypool::Retarget::Done;
            if done && !model.is_empty() && !model.contains('/') {
                let now = provider.asks(&head).model;
                prop_assert_eq!(now, tower_keypool::ModelIn::Head(model.as_str().into()));
            }
        }
    }
}
