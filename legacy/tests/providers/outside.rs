//! Errors of relays, plans and other services, as people wrote them down: judged by nobody here before.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{
    Anthropic, ApiKeyHeader, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, Verdict,
    VerdictKind as K,
};

use crate::meaning::{
    AGAIN, BLOCKED, CALLER, KEY, KEY_LANE, MONEY, Meaning, NO_SUCH_MODEL, QUOTA, RATE, UNNAMED, answered, is, judge,
    judge_text, openai, said,
};

const BUSY: Meaning = (K::Overloaded, S::Lane, E::AfterPause);
const SPENT: Meaning = (K::QuotaExhausted, S::Key, E::OtherKey);
const NOT_FOR_ACCOUNT: Meaning = (K::ModelUnavailable, S::OwnerLane, E::OtherKey);

fn other(status: u16, body: &Value) -> Verdict {
    judge(&any(), status, &[], body)
}

fn any() -> ApiKeyHeader {
    ApiKeyHeader::header("x-key", "https://a.example").unwrap()
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

/// Over its budget may be a key, what it may spend on one model, or what no key has a part in.
#[test]
fn a_proxys_budget_rests_no_more_than_what_is_over_it() {
    let hour = U::Probed(Duration::from_secs(3_600));
    let model = (K::QuotaExhausted, S::KeyLane, E::OtherKey);
    let tag = (K::QuotaExhausted, S::Caller, E::OtherOwner);
    for (sentence, meaning, until) in [
        ("Budget has been exceeded! Tag=engineering Current cost: 505.50, Max budget: 500.0", tag, U::Now),
        ("Budget has been exceeded! Team=0a Current cost: 2.1, Max budget: 2.0", SPENT, hour),
        ("Budget has been exceeded! User=u1 in Team=t1 Current cost: 5.504, Max budget: 5.5", SPENT, hour),
        ("LiteLLM Virtual Key: 9769f3f6, key_alias: None, exceeded budget for model=gpt-4o", model, hour),
        ("LiteLLM User: u1, exceeded budget for model=gpt-4o", model, hour),
        ("LiteLLM End User: e1, exceeded budget for model=gpt-4o", CALLER, U::Now),
    ] {
        for status in [400, 422, 429] {
            let verdict = openai(status, &said(sentence, "budget_exceeded", &status.to_string()));
            assert_eq!((is(&verdict), verdict.until_of()), (meaning, until), "{status} {sentence}: {verdict:?}");
            assert!(!verdict.is_worded(), "{status} {sentence}");
        }
    }
    // A hook's, in other words.
    for (sentence, meaning) in [
        ("Budget has been exceeded! Tag=a Current cost: 0.001, Max budget: 1e-06", tag),
        ("Budget has been exceeded! Key=a (sk-...-VGw) Current cost: 20.1, Max budget: 20.0", SPENT),
        ("Max budget limit reached.", SPENT),
    ] {
        for body in [said(sentence, "rate_limit_error", "429"), json!({ "detail": sentence })] {
            assert_eq!(is(&openai(429, &body)), meaning, "{body}");
        }
    }
}

/// Many frameworks head an error with what its status is called, and have its sentence beside.
#[test]
fn a_status_that_is_spelled_out_is_no_sentence() {
    let hour = U::Probed(Duration::from_secs(3_600));
    let not_for_key = (K::ModelUnavailable, S::KeyLane, E::OtherKey);
    for (status, reason, sentence, meaning, until) in [
        (401, "Unauthorized", "Invalid API key", KEY, U::Lifted),
        (403, "Forbidden", "You have run out of credits. Please top up your balance.", MONEY, hour),
        (403, "Forbidden", "Model gpt-x is not available on your plan", not_for_key, U::Backoff),
        (429, "Too Many Requests", "Rate limit exceeded, retry in 1 minute", RATE, U::For(Duration::from_secs(60))),
        (403, "Forbidden", "Insufficient balance. Please add funds.", MONEY, hour),
        (
            429,
            "Too Many Requests",
            "You have exceeded your usage limits. Please try again later or contact Fireworks to explore dedicated capacity.",
            RATE,
            U::Backoff,
        ),
        (400, "Bad Request", "body/messages must be array", CALLER, U::Now),
    ] {
        let body = json!({"statusCode": status, "error": reason, "message": sentence, "path": "/v1/messages"});
        let bare = json!({"statusCode": status, "error": reason});
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
            let verdict = judge(provider, status, &[], &body);
            assert_eq!((is(&verdict), verdict.until_of()), (meaning, until), "{} {body}", provider.name());
            assert!(verdict.is_named() || meaning == not_for_key, "{body}");
            let verdict = judge(provider, status, &[], &bare);
            assert!(status == 400 || !verdict.is_named(), "{bare}: {verdict:?}");
        }
    }
    let limited = json!({"statusCode": 429, "error": "Too Many Requests", "message": "Daily limit reached"});
    let verdict = other(429, &limited);
    assert_eq!((verdict.kind(), verdict.scope_of()), (K::QuotaExhausted, S::Key), "{verdict:?}");
}

