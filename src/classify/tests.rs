mod recorded;

use http::HeaderName;
use serde_json::json;

use super::*;
use crate::limit::{Limit, Span, Unit};

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_153_560)
}

fn classifier(provider: &str) -> Classifier {
    Classifier::new(provider, Vec::new())
}

fn classified(classifier: &Classifier, status: u16, body: &str) -> Failure {
    let status = StatusCode::from_u16(status).unwrap();
    classifier.classify(status, &HeaderMap::new(), body.as_bytes(), wall()).unwrap()
}

fn gemini(status: u16, body: &str) -> Failure {
    classified(&classifier("gemini"), status, body)
}

fn of_good(body: &str) -> Option<Failure> {
    classifier("openai").classify(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), wall())
}

/// Returns an error that matches all conditions of a row except its status.
fn matching(row: &Rule) -> ErrorInfo {
    ErrorInfo {
        codes: row.codes.iter().map(|code| code.replace('*', "x")).collect(),
        text: row.messages.join("\n"),
        ..ErrorInfo::default()
    }
}

/// Checks all rows that can disable a key, each one placed before the table.
#[test]
fn only_a_code_or_a_401_402_or_403_disables_a_key() {
    let own = [
        Rule::new(ErrorClass::KeyRejected).message("go away"),
        Rule::new(ErrorClass::KeyRejected).statuses([400, 418]),
        Rule::new(ErrorClass::Unclear).status(400).message("who are you"),
    ];
    let mut seen = 0;
    for row in rules::TABLE.iter().chain(&own) {
        let is_short = row.cooldown.is_some() || row.scope == Some(Scope::Request);
        if !matches!(row.class, ErrorClass::KeyRejected | ErrorClass::Unclear) || is_short {
            continue;
        }
        let statuses = if row.statuses.is_empty() { (400..600).collect() } else { row.statuses.clone() };
        let says_more = !row.needs_status && (!row.codes.is_empty() || !row.messages.is_empty());
        for status in statuses.into_iter().map(Some).chain(says_more.then_some(None)) {
            let info = ErrorInfo { status, ..matching(row) };
            let failure = Classifier::new("gemini", vec![Rule { provider: None, ..row.clone() }]).failure(info);
            assert_eq!(failure.class(), row.class);
            let may = !row.codes.is_empty() || matches!(status, Some(401..=403));
            let disables = matches!(failure.cooldown(), Cooldown::Disable | Cooldown::Strikes(_));
            assert_eq!(disables, may, "{row:?} at {status:?}");
            assert!(may || failure.cooldown() == Cooldown::Fixed(LONGEST_BY_MESSAGE) && !failure.confirm);
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn users_rules_are_tried_first_then_the_providers_then_the_shared_rules() {
    let body = json!({"error": {"code": "insufficient_quota", "message": "No credits, go Away"}}).to_string();
    let of_provider = || Rule::new(ErrorClass::Transient).code("INSUFFICIENT_QUOTA").scope(Scope::Key);
    let failure = classified(&Classifier::new("acme", vec![of_provider()]), 429, &body);
    assert_eq!((failure.class(), failure.scope()), (ErrorClass::Transient, Scope::Key));

    let own = Rule::new(ErrorClass::RateLimit).provider("acme").status(429).message("go away");
    let own = own.cooldown(Duration::from_secs(30));
    let classifier = Classifier::new("acme", vec![own.clone(), of_provider()]);
    let failure = classified(&classifier, 429, &body);
    assert_eq!(
        (failure.class(), failure.cooldown()),
        (ErrorClass::RateLimit, Cooldown::Fixed(Duration::from_secs(30)))
    );
    assert_eq!(failure.code(), Some("insufficient_quota"));
    assert_eq!(classified(&classifier, 403, &body).class(), ErrorClass::Transient, "another status");
    let other = Classifier::new("other", vec![own]);
    assert_eq!(classified(&other, 429, &body).class(), ErrorClass::Billing, "another provider");
}

#[test]
fn quotas_project_and_delay_are_reported() {
    let body = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded. Please retry in 51.6s.",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "14s"},
            {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "15",
                "quotaDimensions": {"model": "gemini-2.5-flash"}}]},
            {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"consumer": "projects/123456789012"}}]}}]);
    let failure = gemini(429, &body.to_string());
    assert_eq!(failure.class(), ErrorClass::RateLimit);
    assert_eq!(failure.limits(), [Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 15 }]);
    assert_eq!(failure.project(), Some("123456789012"));
    assert_eq!(failure.code(), Some("RATE_LIMIT_EXCEEDED"));
    assert_eq!(failure.retry_after(), Some(Duration::from_millis(51_600)), "the longer one");
    assert_eq!(failure.message(), Some("Quota exceeded. Please retry in 51.6s."));
    assert!(failure.may_have_been_sent());
}

