//! Errors that clients of many services were met with, gathered from their threads: words and statuses of their own.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tower_keypool::{
    Answer, Anthropic, ApiKeyHeader, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, Verdict,
    VerdictKind as K,
};

use crate::{
    meaning::{CALLER, KEY, MONEY, QUOTA, is, judge, openai, said},
    sample::now,
};

const HOUR: u64 = 3_600;

fn other(status: u16, headers: &[(&str, &str)], body: &Value) -> Verdict {
    judge(&ApiKeyHeader::header("x-key", "https://a.example").unwrap(), status, headers, body)
}

/// An error within a stream of a good status.
fn streamed(body: &Value) -> Verdict {
    let body = body.to_string();
    OpenAi::new().judge(&Answer::new(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), now()).event())
}

fn after(verdict: &Verdict) -> Option<u64> {
    verdict.retry_after().map(|wait| wait.as_secs())
}

#[test]
fn a_key_that_lacks_a_permission_does_what_it_may() {
    let message = "The API key you used is missing the permission voices_read to execute this operation.";
    for detail in [json!({"status": "missing_permissions", "message": message}), json!({"message": message})] {
        let verdict = other(401, &[], &json!({ "detail": detail }));
        assert_eq!(is(&verdict), (K::WrongOwner, S::Caller, E::OtherKey), "{verdict:?}");
    }
}

#[test]
fn keys_that_are_none_are_told_by_other_statuses_too() {
    let google = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let google = json!({"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": google});
    for (who, status, body) in [
        ("Google's other APIs", 400, json!({ "error": google })),
        (
            "Brave",
            422,
            json!({"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID", "status": 422}}),
        ),
        ("its documentation", 422, json!({"errors": [{"code": "SUBSCRIPTION_TOKEN_INVALID"}]})),
    ] {
        let verdict = other(status, &[], &body);
        assert!(is(&verdict) == KEY && verdict.confirm_after_of().is_some(), "{who}: {verdict:?}");
    }
    for body in [json!({"error": {"code": "VALIDATION", "status": 422}}), json!({"message": "q: too long"})] {
        assert_eq!(is(&other(422, &[], &body)), CALLER, "{body}");
    }
}

#[test]
fn what_is_used_up_comes_back_or_is_looked_at_later() {
    let reason = |reason: &str| {
        let errors = json!([{"message": "Exceeded.", "domain": "youtube.quota", "reason": reason}]);
        json!({"error": {"code": 403, "message": "Exceeded.", "errors": errors}})
    };
    let month = "You have exceeded the MONTHLY quota for Requests on your current plan, BASIC.";
    for (who, status, headers, body, until) in [
        ("DeepL", 456, &[][..], json!({"message": "Quota Exceeded"}), U::Probed(Duration::from_secs(HOUR))),
        ("Tavily", 432, &[], json!({"detail": {"error": "This."}}), U::Probed(Duration::from_secs(HOUR))),
        ("Serper", 400, &[], json!({"message": "Not enough credits"}), U::Probed(Duration::from_secs(HOUR))),
        (
            "SerpAPI",
            429,
            &[],
            json!({"error": "Your account has run out of searches."}),
            U::Probed(Duration::from_secs(HOUR)),
        ),
        ("RapidAPI", 429, &[], json!({ "message": month }), U::Probed(Duration::from_secs(6 * HOUR))),
        (
            "RapidAPI",
            429,
            &[("x-ratelimit-requests-remaining", "0"), ("x-ratelimit-requests-reset", "1209600")],
            json!({ "message": month }),
            U::For(Duration::from_secs(1_209_600)),
        ),
        (
            "Infura",
            429,
            &[],
            json!({"error": {"message": "daily request count exceeded"}}),
            U::Probed(Duration::from_secs(HOUR)),
        ),
    ] {
        let verdict = other(status, headers, &body);
        assert_eq!((is(&verdict), verdict.until_of()), ((K::QuotaExhausted, S::Key, E::OtherKey), until), "{who}");
    }
    let verdict = other(403, &[], &reason("quotaExceeded"));
    assert_eq!((verdict.kind(), verdict.scope_of()), (K::QuotaExhausted, S::OwnerLane), "{verdict:?}");
    let verdict = other(403, &[], &reason("rateLimitExceeded"));
    assert_eq!(verdict.kind(), K::RateLimited, "{verdict:?}");
}