/// How much there is and how much was asked of it tells whose fault it is, whatever the sentence calls it.
#[test]
fn a_limit_is_met_by_figures() {
    let of = |status: u16, sentence: &str| openai(status, &said(sentence, "tokens", "rate_limit_exceeded"));
    let too_large = (K::CallerFault, S::Caller, E::OtherOwner);
    for (sentence, meaning) in [
        // Groq's, which tells a wait that is of no use.
        (
            "Rate limit reached for model `m` in organization `o` on tokens per minute (TPM): Limit 7000, Used 0, Requested ~12903. Please try again in 50.597142857s.",
            too_large,
        ),
        (
            "Rate limit reached for model `m` in organization `o` on tokens per day (TPD): Limit 100000, Used 0, Requested 120903. Please try again in 5h0m36.192s.",
            too_large,
        ),
        (
            "Rate limit reached for model `m` in organization `o` on tokens per day (TPD): Limit 100000, Used 99870, Requested 1341. Please try again in 17m26.304s.",
            RATE,
        ),
        // OpenAI's, of models that an account does not have, and of one that it has.
        (
            "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-x: Limit 0, Used 0, Requested 1.",
            NOT_FOR_ACCOUNT,
        ),
        (
            "Request too large for gpt-image-2 (for limit gpt-image) in organization org-x on input-images per min: Limit 0, Requested 1. You can increase your rate limit by adding a payment method to your account.",
            NOT_FOR_ACCOUNT,
        ),
        (
            "Rate limit reached for m in organization org-x on requests per day (RPD): Limit 0, Used 0, Requested 1. Please try again in 20s.",
            NOT_FOR_ACCOUNT,
        ),
        (
            "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-x on input-images per min: Limit 4000, Used 4000, Requested 1. Please try again in 15ms.",
            RATE,
        ),
    ] {
        let verdict = of(429, sentence);
        assert_eq!(is(&verdict), meaning, "{sentence}: {verdict:?}");
    }
    let none = "Request too large for model `m` on tokens per minute (TPM): Limit 0, Requested 9500";
    assert_eq!(is(&of(413, none)), NOT_FOR_ACCOUNT);
}

/// `LiteLLM` has but its status' word in Anthropic's form, and its own in that of `OpenAI`, which older ones send there as well.
#[test]
fn a_proxy_tells_the_same_in_anthropics_form() {
    let hour = U::Probed(Duration::from_secs(3_600));
    let model = (K::QuotaExhausted, S::KeyLane, E::OtherKey);
    let too_large = (K::CallerFault, S::Caller, E::OtherOwner);
    let claude = |kind: &str, sentence: &str| json!({"type": "error", "error": {"type": kind, "message": sentence}});
    let meant = |status: u16, body: &Value| judge(&Anthropic::new(), status, &[], body);
    for sentence in [
        "LiteLLM Virtual Key: 9769f3f6, key_alias: None, exceeded budget for model=claude-sonnet-4",
        "LiteLLM User: u1, exceeded budget for model=claude-sonnet-4",
    ] {
        for status in [400, 422, 429] {
            let word = status.to_string();
            for body in [said(sentence, "budget_exceeded", &word), claude("budget_exceeded", sentence)] {
                let verdict = meant(status, &body);
                assert_eq!((is(&verdict), verdict.until_of()), (model, hour), "{status} {body}: {verdict:?}");
            }
        }
        let verdict = meant(429, &claude("rate_limit_error", sentence));
        assert_eq!((is(&verdict), verdict.until_of()), (model, hour), "{sentence}: {verdict:?}");
        let verdict = meant(400, &claude("invalid_request_error", sentence));
        assert_eq!(is(&verdict), CALLER, "whose words these are nobody says: {verdict:?}");
    }
    for (sentence, meaning) in [
        ("Budget has been exceeded! Key=a (sk-...-VGw) Current cost: 20.1, Max budget: 20.0", SPENT),
        (
            "Rate limit reached for model `m` on tokens per minute (TPM): Limit 7000, Used 0, Requested ~12903. Please try again in 50.6s.",
            too_large,
        ),
        ("Rate limit reached for m in organization org-x: Limit 0, Used 0, Requested 1.", NOT_FOR_ACCOUNT),
        (
            "Rate limit reached for m on tokens per day (TPD): Limit 100000, Used 99870, Requested 1341. Please try again in 17m26.304s.",
            RATE,
        ),
    ] {
        for kind in ["rate_limit_error", "rate_limit_exceeded"] {
            let verdict = meant(429, &claude(kind, sentence));
            assert_eq!(is(&verdict), meaning, "{kind} {sentence}: {verdict:?}");
        }
    }
    let large = claude(
        "request_too_large",
        "Request too large for model `m` on TPM: Limit 6000, Requested 9500, please reduce",
    );
    assert_eq!(is(&meant(413, &large)), too_large);
}

