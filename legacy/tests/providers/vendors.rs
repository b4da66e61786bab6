//! Errors of those who speak like the three great ones, as people met them: whose limit it was, and whose fault.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{
    Answer, Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, Verdict, VerdictKind as K,
};

use crate::meaning::{
    KEY, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_KEY, QUOTA, RATE, SUSPENDED, WRONG_OWNER, is, judge, openai, said,
};

const CAPACITY: Meaning = (K::Overloaded, S::Lane, E::AfterPause);
const HOUR: Duration = Duration::from_secs(3_600);

fn all(rows: &[(&str, u16, Value, Meaning)]) {
    for (who, status, body, meaning) in rows {
        let verdict = openai(*status, body);
        assert_eq!(is(&verdict), *meaning, "{who}: {body}");
        assert!(verdict.is_named() || *meaning == NOT_FOR_KEY, "{who}: {body}");
    }
}

fn gemini(status: u16, word: &str, message: &str) -> Verdict {
    judge(&Gemini::new(), status, &[], &json!({"error": {"code": status, "message": message, "status": word}}))
}

fn claude(status: u16, kind: &str, message: &str) -> Verdict {
    let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_x"});
    judge(&Anthropic::new(), status, &[], &body)
}

/// One word of money, and a link that says it is tokens a minute: the account must not rest for an hour.
#[test]
fn tokens_a_minute_that_are_called_money() {
    let plan = "You exceeded your current quota, please check your plan and billing details.";
    for host in ["help.aliyun.com/zh", "www.alibabacloud.com/help/en"] {
        let text = format!("{plan} For details, see: https://{host}/model-studio/error-code#token-limit");
        let verdict = openai(429, &said(&text, "insufficient_quota", "insufficient_quota"));
        assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::Backoff), "{host}");
    }
    assert_eq!(is(&openai(429, &said(plan, "insufficient_quota", "insufficient_quota"))), MONEY);
    let native = |code: &str, message: &str| json!({"code": code, "message": message, "request_id": "x"});
    all(&[
        ("of tokens", 429, native("Throttling.AllocationQuota", "Please increase your limit."), RATE),
        ("of requests", 429, native("Throttling.RateQuota", "Please try again later."), RATE),
        ("too fast", 429, native("Throttling.BurstRate", "Request rate increased too quickly."), RATE),
        ("too fast, compatible", 429, said("Request rate increased.", "limit_burst_rate", "limit_burst_rate"), RATE),
        (
            "of the provider",
            429,
            native("ServiceUnavailable", "Too many requests. You are throttled due to system capacity limits."),
            CAPACITY,
        ),
    ]);
}

