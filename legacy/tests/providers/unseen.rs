//! Answers that nobody recorded: other reasons, other wordings, other orders, missing members. Structure decides
//! before text.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use tower_keypool::{
    Answer, Anthropic, ApiKeyHeader, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, Verdict,
    VerdictKind as K,
};

use crate::{meaning::answered as judge, sample::now};

fn gemini(status: u16, body: &str) -> Verdict {
    judge(&Gemini::new(), status, &[], body, false)
}

fn openai(status: u16, body: &str) -> Verdict {
    judge(&OpenAi::new(), status, &[], body, false)
}

fn anthropic(status: u16, body: &str) -> Verdict {
    judge(&Anthropic::new(), status, &[], body, false)
}

/// A Gemini error whose details are one `ErrorInfo` of this reason.
fn reason(status: u16, reason: &str) -> Verdict {
    gemini(status, &format!(r#"{{"error":{{"message":"Etwas anderes.","details":[{{"reason":"{reason}"}}]}}}}"#))
}

fn is(verdict: &Verdict) -> (K, S, U, E) {
    (verdict.kind(), verdict.scope_of(), verdict.until_of(), verdict.elsewhere_of())
}

#[test]
fn reasons_decide_whatever_the_sentence() {
    for name in ["CONSUMER_SUSPENDED", "GCP_SUSPENDED", "CONSUMER_INVALID", "USER_PROJECT_DENIED"] {
        assert_eq!(is(&reason(403, name)), (K::Suspended, S::Owner, U::Lifted, E::OtherKey), "{name}");
        assert_eq!(reason(403, name).code_of(), name);
    }
    for name in ["API_KEY_SERVICE_BLOCKED", "API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED"] {
        assert_eq!(is(&reason(403, name)), (K::InvalidKey, S::Key, U::Lifted, E::OtherKey), "{name}");
    }
    assert_eq!(reason(401, "API_KEY_INVALID").kind(), K::InvalidKey);
    assert_eq!(reason(403, "BILLING_DISABLED").kind(), K::Suspended);
    assert_eq!(reason(400, "OVERLOADED_CREDENTIALS").kind(), K::Misconfigured);
    assert_eq!(reason(401, "CREDENTIALS_MISSING").kind(), K::Misconfigured);
    assert_eq!(reason(503, "MODEL_CAPACITY_EXHAUSTED").kind(), K::Overloaded);
}

#[test]
fn an_unknown_reason_makes_a_key_suspect_and_no_more() {
    let unknown = reason(403, "SOMETHING_NEW");
    assert_eq!(is(&unknown), (K::InvalidKey, S::KeyLane, U::Lifted, E::OtherKey));
    assert!(!unknown.is_named());
    assert_eq!(unknown.code_of(), "SOMETHING_NEW");
    assert!(!reason(401, "ACCESS_TOKEN_EXPIRED").is_named());
    assert_eq!(reason(400, "SOMETHING_NEW").kind(), K::CallerFault);
}

#[test]
fn markers_inside_a_callers_words_do_no_harm() {
    for body in [
        r#"{"error":{"code":400,"message":"Unknown name \"API key not valid\": Cannot find field.","status":"INVALID_ARGUMENT"}}"#,
        r#"{"error":{"code":400,"message":"Unknown name \"prepayment credits are depleted\"","status":"INVALID_ARGUMENT"}}"#,
        r#"{"error":{"code":400,"message":"Invalid value: \"User location is not supported\"","status":"INVALID_ARGUMENT"}}"#,
        r#"{"error":{"code":400,"message":"Bad field \"billing\"","status":"INVALID_ARGUMENT"}}"#,
    ] {
        assert_eq!(is(&gemini(400, body)), (K::CallerFault, S::Caller, U::Now, E::No), "{body}");
    }
    let body = r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools.0: \"Your credit balance is too low\""}}"#;
    assert_eq!(anthropic(400, body).kind(), K::CallerFault);
    let body = r#"{"error":{"message":"Invalid value: 'Incorrect API key provided'","type":"invalid_request_error"}}"#;
    assert_eq!(openai(400, body).kind(), K::CallerFault);
}