/// What comes under a good status means what it means under its own.
#[test]
fn budgets_and_figures_mean_the_same_in_events_and_under_a_good_status() {
    let tag = (K::QuotaExhausted, S::Caller, E::OtherOwner);
    let model = (K::QuotaExhausted, S::KeyLane, E::OtherKey);
    let too_large = (K::CallerFault, S::Caller, E::OtherOwner);
    let over_tag = "Budget has been exceeded! Tag=engineering Current cost: 505.50, Max budget: 500.0";
    let over_team = "Budget has been exceeded! Team=0a Current cost: 2.1, Max budget: 2.0";
    let over_model = "LiteLLM Virtual Key: 9769f3f6, key_alias: None, exceeded budget for model=gpt-4o";
    let larger = "Rate limit reached for model `m` on tokens per minute (TPM): Limit 7000, Used 0, Requested ~12903. Please try again in 50.6s.";
    let none = "Rate limit reached for gpt-image-2 in organization org-x: Limit 0, Used 0, Requested 1.";
    for (body, meaning) in [
        (said(over_tag, "budget_exceeded", "400"), tag),
        (said(over_tag, "budget_exceeded", "429"), tag),
        (json!({"error": {"message": over_tag, "type": "budget_exceeded", "param": null}}), tag),
        (said(over_tag, "rate_limit_error", "429"), tag),
        (said(over_team, "budget_exceeded", "400"), SPENT),
        (said(over_team, "rate_limit_error", "429"), SPENT),
        (said(over_model, "budget_exceeded", "429"), model),
        (said(over_model, "budget_exceeded", "400"), model),
        (json!({"type": "error", "error": {"type": "rate_limit_error", "message": over_tag}}), tag),
        (json!({"type": "error", "error": {"type": "rate_limit_error", "message": over_model}}), model),
        (json!({"type": "error", "error": {"type": "budget_exceeded", "message": over_model}}), model),
        (said(larger, "tokens", "rate_limit_exceeded"), too_large),
        (json!({"type": "error", "error": {"type": "rate_limit_error", "message": larger}}), too_large),
        (said(none, "tokens", "rate_limit_exceeded"), NOT_FOR_ACCOUNT),
        (json!({"type": "error", "error": {"type": "rate_limit_error", "message": none}}), NOT_FOR_ACCOUNT),
    ] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
            for event in [false, true] {
                let verdict = answered(provider, 200, &[], &body.to_string(), event);
                assert_eq!(is(&verdict), meaning, "{} {event} {body}: {verdict:?}", provider.name());
            }
        }
    }
    // As events of a response have it, and those of a framework, which nothing but a status heads.
    for (event, meaning) in [
        (
            json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": larger}}}),
            too_large,
        ),
        (json!({"type": "error", "code": "rate_limit_exceeded", "message": none, "param": null}), NOT_FOR_ACCOUNT),
        (json!({"statusCode": 429, "error": "Too Many Requests", "message": larger}), too_large),
        (json!({"statusCode": 429, "error": "Too Many Requests", "message": over_tag}), tag),
        (json!({"statusCode": 401, "error": "Unauthorized", "message": "Invalid API key"}), KEY),
    ] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
            let verdict = answered(provider, 200, &[], &event.to_string(), true);
            assert_eq!(is(&verdict), meaning, "{} {event}: {verdict:?}", provider.name());
        }
    }
    // A batch that failed is a good answer about something bad.
    let batch =
        json!({"id": "batch_1", "object": "batch", "status": "failed", "error": {"message": over_tag, "code": "429"}});
    assert!(openai(200, &batch).is_success());
}