#[test]
fn limit_that_only_the_message_names_is_reported() {
    for (message, unit, amount) in [
        (
            "Rate limit reached for gpt-4o in organization org-1 on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.",
            Unit::Requests,
            3,
        ),
        (
            "Rate limit reached for model `llama` in organization `org_1` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Used 5900, Requested 200.",
            Unit::Tokens,
            6_000,
        ),
        ("This would exceed the rate limit of 8,000 output tokens per minute. For details", Unit::OutputTokens, 8_000),
        ("Your organization has a rate limit of 50 requests per minute.", Unit::Requests, 50),
    ] {
        let body = json!({"error": {"code": "rate_limit_exceeded", "type": "rate_limit_error", "message": message}});
        let failure = classified(&classifier("openai"), 429, &body.to_string());
        assert_eq!(failure.class(), ErrorClass::RateLimit, "{message}");
        assert_eq!(failure.limits(), [Limit { unit, span: Span::MINUTE, amount }], "{message}");
    }
    for (message, reason) in [
        (
            "on requests per day (RPD): Limit 200, Used 200. Too many requests per minute",
            "no number, or no limit per minute",
        ),
        ("This request would exceed the rate limit of 20,000 input tokens per minute.", "cached tokens do not count"),
        (
            "Rate limit exceeded: limit_rpm/a/b/0-0. High demand for a/b:free - limited to 3 requests per minute.",
            "a temporary limit",
        ),
    ] {
        let body = json!({"error": {"code": "rate_limit_exceeded", "message": message}});
        let failure = classified(&classifier("openai"), 429, &body.to_string());
        assert_eq!(failure.limits(), [], "{reason}");
    }
}

#[test]
fn short_delay_does_not_replace_midnight_for_a_daily_quota() {
    let body = |wait: &str| {
        let message = format!("You exceeded your current quota. Please retry in {wait}.");
        json!({"error": {"message": message, "details": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}})
            .to_string()
    };
    let short = gemini(429, &body("51s"));
    assert_eq!(
        (short.class(), short.retry_after(), short.cooldown()),
        (ErrorClass::DailyQuota, None, Cooldown::Midnight)
    );
    let long = gemini(429, &body("18h24m54.8s"));
    assert_eq!((long.class(), long.retry_after()), (ErrorClass::DailyQuota, Some(Duration::from_millis(66_294_800))));
}

#[test]
fn longer_of_the_rules_cooldown_and_the_named_delay_is_used() {
    let body =
        |wait: &str| json!({"error": {"message": format!("spend-based rate limit, retry in {wait}")}}).to_string();
    let ten_minutes = Duration::from_secs(600);
    let short = gemini(429, &body("30s"));
    assert_eq!((short.retry_after(), short.cooldown()), (None, Cooldown::Fixed(ten_minutes)));
    assert_eq!(gemini(429, &body("20m")).retry_after(), Some(2 * ten_minutes));
}