#[test]
fn quotas_in_any_order_and_form() {
    // RetryInfo first, no types, one member missing after the other.
    let body = r#"{"error":{"code":429,"details":[{"retryDelay":"14s"},{"violations":[
        {"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]}],"message":"Bitte in Kürze erneut versuchen."}}"#;
    assert_eq!(is(&gemini(429, body)), (K::RateLimited, S::OwnerLane, U::For(Duration::from_secs(14)), E::OtherKey));
    // The message's wait is longer than RetryInfo's: the longer holds.
    let body = r#"{"error":{"message":"Please retry in 51.386s.","details":[{"retryDelay":"14s"},
        {"violations":[{"quotaId":"XPerMinuteY"}]}]}}"#;
    assert_eq!(gemini(429, body).retry_after(), Some(Duration::from_millis(51_386)));
    // By the metric's name alone.
    let body = r#"{"error":{"details":[{"violations":[{"quotaMetric":"x/generate_requests_per_model_per_day"}]}]}}"#;
    assert_eq!(gemini(429, body).until_of(), U::DayEnd);
    // The day's decides, wherever it stands; a month's is none of those that are told.
    let both = |other: &str| {
        let body = format!(
            r#"{{"error":{{"details":[{{"violations":[{{"quotaId":"GenerateRequestsPerMinutePerProject","quotaValue":"5"}},
            {{"quotaId":"{other}","quotaValue":"9"}}]}}]}}}}"#
        );
        gemini(429, &body).news_of().unwrap().decisive
    };
    let hit = both("GenerateRequestsPerDayPerProject").unwrap();
    assert_eq!((hit.span, hit.amount), (tower_keypool::Span::Day, Some(9)));
    assert_eq!(both("GenerateRequestsPerMonthPerProject"), None);
    // The older form.
    let body = r#"{"error":{"message":"Quota exceeded","details":[{"reason":"RATE_LIMIT_EXCEEDED","metadata":{
        "quota_limit":"GenerateContentRequestsPerMinutePerProjectPerRegion","quota_limit_value":"60",
        "quota_metric":"generativelanguage.googleapis.com/generate_content_requests","consumer":"projects/42"}}]}}"#;
    let verdict = gemini(429, body);
    assert_eq!((verdict.kind(), verdict.until_of()), (K::RateLimited, U::Backoff));
    let news = verdict.news_of().unwrap();
    assert_eq!((news.violations[0].amount, news.consumer.as_deref()), (Some(60), Some("projects/42")));
    // Its limit of zero.
    assert_eq!(gemini(429, &body.replace("\"60\"", "\"0\"")).code_of(), "LIMIT_ZERO");
    // Sentences alone.
    let body = r#"{"error":{"message":"Quota exceeded for quota metric 'Requests' and limit 'Requests per day'"}}"#;
    assert_eq!(gemini(429, body).until_of(), U::DayEnd);
    // A day's quota whose stated wait is long is believed; one of a year is not.
    for (wait, until) in [("18h24m54.8s", U::For(Duration::from_millis(66_294_800))), ("8760h", U::DayEnd)] {
        let body = format!(
            r#"{{"error":{{"message":"Please retry in {wait}.","details":[{{"violations":[{{"quotaId":"PerDay"}}]}}]}}}}"#
        );
        assert_eq!(gemini(429, &body).until_of(), until);
    }
    // A limit of zero stands in the message while the violation leaves it out, under another metric's name.
    let body = r#"{"error":{"message":"* Quota exceeded for metric: a/b, limit: 0, model: gemini-x","details":[
        {"violations":[{"quotaMetric":"c/d","quotaId":"PerDay"}]}]}}"#;
    assert_eq!(gemini(429, body).code_of(), "LIMIT_ZERO");
}

