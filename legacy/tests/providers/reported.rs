//! What people reported in 2026 of accounts, plans and models: whose fault it is, and for how long.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{
    Anthropic, ApiKeyHeader, Elsewhere as E, Gemini, OpenAi, Scope as S, Until as U, VerdictKind as K,
};

use crate::meaning::{
    CALLER, KEY, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_KEY, QUOTA, RATE, WRONG_OWNER, is, judge, openai, said,
};

const OVERLOADED: Meaning = (K::Overloaded, S::Lane, E::AfterPause);

fn anthropic(status: u16, kind: &str, message: &str) -> Meaning {
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    is(&judge(&Anthropic::new(), status, &[], &body))
}

/// Plans and budgets that are used up are no fault of the key, whatever status they come with.
#[test]
fn a_used_up_plan_never_switches_a_key_off() {
    let key_budget = (K::QuotaExhausted, S::Key, E::OtherKey);
    for (status, body, meaning) in [
        (403, said("You've reached your weekly (7-day) usage limit.", "access_terminated_error", ""), QUOTA),
        (403, said("You've reached your monthly usage limit for this cycle.", "access_terminated_error", ""), QUOTA),
        (
            403,
            json!({"error": {"message": "Budget limit exceeded (monthly limit). Ask an admin.", "code": 403}}),
            MONEY,
        ),
        (403, json!({"error": {"message": "API key budget limit exceeded (daily limit)", "code": 403}}), key_budget),
        (403, json!({"code": "team:spending-limit", "error": "You have run out of credits or need a plan."}), MONEY),
        (500, said("insufficient balance (1008)", "api_error", ""), MONEY),
        (429, json!({"error": {"code": "Throttling", "message": "week allocated quota exceeded."}}), MONEY),
        (429, json!({"error": {"code": "Throttling", "message": "hour allocated quota exceeded."}}), MONEY),
        (
            429,
            json!({"code": "subscription:free-usage-exhausted", "error": "You've used all the included free usage for model m."}),
            QUOTA,
        ),
    ] {
        assert_eq!(is(&openai(status, &body)), meaning, "{status} {body}");
        assert_eq!(is(&judge(&Anthropic::new(), status, &[], &body)), meaning, "Anthropic {status} {body}");
    }
    assert_eq!(anthropic(403, "permission_error", "You've reached your usage limit for this billing cycle."), QUOTA);
    assert_eq!(anthropic(429, "rate_limit_error", "usage limit exceeded, 5-hour usage limit reached (2056)"), QUOTA);
    assert_eq!(anthropic(400, "invalid_request_error", "Third-party apps now draw from your extra usage, not."), MONEY);
    // What names no cause is as unclear as before, and a rate is a rate.
    let unclear = (K::InvalidKey, S::KeyLane, E::OtherKey);
    assert_eq!(anthropic(403, "permission_error", "Your API key does not have permission to use it."), unclear);
    assert_eq!(anthropic(429, "rate_limit_error", "This request would exceed your account's rate limit."), RATE);
}

/// Zhipu's numbers mean the same in either language.
#[test]
fn numbers_are_read_in_anthropics_language() {
    let account = (K::RateLimited, S::Owner, E::OtherKey);
    for (code, meaning) in [("1310", QUOTA), ("1308", QUOTA), ("1113", MONEY), ("1313", account), ("1302", RATE)] {
        let body = json!({"error": {"type": "rate_limit_error", "code": code, "message": format!("[{code}][x][y]")}});
        assert_eq!(is(&judge(&Anthropic::new(), 429, &[], &body)), meaning, "{code}");
        assert_eq!(is(&openai(429, &body)), meaning, "OpenAI's {code}");
    }
    let body = json!({"error": {"code": "throttling", "message": "usage allocated quota exceeded.", "type": "invalid_request_error"}});
    assert_eq!(is(&judge(&Anthropic::new(), 429, &[], &body)), RATE);
}