#[test]
fn error_in_a_stream_has_its_own_status_or_that_of_its_class() {
    for (body, status, class) in [
        (json!({"error": {"code": 503, "message": "x"}}), 503, ErrorClass::Transient),
        (json!({"error": {"code": "429", "message": "x"}}), 429, ErrorClass::RateLimit),
        (json!({"type": "error", "status": 401, "error": {"code": "token_revoked"}}), 401, ErrorClass::KeyRejected),
        (json!({"type": "error", "error": {"type": "overloaded_error"}}), 503, ErrorClass::Transient),
        (json!({"type": "error", "error": {"type": "rate_limit_error"}}), 429, ErrorClass::RateLimit),
        (json!({"type": "error", "error": {"type": "permission_error"}}), 403, ErrorClass::Unclear),
        (json!({"error": {"status": "RESOURCE_EXHAUSTED"}}), 429, ErrorClass::RateLimit),
        (json!({"error": {"status": "UNAUTHENTICATED"}}), 403, ErrorClass::Unclear),
        (json!({"error": {"code": "insufficient_quota"}}), 402, ErrorClass::Billing),
        (json!({"error": {"type": "invalid_request_error"}}), 400, ErrorClass::Caller),
        (json!({"type": "error", "error": {"type": "request_too_large"}}), 413, ErrorClass::Caller),
        (json!({"type": "error", "error": {"type": "not_found_error"}}), 404, ErrorClass::Caller),
        (json!({"event_type": "error", "error": {"code": "not_found", "message": "x"}}), 404, ErrorClass::Caller),
        (json!({"interaction": {"status": "failed", "error": {"code": "server_error"}}}), 503, ErrorClass::Transient),
        (json!({"response": {"status": "failed", "error": null}}), 503, ErrorClass::Transient),
        (json!({"x_groq": {"error": {"code": "rate_limit_exceeded"}}}), 429, ErrorClass::RateLimit),
        (json!({"error": {"code": 7, "message": "x"}}), 503, ErrorClass::Transient),
        (json!({"choices": [{"error": {"code": 502, "message": "x"}, "delta": {}}]}), 502, ErrorClass::Transient),
        (json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}), 402, ErrorClass::Billing),
        (
            json!({"errors": [{"code": 3040, "message": "Capacity temporarily exceeded"}], "success": false}),
            503,
            ErrorClass::Transient,
        ),
        (json!({"code": 401, "msg": "token expired or incorrect", "success": false}), 401, ErrorClass::KeyRejected),
    ] {
        let failure = of_good(&format!("data: {body}\n\n")).unwrap_or_else(|| panic!("{body}"));
        let actual = (failure.status().unwrap().as_u16(), failure.class());
        assert_eq!(actual, (status, class), "{body}");
    }
}

#[test]
fn errors_after_events_and_in_streamed_arrays_are_found() {
    for (class, body) in [
        (ErrorClass::Transient, "event: error\ndata: {\"message\": \"overloaded\", \"code\": 503}\n\n"),
        (ErrorClass::Transient, "event:error\ndata: the engine has died"),
        (ErrorClass::RateLimit, "event: error\rdata: {\"code\": 429}\r\r"),
        (ErrorClass::RateLimit, "data: {\"choices\": []}\n\nevent: error\ndata: {\"error\": {\"code\": 429}}\n\n"),
        (ErrorClass::RateLimit, ",\r\n{\"error\": {\"code\": 429}}\n]"),
        (ErrorClass::RateLimit, "[{\"candidates\": []}\n,\r\n{\"error\": {\"code\": 429}}"),
        (ErrorClass::RateLimit, "data: {\"candidates\": []}\r\n\r\n{\n  \"error\": {\n\"code\": 429}}"),
    ] {
        assert_eq!(of_good(body).map(|failure| failure.class()), Some(class), "{body}");
    }
    for body in
        ["event: error\n\n", "event: ping\ndata: {\"type\": \"ping\"}\n\n", "data: [DONE]\n\n", "data: \"error\"\n\n"]
    {
        assert_eq!(of_good(body), None, "{body}");
    }
}