/// What stands between may have rewritten the JSON.
#[test]
fn a_delay_is_found_whatever_it_was_made_into() {
    let violation = r#"{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]}"#;
    for delay in [r#""14s""#, "14", "14.0", r#""14.000s""#, r#"{"seconds":14}"#, r#"{"seconds":"14","nanos":0}"#] {
        let body = format!(r#"{{"error":{{"details":[{{"retryDelay":{delay}}},{violation}]}}}}"#);
        assert_eq!(gemini(429, &body).until_of(), U::For(Duration::from_secs(14)), "{delay}");
    }
    for delay in ["-14", r#""-14s""#, "null", "true", "[]", "{}", r#""NaNs""#, r#"{"seconds":-14}"#] {
        let body = format!(r#"{{"error":{{"details":[{{"retryDelay":{delay}}},{violation}]}}}}"#);
        assert_eq!(is(&gemini(429, &body)), (K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey), "{delay}");
    }
    // The only detail, and not in a list.
    let body = r#"{"error":{"details":{"retryDelay":"14s"}}}"#;
    assert_eq!(gemini(429, body).retry_after(), Some(Duration::from_secs(14)));
    assert_eq!(gemini(403, r#"{"error":{"details":{"reason":"CONSUMER_SUSPENDED"}}}"#).kind(), K::Suspended);
    for (provider, headers) in
        [(&OpenAi::new() as &dyn Provider, [("retry-after", "14s")]), (&Anthropic::new(), [("retry-after", "14s")])]
    {
        let verdict = judge(provider, 429, &headers, r#"{"error":{"message":"Slow down."}}"#, false);
        assert_eq!(verdict.retry_after(), Some(Duration::from_secs(14)), "{}", provider.name());
    }
}

#[test]
fn money_comes_before_quotas() {
    let body = r#"{"error":{"code":429,"message":"Your prepayment credits are depleted. Please retry in 5s.",
        "details":[{"violations":[{"quotaId":"PerMinute"}]}]}}"#;
    assert_eq!(is(&gemini(429, body)).1, S::BillingAccount);
    assert_eq!(gemini(402, "").kind(), K::QuotaExhausted);
}

#[test]
fn words_of_the_interactions_api() {
    let coded = |status, code: &str| gemini(status, &format!(r#"{{"error":{{"code":"{code}","message":"x"}}}}"#));
    assert_eq!(coded(429, "rate_limit_exceeded").scope_of(), S::OwnerLane);
    assert_eq!(coded(429, "quota_exceeded").until_of(), U::DayEnd);
    assert_eq!(coded(401, "authentication").kind(), K::InvalidKey);
    assert_eq!(coded(403, "permission_denied").kind(), K::InvalidKey);
    assert_eq!(coded(404, "model_not_found").elsewhere_of(), E::OtherModel);
    assert_eq!(coded(500, "whatever").kind(), K::Transient);
}

#[test]
fn errors_inside_good_streams_are_judged_by_what_is_inside() {
    let event = |provider: &dyn Provider, body| judge(provider, 200, &[], body, true);
    let gemini = Gemini::new();
    let limited = event(&gemini, r#"{"error":{"code":429,"message":"x","details":[{"retryDelay":"9s"}]}}"#);
    assert_eq!(limited.retry_after(), Some(Duration::from_secs(9)));
    assert_eq!(event(&gemini, r#"data: {"error":{"status":"UNAVAILABLE"}}"#).kind(), K::Overloaded);
    assert_eq!(event(&gemini, r#"[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]"#).kind(), K::CallerFault);
    assert_eq!(event(&gemini, r#"{"error":{"code":99}}"#).kind(), K::Transient);
    assert_eq!(event(&gemini, r#"{"candidates":[{"content":{"parts":[{"text":"\"error\""}]}}]}"#).kind(), K::Success);
    let failed = r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"x"}}}"#;
    assert_eq!(event(&OpenAi::new(), failed).kind(), K::RateLimited);
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed …"}}"#;
    assert_eq!(event(&Anthropic::new(), error).kind(), K::RateLimited);
    // A failed operation is a good answer about something bad.
    let operation = r#"{"name":"operations/1","done":true,"error":{"code":13,"message":"x"}}"#;
    assert_eq!(judge(&gemini, 200, &[], operation, false).kind(), K::Success);
}

#[test]
fn an_account_that_is_limited_says_so_in_a_good_answer() {
    let body = r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}]}"#;
    for event in [false, true] {
        let verdict = judge(&Gemini::new(), 200, &[], body, event);
        assert_eq!((verdict.kind(), verdict.scope_of(), verdict.is_named()), (K::Suspended, S::Owner, false));
    }
    let spoken = r#"{"candidates":[{"content":{"parts":[{"text":"PUP_LIMITED_DISABLED"}]},"finishReason":"STOP"}]}"#;
    assert!(gemini(200, spoken).is_success());
}

#[test]
fn a_number_beyond_all_costs_no_judgement() {
    for number in ["1e999", "-1E+999", "1e99999999999999999999", "[1e400]"] {
        let body = format!(
            r#"{{"error":{{"code":400,"n":{number},"message":"API key not valid. 1e999","status":"INVALID_ARGUMENT","details":[{{"reason":"API_KEY_INVALID","metadata":{{"n":"1e999"}}}}]}}}}"#
        );
        let verdict = gemini(400, &body);
        assert_eq!((verdict.kind(), verdict.code_of()), (K::InvalidKey, "API_KEY_INVALID"), "{number}");
        let body = format!(r#"{{"error":{{"code":"invalid_api_key","n":{number},"type":"x","message":"No."}}}}"#);
        assert_eq!(openai(401, &body).kind(), K::InvalidKey, "{number}");
        let event = format!(r#"data: {{"n":{number},"error":{{"status":"UNAVAILABLE"}}}}"#);
        assert_eq!(judge(&Gemini::new(), 200, &[], &event, true).kind(), K::Overloaded, "{number}");
    }
}

#[test]
fn a_key_that_openrouter_does_not_take_is_that_keys_fault() {
    let verdict = openai(401, r#"{"error":{"message":"No auth credentials found","code":401}}"#);
    assert_eq!((verdict.kind(), verdict.scope_of(), verdict.elsewhere_of()), (K::InvalidKey, S::Key, E::OtherKey));
    // Whose key did not go out at all is told so in other words.
    assert_eq!(openai(401, r#"{"error":{"message":"You didn't provide an API key."}}"#).kind(), K::Misconfigured);
}

/// `google.rpc.Status` as Gemini writes it to whoever asks with `?alt=proto`.
mod protobuf {
    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = value.len();
        while length > 127 {
            out.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(value);
        out
    }

    pub(super) fn text(number: u8, text: &str) -> Vec<u8> {
        field(number, text.as_bytes())
    }

    pub(super) fn message(number: u8, fields: &[Vec<u8>]) -> Vec<u8> {
        field(number, &fields.concat())
    }

    pub(super) fn number(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    /// Of this gRPC code, with one detail.
    pub(super) fn status(code: u8, sentence: &str, kind: &str, detail: &[Vec<u8>]) -> Vec<u8> {
        let any = [text(1, &format!("type.googleapis.com/google.rpc.{kind}")), field(2, &detail.concat())];
        [number(1, code), text(2, sentence), message(3, &any)].concat()
    }
}

#[test]
fn errors_in_protobuf_say_the_same() {
    use protobuf::{message, number, status, text};
    let told = |code: u16, body: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        Gemini::new().judge(&Answer::new(StatusCode::from_u16(code).unwrap(), &headers, body, now()))
    };
    let metadata = message(3, &[text(1, "service"), text(2, "generativelanguage.googleapis.com")]);
    let invalid = status(
        3,
        "API key not valid. Please pass a valid API key.",
        "ErrorInfo",
        &[text(1, "API_KEY_INVALID"), text(2, "googleapis.com"), metadata],
    );
    let verdict = told(400, &invalid);
    assert_eq!((verdict.kind(), verdict.code_of()), (K::InvalidKey, "API_KEY_INVALID"));
    let consumer = message(3, &[text(1, "consumer"), text(2, "projects/17")]);
    let verdict = told(403, &status(7, "Permission denied.", "ErrorInfo", &[text(1, "CONSUMER_SUSPENDED"), consumer]));
    assert_eq!(verdict.kind(), K::Suspended);
    let violation = [
        text(4, "generativelanguage.googleapis.com/generate_content_free_tier_requests"),
        text(5, "GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
        message(6, &[text(1, "model"), text(2, "gemini-2.5-flash")]),
        number(7, 20),
    ];
    let verdict = told(429, &status(8, "You exceeded your current quota.", "QuotaFailure", &[message(1, &violation)]));
    assert_eq!((verdict.kind(), verdict.until_of()), (K::QuotaExhausted, U::DayEnd));
    let verdict = told(429, &status(8, "Slow down.", "RetryInfo", &[message(1, &[number(1, 41)])]));
    assert_eq!((verdict.kind(), verdict.until_of()), (K::RateLimited, U::For(Duration::from_secs(41))));
    // A caller's own fault stays one, and what is cut anywhere or no such thing does no harm.
    assert_eq!(told(400, &status(3, "Invalid JSON payload.", "BadRequest", &[])).kind(), K::CallerFault);
    for end in 0..invalid.len() {
        assert!([K::CallerFault, K::InvalidKey].contains(&told(400, &invalid[..end]).kind()), "{end}");
    }
    assert_eq!(told(400, &[255; 300]).kind(), K::CallerFault);
    assert_eq!(told(400, &[10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]).kind(), K::CallerFault);
}

#[test]
fn redirects() {
    let to = |location| judge(&Gemini::new(), 302, &[("location", location)], "", false);
    assert_eq!(to("https://www.google.com/sorry/index?continue=x").kind(), K::Blocked);
    assert_eq!(to("https://consent.google.com/ml").kind(), K::Blocked);
    assert_eq!(to("https://elsewhere.example/").kind(), K::CallerFault);
    assert!(gemini(304, "").is_success());
}

#[test]
fn pages_speak_of_the_address_or_of_the_status() {
    let page = |status| judge(&OpenAi::new(), status, &[("content-type", "text/html")], "<html>no</html>", false);
    assert_eq!(page(403).kind(), K::Blocked);
    assert_eq!(page(429).kind(), K::Blocked);
    assert_eq!(page(502).kind(), K::Transient);
    assert_eq!(page(503).kind(), K::Overloaded);
    assert_eq!(page(413).kind(), K::CallerFault);
    assert_eq!(page(401).kind(), K::InvalidKey);
    // JSON stays JSON, whatever it is called.
    let named = [("content-type", "text/html")];
    let body = r#"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#;
    assert_eq!(judge(&OpenAi::new(), 429, &named, body, false).kind(), K::RateLimited);
    // Any other API may well say with a page that a key is wrong.
    let other = ApiKeyHeader::header("x-key", "https://a.example").unwrap();
    assert_eq!(judge(&other, 403, &named, "<html>", false).kind(), K::InvalidKey);
    // Without a type, by its beginning.
    assert_eq!(gemini(403, "\n <!DOCTYPE html><title>Error 403 (Forbidden)!!1</title>").kind(), K::Blocked);
}

#[test]
fn openai_and_its_likes() {
    let coded = |status, code: &str| openai(status, &format!(r#"{{"error":{{"message":"x","code":"{code}"}}}}"#));
    assert_eq!(coded(401, "account_deactivated").kind(), K::Suspended);
    assert_eq!(coded(400, "billing_hard_limit_reached").kind(), K::QuotaExhausted);
    assert_eq!(coded(403, "model_not_found").scope_of(), S::KeyLane);
    assert_eq!(coded(401, "mismatched_organization").kind(), K::Misconfigured);
    // A bare string, no object at all.
    assert_eq!(openai(400, r#"{"error":"Incorrect API key provided: xai-***"}"#).kind(), K::InvalidKey);
    assert_eq!(openai(401, r#"{"detail":"Unauthorized"}"#).kind(), K::InvalidKey);
    assert!(!openai(401, r#"{"detail":"Unauthorized"}"#).is_named());
    // OpenRouter: an upstream without capacity; moderation; the account's own limit until a time in milliseconds.
    let body = r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"provider_name":"x"}}}"#;
    assert_eq!(openai(429, body).kind(), K::Overloaded);
    let body = r#"{"error":{"message":"… your input was flagged for harassment","code":403,"metadata":{}}}"#;
    assert_eq!(openai(403, body).kind(), K::CallerFault);
    let body = r#"{"error":{"message":"Rate limit exceeded: free-models-per-min.","code":429,"metadata":
        {"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1795153590000"}}}}"#;
    let free = is(&openai(429, body));
    assert_eq!(
        free,
        (K::RateLimited, S::OwnerLane, U::For(Duration::from_secs(30)), E::OtherKey),
        "of its free models"
    );
    let other = body.replace("free-models-per-min", "requests-per-min");
    assert_eq!(is(&openai(429, &other)), (K::RateLimited, S::Owner, U::For(Duration::from_secs(30)), E::OtherKey));
    assert_eq!(openai(409, "{}").elsewhere_of(), E::AfterPause);
    assert_eq!(openai(422, "{}").kind(), K::CallerFault);
    // Azure, whose wait stands in the sentence alone.
    let body = r#"{"error":{"code":"429","message":"Rate limit is exceeded. Try again in 26 seconds."}}"#;
    assert_eq!(openai(429, body).retry_after(), Some(Duration::from_secs(26)));
}

#[test]
fn the_right_wait_wins() {
    let wait = |headers: &[(&str, &str)], message: &str| {
        let body = format!(r#"{{"error":{{"message":"{message}","type":"tokens","code":"rate_limit_exceeded"}}}}"#);
        judge(&OpenAi::new(), 429, headers, &body, false).retry_after()
    };
    let axes = [
        ("x-ratelimit-remaining-requests", "9"),
        ("x-ratelimit-reset-requests", "1h2m3s"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    assert_eq!(wait(&axes, "x"), Some(Duration::from_secs(360)));
    assert_eq!(wait(&axes, "Please try again in 20s."), Some(Duration::from_secs(20)));
    assert_eq!(wait(&[axes[2], axes[3], ("retry-after", "7")], "try again in 20s"), Some(Duration::from_secs(7)));
    assert_eq!(wait(&[("retry-after", "7"), ("retry-after-ms", "1500")], ""), Some(Duration::from_millis(1_500)));
    assert_eq!(wait(&[], ""), None);
    // Anthropic: the latest reset of what has run out.
    let headers = [
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-11-20T05:46:02Z"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-20T06:46:17+01:00"),
    ];
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Rate limited"}}"#;
    let verdict = judge(&Anthropic::new(), 429, &headers, body, false);
    assert_eq!((verdict.kind(), verdict.retry_after()), (K::RateLimited, Some(Duration::from_secs(17))));
}

#[test]
fn anthropics_codes_come_before_its_types() {
    let coded = |status, kind: &str, code: &str| {
        anthropic(
            status,
            &format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"x","details":{{"error_code":"{code}"}}}}}}"#
            ),
        )
    };
    assert_eq!(coded(429, "rate_limit_error", "enforced_spend_limit_reached").kind(), K::QuotaExhausted);
    assert_eq!(coded(400, "invalid_request_error", "contract_spend_limit_reached").kind(), K::QuotaExhausted);
    assert_eq!(coded(403, "permission_error", "organization_on_hold").kind(), K::Suspended);
    assert_eq!(coded(429, "rate_limit_error", "ramp_limit_exceeded").kind(), K::RateLimited);
    assert_eq!(coded(429, "rate_limit_error", "ramp_limit_exceeded").code_of(), "rate_limit_error");
}

#[test]
fn a_provider_may_forbid_another_try() {
    let veto = [("x-should-retry", "false")];
    assert_eq!(judge(&OpenAi::new(), 500, &veto, "{}", false).elsewhere_of(), E::No);
    assert_eq!(judge(&Anthropic::new(), 529, &veto, "{}", false).elsewhere_of(), E::No);
    // Another key is not another try.
    let body = r#"{"error":{"code":"invalid_api_key"}}"#;
    assert_eq!(judge(&OpenAi::new(), 401, &veto, body, false).elsewhere_of(), E::OtherKey);
}

#[test]
fn any_other_api_is_judged_by_its_statuses() {
    let other = ApiKeyHeader::header("x-key", "https://a.example").unwrap();
    let status = |status, headers: &[(&str, &str)]| judge(&other, status, headers, "", false);
    let dated = status(429, &[("retry-after", "Fri, 20 Nov 2026 05:46:30 GMT")]);
    assert_eq!(is(&dated), (K::RateLimited, S::KeyLane, U::For(Duration::from_secs(30)), E::OtherKey));
    assert_eq!(status(401, &[]).scope_of(), S::Key);
    assert!(!status(403, &[]).is_named());
    assert_eq!(status(408, &[]).elsewhere_of(), E::AfterPause);
    assert_eq!(status(500, &[]).kind(), K::Transient);
}

/// Sentences as other versions of an API may write them: another case, prefix or end, never another middle.
#[test]
fn sentences_may_begin_and_end_in_other_ways() {
    type Say<'a> = &'a dyn Fn(u16, &str) -> Verdict;
    let gemini_says = |status: u16, text: &str| {
        gemini(status, &serde_json::json!({"error": {"code": status, "message": text}}).to_string())
    };
    let openai_says =
        |status: u16, text: &str| openai(status, &serde_json::json!({"error": {"message": text}}).to_string());
    let anthropic_says = |status: u16, text: &str| {
        let error = serde_json::json!({"type": "invalid_request_error", "message": text});
        anthropic(status, &serde_json::json!({"type": "error", "error": error}).to_string())
    };
    let rows: [(Say<'_>, u16, &str, K, S); 26] = [
        (&gemini_says, 400, "API key not valid. Please pass a valid API key", K::InvalidKey, S::Key),
        (&gemini_says, 400, "API key expired. Please renew the API key", K::InvalidKey, S::Key),
        (&gemini_says, 403, "Your API key was reported as leaked. Please use another API key", K::InvalidKey, S::Key),
        (&gemini_says, 403, "Permission denied: Consumer 'api_key:x' has been suspended", K::Suspended, S::Owner),
        (&gemini_says, 403, "Your project has been denied access. Please contact support", K::Suspended, S::Owner),
        (
            &gemini_says,
            403,
            "Gemini API has not been used in project 42 before or it is disabled",
            K::Suspended,
            S::Owner,
        ),
        (&gemini_says, 400, "This API method requires billing to be enabled", K::Suspended, S::Owner),
        (&gemini_says, 429, "Your prepayment credits are depleted", K::QuotaExhausted, S::BillingAccount),
        (&gemini_says, 403, "Your prepayment credits are depleted", K::QuotaExhausted, S::BillingAccount),
        (
            &gemini_says,
            429,
            "Quota exceeded. Your project has exceeded its monthly spending cap",
            K::QuotaExhausted,
            S::Owner,
        ),
        (&gemini_says, 429, "You exceeded your spend-based rate limit", K::RateLimited, S::Owner),
        (&gemini_says, 400, "User location is not supported for the API use", K::Blocked, S::Exit),
        (&gemini_says, 404, "models/gemini-x is no longer available to new users", K::ModelUnavailable, S::OwnerLane),
        (&gemini_says, 404, "Model gemini-x is no longer available to new users", K::ModelUnavailable, S::OwnerLane),
        (&openai_says, 400, "Incorrect API key provided: xai-***", K::InvalidKey, S::Key),
        (&openai_says, 400, "Invalid API key", K::InvalidKey, S::Key),
        (&openai_says, 403, "Key limit exceeded (monthly limit)", K::QuotaExhausted, S::Key),
        (
            &openai_says,
            403,
            "Your team x-1 has either used all available credits or reached its limit",
            K::QuotaExhausted,
            S::Owner,
        ),
        (&openai_says, 403, "Your newly created team doesn't have any credits yet", K::QuotaExhausted, S::Owner),
        (
            &openai_says,
            403,
            "You have insufficient permissions for this operation. Missing scopes: a.b",
            K::InvalidKey,
            S::KeyLane,
        ),
        (
            &anthropic_says,
            400,
            "Your credit balance is too low to access the Anthropic API",
            K::QuotaExhausted,
            S::Owner,
        ),
        (
            &gemini_says,
            429,
            "Your prepayment credits are depleted for this project",
            K::QuotaExhausted,
            S::BillingAccount,
        ),
        (&gemini_says, 400, "The billing account for the owning project is disabled", K::Suspended, S::Owner),
        (
            &anthropic_says,
            400,
            "You have reached your specified workspace API usage limits",
            K::QuotaExhausted,
            S::Owner,
        ),
        (&anthropic_says, 400, "This organization has been disabled", K::Suspended, S::Owner),
        (&anthropic_says, 400, "You have reached your specified API usage limits", K::QuotaExhausted, S::Owner),
    ];
    for (says, status, text, kind, scope) in rows {
        for text in [
            text.to_owned(),
            format!("{text}."),
            format!("{text}!"),
            format!(" {text} (request id: req_x)"),
            format!("{text}. [trace: 0a1b]"),
            format!("Error: {text}"),
            format!("[{status} Forbidden] {text}."),
            format!("{status} PERMISSION_DENIED. {text}"),
            format!("API error: {status} - {text}"),
            text.to_uppercase(),
            text.to_lowercase(),
            text.replace('\'', "\u{2019}"),
        ] {
            let verdict = says(status, &text);
            assert_eq!((verdict.kind(), verdict.scope_of()), (kind, scope), "{status} {text}: {verdict:?}");
        }
    }
}

#[test]
fn other_vendors() {
    for (who, status, body, kind, scope, elsewhere) in [
        (
            "Fireworks",
            412,
            r#"{"error":{"message":"Account foo is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices.","code":"PRECONDITION_FAILED"}}"#,
            K::Suspended,
            S::Owner,
            E::OtherKey,
        ),
        (
            "DashScope",
            400,
            r#"{"error":{"message":"Access denied, please make sure your account is in good standing.","type":"Arrearage","param":null,"code":"Arrearage"},"request_id":"x"}"#,
            K::QuotaExhausted,
            S::Owner,
            E::OtherKey,
        ),
        (
            "Moonshot",
            429,
            r#"{"error":{"message":"Your account org-x<ak-y> is suspended, please check your plan and billing details","type":"exceeded_current_quota_error"}}"#,
            K::QuotaExhausted,
            S::Owner,
            E::OtherKey,
        ),
        ("Ollama", 404, r#"{"error":"model 'x' not found"}"#, K::ModelUnavailable, S::Lane, E::OtherModel),
        (
            "Ollama, older",
            404,
            r#"{"error":"model \"x\" not found, try pulling it first"}"#,
            K::ModelUnavailable,
            S::Lane,
            E::OtherModel,
        ),
        (
            "Azure",
            403,
            r#"{"error":{"code":"403","message":"Access denied due to Virtual Network/Firewall rules."}}"#,
            K::Blocked,
            S::Exit,
            E::No,
        ),
        ("Cloudflare", 403, "error code: 1010", K::Blocked, S::Exit, E::No),
        ("Cloudflare, late", 524, "error code: 524", K::Transient, S::Caller, E::AfterPause),
    ] {
        let verdict = openai(status, body);
        assert_eq!((verdict.kind(), verdict.scope_of(), verdict.elsewhere_of()), (kind, scope, elsewhere), "{who}");
    }
    let body =
        r#"{ "statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 12.06:32:10." }"#;
    let out = judge(&OpenAi::azure("https://a.example").unwrap(), 403, &[("retry-after", "100000")], body, false);
    assert_eq!(is(&out), (K::QuotaExhausted, S::Key, U::For(Duration::from_secs(100_000)), E::OtherKey));
}

/// A rule of a site's own may be about one prompt's text, and a limit of an address is over soon: neither is believed for long
/// on its first word.
#[test]
fn what_a_network_in_front_may_have_against_one_request_is_believed_little_by_little() {
    for (status, code, is_named) in [(403, 1010, true), (403, 1020, false), (429, 1015, false)] {
        let bare = openai(status, &format!("error code: {code}"));
        let told = openai(status, &format!(r#"{{"cloudflare_error":true,"error_code":{code},"status":{status}}}"#));
        for verdict in [bare, told] {
            let meaning = (verdict.kind(), verdict.scope_of(), verdict.until_of(), verdict.is_named());
            assert_eq!(meaning, (K::Blocked, S::Exit, U::Backoff, is_named), "{code}");
        }
    }
    let limited = judge(&OpenAi::new(), 429, &[("retry-after", "30")], "error code: 1015", false);
    assert_eq!((limited.until_of(), limited.is_named()), (U::For(Duration::from_secs(30)), true));
}

/// How long an address is to wait its refuser knows best, in whichever form it speaks.
#[test]
fn a_page_that_says_how_long_rests_the_way_out_for_so_long() {
    let limited =
        "<html><title>Access denied | a.example used Cloudflare</title>Error 1015: You are being rate limited</html>";
    let robot = "<html>Your computer may be sending automated queries.</html>";
    for (page, status, is_named) in
        [(limited, 429, false), (limited, 403, false), (robot, 429, true), (robot, 503, true)]
    {
        for (wait, until) in [(None, U::Backoff), (Some("30"), U::For(Duration::from_secs(30)))] {
            let page_of = ("content-type", "text/html; charset=UTF-8");
            let headers: Vec<_> = [page_of].into_iter().chain(wait.map(|wait| ("retry-after", wait))).collect();
            for provider in [&OpenAi::new() as &dyn Provider, &Gemini::new(), &Anthropic::new()] {
                let verdict = judge(provider, status, &headers, page, false);
                let meaning = (verdict.kind(), verdict.scope_of(), verdict.until_of(), verdict.is_named());
                assert_eq!(meaning, (K::Blocked, S::Exit, until, is_named), "{status} {wait:?} {page}");
            }
        }
    }
}

#[test]
fn a_403_that_names_an_option_of_streams_says_nothing_of_the_key() {
    for said in ["'stream_options' is not allowed", "model x does not support include_usage"] {
        let verdict = openai(403, &format!(r#"{{"error":{{"message":"{said}","type":"forbidden"}}}}"#));
        assert_eq!((verdict.kind(), verdict.scope_of()), (K::CallerFault, S::Caller), "{said}");
    }
    let verdict = openai(403, r#"{"error":{"message":"stream_options","code":"account_deactivated"}}"#);
    assert_eq!(verdict.kind(), K::Suspended);
}

#[test]
fn quotas_of_other_spans_are_called_so() {
    let quota = |id: &str| {
        let body = format!(
            r#"{{"error":{{"message":"Quota exceeded","details":[{{"violations":[{{"quotaId":"{id}","quotaValue":"5"}}]}}]}}}}"#
        );
        gemini(429, &body)
    };
    for (id, kind, word) in [
        ("GenerateRequestsPerMonthPerProject", K::QuotaExhausted, "month"),
        ("GenerateRequestsPerHourPerProject", K::RateLimited, "per hour"),
        ("BidiGenerateContentConcurrentSessionsPerProject-FreeTier", K::RateLimited, "sessions"),
        ("GenerateRequestsPerMinutePerProject", K::RateLimited, "per minute"),
    ] {
        let verdict = quota(id);
        assert_eq!((verdict.kind(), verdict.scope_of()), (kind, S::OwnerLane), "{id}");
        assert!(verdict.advice_of().contains(word), "{id}: {}", verdict.advice_of());
    }
    assert!(matches!(quota("GenerateRequestsPerMonthPerProject").until_of(), U::Probed(_)));
}

#[test]
fn whose_fault_it_is() {
    use tower_keypool::VerdictKind;
    for kind in [VerdictKind::WrongOwner, VerdictKind::CallerFault, VerdictKind::Transient, VerdictKind::Misconfigured]
    {
        assert!(!Verdict::new(kind).is_key_fault(), "{kind}");
    }
    for kind in [VerdictKind::RateLimited, VerdictKind::QuotaExhausted, VerdictKind::InvalidKey, VerdictKind::Suspended]
    {
        assert!(Verdict::new(kind).is_key_fault(), "{kind}");
    }
    let body = r#"{"error":{"message":"Request too large for x on tokens per min (TPM): Limit 3, Requested 9"}}"#;
    assert!(!openai(429, body).is_key_fault());
    // A sentence alone is said to be one; a status or a code beside it tells more.
    let text = r#"{"error":{"message":"Invalid API key"}}"#;
    assert!(openai(400, text).is_worded() && !openai(401, text).is_worded());
    assert!(!openai(400, r#"{"error":{"message":"Invalid API key","code":"invalid_api_key"}}"#).is_worded());
}

#[test]
fn what_is_for_paying_projects_alone_is_not_of_the_address_or_the_caller() {
    let said = |message: &str| {
        let status = if message.starts_with("User") { "FAILED_PRECONDITION" } else { "INVALID_ARGUMENT" };
        gemini(400, &format!(r#"{{"error":{{"code":400,"message":"{message}","status":"{status}"}}}}"#))
    };
    let hour = U::Probed(Duration::from_secs(3_600));
    let unlinked = said("User location is not supported for the API use without a billing account linked.");
    assert_eq!(is(&unlinked), (K::Suspended, S::Owner, hour, E::OtherKey));
    assert!(unlinked.is_named() && !unlinked.is_worded());
    assert_eq!(is(&said("User location is not supported for the API use.")).1, S::Exit);
    let imagen = said("Imagen API is only accessible to billed users at this time.");
    let day = U::For(Duration::from_secs(24 * 3_600));
    assert_eq!(is(&imagen), (K::ModelUnavailable, S::OwnerLane, day, E::OtherKey));
    assert!(!imagen.is_worded());
}

#[test]
fn refused_keys_of_others_are_named() {
    let body = r#"{"error":{"message":"Authentication Fails (no such user)","type":"authentication_error","param":null,"code":"invalid_request_error"}}"#;
    assert_eq!(
        (is(&openai(401, body)), openai(401, body).is_named()),
        ((K::InvalidKey, S::Key, U::Lifted, E::OtherKey), true)
    );
    let body = r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}}"#;
    assert!(openai(401, body).is_named());
    let body = r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."}}"#;
    let limited = anthropic(400, body);
    assert_eq!((limited.kind(), limited.code_of()), (K::QuotaExhausted, "USAGE_LIMIT_REACHED"));
    assert!(!limited.advice_of().contains("buy") && !limited.is_worded());
}

#[test]
fn the_limit_that_stands_for_all_of_an_account_says_when_it_ends() {
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit."}}"#;
    let at = now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs() + 90;
    let at = at.to_string();
    let verdict = judge(&Anthropic::new(), 429, &[("anthropic-ratelimit-unified-reset", &at)], body, false);
    assert_eq!((verdict.kind(), verdict.retry_after()), (K::RateLimited, Some(Duration::from_secs(90))));
}

/// A field of protobuf that is a text or a message.
fn field(number: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let length = value.len();
    let length =
        if length < 128 { vec![length as u8] } else { vec![((length & 0x7F) | 0x80) as u8, (length >> 7) as u8] };
    [&[(number << 3) | 2][..], &length, value].concat()
}

/// A `google.rpc.Status` as protobuf.
fn status(code: u8, message: &str, details: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let any = |(kind, value): &(&str, Vec<u8>)| {
        field(3, [field(1, format!("type.googleapis.com/google.rpc.{kind}")), field(2, value)].concat())
    };
    [vec![8, code], field(2, message), details.iter().flat_map(any).collect()].concat()
}

#[test]
fn errors_as_protobuf_are_judged_by_their_fields_alone() {
    let judged = |status: u16, body: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        Gemini::new().judge(&Answer::new(StatusCode::from_u16(status).unwrap(), &headers, body, now()))
    };
    let info = |reason: &str| ("ErrorInfo", [field(1, reason), field(2, "googleapis.com")].concat());
    let invalid = status(3, "API key not valid.", &[("LocalizedMessage", field(2, "x")), info("API_KEY_INVALID")]);
    let verdict = judged(400, &invalid);
    assert_eq!(is(&verdict), (K::InvalidKey, S::Key, U::Lifted, E::OtherKey));
    assert_eq!(verdict.code_of(), "API_KEY_INVALID");
    assert_eq!(judged(403, &status(7, "x", &[info("CONSUMER_SUSPENDED")])).kind(), K::Suspended);
    let violation = [
        field(4, "generativelanguage.googleapis.com/generate_content_free_tier_requests"),
        field(5, "GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
        field(6, [field(1, "model"), field(2, "gemini-2.5-flash")].concat()),
        vec![7 << 3, 20],
    ];
    let retry = ("RetryInfo", field(1, [8, 51]));
    let daily = judged(429, &status(8, "Quota.", &[("QuotaFailure", field(1, violation.concat())), retry.clone()]));
    assert_eq!((daily.kind(), daily.until_of()), (K::QuotaExhausted, U::DayEnd));
    let soon = judged(429, &status(8, "Slow down.", &[retry]));
    assert_eq!((soon.kind(), soon.until_of()), (K::RateLimited, U::For(Duration::from_secs(51))));
    // What a caller wrote is no field.
    let echoed = status(3, "Invalid value at 'x' (API_KEY_INVALID), reason: \"API_KEY_INVALID\"", &[]);
    assert_eq!(judged(400, &echoed).kind(), K::CallerFault);
    // Cut short anywhere, or no protobuf at all, it is judged by what came.
    for end in 0..invalid.len() {
        assert!(matches!(judged(400, &invalid[..end]).kind(), K::CallerFault | K::InvalidKey), "{end}");
    }
    for body in [&b"\x08"[..], b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x12\x03abc", b"\x08\x63"] {
        assert_eq!(judged(400, body).kind(), judged(400, b"\x00").kind());
    }
}
