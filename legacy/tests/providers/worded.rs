//! The same cause in other words, and under other statuses: where nothing of a request is echoed, what a sentence speaks of
//! is enough.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{Anthropic, Elsewhere as E, Gemini, OpenAi, Scope as S, Until as U, VerdictKind as K};

use crate::meaning::{CALLER, KEY, MONEY, Meaning, QUOTA, RATE, SUSPENDED, is, judge, openai, said};

const BILLING: Meaning = (K::QuotaExhausted, S::BillingAccount, E::OtherKey);
const SPENDING: Meaning = (K::RateLimited, S::Owner, E::OtherKey);

fn google(code: u16, status: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message, "status": status } })
}

fn gemini(status: u16, body: &Value) -> tower_keypool::Verdict {
    judge(&Gemini::new(), status, &[], body)
}

#[test]
fn money_at_a_429_is_told_by_what_is_spoken_of() {
    for (message, meaning) in [
        ("Billing error: your prepayment credits are depleted.", BILLING),
        ("Request denied because your prepayment credits are depleted.", BILLING),
        ("Your prepayment credits have run out.", BILLING),
        ("All prepayment credits are depleted.", BILLING),
        ("Your prepay balance is exhausted.", BILLING),
        ("Requests are blocked: the billing account is over its monthly spending cap.", BILLING),
        ("Requests are blocked because your monthly spending cap was reached", MONEY),
        ("The project's monthly spending cap has been reached.", MONEY),
        ("You've exceeded your project's monthly spending cap.", MONEY),
        ("Quota exceeded: spend-based rate limit (10 minutes).", SPENDING),
        ("Your project's spend-based rate limit has been exceeded.", SPENDING),
        ("You've hit your spend-based rate limit. Please retry in 5m.", SPENDING),
    ] {
        let verdict = gemini(429, &google(429, "RESOURCE_EXHAUSTED", message));
        assert_eq!(is(&verdict), meaning, "{message}");
        assert!(verdict.is_named(), "{message}");
        if meaning == SPENDING {
            assert_eq!(verdict.until_of(), U::For(Duration::from_secs(600)), "{message}");
        }
        // Where a request was looked at it may be the caller who says so.
        assert_eq!(is(&gemini(400, &google(400, "INVALID_ARGUMENT", message))), CALLER, "{message}");
    }
    for message in [
        "Your account is out of credits",
        "Insufficient credits",
        "Credit balance too low",
        "Your trial has ended",
        "Your API key has exceeded its budget",
    ] {
        assert_eq!(is(&openai(429, &said(message, "error", "429"))), MONEY, "{message}");
    }
}

#[test]
fn days_in_other_words() {
    for message in [
        "Daily limit of 250 requests reached. Resets at midnight Pacific Time.",
        "Per-day request limit reached",
        "RPD limit exceeded for gemini-2.5-flash",
        "Daily quota exceeded.",
    ] {
        let verdict = gemini(429, &google(429, "RESOURCE_EXHAUSTED", message));
        assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, U::DayEnd), "{message}");
    }
    // A name that holds such letters is none of them.
    let named = gemini(429, &google(429, "RESOURCE_EXHAUSTED", "Limit exceeded for project corpdata."));
    assert!(!named.is_named() && named.kind() == K::RateLimited, "{named:?}");
    for message in ["Monthly quota exceeded", "Daily token limit reached, resets at 00:00 UTC"] {
        assert_eq!(is(&openai(429, &said(message, "error", "429"))), QUOTA, "{message}");
    }
}

#[test]
fn a_limit_under_another_status_is_a_limit() {
    let older = |reason: &str| json!({ "error": { "code": 403, "message": "Limit Exceeded", "errors": [{ "domain": "usageLimits", "reason": reason }] } });
    for (reason, meaning) in [
        ("dailyLimitExceeded", QUOTA),
        ("quotaExceeded", QUOTA),
        ("rateLimitExceeded", RATE),
        ("userRateLimitExceeded", RATE),
    ] {
        for status in [403, 429] {
            let verdict = gemini(status, &older(reason));
            assert_eq!((is(&verdict), verdict.is_named()), (meaning, true), "{status} {reason}");
            assert_eq!(verdict.status_of().unwrap().as_u16(), status);
        }
    }
    let newer = |quota: &str| {
        json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "message": "Quota exceeded.", "details": [{
            "reason": "RATE_LIMIT_EXCEEDED",
            "metadata": { "quota_limit": quota, "quota_limit_value": "60", "consumer": "projects/1" },
        }] } })
    };
    let minute = gemini(403, &newer("GenerateRequestsPerMinutePerProjectPerModel"));
    assert_eq!(is(&minute), RATE);
    assert_eq!(minute.news_of().unwrap().violations[0].amount, Some(60));
    let day = gemini(403, &newer("GenerateRequestsPerDayPerProjectPerModel"));
    assert_eq!((is(&day), day.until_of()), (QUOTA, U::DayEnd));
}

#[test]
fn keys_and_projects_in_other_words() {
    for message in [
        "Invalid API key provided.",
        "The provided API key is expired.",
        "Your API key has been revoked.",
        "API key has been leaked. Please use another API key.",
    ] {
        for status in [400, 403] {
            assert_eq!(is(&gemini(status, &google(status, "INVALID_ARGUMENT", message))), KEY, "{status} {message}");
        }
    }
    for message in ["Permission denied: Project 123 has been suspended.", "The consumer has been suspended."] {
        assert_eq!(is(&gemini(403, &google(403, "PERMISSION_DENIED", message))), SUSPENDED, "{message}");
    }
    let anthropic = |message: &str| {
        let body = json!({ "type": "error", "error": { "type": "permission_error", "message": message } });
        judge(&Anthropic::new(), 403, &[], &body)
    };
    assert_eq!(is(&anthropic("This workspace has been archived.")), SUSPENDED);
    assert_eq!(anthropic("Claude is not available in your region").scope_of(), S::Exit);
}

#[test]
fn a_403_for_what_was_asked_is_the_callers() {
    let of = |message: &str, kind: &str, param: Value, code: Value| {
        let body = json!({ "error": { "message": message, "type": kind, "param": param, "code": code } });
        is(&judge(&OpenAi::new(), 403, &[], &body))
    };
    let too_long = "Input token count + `max_tokens` must be less than 4097";
    assert_eq!(of(too_long, "invalid_request_error", Value::Null, Value::Null), CALLER);
    assert_eq!(of("Content blocked", "content_filter", Value::Null, json!("content_filter")), CALLER);
    assert_eq!(of("No.", "invalid_request_error", json!("tools[0].type"), Value::Null), CALLER);
    // Of the model it is the key that may not use it; and without a parameter nobody knows.
    assert_ne!(of("No.", "invalid_request_error", json!("model"), Value::Null), CALLER);
    assert_ne!(of("No.", "invalid_request_error", Value::Null, Value::Null), CALLER);
}