/// Storage and older APIs tell errors in XML, which nobody has for a web page: no address is refused by it.
#[test]
fn xml_is_no_web_page() {
    let denied = (K::InvalidKey, S::Key, E::OtherKey);
    let of = |code: &str, message: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>4442587FB7D0A2F9</RequestId><HostId>x'y</HostId></Error>"
        )
    };
    let (gemini, openai, anthropic, any) = (Gemini::new(), OpenAi::new(), Anthropic::new(), any());
    let all: [&dyn Provider; 4] = [&gemini, &openai, &anthropic, &any];
    for provider in all {
        let is_any = provider.name() == "api";
        for (status, code, message, meaning) in [
            (403, "AccessDenied", "Access Denied", if is_any { denied } else { KEY_LANE }),
            (503, "SlowDown", "Please reduce your request rate.", BUSY),
            (429, "TooManyRequests", "Please try again.", UNNAMED),
            (500, "InternalError", "We encountered an internal error. Please try again.", AGAIN),
        ] {
            let body = of(code, message);
            for kind in ["application/xml", "text/xml; charset=utf-8", "text/html"] {
                let verdict = judge_text(provider, status, &[("content-type", kind)], &body);
                assert_eq!(is(&verdict), meaning, "{} {kind} {body}: {verdict:?}", provider.name());
                assert!(!verdict.is_named() || status >= 500, "{} {status}: {verdict:?}", provider.name());
            }
            // However little of it came.
            for end in 0..body.len() {
                let _ = judge_text(provider, status, &[], &body[..end]);
            }
        }
    }
    // A page that is written so is one.
    for page in [
        "<?xml version=\"1.0\"?>\n<!DOCTYPE HTML PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"x\"><body>Forbidden</body>",
        "\n <?xml version=\"1.0\"?><HTML xmlns=\"http://www.w3.org/1999/xhtml\"><body>Forbidden</body></HTML>",
        "<center>Forbidden</center>",
    ] {
        for provider in &all[..3] {
            for status in [403, 429] {
                let verdict = answered(*provider, status, &[], page, false);
                assert_eq!(verdict.kind(), BLOCKED.0, "{} {page}: {verdict:?}", provider.name());
            }
        }
    }
}

/// Claude's, of its servers, by whoever hands it on.
#[test]
fn a_limit_that_it_is_not_is_none() {
    for sentence in [
        "Server is temporarily limiting requests (not your usage limit)",
        "Server is temporarily limiting requests (not your usage limit) · Rate limited",
        "API Error: Server is temporarily limiting requests (not your usage limit). Try again later.",
    ] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
            for body in [
                said(sentence, "rate_limit_error", "429"),
                said(sentence, "", ""),
                json!({"type": "error", "error": {"type": "rate_limit_error", "message": sentence}}),
            ] {
                let verdict = judge(provider, 429, &[], &body);
                assert_eq!((is(&verdict), verdict.until_of()), (BUSY, U::Backoff), "{} {body}", provider.name());
            }
        }
    }
    // In any other words it is a rate.
    let rate = said("Too many requests: this is not your daily limit.", "rate_limit_error", "429");
    for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
        assert_eq!(is(&judge(provider, 429, &[], &rate)), RATE, "{}", provider.name());
    }
    let limit = said("This is not an outage: you have reached your usage limit", "rate_limit_error", "429");
    assert_eq!(openai(429, &limit).kind(), K::QuotaExhausted);
}

/// `OpenAI`'s, of a key whose project keeps its data in a region.
#[test]
fn a_key_of_another_region_is_told_where_to_go() {
    let body = said(
        "Attempted to access resource with incorrect regional hostname. Please make your request to eu.api.openai.com",
        "invalid_request_error",
        "incorrect_hostname",
    );
    let verdict = openai(401, &body);
    assert_eq!(is(&verdict), KEY);
    assert_eq!((verdict.code_of(), verdict.is_named()), ("incorrect_hostname", true));
    assert!(verdict.advice_of().contains("base URL"), "{verdict:?}");
    assert_eq!(is(&answered(&OpenAi::new(), 200, &[], &body.to_string(), true)), KEY);
}

/// Of the connection, not of what was asked (RFC 9110, 15.5.20).
#[test]
fn a_misdirected_request_goes_again() {
    for provider in [&Gemini::new() as &dyn Provider, &OpenAi::new(), &Anthropic::new(), &any()] {
        for body in ["", "Misdirected Request", "{}", "<html>421</html>", r#"{"error":{"message":"x","code":421}}"#] {
            let verdict = judge_text(provider, 421, &[], body);
            assert_eq!(is(&verdict), AGAIN, "{} {body}: {verdict:?}", provider.name());
            assert!(!verdict.may_have_been_done(), "{}", provider.name());
        }
    }
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
