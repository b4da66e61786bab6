//! Errors that people met with others than the three providers that gave the samples, in short forms: the fixed words are
//! theirs, names and numbers are not.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{Anthropic, Elsewhere as E, Gemini, OpenAi, Scope as S, Until as U, Verdict, VerdictKind as K};

use crate::meaning::{
    CALLER, KEY, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_KEY, QUOTA, RATE, SUSPENDED, WRONG_OWNER, is, judge, openai,
    said,
};

const UNNAMED: Meaning = (K::RateLimited, S::KeyLane, E::OtherKey);
const CAPACITY: Meaning = (K::Overloaded, S::Lane, E::AfterPause);
const PASSED_ON: Meaning = (K::Transient, S::Caller, E::AfterPause);

fn gemini(status: u16, body: &Value) -> Verdict {
    judge(&Gemini::new(), status, &[], body)
}

fn all(rows: &[(&str, u16, Value, Meaning)]) {
    for (who, status, body, meaning) in rows {
        assert_eq!(is(&openai(*status, body)), *meaning, "{who}: {body}");
    }
}

#[test]
fn keys_that_are_no_good() {
    let xai = "Client specified an invalid argument";
    all(&[
        // Its sentences come percent-encoded where the key was of another form.
        (
            "xAI",
            400,
            json!({"code": xai, "error": "Incorrect%20API%20key%20provided:%20ab***yz.%20You%20can%20get"}),
            KEY,
        ),
        ("xAI, blocked", 403, json!({"code": "x", "error": "API key is currently blocked: found in public"}), KEY),
        ("xAI, off", 400, json!({"code": xai, "error": "API key is disabled."}), KEY),
        ("Fireworks", 403, said("The API key you provided is invalid.", "invalid_request_error", "x"), KEY),
        (
            "Azure without keys",
            403,
            said("Key based authentication is disabled.", "", "AuthenticationTypeDisabled"),
            KEY,
        ),
        ("LiteLLM", 401, said("Invalid proxy server token passed.", "token_not_found_in_db", "401"), KEY),
        ("OpenRouter", 401, json!({"error": {"message": "No cookie auth credentials found", "code": 401}}), KEY),
    ]);
    for (kind, code) in [
        ("expired_key", "401"),
        ("token_not_found_in_db", "401"),
        ("invalid_authentication_error", ""),
        ("invalid_request_error", "wrong_api_key"),
        ("invalid_request_error", "expired_api_key"),
    ] {
        let verdict = openai(401, &said("No.", kind, code));
        assert!(is(&verdict) == KEY && verdict.is_named(), "{kind} {code}");
    }
    // What only looks as if it were encoded is read as it stands.
    assert_eq!(is(&openai(400, &json!({"error": "Got%20Incorrect API key provided 100%"}))), CALLER);
}

#[test]
fn a_proxy_whose_own_key_is_no_good_is_no_fault_of_ours() {
    let passed =
        |status, what: &str| openai(status, &said(&format!("litellm.SomeError: {what}"), "", &status.to_string()));
    let key = "AuthenticationError: OpenAIException - Incorrect API key provided: sk-***.";
    assert_eq!(is(&passed(401, key)), PASSED_ON);
    assert_eq!(is(&passed(403, "GroqException - Organization has been restricted.")), PASSED_ON);
    assert_eq!(is(&passed(402, "DeepseekException - Insufficient Balance")), PASSED_ON);
    assert_eq!(is(&passed(400, "BadRequestError: XaiException - Incorrect API key provided: ab***")), CALLER);
    assert_eq!(is(&passed(429, "RateLimitError: OpenAIException - Rate limit reached for x")), CAPACITY);
    let every = "No deployments available for selected model, Try again in 60 seconds. Passed model=x.";
    assert_eq!(is(&openai(429, &said(every, "None", "429"))), CAPACITY);
    // The same words without a proxy in front are the key's own.
    assert_eq!(is(&openai(401, &said("Incorrect API key provided: sk-***.", "", ""))), KEY);
}