/// How long is as long as they say.
#[test]
fn waits_in_members() {
    let flight = json!({"error": {"message": "Would exceed your credits in flight.", "code": 402,
        "metadata": {"reason": "in_flight_budget_exhausted", "limit_source": "openrouter_in_flight_budget"}}});
    let verdict = judge(&OpenAi::new(), 402, &[("retry-after", "5")], &flight);
    assert_eq!(is(&verdict), (K::RateLimited, S::Owner, E::OtherKey));
    assert_eq!(verdict.until_of(), U::For(Duration::from_secs(5)));
    let plan = json!({"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached",
        "resets_at": 1_795_327_033, "resets_in_seconds": 173_470}});
    let verdict = openai(429, &plan);
    assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, U::For(Duration::from_secs(173_470))));
}

#[test]
fn models_that_are_not_to_be_had_and_paths_that_are_not_theirs() {
    for (status, body, meaning) in [
        (
            404,
            said("This model is only supported in v1/responses and not in v1/chat.", "invalid_request_error", ""),
            CALLER,
        ),
        (
            400,
            said("The requested model 'old' does not exist.", "invalid_request_error", "model_not_found"),
            NOT_FOR_KEY,
        ),
        (400, said("Model old has not been priced by the administrator yet.", "x", "model_price_error"), NO_SUCH_MODEL),
        (403, said("You are not allowed to sample from this model", "invalid_request_error", ""), NOT_FOR_KEY),
        (
            403,
            said("Free credits temporarily have restricted access to it.", "no_providers_available", ""),
            (K::ModelUnavailable, S::OwnerLane, E::OtherKey),
        ),
        (
            429,
            said(
                "Rate limit exceeded for images per minute in organization o. Limit: 0/1min. Current: 1/1min.",
                "x",
                "rate_limit_exceeded",
            ),
            (K::ModelUnavailable, S::OwnerLane, E::OtherKey),
        ),
        (429, said("当前分组上游负载已饱和，请稍后再试", "new_api_error", "x"), OVERLOADED),
        (500, said("当前分组上游负载已饱和，请稍后再试", "new_api_error", "x"), OVERLOADED),
        (403, said("Request not allowed", "forbidden", ""), (K::Blocked, S::Exit, E::No)),
        (
            200,
            json!({"object": "error", "code": 404, "message": "The model `old` does not exist.", "type": "NotFoundError"}),
            NO_SUCH_MODEL,
        ),
    ] {
        let verdict = openai(status, &body);
        assert_eq!(is(&verdict), meaning, "{status} {body}");
        assert!(verdict.news_of().is_none_or(|news| news.violations.is_empty()), "nothing is learned of {body}");
    }
    assert_eq!(anthropic(404, "not_found_error", "Claude Old 5 is not available. Please use another."), NO_SUCH_MODEL);
    let long = "Usage credits are required for long context requests.";
    assert_eq!(anthropic(429, "rate_limit_error", long), WRONG_OWNER);
    // A list, an answer and a word of a caller's are no errors.
    assert!(openai(200, &json!({"object": "list", "data": [{"object": "error"}]})).is_success());
    assert!(
        openai(200, &json!({"object": "chat.completion", "choices": [{"message": {"content": "error"}}]})).is_success()
    );
}