/// A limit of one model, or of the free ones, is none of the account's.
#[test]
fn openrouters_limits_of_one_model() {
    let reset = |message: &str| {
        let headers =
            json!({"X-RateLimit-Limit": "3", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795158000000"});
        json!({"error": {"message": message, "code": 429, "metadata": {"headers": headers, "provider_name": null}}})
    };
    let judged = |message: &str, asked: &str| {
        let (body, headers) = (reset(message).to_string(), http::HeaderMap::new());
        let answer = Answer::new(http::StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes(), crate::sample::now());
        OpenAi::new().judge(&answer.asked(Some(asked)))
    };
    for message in [
        "Rate limit exceeded: limit_rpm/a/b-exp/0-0. High demand for a/b-exp:free - limited to 3 requests per minute.",
        "Rate limit exceeded: limit_rpd/a/b-exp/0-0. Daily limit reached for a/b-exp:free via X.",
        "Rate limit exceeded: per-user-per-model",
        "Rate limit exceeded: a/b-exp:free is in demand",
    ] {
        let verdict = judged(message, "a/b-exp:free");
        assert_eq!(is(&verdict), RATE, "{message}");
        assert_eq!(verdict.until_of(), U::For(Duration::from_secs(4_440)), "{message}");
    }
    let whole = judged("Rate limit exceeded: requests-per-min", "a/b-exp:free");
    assert_eq!(is(&whole), (K::RateLimited, S::Owner, E::OtherKey));
}

/// Whom a router passed the request on to speaks of the router, or of what was asked.
#[test]
fn what_another_provider_said_blames_no_key() {
    let relayed = |name: Value| {
        let message = "The request is prohibited due to a violation of provider Terms Of Service.";
        json!({"error": {"message": message, "code": 403, "metadata": {"provider_name": name}}})
    };
    assert_eq!(is(&openai(403, &relayed(json!("X")))), (K::Transient, S::Caller, E::AfterPause));
    // Its own limits are its own.
    let mut limited = relayed(json!("X"));
    limited["error"]["message"] = json!("Key limit exceeded (total limit).");
    assert_eq!(openai(403, &limited).scope_of(), S::Key);
    let policy = "No endpoints available matching your guardrail restrictions and data policy.";
    let body = json!({"error": {"message": policy, "code": 404}});
    assert_eq!(is(&openai(404, &body)), (K::ModelUnavailable, S::OwnerLane, E::OtherKey));
}

#[test]
fn limits_that_only_a_sentence_tells() {
    let bare = |message: &str| json!({"message": message, "data": null});
    all(&[
        ("Mistral", 429, bare("Requests rate limit exceeded"), RATE),
        ("SiliconFlow", 429, bare("Request was rejected due to rate limiting. Details: TPM limit reached."), RATE),
        (
            "SiliconFlow, of an hour",
            429,
            bare("Request was rejected due to rate limiting. Details:RPH limit reached."),
            RATE,
        ),
        (
            "SiliconFlow, of a day",
            429,
            bare("Request was rejected due to rate limiting. Details: RPD limit reached."),
            QUOTA,
        ),
        ("Novita", 429, json!({"code": 429, "reason": "RATE_LIMIT_EXCEEDED", "message": "slow down"}), RATE),
        ("Volcengine", 429, said("You have used up the free quota.", "TooManyRequests", "QuotaExceeded"), QUOTA),
        (
            "Kimi",
            403,
            said("You've reached your usage limit for this billing cycle.", "access_terminated_error", ""),
            QUOTA,
        ),
        ("DeepInfra", 429, said("Model busy, retry later", "", ""), CAPACITY),
        ("Chutes", 429, json!({"detail": "Infrastructure is at maximum capacity, try again later"}), CAPACITY),
    ]);
    let throttled = openai(429, &json!({"detail": "Request was throttled. Expected available in 7 seconds."}));
    assert_eq!((is(&throttled), throttled.until_of()), (RATE, U::For(Duration::from_secs(7))));
    // What is advertised is no limit.
    let plan = openai(429, &bare("Too many requests. Buy a plan with a higher rate limit."));
    assert!(!plan.is_named(), "{plan:?}");
    let front = "AiError: 3036: You have used up your daily free allocation of 10,000 neurons, please upgrade";
    let cloudflare = openai(429, &json!({"errors": [{"message": front, "code": 3036}], "success": false}));
    assert_eq!((cloudflare.scope_of(), cloudflare.until_of()), (S::Owner, U::DayEnd));
}

#[test]
fn accounts_that_are_blocked_or_out_of_money() {
    let deactivated = "Your OpenAI account has been deactivated, please check your email for more information.";
    let blocked =
        "Your resource has been temporarily blocked because we detected behavior that may violate our policy.";
    let zhipu = |code: &str| json!({"error": {"code": code, "message": "x"}});
    all(&[
        ("OpenAI, by its sentence", 401, said(deactivated, "requests", ""), SUSPENDED),
        ("OpenAI, older", 401, said("This key is associated with a deactivated account.", "x", ""), SUSPENDED),
        ("Azure", 403, said(blocked, "", "403"), SUSPENDED),
        ("Azure, as a limit", 429, said(blocked, "", "429"), SUSPENDED),
        ("Zhipu, locked", 429, zhipu("1112"), SUSPENDED),
        ("Zhipu, plan over", 429, zhipu("1309"), MONEY),
        ("Zhipu, not in the plan", 429, zhipu("1311"), (K::ModelUnavailable, S::OwnerLane, E::OtherKey)),
        ("Zhipu, model busy", 429, zhipu("1312"), CAPACITY),
        ("Zhipu, unfair", 429, zhipu("1313"), (K::RateLimited, S::Owner, E::OtherKey)),
        ("Zhipu, no such model", 400, zhipu("1211"), NO_SUCH_MODEL),
        ("Novita", 403, json!({"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "x"}), MONEY),
        ("Qianfan", 403, said("x", "x", "account_overdue"), MONEY),
        ("a gateway", 403, said("A card is required.", "customer_verification_required", ""), MONEY),
        (
            "xAI",
            403,
            json!({"code": "x", "error": "The API key does not have permission to use the model x"}),
            NOT_FOR_KEY,
        ),
        ("Hugging Face", 403, json!({"error": "Access to model a/b is restricted."}), NOT_FOR_KEY),
    ]);
    let clients = "Kimi For Coding is currently only available for Coding Agents such as Kimi CLI.";
    assert_eq!(is(&openai(403, &said(clients, "access_terminated_error", ""))), WRONG_OWNER);
    let down = json!({"status": 400, "title": "Bad Request", "detail": "Function id '0-0': DEGRADED function cannot be invoked"});
    assert_eq!(is(&openai(400, &down)), CAPACITY);
}

/// `MiniMax` says how it went with a good status.
#[test]
fn an_outcome_instead_of_an_answer() {
    for (code, meaning) in [
        (1002, RATE),
        (1039, RATE),
        (1004, KEY),
        (2049, KEY),
        (1008, MONEY),
        (2013, (K::CallerFault, S::Caller, E::No)),
        (1000, (K::Transient, S::Caller, E::AfterPause)),
    ] {
        let body = json!({"base_resp": {"status_code": code, "status_msg": "as it is"}});
        assert_eq!(is(&openai(200, &body)), meaning, "{code}");
    }
    for body in [
        json!({"base_resp": {"status_code": 0, "status_msg": ""}, "id": "x"}),
        json!({"choices": [{"message": {"content": "{\"base_resp\":{\"status_code\":1004}}"}}]}),
    ] {
        assert!(openai(200, &body).is_success(), "{body}");
    }
}

#[test]
fn tokens_of_a_subscription_are_no_fault_of_the_callers() {
    let organization = "OAuth authentication is currently not allowed for this organization.";
    for (status, kind, message, meaning) in [
        (403, "permission_error", "OAuth token has been revoked. Please obtain a new token.", KEY),
        (403, "permission_error", "OAuth token does not meet scope requirement any_of(user:inference)", KEY),
        (403, "permission_error", "OAuth token does not meet scope requirement user:inference", KEY),
        (403, "permission_error", "OAuth token does not meet scope requirement user:profile", WRONG_OWNER),
        (401, "authentication_error", organization, KEY),
        (403, "permission_error", organization, KEY),
        (400, "invalid_request_error", "You're out of extra usage. Add more at claude.ai and keep going.", MONEY),
        (429, "rate_limit_error", "You're out of extra usage. Add more at claude.ai and keep going.", MONEY),
        (429, "rate_limit_error", "You have reached your specified API usage limits.", MONEY),
        // Others who speak its language.
        (429, "1113", "Insufficient balance or no resource package. Please recharge.", MONEY),
        (429, "1302", "x", RATE),
    ] {
        let verdict = claude(status, kind, message);
        assert!(is(&verdict) == meaning && verdict.is_named(), "{status} {message}: {verdict:?}");
    }
}

#[test]
fn geminis_bills_and_things_of_other_projects() {
    let absent = "The billing account for the owning project is disabled in state absent";
    let verdict = gemini(403, "PERMISSION_DENIED", absent);
    assert_eq!((is(&verdict), verdict.until_of()), (SUSPENDED, U::Probed(HOUR)));
    let details = json!([{"reason": "UREQ_PROJECT_BILLING_NOT_OPEN"}]);
    let body = json!({"error": {"code": 403, "message": "x", "status": "PERMISSION_DENIED", "details": details}});
    assert_eq!(is(&judge(&Gemini::new(), 403, &[], &body)), SUSPENDED);
    let cap = "Your billing account has exceeded its monthly spending cap.";
    assert_eq!(gemini(429, "RESOURCE_EXHAUSTED", cap).scope_of(), S::BillingAccount);
    let own = "Your project has exceeded its monthly spending cap.";
    assert_eq!(gemini(429, "RESOURCE_EXHAUSTED", own).scope_of(), S::Owner);
    for message in ["File files/ab-1 not found.", "Batch batches/x not found.", "Operation operations/x not found"] {
        assert_eq!(is(&gemini(404, "NOT_FOUND", message)), WRONG_OWNER, "{message}");
    }
    assert_eq!(gemini(404, "NOT_FOUND", "Method not found.").kind(), K::CallerFault);
}
