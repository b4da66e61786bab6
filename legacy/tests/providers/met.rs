//! Errors that were met later than those of `recorded`: budgets by other names, storage for caches, names like a week's.

use std::time::Duration;

use serde_json::json;
use tower_keypool::{
    Answer, Anthropic, ApiKeyHeader, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, Verdict,
    VerdictKind as K,
};

use crate::meaning::{
    CALLER, KEY, MONEY, NO_SUCH_MODEL, NOT_FOR_KEY, QUOTA, RATE, SUSPENDED, WRONG_OWNER, is, judge, openai, said,
};
use crate::sample::now;

fn gemini(status: u16, word: &str, message: &str) -> Verdict {
    judge(&Gemini::new(), status, &[], &json!({"error": {"code": status, "message": message, "status": word}}))
}

#[test]
fn a_budget_by_another_name_is_no_rate_and_no_callers_fault() {
    for (who, status, body) in [
        ("OpenAI", 429, said("Your credit balance is used up.", "server_error", "credit_balance_exhausted")),
        ("OpenAI, organization", 429, said("Enforced.", "server_error", "organization_spend_limit_exceeded")),
        ("OpenAI, project", 429, said("Enforced.", "server_error", "project_spend_limit_exceeded")),
        ("OpenAI, usage", 429, said("Enforced.", "server_error", "organization_usage_limit_exceeded")),
        ("Groq", 400, said("API access is blocked.", "invalid_request_error", "blocked_api_access")),
        ("Groq, seen", 400, said("Spend limit reached.", "invalid_request_error", "spend_limit_reached")),
        ("OpenCode", 401, json!({"type": "error", "error": {"type": "CreditsError", "message": "No credit."}})),
        ("OpenCode, month", 401, json!({"type": "error", "error": {"type": "MonthlyLimitError", "message": "No."}})),
        ("Mistral", 401, json!({"message": "Inactive subscription or usage limit reached", "request_id": "x"})),
        ("Mistral, before", 403, json!({"message": "Inactive subscription or usage limit reached"})),
    ] {
        let verdict = openai(status, &body);
        assert!(is(&verdict) == MONEY && verdict.is_named(), "{who}: {verdict:?}");
    }
    for word in ["SubscriptionUsageLimitError", "FreeUsageLimitError"] {
        let body = json!({"type": "error", "error": {"type": word, "message": "Quota exceeded."}});
        assert_eq!(is(&openai(429, &body)), QUOTA, "{word}");
    }
}

/// It is told behind a sentence that could be of any header, or as a bare text by the network in front.
#[test]
fn a_key_that_cannot_be_one_is_no_fault_of_the_callers() {
    let why = "Invalid format for Authorization header";
    let chain = |why: &str| {
        let behind = json!([{"code": 6111, "message": why}]);
        let error = json!({"code": 6003, "message": "Invalid request headers", "error_chain": behind});
        json!({"success": false, "errors": [error], "messages": [], "result": null}).to_string()
    };
    let judged = |body: &str| {
        let (headers, status) = (http::HeaderMap::new(), http::StatusCode::BAD_REQUEST);
        OpenAi::new().judge(&Answer::new(status, &headers, body.as_bytes(), now()))
    };
    for body in [chain(why), why.to_owned()] {
        let verdict = judged(&body);
        assert!(is(&verdict) == KEY && verdict.confirm_after_of().is_some(), "{body}: {verdict:?}");
    }
    let verdict = judged(&chain("Invalid format for X-Mine header"));
    assert_eq!(verdict.kind(), K::CallerFault, "{verdict:?}");
}

#[test]
fn what_no_key_may_or_nobody_has() {
    let no_model = json!({"type": "error", "error": {"type": "ModelError", "message": "Model x is not supported"}});
    let cloudflare = json!({"success": false, "errors": [{"code": 5007, "message": "No such model @cf/a/b or task"}]});
    for (who, status, body, meaning) in [
        ("OpenCode says 401", 401, no_model, NO_SUCH_MODEL),
        ("Cloudflare", 400, cloudflare, NO_SUCH_MODEL),
        ("SambaNova", 410, said("Model x has been deprecated.", "gone", ""), NO_SUCH_MODEL),
        ("GitHub", 403, said("No access to model: a/b", "", "no_access"), NOT_FOR_KEY),
        (
            "Groq",
            403,
            said("The model `x` is blocked.", "permissions_error", "model_permission_blocked_org"),
            NOT_FOR_KEY,
        ),
        ("OpenRouter", 401, json!({"error": {"message": "User not found.", "code": 401}}), KEY),
        (
            "OpenAI",
            403,
            said("Your organization must be verified to use the model `x`.", "invalid_request_error", ""),
            WRONG_OWNER,
        ),
    ] {
        assert_eq!(is(&openai(status, &body)), meaning, "{who}");
    }
    let gone = gemini(404, "NOT_FOUND", "Gemini 1.0 Pro Vision has been deprecated on July 12, 2024.");
    assert_eq!(is(&gone), NO_SUCH_MODEL);
    let regions = "Access to Anthropic models is not allowed from unsupported countries, regions, or territories.";
    let body = json!({"type": "error", "error": {"type": "permission_error", "message": regions}});
    assert_eq!(is(&judge(&Anthropic::new(), 403, &[], &body)), (K::Blocked, S::Exit, E::No));
}