#[test]
fn what_a_key_may_not_do_is_held_against_no_other_model() {
    let access = "key not allowed to access model. This key can only access models=['a']. Tried to access b";
    for kind in ["key_model_access_denied", "team_model_access_denied"] {
        for status in [401, 403] {
            assert_eq!(is(&openai(status, &said(access, kind, &status.to_string()))), NOT_FOR_KEY, "{kind} {status}");
        }
    }
    let nvidia = json!({"status": 404, "title": "Not Found", "detail": "Function '0-1': Not found for account 'A'"});
    let policy =
        json!({"error": {"message": "No endpoints found matching your data policy (Free models).", "code": 404}});
    all(&[
        ("NVIDIA", 404, nvidia, NOT_FOR_KEY),
        (
            "Moonshot",
            404,
            said("Not found the model x or Permission denied", "resource_not_found_error", ""),
            NOT_FOR_KEY,
        ),
        (
            "Volcengine",
            404,
            said("Your account 1 has not activated the model x.", "NotFound", "ModelNotOpen"),
            NOT_FOR_KEY,
        ),
        (
            "Hugging Face",
            400,
            said("The requested model 'x' is not supported.", "", "model_not_supported"),
            NOT_FOR_KEY,
        ),
        ("OpenRouter, by an account's settings", 404, policy, (K::ModelUnavailable, S::OwnerLane, E::OtherKey)),
        ("OpenRouter", 404, said("No endpoints found for a/b.", "", ""), NO_SUCH_MODEL),
    ]);
}

#[test]
fn models_that_nobody_has() {
    let gone =
        json!({"status": 410, "title": "Gone", "detail": "The model 'x' has reached its end of life on 2026-01-01."});
    all(&[
        ("NVIDIA", 410, gone, NO_SUCH_MODEL),
        ("GitHub", 400, said("Unknown model: x", "", "unknown_model"), NO_SUCH_MODEL),
        ("GitHub, away", 400, said("Unavailable model: x", "", "unavailable_model"), NO_SUCH_MODEL),
        (
            "SiliconFlow",
            400,
            json!({"code": 20012, "message": "Model does not exist. Please check it carefully."}),
            NO_SUCH_MODEL,
        ),
    ]);
}

#[test]
fn accounts_without_money() {
    let overdue = "The request failed because your account has an overdue balance.";
    let licenses = "Your newly created team doesn't have any credits or licenses yet. You can purchase those.";
    all(&[
        ("xAI", 403, json!({"code": "x", "error": licenses}), MONEY),
        (
            "Ollama",
            403,
            said("your subscription payment is past due. update it: https://ollama.example", "api_error", ""),
            MONEY,
        ),
        ("Volcengine", 403, said(overdue, "Forbidden", "AccountOverdueError"), MONEY),
        ("Zhipu", 429, json!({"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}), MONEY),
        ("MiniMax", 429, said("insufficient balance (1008)", "insufficient_balance_error", ""), MONEY),
        ("new-api", 403, said("用户额度不足", "new_api_error", "insufficient_user_quota"), MONEY),
    ]);
    // A prompt that an account's credits do not cover says nothing of other prompts.
    let prompt = "Prompt tokens limit exceeded: 64128 > 6964. To increase, visit https://openrouter.example";
    let large = openai(402, &said(prompt, "", "402"));
    assert_eq!(is(&large), (K::QuotaExhausted, S::Caller, E::OtherOwner));
}

#[test]
fn quotas_longer_than_a_minute_without_a_time() {
    let per_day = "Tokens per day limit exceeded - too many tokens processed.";
    let rows = [
        ("Cerebras", json!({"message": per_day, "type": "too_many_tokens_error", "code": "token_quota_exceeded"})),
        ("OpenRouter", said("Rate limit exceeded: free-models-per-day-high-balance. ", "rate_limit_error", "429")),
        (
            "Moonshot",
            said(
                "Your account x <y> request reached organization TPD rate limit, current: 3, limit: 2",
                "rate_limit_reached_error",
                "",
            ),
        ),
        ("Zhipu, of a day", json!({"error": {"code": "1304", "message": "您已达到今日调用次数限额。"}})),
        ("Zhipu", json!({"error": {"code": "1308", "message": "已达到 5 小时的使用上限。"}})),
        ("Modal", json!({"error": "usage limit reached"})),
        ("Ollama", json!({"error": "you (x) have reached your session usage limit, upgrade for higher limits"})),
    ];
    for (who, body) in rows {
        let verdict = openai(429, &body);
        assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, U::Backoff), "{who}");
    }
    // OpenRouter's says when it ends, and is of the free models alone: the account's others serve.
    let reset = json!({"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795158000000"}});
    for what in ["free-models-per-day", "free-models-per-day-high-balance"] {
        let message = format!("Rate limit exceeded: {what}. Add 10 credits to unlock 1000 free model requests per day");
        let body = json!({"error": {"message": message, "code": 429, "metadata": reset}});
        let verdict = openai(429, &body);
        assert_eq!(is(&verdict), QUOTA, "{what}: {verdict:?}");
        assert!(matches!(verdict.until_of(), U::For(wait) if wait > Duration::from_secs(3_600)), "{what}: {verdict:?}");
    }
    // Cloudflare's is of the whole account, until its day ends.
    for front in ["AiError: ", "", "4006: "] {
        let message = format!("{front}you have used up your daily free allocation of 10,000 neurons, please upgrade");
        let body = json!({"errors": [{"message": message, "code": 4006}], "success": false, "result": {}});
        let verdict = openai(429, &body);
        assert_eq!(
            (is(&verdict), verdict.until_of()),
            ((K::QuotaExhausted, S::Owner, E::OtherKey), U::DayEnd),
            "{front}"
        );
    }
    for text in [
        "You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use it.",
        "you (x) have reached your weekly usage limit, upgrade for higher limits",
    ] {
        let verdict = openai(429, &json!({"message": text}));
        assert!(is(&verdict) == QUOTA && matches!(verdict.until_of(), U::Probed(_)), "{text}: {verdict:?}");
    }
    let free = "The free tier of the model has been exhausted. Disable the \"use free tier only\" mode.";
    assert_eq!(is(&openai(403, &said(free, "x", "x"))), QUOTA);
    // A bucket that runs over says when it has room again, and what is said of other things is no quota.
    let bucket = openai(
        429,
        &said(
            "Rate limit reached on requests per day (RPD): Limit 9. Please try again in 7m12s.",
            "requests",
            "rate_limit_exceeded",
        ),
    );
    assert_eq!((is(&bucket), bucket.until_of()), (RATE, U::For(Duration::from_secs(432))));
    assert_eq!(is(&openai(429, &json!({"message": "Too many requests. Upgrade your monthly plan."}))), UNNAMED);
}