#[test]
fn redirect_to_a_robot_check_is_an_egress_error() {
    let headers =
        HeaderMap::from_iter([(http::header::LOCATION, "https://www.google.com/sorry/index".parse().unwrap())]);
    let classified = |status| classifier("gemini").classify(status, &headers, b"", wall()).unwrap().class();
    assert_eq!(classified(StatusCode::FOUND), ErrorClass::Egress);
    assert_eq!(classified(StatusCode::PROXY_AUTHENTICATION_REQUIRED), ErrorClass::Egress, "the exit's proxy");
}

#[test]
fn body_of_a_successful_response_is_an_error_only_if_it_is_nothing_else() {
    for (is_error, body) in [
        (true, r#"{"error": {"code": 503, "message": "overloaded"}}"#),
        (true, r#"[{"error": {"code": 503, "message": "overloaded"}}]"#),
        (true, r#"{"error": "overloaded", "request_id": "1"}"#),
        (true, r#"{"type": "error", "error": {"type": "api_error"}, "request_id": "1"}"#),
        (true, r#"{"id": "gen-1", "choices": [], "error": {"code": 502}, "usage": {"total_tokens": 0}}"#),
        (true, r#"{"id": "c", "choices": [{"message": {"content": ""}, "error": {"code": 502}}]}"#),
        (
            true,
            r#"{"id": "r", "object": "response", "status": "failed", "output": [], "error": {"code": "server_error"}}"#,
        ),
        (true, r#"{"base_resp": {"status_code": 1004, "status_msg": "login fail"}}"#),
        (
            false,
            r#"{"id": "r", "object": "response", "status": "failed", "background": true, "error": {"code": "server_error"}}"#,
        ),
        (false, r#"{"name": "operations/1", "done": true, "error": {"code": 3, "message": "no"}}"#),
        (false, r#"{"id": "b", "object": "batch", "status": "failed", "error": {"code": "x"}}"#),
        (false, r#"{"choices": [{"message": {"content": "the \"error\" word"}}], "error": null}"#),
        (true, r#"{"code": 401, "msg": "Invalid API key", "data": null}"#),
        (true, r#"{"error_code": 18, "error_msg": "Open api qps request limit reached"}"#),
        (false, r#"{"code": 200, "msg": "ok", "data": null}"#),
        (false, r#"{"code": 404, "message": "m", "data": {"text": "what the status means"}}"#),
        (false, r#"{"error_code": 0, "error_msg": "", "text": "t"}"#),
        (false, r#"{"base_resp": {"status_code": 0, "status_msg": ""}, "choices": []}"#),
        (false, r#"{"text": "say \"error\" twice"}"#),
        (false, r#"{"error": "#),
        (false, ""),
    ] {
        assert_eq!(of_good(body).is_some(), is_error, "{body}");
    }
}

#[test]
fn limited_account_is_recognized_in_a_successful_response() {
    for body in [
        r#"{"candidates": [{"finishReason": "PUP_LIMITED_DISABLED"}], "usageMetadata": {}}"#,
        r#"[{"candidates": [{"finishReason": "PUP_LIMITED_DISABLED"}]}]"#,
    ] {
        let failure = of_good(body).unwrap();
        let actual = (failure.class(), failure.scope(), failure.cooldown(), failure.confirm);
        assert_eq!(actual, (ErrorClass::KeyRejected, Scope::Project, Cooldown::Disable, true), "{body}");
    }
    let talk =
        r#"{"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "PUP_LIMITED_DISABLED"}]}}]}"#;
    assert_eq!(of_good(talk), None, "text of the model");
}

#[test]
fn error_is_read_from_the_header_of_bedrock() {
    let name = HeaderName::from_static("x-amzn-errortype");
    let headers = HeaderMap::from_iter([(name, "ThrottlingException:http://internal.amazon.com/".parse().unwrap())]);
    let failure = classifier("bedrock").classify(StatusCode::BAD_REQUEST, &headers, b"{}", wall()).unwrap();
    assert_eq!((failure.class(), failure.code()), (ErrorClass::RateLimit, Some("ThrottlingException")));
}

/// A provider may quote text of the caller in its message.
#[test]
fn quoted_text_of_the_caller_is_ignored() {
    let nested = json!({"error": {"code": 401, "details": [{"reason": "API_KEY_INVALID"}]}}).to_string();
    for message in [
        "Unknown name \"API key not valid\": Cannot find field.",
        "Invalid value at 'credit balance is too low' (TYPE_ENUM)",
        "model `insufficient balance` is odd",
        "cut in the \"middle of: your credit balance is too low",
        "\u{201c}User location is not supported\u{201d} is no field",
        &nested,
        &format!("Invalid value: {nested}"),
    ] {
        let failure = gemini(400, &json!({"error": {"code": 400, "message": message}}).to_string());
        assert_eq!(failure.class(), ErrorClass::Caller, "{message}");
    }
    for text in rules::TABLE.iter().flat_map(|row| row.messages.iter().chain(&row.codes)) {
        let body = json!({"error": {"code": 400, "message": format!("Unknown name \"{text}\": Cannot find field.")}});
        for provider in ["gemini", "openai", "anthropic"] {
            let failure = classified(&classifier(provider), 400, &body.to_string());
            assert_eq!(failure.class(), ErrorClass::Caller, "{provider}: {text}");
        }
    }
    let named = gemini(400, &json!({"error": {"code": 400, "message": "no", "param": "API_KEY_INVALID"}}).to_string());
    assert_eq!(named.class(), ErrorClass::Caller);
}

/// A provider may also repeat the request without quotes, mostly after a colon or on a line of its own. Otherwise one
/// request could disable all keys.
#[test]
fn text_after_a_colon_or_a_line_does_not_block_keys_for_a_bad_request() {
    let reads = |provider, status, body: &str| {
        let failure = classified(&classifier(provider), status, body);
        let affects_keys = failure.class().is_key_fault() && failure.scope() != Scope::Request;
        assert!(!affects_keys, "{provider} {status} {body}: {failure:?}");
    };
    for text in rules::TABLE.iter().flat_map(|row| &row.messages) {
        for (provider, status) in [("gemini", 400), ("openai", 400), ("anthropic", 400), ("openai", 500)] {
            for message in [format!("Bad value: {text}"), format!("1 error in the request\n{text}\n  is odd")] {
                reads(provider, status, &json!({"error": {"message": message}}).to_string());
                let error = json!({"error": {"type": "invalid_request_error", "message": message}});
                reads(provider, 200, &format!("data: {error}\n\n"));
            }
        }
    }
    let own = Rule::new(ErrorClass::Billing).status(400).message("odd: no money");
    let body = json!({"error": {"message": "It is odd: no money"}}).to_string();
    let failure = classified(&Classifier::new("openai", vec![own]), 400, &body);
    assert_eq!(failure.class(), ErrorClass::Billing, "a rule of the user");
}

/// Official clients put errors into their exceptions, and gateways built on them forward those.
#[test]
fn error_inside_the_message_of_another_error_is_read() {
    let inner = json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
        "details": [{"reason": "API_KEY_INVALID"}]}});
    let outer = json!({"error": {"code": 400, "message": inner.to_string(), "status": "Bad Request"}});
    assert_eq!(gemini(400, &outer.to_string()).code(), Some("API_KEY_INVALID"));
    let day = json!({"error": {"code": 429, "details": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}});
    let outer = json!({"error": {"message": format!("litellm.RateLimitError: VertexAIException - {day}")}});
    assert_eq!(gemini(429, &outer.to_string()).class(), ErrorClass::DailyQuota);
}