#[test]
fn of_several_quotas_in_one_header_those_decide_that_ran_out() {
    let wait = |remaining, reset| {
        after(&other(429, &[("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)], &json!({})))
    };
    assert_eq!(wait("0, 1448", "1, 1419704"), Some(1));
    assert_eq!(wait("1, 0", "1, 1419704"), Some(24 * HOUR), "no longer is believed");
}

#[test]
fn errors_within_streams_mean_what_they_mean_without() {
    let event = json!({
        "type": "error",
        "error": {"type": "usage_limit_reached", "message": "The usage limit has been reached", "resets_in_seconds": 13_872},
        "status_code": 429,
    });
    let verdict = streamed(&event);
    assert_eq!((is(&verdict), after(&verdict)), (QUOTA, Some(13_872)), "{verdict:?}");
    // No word that is known, but a status beside it.
    let event = json!({"type": "error", "error": {"type": "some_word", "message": "No."}, "status_code": 429});
    assert_eq!(streamed(&event).kind(), K::RateLimited);
    for word in ["cyber_policy", "bio_policy", "content_policy_violation"] {
        assert_eq!(streamed(&said("No.", "invalid_request", word)).kind(), K::CallerFault, "{word}");
    }
    for word in ["organization_spend_limit_exceeded", "project_spend_limit_exceeded", "credit_balance_exhausted"] {
        assert_eq!(is(&streamed(&said("Enforced.", "", word))), MONEY, "{word}");
    }
    let busy = said(
        "We're currently processing too many requests \u{2014} later.",
        "invalid_request_error",
        "rate_limit_exceeded",
    );
    for verdict in [streamed(&busy), openai(429, &busy)] {
        assert_eq!(is(&verdict), (K::Overloaded, S::Lane, E::AfterPause), "{verdict:?}");
    }
}

#[test]
fn a_subscription_may_tell_no_more_than_when_it_begins_anew() {
    let at = now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 7_200;
    for at in [json!(at), json!(at.to_string())] {
        let error = json!({"type": "usage_limit_reached", "message": "Reached", "resets_at": at});
        let verdict = openai(429, &json!({ "error": error }));
        assert_eq!((is(&verdict), after(&verdict)), (QUOTA, Some(7_200)), "{verdict:?}");
    }
}

#[test]
fn money_by_other_words() {
    let balance = json!({"code": 30011, "message": "The selected model requires paid balance. Top up.", "data": null});
    let verdict = openai(403, &balance);
    assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, U::Probed(Duration::from_secs(HOUR))), "{verdict:?}");
    assert_eq!(is(&openai(401, &json!({"error": {"code": 401, "message": "Not Enough Credits"}}))), MONEY);
    let relay = json!({"type": "error", "error": {"type": "permission_error", "message": "余额不足\n更多信息访问"}});
    assert_eq!(is(&judge(&Anthropic::new(), 403, &[], &relay)), MONEY);
    // It says when.
    let verdict = judge(&OpenAi::new(), 402, &[("retry-after", "300")], &said("Usage limit reached", "", ""));
    assert_eq!((is(&verdict), after(&verdict)), (MONEY, Some(300)), "{verdict:?}");
}

#[test]
fn a_model_without_a_free_tier_is_none_of_the_days() {
    let failure = |id: &str| json!({"quotaId": id, "quotaDimensions": {"model": "gemini-2.5-pro-exp"}});
    let days = failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    let details = json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [days]}]);
    let message = "Gemini 2.5 Pro Preview doesn't have a free quota tier. Please use another.";
    let error = json!({"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details});
    let verdict = judge(&Gemini::new(), 429, &[], &json!({ "error": error }));
    assert_eq!((verdict.kind(), verdict.scope_of()), (K::ModelUnavailable, S::OwnerLane), "{verdict:?}");
    assert_eq!(verdict.news_of().and_then(|news| news.quota_model.as_deref()), None, "{verdict:?}");
    // Vertex has Anthropic's models, too.
    let error = json!({"code": 429, "message": "Quota exceeded for aiplatform.googleapis.com/x", "status": "RESOURCE_EXHAUSTED"});
    let verdict = judge(&Anthropic::new(), 429, &[], &json!({ "error": error }));
    assert_eq!(verdict.scope_of(), S::OwnerLane, "{verdict:?}");
}

/// One host of Google's has many APIs, of which a key may have some.
#[test]
fn of_googles_other_apis_only_keys_and_quotas_are_told() {
    let error = |code: u16, status: &str, reason: &str| {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
        json!({"error": {"code": code, "message": "No.", "status": status, "details": details}})
    };
    assert_eq!(is(&other(404, &[], &error(404, "NOT_FOUND", ""))), CALLER);
    for reason in ["API_KEY_SERVICE_BLOCKED", "SERVICE_DISABLED"] {
        let verdict = other(403, &[], &error(403, "PERMISSION_DENIED", reason));
        assert!(verdict.scope_of() == S::Key && !verdict.is_named(), "{reason}: {verdict:?}");
    }
    let zone = |base: &str| Provider::zone(&ApiKeyHeader::query("key", base).unwrap()).to_owned();
    assert_eq!(zone("https://www.googleapis.com"), "America/Los_Angeles");
    assert_eq!(zone("https://googleapis.com.example"), "UTC");
    let set = ApiKeyHeader::query("key", "https://www.googleapis.com").unwrap().zone("Europe/Berlin");
    assert_eq!(Provider::zone(&set), "Europe/Berlin");
}

#[test]
fn what_may_be_of_the_request_blames_no_key() {
    let connector = json!({"error": {"code": "invalid_api_key", "message": "The api_key of connector 'x' is wrong"}});
    assert_eq!(is(&other(400, &[], &connector)), CALLER);
    let echoed = said("Invalid API key\nis no voice that is known", "invalid_request_error", "");
    assert_eq!(is(&openai(400, &echoed)), CALLER);
}

#[test]
fn how_long_is_told_wherever_it_stands_and_not_believed_where_it_means_something_else() {
    let inner =
        json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota. Please retry in 51s."}});
    let relayed = json!({"type": "error", "error": {"type": "rate_limit_error", "message": inner.to_string()}});
    for provider in [&Anthropic::new() as &dyn Provider, &OpenAi::new()] {
        assert_eq!(after(&judge(provider, 429, &[], &relayed)), Some(51), "{}", provider.name());
    }
    assert_eq!(after(&other(429, &[], &json!({"message": "Too many. Please try again in 20 seconds."}))), Some(20));
    let verdict = other(429, &[], &json!({"Message": "Too many tokens per day, please wait"}));
    assert_eq!(verdict.kind(), K::QuotaExhausted, "{verdict:?}");
    // A plan's remainder is none of a second's.
    let plan = [("x-ratelimit-requests-remaining", "0"), ("x-ratelimit-requests-reset", "1209600")];
    let verdict = other(429, &plan, &json!({"message": "You have exceeded the rate limit per second for your plan"}));
    assert_eq!((verdict.kind(), after(&verdict)), (K::RateLimited, None), "{verdict:?}");
    let verdict = other(429, &[], &json!({"message": "API usage limit exceeded, slow down"}));
    assert_eq!(verdict.scope_of(), S::KeyLane, "{verdict:?}");
    // Who has no money has none in a second.
    let verdict = judge(&OpenAi::new(), 402, &[("retry-after", "1")], &said("Pay", "", ""));
    assert_eq!(verdict.until_of(), U::Probed(Duration::from_secs(HOUR)), "{verdict:?}");
}
