//! Errors of relays, plans and other services, as people wrote them down: judged by nobody here before.

use serde_json::{Value, json};
use tower_keypool::{ApiKeyHeader, Elsewhere as E, Scope as S, Until as U, Verdict, VerdictKind as K};

use crate::meaning::{CALLER, KEY, MONEY, Meaning, NO_SUCH_MODEL, QUOTA, is, judge, openai, said};

const BUSY: Meaning = (K::Overloaded, S::Lane, E::AfterPause);
const SPENT: Meaning = (K::QuotaExhausted, S::Key, E::OtherKey);
const NOT_FOR_ACCOUNT: Meaning = (K::ModelUnavailable, S::OwnerLane, E::OtherKey);

fn other(status: u16, body: &Value) -> Verdict {
    judge(&ApiKeyHeader::header("x-key", "https://a.example").unwrap(), status, &[], body)
}

/// one-api and new-api change the sentence of what they pass on and keep its words, which are of money.
#[test]
fn a_relay_without_capacity_is_busy_whatever_words_its_provider_had() {
    for sentence in ["当前分组上游负载已饱和，请稍后再试", "当前分组负载已饱和，请稍后再试，或升级账户以提升服务质量。"]
    {
        for word in ["insufficient_quota", "billing_not_active", "exceeded_current_quota_error", "1113"] {
            let verdict = openai(429, &said(sentence, word, word));
            assert_eq!(is(&verdict), BUSY, "{sentence} {word}: {verdict:?}");
        }
    }
    let behind = json!({"error": {"message": "Insufficient balance or no resource package. Please recharge.",
        "type": "AI_APICallError", "param": {"statusCode": 429, "name": "AI_APICallError"}}});
    assert_eq!(is(&openai(429, &behind)), BUSY, "z.ai's account, not Vercel's");
}

#[test]
fn litellm_tells_whose_budget_is_over_and_what_names_nothing() {
    let user = "ExceededBudget: End User=ishaan3 over budget. Spend=0.00088, Budget=0.0001";
    for status in [400, 429] {
        assert_eq!(is(&openai(status, &said(user, "budget_exceeded", "400"))), CALLER, "{status}");
        let own = said("ExceededBudget: User=x over budget. Spend=1, Budget=0.1", "budget_exceeded", "400");
        assert_eq!(is(&openai(status, &own)), SPENT, "{status}: of the key's own user");
    }
    let refused = json!({"error": {"message": "Virtual key is not allowed to call this route. Only allowed to call routes: []",
        "type": "None", "param": "None", "code": "403"}});
    let verdict = openai(403, &refused);
    assert_eq!((verdict.kind(), verdict.elsewhere_of()), (K::InvalidKey, E::OtherKey), "{verdict:?}");
    let named = json!({"error": {"message": "You may not use this parameter.", "param": "store", "code": "403"}});
    assert_eq!(is(&openai(403, &named)), CALLER, "a parameter that is one");
}

#[test]
fn plans_and_keys_that_are_used_up_rest_whose_they_are() {
    let free =
        said("The free quota has been exhausted.", "AllocationQuota.FreeTierOnly", "AllocationQuota.FreeTierOnly");
    assert_eq!(is(&openai(403, &free)), QUOTA);
    for code in ["Throttling.AllocationQuota", "Throttling", "insufficient_quota", "QuotaExhausted"] {
        let plan = json!({"request_id": "1b", "code": code, "message": "Your token-plan quota has been exhausted."});
        for status in [403, 429] {
            let verdict = openai(status, &plan);
            assert_eq!((is(&verdict), verdict.until_of()), (MONEY, U::Backoff), "{status} {code}: {verdict:?}");
        }
    }
    for code in ["API_KEY_QUOTA_EXHAUSTED", "USAGE_LIMIT_EXCEEDED", "API_KEY_RATE_7D_EXCEEDED"] {
        assert_eq!(is(&openai(429, &json!({"code": code, "message": "API key 额度已用完"}))), SPENT, "{code}");
    }
    assert_eq!(is(&openai(403, &json!({"code": "API_KEY_EXPIRED", "message": "API key 已过期"}))), KEY);
    let github = "Unable to proceed with model usage. This account has reached its budget limit.";
    for said_by in [github.to_owned(), format!("403 {github}")] {
        assert_eq!(is(&openai(403, &said(&said_by, "", ""))), MONEY, "{said_by}");
    }
}

#[test]
fn models_that_are_not_for_an_account_are_looked_for_elsewhere() {
    let tier = said("Free tier users do not have access to this model.", "no_providers_available", "");
    assert_eq!(is(&openai(403, &tier)), NOT_FOR_ACCOUNT);
    let agents = said("thinkingmachines/inkling:free is only available on agentic harnesses. See the docs.", "", "403");
    assert_eq!(is(&openai(403, &agents)), NO_SUCH_MODEL);
    let account = json!({"errors": [{"code": 5018, "message": "The account is not allowed to access this model"}]});
    assert_eq!(is(&openai(403, &account)), NOT_FOR_ACCOUNT);
}

#[test]
fn other_services_tell_that_a_quota_is_used_up_in_other_members() {
    for (who, status, body) in [
        (
            "Deepgram",
            402,
            json!({"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "Project does not have enough credits"}),
        ),
        ("Exa", 402, json!({"error": "You have exceeded your credits limit.", "tag": "NO_MORE_CREDITS"})),
        ("Soniox", 402, json!({"error_type": "organization_balance_exhausted", "message": "Balance exhausted"})),
        ("Jina", 402, json!({"name": "InsufficientBalanceError", "message": "Account balance not enough"})),
        ("Stability", 402, json!({"name": "payment_required", "errors": ["You lack credits"]})),
        ("fal.ai", 403, json!({"detail": "User is locked. Reason: Exhausted balance. Top up your balance."})),
        (
            "Azure",
            403,
            json!({"error": {"code": 403_001, "message": "The operation is not allowed because the subscription has exceeded its free quota."}}),
        ),
    ] {
        let verdict = other(status, &body);
        assert_eq!(is(&verdict), SPENT, "{who}: {verdict:?}");
    }
    let of_a_request = other(402, &json!({"error": "Insufficient credits to perform this request."}));
    assert_ne!(is(&of_a_request), SPENT, "which may hang on how much was asked for");
}

#[test]
fn a_request_that_is_more_than_what_is_left_rests_no_key() {
    let of = |left: u32, needed: u32| {
        let message = format!(
            "This request exceeds your quota. You have {left} characters remaining, while {needed} characters are required for this request."
        );
        other(401, &json!({"detail": {"status": "quota_exceeded", "message": message}}))
    };
    assert_eq!(is(&of(11, 70)), (K::QuotaExhausted, S::Caller, E::OtherKey));
    assert_eq!(is(&of(0, 70)), SPENT, "nothing is left");
    let plan = json!({"type": "ErrorResponse", "error": {"status": 400, "code": "OPTION_NOT_IN_PLAN",
        "detail": "The option is not subscribed in the plan."}});
    assert_eq!(is(&other(400, &plan)), (K::WrongOwner, S::Caller, E::OtherKey), "Brave's plans are of a key each");
}
