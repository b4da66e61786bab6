//! More of what people met, vendor by vendor: what may not be believed of whom, and how long it lasts.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{
    Answer, Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, Verdict, VerdictKind as K,
};

use crate::meaning::{
    CALLER, KEY, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_KEY, QUOTA, RATE, SUSPENDED, WRONG_OWNER, is, judge, openai,
    said,
};

/// A number or a word that one vendor has for money says nothing where another may have it for anything.
#[test]
fn money_is_told_in_its_vendors_own_shape() {
    for (who, status, body) in [
        ("a number", 400, json!({"error": {"code": 1113, "message": "bad field"}})),
        ("a number in quotes", 400, said("bad field", "", "1113")),
        ("another", 400, json!({"status_code": 1008, "message": "bad field"})),
        ("a third", 422, json!({"code": "1309", "message": "bad field"})),
        ("on its own", 404, json!({"code": "1008", "message": "no such page"})),
        ("a field's name", 400, json!({"error": {"code": "billing_address_missing", "message": "x"}})),
        ("a field's name, of a form", 422, json!({"error": {"type": "billing_plan_unknown", "message": "x"}})),
    ] {
        assert_eq!(openai(status, &body).kind(), K::CallerFault, "{who}: {body}");
    }
    let gemini = |status: u16, reason: &str| {
        let body = json!({"error": {"code": status, "message": "x", "details": [{"reason": reason}]}});
        judge(&Gemini::new(), status, &[], &body)
    };
    assert_eq!(gemini(400, "BILLING_FIELD_UNKNOWN").kind(), K::CallerFault);
    assert_eq!(is(&gemini(400, "BILLING_DISABLED")), SUSPENDED);
    assert_eq!(is(&gemini(403, "BILLING_STATE_INVALID")), SUSPENDED);
    for (who, status, body) in [
        ("OpenAI, of images", 400, said("Billing hard limit has been reached", "x", "billing_hard_limit_reached")),
        ("OpenAI", 429, said("Your account is not active.", "billing_not_active", "billing_not_active")),
        ("Zhipu", 429, json!({"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}})),
        ("Zhipu, unlike itself", 400, json!({"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}})),
        ("Zhipu, abroad", 400, said("Insufficient balance or no resource package. Please recharge.", "", "1113")),
        ("MiniMax", 200, json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}})),
        ("MiniMax, by status", 400, json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}})),
    ] {
        assert_eq!(is(&openai(status, &body)), MONEY, "{who}: {body}");
    }
}

/// An answer that has nothing in it but how it went, wherever that stands.
#[test]
fn an_outcome_behind_empty_members() {
    let behind = |code: u16, choices: Value| {
        json!({"id": "0", "choices": choices, "created": 1_795_000_000, "model": "m", "object": "chat.completion",
               "usage": {"total_tokens": 0}, "input_sensitive": false, "output_sensitive": false,
               "base_resp": {"status_code": code, "status_msg": "x"}})
    };
    for empty in [Value::Null, json!([])] {
        assert_eq!(is(&openai(200, &behind(1008, empty.clone()))), MONEY, "{empty}");
        assert_eq!(is(&openai(200, &behind(1002, empty.clone()))), RATE, "{empty}");
        assert!(openai(200, &behind(0, empty)).is_success());
    }
    let speech = json!({"data": {}, "trace_id": "0", "base_resp": {"status_code": 1039, "status_msg": "tpm limit"}});
    assert_eq!(is(&openai(200, &speech)), RATE);
    let vectors = json!({"vectors": null, "total_tokens": 0, "base_resp": {"status_code": 1004, "status_msg": "x"}});
    assert_eq!(is(&openai(200, &vectors)), KEY);
    // What was answered is an answer, whatever is said beside it.
    assert!(openai(200, &behind(1027, json!([{"message": {"content": "a"}}]))).is_success());
}

#[test]
fn an_error_with_nothing_in_it_is_none() {
    let event = |body: &Value| {
        let (body, headers) = (body.to_string(), http::HeaderMap::new());
        OpenAi::new().judge(&Answer::new(http::StatusCode::OK, &headers, body.as_bytes(), crate::sample::now()).event())
    };
    for nothing in [
        json!(null),
        json!(false),
        json!(0),
        json!(""),
        json!({}),
        json!([]),
        json!({"message": "", "type": "", "param": "", "code": null}),
        json!({"code": 0, "message": ""}),
    ] {
        let chunk = json!({"id": "0", "choices": [{"delta": {"content": "a"}}], "error": nothing});
        assert!(event(&chunk).is_success(), "{chunk}");
        assert!(openai(200, &json!({"error": nothing})).is_success(), "{nothing}");
    }
    for something in [json!({"code": 503}), json!("overloaded"), json!(true), json!({"message": "x"})] {
        assert!(!event(&json!({"choices": [], "error": something})).is_success(), "{something}");
    }
    // Under a bad status it is the status that tells.
    assert_eq!(openai(500, &json!({"error": {}})).kind(), K::Transient);
    assert_eq!(openai(400, &json!({"error": {}, "message": "x"})).kind(), K::CallerFault);
}

/// API Management tells spans as .NET does: days, a dot, a clock.
#[test]
fn quotas_that_are_replenished_in_days() {
    let out = |wait: &str| {
        let message = format!("Out of call volume quota. Quota will be replenished in {wait}.");
        openai(403, &json!({"statusCode": 403, "message": message}))
    };
    let seconds = |days: u64, clock: u64| U::For(Duration::from_secs(days * 86_400 + clock));
    assert_eq!(out("10.05:20:11").until_of(), seconds(10, 5 * 3_600 + 20 * 60 + 11));
    assert_eq!(out("1.00:00:30").until_of(), seconds(1, 30));
    assert_eq!(out("05:20:11").until_of(), seconds(0, 5 * 3_600 + 20 * 60 + 11));
    assert_eq!(out("05:20:11").scope_of(), S::Key);
    let limited =
        openai(429, &json!({"statusCode": 429, "message": "Rate limit is exceeded. Try again in 1.00:00:07."}));
    assert_eq!(limited.until_of(), seconds(1, 7));
    let headers = [("retry-after", "10.05:20:11")];
    let told = judge(&OpenAi::new(), 429, &headers, &json!({"error": {"code": "429", "message": "x"}}));
    assert_eq!(told.retry_after(), Some(Duration::from_secs(26 * 3_600)));
}