#[test]
fn capacity_is_nobodys_limit() {
    let mistral = "Service tier capacity exceeded for this model.";
    let cloudflare = json!({"errors": [{"message": "AiError: 3040: Capacity temporarily exceeded, please try again.", "code": 3040}]});
    all(&[
        (
            "Mistral",
            429,
            json!({"object": "error", "message": mistral, "type": "invalid_request_error", "code": null}),
            CAPACITY,
        ),
        ("Cloudflare", 429, cloudflare, CAPACITY),
        (
            "Volcengine",
            429,
            said("The service is unable to handle more.", "TooManyRequests", "ServerOverloaded"),
            CAPACITY,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1305", "message": "The service may be temporarily overloaded"}}),
            CAPACITY,
        ),
        (
            "Zhipu, in Chinese",
            429,
            json!({"error": {"code": "1305", "message": "当前API请求过多，请稍后重试。"}}),
            CAPACITY,
        ),
        (
            "Moonshot",
            429,
            said("We're receiving too many requests at the moment.", "rate_limit_reached_error", ""),
            CAPACITY,
        ),
    ]);
    let kimi = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "The engine is currently overloaded"}});
    assert_eq!(is(&judge(&Anthropic::new(), 429, &[], &kimi)), CAPACITY);
}

#[test]
fn limits_of_an_account() {
    let xai =
        "Too many tokens for team x and model y. Your team's rate limit is — Tokens per Minute (actual/limit): 9/8.";
    all(&[
        ("xAI", 429, json!({"code": "Some resource has been exhausted", "error": xai}), RATE),
        (
            "Together",
            429,
            said("You have reached the rate limit specific to this model a/b.", "model_rate_limit", ""),
            RATE,
        ),
        (
            "Together, unpaid",
            429,
            said("You have been rate limited. Your rate limit is 60 queries.", "credit_limit", ""),
            RATE,
        ),
        ("Perplexity", 429, said("Please try again later.", "request_rate_limit_exceeded", "429"), RATE),
        ("Zhipu", 429, json!({"error": {"code": "1302", "message": "Too high a concurrency"}}), RATE),
        ("Zhipu, frequency", 429, json!({"error": {"code": "1303", "message": "您当前使用该API的频率过高。"}}), RATE),
        ("DashScope", 429, said("Please try again later.", "limit_requests", "limit_requests"), RATE),
        // Its word for tokens a minute is the one that others have for an empty account.
        (
            "DashScope, tokens",
            429,
            said(
                "Allocated quota exceeded, please increase your quota limit.",
                "insufficient_quota",
                "insufficient_quota",
            ),
            RATE,
        ),
        ("LiteLLM", 429, said("Rate limit exceeded for api_key: 0a.", "throttling_error", "429"), RATE),
    ]);
    let github =
        "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 41234 seconds before retrying.";
    let verdict = openai(429, &said(github, "", "RateLimitReached"));
    assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::For(Duration::from_secs(41_234))));
    // A day's bucket beside a minute's.
    let day = [("x-ratelimit-remaining-tokens-day", "0"), ("x-ratelimit-reset-tokens-day", "33011.38")];
    let minute = [("x-ratelimit-remaining-tokens-minute", "7"), ("x-ratelimit-reset-tokens-minute", "11.38")];
    let body = json!({"message": "Too many.", "type": "too_many_tokens_error", "code": "token_quota_exceeded"});
    let verdict = judge(&OpenAi::new(), 429, &[day, minute].concat(), &body);
    assert_eq!(verdict.retry_after(), Some(Duration::from_millis(33_011_380)));
}