/// A key whose project keeps no caches answers all else: it must not rest.
#[test]
fn room_for_caches_is_not_room_for_requests() {
    for tier in ["", "FreeTier", "PaidTier"] {
        let text = format!(
            "TotalCachedContentStorageTokensPerModel{tier} limit exceeded for model gemini-x: limit=0, requested=5000"
        );
        let verdict = gemini(429, "RESOURCE_EXHAUSTED", &text);
        assert_eq!(is(&verdict), (K::QuotaExhausted, S::Caller, E::OtherOwner), "{tier}");
        assert_eq!(verdict.until_of(), U::Now);
    }
    // An account that has this name in what it quotes.
    let quoted = "Field 'TotalCachedContentStorageTokensPerModel limit exceeded'";
    assert_eq!(is(&gemini(429, "RESOURCE_EXHAUSTED", quoted)), (K::RateLimited, S::KeyLane, E::OtherKey));
}

#[test]
fn what_a_keys_restrictions_refuse_without_details() {
    for text in [
        "Requests to this API generativelanguage.googleapis.com method google.ai.Generate are blocked.",
        "Requests from referer <empty> are blocked.",
        "Requests from this Android client application <empty> are blocked.",
        "Requests from this iOS client application <empty> are blocked.",
    ] {
        let verdict = gemini(403, "PERMISSION_DENIED", text);
        assert!(is(&verdict) == KEY && verdict.is_named(), "{text}");
    }
    let closed = "Gemini has been disabled in this account for violation of Terms of\n\t\tService.";
    assert_eq!(is(&gemini(403, "PERMISSION_DENIED", closed)), SUSPENDED);
}

/// Models and accounts are named by their makers: a limit by the minute stays one.
#[test]
fn a_name_like_a_week_is_no_weeks_quota() {
    for text in [
        "Rate limit reached for gpt-x in organization acme-weekly on requests per min (RPM): Limit 3",
        "Rate limit reached for gpt-x in organization weekly on requests per min (RPM): Limit 3",
        "Too many requests for weekly-news-llama",
        "Too many requests for acme/day-llama",
        "Model meta/month-1 is at its rate limit of 5 requests per minute",
        "Model acme/daily limit is at its limit",
    ] {
        let verdict = openai(429, &said(text, "requests", "rate_limit_exceeded"));
        assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::Backoff), "{text}");
    }
    let month = openai(429, &json!({"message": "Monthly token limit exceeded"}));
    assert!(is(&month) == QUOTA && matches!(month.until_of(), U::Probed(_)), "{month:?}");
    let text = "You exceeded your current quota for model daily-gemini. Please retry in 5s.";
    let verdict = gemini(429, "RESOURCE_EXHAUSTED", text);
    assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::For(Duration::from_secs(5))));
    let day = gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your daily quota.");
    assert_eq!((is(&day), day.until_of()), (QUOTA, U::DayEnd));
}

#[test]
fn an_api_that_tells_when_its_window_opens() {
    let api = ApiKeyHeader::header("x-key", "https://api.example").unwrap();
    let at = |status, headers: &[(&str, &str)]| judge(&api, status, headers, &json!({"message": "no"}));
    let date = ("date", "Wed, 18 Nov 2026 11:06:40 GMT");
    for (status, headers) in [
        (429, [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795000030"), date]),
        (403, [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795000030"), date]),
        (429, [("ratelimit-remaining", "0"), ("ratelimit-reset", "30"), date]),
        (403, [("retry-after", "30"), ("x-other", "0"), date]),
    ] {
        let verdict = at(status, &headers);
        let expected = ((K::RateLimited, S::KeyLane, E::OtherKey), U::For(Duration::from_secs(30)));
        assert_eq!((is(&verdict), verdict.until_of()), expected, "{status} {headers:?}");
    }
    // What has not run out says nothing.
    let left = [("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "1795000030")];
    assert_eq!(at(429, &left).until_of(), U::Backoff);
    let forbidden = at(403, &left);
    assert!(is(&forbidden) == KEY && !forbidden.is_named());
    assert_eq!(is(&at(400, &left)), CALLER);
}