/// What a model looks up has a quota of its own.
#[test]
fn searches_that_are_used_up_close_no_model() {
    let limited = |details: Value| json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota.", "details": details}});
    let searches = json!({"quotaId": "SearchGroundingRequestsPerDayPerProject-FreeTier",
        "quotaMetric": "generativelanguage.googleapis.com/search_grounding_requests_free_tier"});
    let a_day = json!({"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "20"});
    let of = |violations: Value| judge(&Gemini::new(), 429, &[], &limited(json!([{"violations": violations}])));
    let verdict = of(json!([searches]));
    assert_eq!(is(&verdict), (K::QuotaExhausted, S::Caller, E::OtherOwner));
    assert!(verdict.news_of().is_none_or(|news| news.violations.is_empty() && news.decisive.is_none()));
    assert_eq!(is(&of(json!([searches, a_day]))), QUOTA);
    let line = "Quota exceeded for metric: generativelanguage.googleapis.com/search_grounding_requests_free_tier, limit: 0, model: m";
    let body = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": line}});
    assert_eq!(is(&judge(&Gemini::new(), 429, &[], &body)), (K::QuotaExhausted, S::Caller, E::OtherOwner));
    let body = json!({"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "Image generation is not available in your country."}});
    assert_eq!(is(&judge(&Gemini::new(), 400, &[], &body)), NO_SUCH_MODEL);
}

/// A key that is out of credit is none that does not exist.
#[test]
fn a_plain_key_that_is_out_of_credit_comes_back() {
    let any = ApiKeyHeader::header("xi-api-key", "https://api.example").unwrap();
    let spent = json!({"detail": {"status": "quota_exceeded", "message": "This request exceeds your quota."}});
    assert_eq!(is(&judge(&any, 401, &[], &spent)), (K::QuotaExhausted, S::Key, E::OtherKey));
    let wrong = json!({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}});
    assert_eq!(is(&judge(&any, 401, &[], &wrong)), KEY);
}

/// What looks at a request's form begins with the caller's words, however they are written.
#[test]
fn a_field_that_is_called_like_a_refusal_takes_no_key_out() {
    let (anthropic, openai) = (Anthropic::new(), OpenAi::new());
    let claude =
        |message: String| json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
    let disabled = "This organization has been disabled.";
    let credit = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.";
    let incorrect = "Incorrect API key provided";
    let endings = [
        "Extra inputs are not permitted",
        "extra fields not permitted",
        "Additional input is not allowed",
        "'x' is not of type 'string'",
    ];
    for sentence in [disabled, credit] {
        let long = [format!("{sentence}{}", " ".repeat(4_200)), format!("{sentence}{}", ".".repeat(4_200))];
        let quoted = ["'", "\"", "`", "\u{201c}", "\u{2018}"].map(|quote| format!("{sentence} {quote}"));
        for field in long.into_iter().chain(quoted).chain([sentence.to_owned()]) {
            for ending in endings {
                let body = claude(format!("{field}: {ending}"));
                assert_eq!(is(&judge(&anthropic, 400, &[], &body)), CALLER, "{ending}: {field:.90}");
            }
        }
        assert_ne!(is(&judge(&anthropic, 400, &[], &claude(sentence.to_owned()))), CALLER, "said by the provider");
    }
    for message in [
        format!("{incorrect}: '.: Extra inputs are not permitted"),
        format!("[{{'type': 'literal_error', 'input': 'x\"\\'] {incorrect}. '}}]"),
        format!("['x\"\\'] {incorrect}. ', 'b'] is too long - 'stop'"),
    ] {
        assert_eq!(is(&judge(&openai, 400, &[], &said(&message, "invalid_request_error", ""))), CALLER, "{message}");
    }
    assert_eq!(is(&judge(&openai, 401, &[], &said("[401] Incorrect API key provided: x.", "x", ""))), KEY);
    let inner = r#"{"error":{"code":400,"details":[{"reason":"CONSUMER_SUSPENDED"}]}} is not a valid role"#;
    let body = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": inner}});
    assert_eq!(is(&judge(&Gemini::new(), 400, &[], &body)), CALLER);
}

/// What is kept has quotas of its own, and whoever makes room must be let in.
#[test]
fn storage_that_is_full_closes_no_model() {
    let beside = (K::QuotaExhausted, S::Caller, E::OtherOwner);
    let failure = json!([{"violations": [{"quotaId": "FileStorageBytesPerProject", "quotaMetric": "generativelanguage.googleapis.com/file_storage_bytes"}]}, {"retryDelay": "9223372036854775807s"}]);
    let body = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Resource exhausted.", "details": failure}});
    assert_eq!(is(&judge(&Gemini::new(), 429, &[], &body)), beside);
    let body = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Corpus has reached the storage limit of 1000000000 bytes."}});
    assert_eq!(is(&judge(&Gemini::new(), 429, &[], &body)), beside);
    let full = said(
        "You have exceeded your file storage quota. Organizations are limited to 100 GB.",
        "invalid_request_error",
        "",
    );
    assert_eq!(is(&openai(400, &full)), beside);
}

/// A day is one, whatever the error was wrapped in on its way.
#[test]
fn a_wrapped_quota_keeps_its_day() {
    let inner = r#"{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"41s"}]}}"#;
    let python = "429 RESOURCE_EXHAUSTED. {'error': {'code': 429, 'details': [{'violations': [{'quotaId': 'GenerateRequestsPerDayPerProjectPerModel-FreeTier'}]}]}}";
    let grpc = "429 You exceeded your current quota. [violations { quota_id: \"GenerateRequestsPerDayPerProjectPerModel-FreeTier\" }, retry_delay { seconds: 41 }]";
    for text in [format!("got status: 429 Too Many Requests. {inner}"), python.to_owned(), grpc.to_owned()] {
        for body in [json!(text), json!({"error": text}), json!({"error": {"code": 429, "message": text}})] {
            let verdict = judge(&Gemini::new(), 429, &[], &body);
            assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, U::DayEnd), "{body}");
        }
    }
    let minute = inner.replace("PerDay", "PerMinute");
    assert_eq!(is(&judge(&Gemini::new(), 429, &[], &json!({"error": minute}))), RATE);
}

/// Events with an error of the caller's are sent once.
#[test]
fn errors_in_events_have_words_of_their_own() {
    let event = |provider: &dyn tower_keypool::Provider, body: Value| {
        let (headers, body) = (http::HeaderMap::new(), body.to_string());
        let answer =
            tower_keypool::Answer::new(http::StatusCode::OK, &headers, body.as_bytes(), crate::sample::now()).event();
        is(&provider.judge(&answer))
    };
    let interactions = |code: &str| event(&Gemini::new(), json!({"error": {"code": code, "message": "No."}}));
    for code in ["safety", "recitation", "prohibited_content", "image_safety", "parameter_unknown"] {
        assert_eq!(interactions(code), CALLER, "{code}");
    }
    assert_eq!(interactions("too_many_requests").0, K::RateLimited);
    assert_eq!(interactions("service_unavailable").0, K::Overloaded);
    assert_eq!(interactions("payment_required"), (K::QuotaExhausted, S::BillingAccount, E::OtherKey));
    for code in ["invalid_prompt", "image_content_policy_violation", "invalid_image_format", "failed_to_download_image"]
    {
        let failed = json!({"type": "response.failed", "response": {"error": {"code": code, "message": "No."}}});
        assert_eq!(event(&OpenAi::new(), failed), CALLER, "{code}");
    }
}

#[test]
fn things_of_others_and_keys_that_have_expired() {
    for (status, message) in [
        (400, "Cannot find file file-x, or project proj_x does not have access to it."),
        (404, "File cfile_x not found on container cntr_x."),
        (404, "File not found."),
    ] {
        assert_eq!(is(&openai(status, &said(message, "invalid_request_error", ""))), WRONG_OWNER, "{message}");
    }
    let google = |message: &str| {
        is(&judge(
            &Gemini::new(),
            404,
            &[],
            &json!({"error": {"code": 404, "status": "NOT_FOUND", "message": message}}),
        ))
    };
    assert_eq!(google("Tuned model tunedModels/x does not exist."), WRONG_OWNER);
    assert_eq!(google("Not found: cached content metadata for 12."), WRONG_OWNER);
    let wrong = json!({"Message": "Authentication failed: Please make sure your API Key is valid."});
    assert_eq!(is(&openai(403, &wrong)), KEY);
    for code in ["token_expired", "token_invalidated"] {
        assert_eq!(is(&openai(401, &said("x", "invalid_request_error", code))), KEY, "{code}");
    }
}

/// Ten years are no promise: it is tried again as where nothing is said.
#[test]
fn a_wait_beyond_any_quota_is_none() {
    let limited =
        json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Resource has been exhausted."}});
    for wait in ["315360000", "99999999999999999999", "Wed, 31 Dec 9999 23:59:59 GMT"] {
        for provider in [&Gemini::new() as &dyn tower_keypool::Provider, &OpenAi::new(), &Anthropic::new()] {
            let verdict = judge(provider, 429, &[("retry-after", wait)], &limited);
            assert_eq!(
                (verdict.kind(), verdict.until_of()),
                (K::RateLimited, U::Backoff),
                "{} {wait}",
                provider.name()
            );
        }
    }
    let verdict = judge(&Gemini::new(), 429, &[("retry-after", "7200")], &limited);
    assert_eq!(verdict.until_of(), U::For(Duration::from_secs(7_200)));
}