#[test]
fn what_one_organization_sealed_another_cannot_open() {
    let sealed = "The encrypted content for item rs_0 could not be verified.";
    all(&[
        ("reasoning", 400, said(sealed, "invalid_request_error", "invalid_encrypted_content"), WRONG_OWNER),
        ("a store", 404, said("Vector store with id vs_0 not found.", "invalid_request_error", ""), WRONG_OWNER),
        ("an assistant", 404, said("No assistant found with id 'asst_0'.", "invalid_request_error", ""), WRONG_OWNER),
        (
            "a conversation",
            404,
            said("Conversation with id 'conv_0' not found.", "invalid_request_error", ""),
            WRONG_OWNER,
        ),
        ("a batch", 404, said("No batch found with id 'batch_0'.", "invalid_request_error", ""), WRONG_OWNER),
    ]);
}

/// What official clients make of an error, and gateways built on them send on: the whole body as the message of another.
#[test]
fn an_error_within_an_error() {
    let within = |status: u16, error: Value| {
        let message = serde_json::to_string_pretty(&json!({ "error": error })).unwrap();
        gemini(status, &json!({"error": {"message": message, "code": status, "status": "Bad Request"}}))
    };
    let invalid = json!({"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]});
    assert_eq!(is(&within(400, invalid.clone())), KEY);
    let violation = json!({"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]});
    let day = within(429, json!({"code": 429, "message": "Quota.", "details": [violation, {"retryDelay": "51s"}]}));
    assert_eq!((is(&day), day.until_of()), (QUOTA, U::DayEnd));
    let suspended = json!({"code": 403, "message": "No.", "details": [{"reason": "CONSUMER_SUSPENDED"}]});
    assert_eq!(is(&within(403, suspended)), SUSPENDED);
    // Another status than the answer's own, or words around it: somebody else's JSON.
    assert_eq!(is(&within(404, invalid.clone())), CALLER);
    let quoted = format!("Cannot read {}", json!({ "error": invalid }));
    assert_eq!(is(&gemini(400, &json!({"error": {"message": quoted, "code": 400}}))), CALLER);
}

#[test]
fn geminis_words_without_details() {
    let denied = |message: &str| {
        gemini(403, &json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}))
    };
    for text in [
        "This API method requires billing to be enabled. Please enable billing on project #1.",
        "Agent Platform API has not been used in project 1 before or it is disabled.",
        "This service has been disabled in this account for violation of Terms of Service.",
    ] {
        assert_eq!(is(&denied(text)), SUSPENDED, "{text}");
    }
    assert_eq!(is(&denied("The provided API key has an IP address restriction. The address violates it.")), KEY);
}
