//! Errors as people showed them in threads, of providers that speak like `OpenAI` or Anthropic.

use http::{HeaderMap, StatusCode};
use tower_keypool::{
    Answer, Anthropic, Elsewhere as E, OpenAi, Provider, Scope as S, Until as U, Verdict, VerdictKind as K,
};

use crate::sample::now;

fn judge(provider: &dyn Provider, status: u16, body: &str) -> Verdict {
    provider.judge(&Answer::new(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), now()))
}

fn is(verdict: &Verdict) -> (K, S, E) {
    (verdict.kind(), verdict.scope_of(), verdict.elsewhere_of())
}

#[test]
fn who_has_no_capacity_is_at_no_limit() {
    for (status, body) in [
        (
            429,
            r#"{"error":{"message":"That model is currently overloaded with other requests. You can retry your request.","type":"server_error","param":null,"code":null}}"#,
        ),
        (429, r#"{"error":{"message":"Resource unavailable","type":"server_error","code":"resource_unavailable"}}"#),
        (
            429,
            r#"{"error":{"code":"NoCapacity","message":"The system is currently experiencing high demand and cannot process your request."}}"#,
        ),
        (
            429,
            r#"{"message":"We're experiencing high traffic right now! Please try again soon.","type":"too_many_requests_error","param":"queue","code":"queue_exceeded"}"#,
        ),
        (
            500,
            r#"{"error":{"type":"service_unavailable_error","code":"server_is_overloaded","message":"Our servers are currently overloaded."}}"#,
        ),
    ] {
        let verdict = judge(&OpenAi::new(), status, body);
        assert_eq!(is(&verdict), (K::Overloaded, S::Lane, E::AfterPause), "{body}");
        assert_eq!(verdict.until_of(), U::Backoff, "{body}");
    }
}

#[test]
fn a_model_that_is_not_to_be_had_is_said_in_many_ways() {
    for (status, body) in [
        (
            400,
            r#"{"error":{"message":"The model `old` has been decommissioned and is no longer supported. Please refer to https://console.groq.com/docs/deprecations","type":"invalid_request_error","code":"model_decommissioned"}}"#,
        ),
        (400, r#"{"object":"error","message":"Invalid model: old","type":"invalid_model","param":null,"code":"1500"}"#),
        (
            400,
            r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Unable to access non-serverless model a/old. Please visit https://api.together.ai/models/a/old to create and start a new dedicated endpoint for the model.","type":"invalid_request_error","param":null,"code":"model_not_available"}}"#,
        ),
    ] {
        assert_eq!(is(&judge(&OpenAi::new(), status, body)), (K::ModelUnavailable, S::Lane, E::OtherModel), "{body}");
    }
    let body = r#"{"error":{"message":"Unable to access model old. Please visit https://api.together.ai/models to see the list of supported models.","type":"invalid_request_error","param":null,"code":"model_not_available"}}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 404, body)), (K::ModelUnavailable, S::KeyLane, E::OtherKey));
}

#[test]
fn what_an_account_has_yet_to_do_is_asked_of_others() {
    let body = r#"{"error":{"message":"The model `m` requires terms acceptance. Please have the org admin accept the terms at https://console.groq.com/playground?model=m","type":"invalid_request_error","code":"model_terms_required"}}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 400, body)), (K::WrongOwner, S::Caller, E::OtherOwner));
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Extra usage is required for long context requests."},"request_id":"r"}"#;
    assert_eq!(is(&judge(&Anthropic::new(), 429, body)), (K::WrongOwner, S::Caller, E::OtherOwner));
}

#[test]
fn what_was_asked_is_no_fault_of_a_key() {
    for body in [
        r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Team: abc, API key ID: def, Model: grok-4-0709, Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
        r#"{"code":"permission-denied","error":"Content violates usage guidelines. "}"#,
    ] {
        assert_eq!(is(&judge(&OpenAi::new(), 403, body)), (K::CallerFault, S::Caller, E::No), "{body}");
    }
    let body = r#"{"error":{"message":"Item with id 'rs_68a1' not found. Items are not persisted when `store` is set to false.","type":"invalid_request_error","param":"input","code":null}}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 404, body)), (K::WrongOwner, S::Caller, E::OtherOwner));
    let body = r#"{"error":{"message":"Provider returned error","code":403,"metadata":{"raw":"<html><body>Forbidden</body></html>","provider_name":"x"}}}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 403, body)), (K::Transient, S::Caller, E::AfterPause));
}

#[test]
fn an_account_without_money_is_out_and_an_address_is_no_key() {
    for (status, body) in [
        (429, r#"{"error":{"code":"1113","message":"Insufficient balance or no resource package. Please recharge."}}"#),
        (403, r#"{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}"#),
    ] {
        assert_eq!(is(&judge(&OpenAi::new(), status, body)), (K::QuotaExhausted, S::Owner, E::OtherKey), "{body}");
    }
    let body = r#"{"error":{"message":"Access denied. Please check your network settings."}}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 403, body)), (K::Blocked, S::Exit, E::No));
    let body = r#"{"statusCode":401,"message":"Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API."}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 401, body)), (K::Misconfigured, S::Caller, E::No));
}
