//! More of what people met, vendor by vendor: what may not be believed of whom, and how long it lasts.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{
    Answer, Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, VerdictKind as K,
};

use crate::meaning::{
    CALLER, KEY, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_KEY, QUOTA, RATE, SUSPENDED, WRONG_OWNER, is, judge,
    none_differs, openai, said,
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

const CAPACITY: Meaning = (K::Overloaded, S::Lane, E::AfterPause);
const AGAIN: Meaning = (K::Transient, S::Caller, E::AfterPause);
const LANE_GONE: Meaning = (K::ModelUnavailable, S::OwnerLane, E::OtherKey);

fn google(status: u16, word: &str, message: &str) -> Value {
    json!({"error": {"code": status, "message": message, "status": word}})
}

fn claude(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0"})
}

/// All that differ, so that one run shows them.
fn all(provider: &dyn Provider, rows: &[(&str, u16, Value, Meaning)]) {
    none_differs(rows.iter().map(|(who, status, body, meaning)| {
        (format!("{who} {status}"), *meaning, judge(provider, *status, &[], body))
    }));
}

#[test]
fn of_openai_and_azure() {
    let request = "invalid_request_error";
    all(
        &OpenAi::new(),
        &[
            (
                "IP",
                401,
                said("Your IP address is not in the allowlist of this project.", request, "ip_not_authorized"),
                KEY,
            ),
            (
                "country",
                403,
                said(
                    "Country, region, or territory not supported",
                    "request_forbidden",
                    "unsupported_country_region_territory",
                ),
                (K::Blocked, S::Exit, E::No),
            ),
            (
                "archived",
                401,
                said(
                    "The project you are requesting has been archived and is no longer accessible",
                    request,
                    "not_authorized_invalid_project",
                ),
                SUSPENDED,
            ),
            (
                "not in it",
                401,
                said("You must be a member of an organization to use the API", request, "no_organization"),
                KEY,
            ),
            (
                "revoked",
                401,
                said(
                    "Your authentication token has been invalidated. Please try signing in again.",
                    request,
                    "token_revoked",
                ),
                KEY,
            ),
            (
                "engine",
                503,
                said("The engine is currently overloaded, please try again later", "server_error", "engine_overloaded"),
                CAPACITY,
            ),
            ("slow down", 503, said("Slow Down", "server_error", "slow_down"), CAPACITY),
            (
                "of images",
                429,
                said(
                    "Rate limit reached for gpt-image-1 in organization org-0 on input-images per min: Limit 5, Used 5, Requested 1. Please try again in 12s.",
                    "input-images",
                    "rate_limit_exceeded",
                ),
                RATE,
            ),
            (
                "moderated",
                400,
                said(
                    "Your request was rejected as a result of our safety system.",
                    "image_generation_user_error",
                    "moderation_blocked",
                ),
                CALLER,
            ),
            (
                "limited policy",
                400,
                said(
                    "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                    request,
                    "invalid_prompt",
                ),
                CALLER,
            ),
            (
                "Azure, quota of calls",
                429,
                json!({"error": {"code": "429", "message": "Your requests to gpt-x for gpt-x in East US have exceeded the call rate limit for your current AIServices S0 pricing tier. This request was for ChatCompletions_Create. Please retry after 7 seconds."}}),
                RATE,
            ),
            (
                "Azure, no capacity",
                429,
                json!({"error": {"code": "NoCapacity", "message": "The system is currently experiencing high demand and cannot process your request."}}),
                CAPACITY,
            ),
            (
                "Azure, model down",
                503,
                json!({"error": {"code": "InternalServerError", "message": "Backend returned unexpected response."}}),
                CAPACITY,
            ),
            ("Azure, not found", 404, json!({"error": {"code": "404", "message": "Resource not found"}}), CALLER),
            (
                "Azure, permission",
                401,
                json!({"error": {"code": "PermissionDenied", "message": "Principal does not have access to API/Operation."}}),
                KEY,
            ),
            (
                "Azure, network",
                403,
                json!({"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}),
                (K::Blocked, S::Exit, E::No),
            ),
            (
                "Azure, domain",
                401,
                json!({"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), or have expired."}),
                KEY,
            ),
            (
                "Azure, operation",
                400,
                json!({"error": {"code": "OperationNotSupported", "message": "The chatCompletion operation does not work with the specified model, x. Please choose different model and try again."}}),
                CALLER,
            ),
            (
                "Azure, version",
                400,
                json!({"error": {"code": "BadRequest", "message": "API version not supported"}}),
                CALLER,
            ),
            (
                "Azure, gone",
                404,
                json!({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
                LANE_GONE,
            ),
        ],
    );
}

#[test]
fn of_gemini_and_vertex() {
    let (denied, exhausted) = ("PERMISSION_DENIED", "RESOURCE_EXHAUSTED");
    all(
        &Gemini::new(),
        &[
            (
                "Vertex, IAM",
                403,
                google(
                    403,
                    denied,
                    "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/p/locations/l/publishers/google/models/m' (or it may not exist).",
                ),
                (K::InvalidKey, S::KeyLane, E::OtherKey),
            ),
            (
                "Vertex, quota",
                429,
                google(
                    429,
                    exhausted,
                    "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: gemini-x. Please submit a quota increase request. https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai.",
                ),
                RATE,
            ),
            (
                "Vertex, busy",
                429,
                google(
                    429,
                    exhausted,
                    "Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.",
                ),
                CAPACITY,
            ),
            (
                "Vertex, model",
                404,
                google(
                    404,
                    "NOT_FOUND",
                    "Publisher Model `projects/p/locations/l/publishers/google/models/x` not found.",
                ),
                NO_SUCH_MODEL,
            ),
            (
                "overloaded",
                503,
                google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
                CAPACITY,
            ),
            (
                "in demand",
                503,
                google(
                    503,
                    "UNAVAILABLE",
                    "This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.",
                ),
                CAPACITY,
            ),
            ("unavailable", 503, google(503, "UNAVAILABLE", "The service is currently unavailable."), CAPACITY),
            (
                "internal",
                500,
                google(
                    500,
                    "INTERNAL",
                    "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
                ),
                AGAIN,
            ),
            (
                "thoughts",
                400,
                google(
                    400,
                    "INVALID_ARGUMENT",
                    "Unable to submit request because Thinking_config.include_thoughts is only enabled when thinking is enabled.",
                ),
                CALLER,
            ),
            ("mime", 400, google(400, "INVALID_ARGUMENT", "Unsupported MIME type: application/octet-stream"), CALLER),
            (
                "not processed",
                400,
                google(400, "FAILED_PRECONDITION", "The File abc is not in an ACTIVE state and usage is not allowed."),
                CALLER,
            ),
            ("cache expired", 403, google(403, denied, "CachedContent not found (or permission denied)"), WRONG_OWNER),
            (
                "system of gemma",
                400,
                google(400, "INVALID_ARGUMENT", "Developer instruction is not enabled for models/gemma-x"),
                CALLER,
            ),
            (
                "leaked",
                403,
                google(403, denied, "Your API key was reported as leaked. Please use another API key."),
                KEY,
            ),
            (
                "tuned",
                403,
                google(403, denied, "You do not have permission to access tuned model tunedModels/x."),
                WRONG_OWNER,
            ),
            (
                "live sessions",
                429,
                google(
                    429,
                    exhausted,
                    "You exceeded your current quota. Please migrate to Gemini 2.5 Flash Preview (Image Generation)",
                ),
                (K::RateLimited, S::KeyLane, E::OtherKey),
            ),
            (
                "long",
                400,
                google(
                    400,
                    "INVALID_ARGUMENT",
                    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                ),
                CALLER,
            ),
            (
                "timed out",
                504,
                google(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
                AGAIN,
            ),
        ],
    );
}

#[test]
fn of_anthropic() {
    all(
        &Anthropic::new(),
        &[
            (
                "workspace",
                403,
                claude("permission_error", "Your API key does not have permission to use the specified resource."),
                (K::InvalidKey, S::KeyLane, E::OtherKey),
            ),
            ("key", 401, claude("authentication_error", "invalid x-api-key"), KEY),
            ("expired", 401, claude("authentication_error", "API key has expired."), KEY),
            (
                "concurrent",
                429,
                claude(
                    "rate_limit_error",
                    "Number of concurrent connections has exceeded your rate limit. Please try again later or contact sales at https://www.anthropic.com/contact-sales to discuss your options for a rate limit increase.",
                ),
                RATE,
            ),
            (
                "acceleration",
                429,
                claude(
                    "rate_limit_error",
                    "This request would exceed your organization's maximum usage increase rate for input tokens per minute.",
                ),
                RATE,
            ),
            (
                "long context",
                400,
                claude("invalid_request_error", "prompt is too long: 213462 tokens > 200000 maximum"),
                CALLER,
            ),
            (
                "long context beta",
                400,
                claude("invalid_request_error", "The long context beta is not yet available for this subscription."),
                WRONG_OWNER,
            ),
            (
                "max",
                400,
                claude(
                    "invalid_request_error",
                    "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-x",
                ),
                CALLER,
            ),
            ("unpaid", 403, claude("billing_error", "Your payment failed."), MONEY),
            (
                "balance",
                400,
                claude(
                    "invalid_request_error",
                    "Your credit balance is too low to access the Claude API. Please go to Plans & Billing to upgrade or purchase credits.",
                ),
                MONEY,
            ),
            ("model", 404, claude("not_found_error", "model: claude-x"), NO_SUCH_MODEL),
            ("file", 404, claude("not_found_error", "File not found: file_0"), WRONG_OWNER),
            ("container", 404, claude("not_found_error", "Container not found: container_0"), WRONG_OWNER),
            ("batch", 404, claude("not_found_error", "Message Batch msgbatch_0 not found."), WRONG_OWNER),
            ("busy", 529, claude("overloaded_error", "Overloaded"), CAPACITY),
            ("dropped", 500, claude("api_error", "Internal server error"), AGAIN),
        ],
    );
}

#[test]
fn of_those_who_run_open_models() {
    let request = "invalid_request_error";
    all(
        &OpenAi::new(),
        &[
            (
                "Mistral",
                429,
                json!({"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "service_tier_capacity_exceeded", "code": "3505"}),
                CAPACITY,
            ),
            (
                "Mistral, model",
                400,
                json!({"object": "error", "message": "Invalid model: mistral-x", "type": "invalid_model", "param": null, "code": "1500"}),
                NO_SUCH_MODEL,
            ),
            ("Mistral, bare", 429, json!({"message": "Rate limit exceeded", "request_id": "0"}), RATE),
            ("Mistral, key", 401, json!({"message": "Unauthorized", "request_id": "0"}), KEY),
            (
                "Groq, model",
                404,
                said("The model `x` does not exist or you do not have access to it.", request, "model_not_found"),
                NOT_FOR_KEY,
            ),
            (
                "Groq, JSON",
                400,
                said(
                    "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.",
                    request,
                    "json_validate_failed",
                ),
                CALLER,
            ),
            (
                "Groq, tool",
                400,
                said("Failed to call a function. Please adjust your prompt.", request, "tool_use_failed"),
                CALLER,
            ),
            (
                "Groq, of a day",
                429,
                said(
                    "Rate limit reached for model `x` in organization `org_0` service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 99900, Requested 500. Please try again in 5m45.6s.",
                    "tokens",
                    "rate_limit_exceeded",
                ),
                RATE,
            ),
            (
                "Groq, overloaded",
                503,
                said(
                    "x is currently over capacity. Please try again and back off exponentially.",
                    "internal_server_error",
                    "",
                ),
                CAPACITY,
            ),
            (
                "Together, key",
                401,
                said(
                    "Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.",
                    request,
                    "invalid_api_key",
                ),
                KEY,
            ),
            (
                "Together, money",
                402,
                said(
                    "Credit limit exceeded, please navigate to https://api.together.ai/settings/billing to update your limit.",
                    "credit_limit",
                    "",
                ),
                MONEY,
            ),
            (
                "Together, long",
                422,
                said("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097.", request, ""),
                CALLER,
            ),
            (
                "Together, overloaded",
                503,
                said("The server is overloaded or not ready yet.", "service_unavailable", ""),
                CAPACITY,
            ),
            ("Together, 529", 529, said("Our servers are experiencing high traffic", "overloaded", ""), CAPACITY),
            ("DeepSeek", 429, said("Rate limit reached", "rate_limit_error", ""), RATE),
            (
                "DeepSeek, busy",
                503,
                said(
                    "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
                    "service_unavailable_error",
                    "",
                ),
                CAPACITY,
            ),
            (
                "xAI, key",
                400,
                json!({"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***yz. You can obtain an API key from https://console.x.ai."}),
                KEY,
            ),
            (
                "xAI, key 401",
                401,
                json!({"code": "unauthenticated:bad-credentials", "error": "The OAuth2 access token could not be validated."}),
                KEY,
            ),
            (
                "xAI, model",
                404,
                json!({"code": "Some requested entity was not found", "error": "The model x does not exist or your team 0-0 does not have access to it. Please ensure you're using the correct API key."}),
                NOT_FOR_KEY,
            ),
            (
                "xAI, spent",
                403,
                json!({"code": "The caller does not have permission to execute the specified operation", "error": "Your team 0-0 has used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}),
                MONEY,
            ),
            (
                "xAI, unsafe",
                403,
                json!({"code": "The caller does not have permission to execute the specified operation", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}),
                CALLER,
            ),
            (
                "xAI, capacity",
                503,
                json!({"code": "The service is currently unavailable", "error": "The model is at capacity and currently cannot serve this request. Please try again later."}),
                CAPACITY,
            ),
            (
                "Cohere, trial",
                429,
                json!({"message": "You are using a Trial key, which is limited to 20 API calls / minute. You can continue to use the Trial key for free or upgrade to a Production key."}),
                RATE,
            ),
            ("Cohere, key", 401, json!({"message": "invalid api token"}), KEY),
            (
                "Cohere, model",
                404,
                json!({"message": "model 'x' not found, make sure the correct model ID was used and that you have access to the model."}),
                NO_SUCH_MODEL,
            ),
            (
                "Cohere, removed",
                404,
                json!({"message": "model 'command' was removed on September 15, 2025. See https://docs.cohere.com/docs/models for a list of current models"}),
                NO_SUCH_MODEL,
            ),
            ("Cohere, blocked", 403, json!({"message": "Your API key has been blocked. Please contact support."}), KEY),
            (
                "Fireworks, paused",
                412,
                said(
                    "Account acme is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices. Please go to https://fireworks.ai/account/billing for more information.",
                    "error",
                    "PRECONDITION_FAILED",
                ),
                SUSPENDED,
            ),
            (
                "Fireworks, model",
                404,
                said("Model not found, inaccessible, and/or not deployed", "error", "NOT_FOUND"),
                NOT_FOR_KEY,
            ),
            ("Fireworks, key", 401, json!({"error": "Unauthorized"}), KEY),
            (
                "Cerebras, queue",
                429,
                json!({"message": "We're experiencing high traffic right now! Please try again soon.", "type": "too_many_requests_error", "param": "queue", "code": "queue_exceeded"}),
                CAPACITY,
            ),
            (
                "Cerebras, key",
                401,
                json!({"message": "Wrong API Key", "type": request, "param": "api_key", "code": "wrong_api_key"}),
                KEY,
            ),
            (
                "Cerebras, model",
                404,
                json!({"message": "Model x does not exist or you do not have access to it.", "type": "not_found_error", "param": "model", "code": "model_not_found"}),
                NOT_FOR_KEY,
            ),
            (
                "Cerebras, payment",
                402,
                json!({"message": "Payment required to access this resource.", "type": "payment_required_error", "code": "payment_required"}),
                MONEY,
            ),
            (
                "SambaNova",
                429,
                json!({"error": {"code": null, "message": "Rate limit exceeded", "param": null, "type": "rate_limit_exceeded"}}),
                RATE,
            ),
            (
                "Perplexity, key",
                401,
                json!({"error": {"message": "Invalid API key provided.", "type": "invalid_api_key", "code": 401}}),
                KEY,
            ),
            (
                "Perplexity, spent",
                401,
                json!({"error": {"message": "You exceeded your current quota, please check your plan and billing details.", "type": "insufficient_quota", "code": 401}}),
                MONEY,
            ),
            (
                "Perplexity, model",
                400,
                json!({"error": {"message": "Invalid model 'x'. Permitted models can be found in the documentation at https://docs.perplexity.ai/getting-started/models.", "type": "invalid_model", "code": 400}}),
                NO_SUCH_MODEL,
            ),
            (
                "NVIDIA",
                429,
                json!({"status": 429, "title": "Too Many Requests"}),
                (K::RateLimited, S::KeyLane, E::OtherKey),
            ),
            (
                "NVIDIA, credits",
                402,
                json!({"status": 402, "title": "Payment Required", "detail": "Account 'x': Cloud credits expired - Please contact NVIDIA representatives"}),
                MONEY,
            ),
            (
                "NVIDIA, key",
                401,
                json!({"status": 401, "title": "Unauthorized", "detail": "Authentication failed"}),
                KEY,
            ),
            (
                "NVIDIA, key 403",
                403,
                json!({"status": 403, "title": "Forbidden", "detail": "Authorization failed"}),
                (K::InvalidKey, S::KeyLane, E::OtherKey),
            ),
            (
                "Hugging Face, month",
                402,
                json!({"error": "You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get 20x more monthly included credits."}),
                MONEY,
            ),
            ("Hugging Face, key", 401, json!({"error": "Invalid username or password."}), KEY),
            ("Hugging Face, credentials", 401, json!({"error": "Invalid credentials in Authorization header"}), KEY),
            (
                "Hugging Face, loading",
                503,
                json!({"error": "Model a/b is currently loading", "estimated_time": 20.0}),
                CAPACITY,
            ),
            (
                "Hugging Face, permission",
                403,
                json!({"error": "This authentication method does not have sufficient permissions to call Inference Providers on behalf of user x"}),
                (K::InvalidKey, S::KeyLane, E::OtherKey),
            ),
        ],
    );
}

#[test]
fn of_routers_and_clouds() {
    let cloudflare = |code: u32, message: &str| json!({"success": false, "errors": [{"code": code, "message": message}], "messages": [], "result": null});
    all(
        &OpenAi::new(),
        &[
            ("OpenRouter, disabled", 401, json!({"error": {"message": "API key disabled", "code": 401}}), KEY),
            ("OpenRouter, expired", 401, json!({"error": {"message": "API key expired", "code": 401}}), KEY),
            (
                "OpenRouter, flagged",
                403,
                json!({"error": {"message": "The input was flagged by moderation", "code": 403, "metadata": {"reasons": ["x"], "flagged_input": "y", "provider_name": "Z"}}}),
                CALLER,
            ),
            (
                "OpenRouter, credits",
                402,
                json!({"error": {"message": "Insufficient credits. Add more using https://openrouter.ai/settings/credits", "code": 402}}),
                MONEY,
            ),
            (
                "OpenRouter, no provider",
                503,
                json!({"error": {"message": "No instances available", "code": 503}}),
                CAPACITY,
            ),
            (
                "OpenRouter, upstream",
                502,
                json!({"error": {"message": "Provider returned error", "code": 502, "metadata": {"provider_name": "Z", "raw": "x"}}}),
                AGAIN,
            ),
            (
                "OpenRouter, tools",
                404,
                json!({"error": {"message": "No endpoints found that support tool use. To learn more about provider routing, visit: https://openrouter.ai/docs/provider-routing", "code": 404}}),
                NO_SUCH_MODEL,
            ),
            (
                "OpenRouter, model",
                400,
                json!({"error": {"message": "a/b is not a valid model ID", "code": 400}}),
                NO_SUCH_MODEL,
            ),
            ("Cloudflare, key", 401, cloudflare(10000, "Authentication error"), KEY),
            ("Cloudflare, key 403", 403, cloudflare(9109, "Invalid access token"), KEY),
            (
                "Cloudflare, rate",
                429,
                cloudflare(10013, "Too many requests"),
                (K::RateLimited, S::KeyLane, E::OtherKey),
            ),
            ("Cloudflare, upstream", 408, cloudflare(3007, "AiError: Request timeout"), AGAIN),
            ("GitHub, key", 401, said("Bad credentials", "", "unauthorized"), KEY),
            (
                "GitHub, bare",
                401,
                json!({"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"}),
                KEY,
            ),
            (
                "GitHub, permission",
                401,
                said("The `models` permission is required to access this endpoint", "", "unauthorized"),
                KEY,
            ),
            (
                "GitHub, size",
                413,
                said("Request body too large for x model. Max size: 8000 tokens.", "", "tokens_limit_reached"),
                CALLER,
            ),
            ("Moonshot, key", 401, said("Invalid Authentication", "invalid_authentication_error", ""), KEY),
            (
                "Moonshot, quota",
                429,
                said(
                    "Your account org-0 <ak-0> is suspended, please check your plan and billing details",
                    "exceeded_current_quota_error",
                    "",
                ),
                MONEY,
            ),
            (
                "Moonshot, rate",
                429,
                said(
                    "Your account org-0<ak-0> request reached organization max RPM: 3, please try again after 1 seconds",
                    "rate_limit_reached_error",
                    "",
                ),
                RATE,
            ),
            (
                "Moonshot, in flight",
                429,
                said(
                    "Your account org-0 request reached organization max concurrency: 1, please try again after 1 seconds",
                    "rate_limit_reached_error",
                    "",
                ),
                RATE,
            ),
            (
                "Moonshot, overloaded",
                429,
                said("The engine is currently overloaded, please try again later", "engine_overloaded_error", ""),
                CAPACITY,
            ),
            (
                "Moonshot, filter",
                400,
                said("The request was rejected because it was considered high risk", "content_filter", ""),
                CALLER,
            ),
            (
                "DashScope, key",
                401,
                json!({"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "0"}),
                KEY,
            ),
            (
                "DashScope, key, compatible",
                401,
                said(
                    "Incorrect API key provided. For details, see: https://help.aliyun.com/zh/model-studio/error-code#apikey-error",
                    request_error(),
                    "invalid_api_key",
                ),
                KEY,
            ),
            (
                "DashScope, arrears",
                400,
                json!({"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing.", "request_id": "0"}),
                MONEY,
            ),
            (
                "DashScope, no access",
                403,
                json!({"code": "Model.AccessDenied", "message": "Model access denied.", "request_id": "0"}),
                NOT_FOR_KEY,
            ),
            (
                "DashScope, access, compatible",
                403,
                said("Model access denied.", "Model.AccessDenied", "model_access_denied"),
                NOT_FOR_KEY,
            ),
            (
                "DashScope, workspace",
                403,
                json!({"code": "Workspace.AccessDenied", "message": "Workspace access denied.", "request_id": "0"}),
                (K::InvalidKey, S::KeyLane, E::OtherKey),
            ),
            (
                "DashScope, unpurchased",
                403,
                json!({"code": "AccessDenied.Unpurchased", "message": "Access to model denied. Please make sure you are eligible for using the model."}),
                NOT_FOR_KEY,
            ),
            (
                "DashScope, no model",
                404,
                json!({"code": "ModelNotFound", "message": "Model can not be found.", "request_id": "0"}),
                NOT_FOR_KEY,
            ),
            (
                "DashScope, inspected",
                400,
                json!({"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}),
                CALLER,
            ),
            (
                "DashScope, free tier",
                403,
                json!({"code": "AllocationQuota.FreeTierOnly", "message": "The free tier of the model has been exhausted. If you wish to continue access the model on a paid basis, please disable the \"use free tier only\" mode in the management console."}),
                QUOTA,
            ),
            ("Zhipu, key", 401, json!({"error": {"code": "1000", "message": "身份验证失败。"}}), KEY),
            (
                "Zhipu, key form",
                401,
                json!({"error": {"code": "1002", "message": "Authorization Token非法，请确认Authorization Token正确传递。"}}),
                KEY,
            ),
            (
                "Zhipu, filter",
                400,
                json!({"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
                CALLER,
            ),
            (
                "Zhipu, params",
                400,
                json!({"error": {"code": "1210", "message": "API 调用参数有误，请检查文档。"}}),
                CALLER,
            ),
            (
                "Zhipu, no permission",
                403,
                json!({"error": {"code": "1220", "message": "您无权访问 x。"}}),
                (K::InvalidKey, S::KeyLane, E::OtherKey),
            ),
            (
                "Zhipu, model permission",
                429,
                json!({"error": {"code": "1311", "message": "当前订阅套餐暂未开放x权限"}}),
                LANE_GONE,
            ),
            (
                "Zhipu, 5 hours",
                429,
                json!({"error": {"code": "1308", "message": "Usage limit reached for 5 hour. Your limit will reset at 2026-11-18 20:06:40"}}),
                QUOTA,
            ),
            ("SiliconFlow, key", 401, json!("Invalid token"), KEY),
            (
                "SiliconFlow, verified",
                403,
                json!({"code": 30003, "message": "Model disabled.", "data": null}),
                NOT_FOR_KEY,
            ),
            (
                "SiliconFlow, balance",
                403,
                json!({"code": 30001, "message": "Sorry, your account balance is insufficient", "data": null}),
                MONEY,
            ),
            (
                "SiliconFlow, busy",
                503,
                json!({"code": 50505, "message": "Model service overloaded. Please try again later.", "data": null}),
                CAPACITY,
            ),
            (
                "SiliconFlow, RPM",
                429,
                json!({"message": "Request was rejected due to rate limiting. If you want more, please contact contact@siliconflow.cn. Details:RPM limit reached.", "data": null}),
                RATE,
            ),
            (
                "SiliconFlow, IPM",
                429,
                json!({"message": "IPM limit reached.", "data": null}),
                (K::RateLimited, S::KeyLane, E::OtherKey),
            ),
            (
                "Ark, key",
                401,
                said(
                    "The API key in the request is missing or invalid. Request id: 0",
                    "Unauthorized",
                    "AuthenticationError",
                ),
                KEY,
            ),
            (
                "Ark, key form",
                401,
                said("The API key format is incorrect. Request id: 0", "Unauthorized", "AuthenticationError"),
                KEY,
            ),
            (
                "Ark, account",
                429,
                said(
                    "Your account [1] has reached the set inference limit for the [x] model, and the model service has been paused. To continue using this model, please visit the Model Activation page to adjust or close the \"Safe Experience Mode\".",
                    "TooManyRequests",
                    "SetLimitExceeded",
                ),
                QUOTA,
            ),
            (
                "Ark, endpoint RPM",
                429,
                said(
                    "The Requests Per Minute (RPM) limit of the associated endpoint for your account has been exceeded.",
                    "TooManyRequests",
                    "EndpointRPMExceeded",
                ),
                RATE,
            ),
            (
                "Ark, model TPM",
                429,
                said(
                    "The Tokens Per Minute (TPM) limit of the associated model for your account has been exceeded.",
                    "TooManyRequests",
                    "ModelAccountTpmRateLimitExceeded",
                ),
                RATE,
            ),
            (
                "Ark, model IPM",
                429,
                said(
                    "The Images Per Minute (IPM) limit of the associated model for your account has been exceeded.",
                    "TooManyRequests",
                    "ModelAccountIpmRateLimitExceeded",
                ),
                RATE,
            ),
            (
                "Ark, endpoint",
                404,
                said(
                    "The model or endpoint x does not exist or you do not have access to it.",
                    "NotFound",
                    "InvalidEndpointOrModel.NotFound",
                ),
                NOT_FOR_KEY,
            ),
            (
                "Ark, access",
                403,
                said(
                    "The request failed because you do not have access to the requested resource.",
                    "Forbidden",
                    "AccessDenied",
                ),
                (K::InvalidKey, S::KeyLane, E::OtherKey),
            ),
            (
                "Ark, sensitive",
                400,
                said(
                    "The request failed because the input text may contain sensitive information.",
                    "BadRequest",
                    "InputTextSensitiveContentDetected",
                ),
                CALLER,
            ),
            (
                "Ark, internal",
                500,
                said(
                    "The service encountered an unexpected internal error.",
                    "InternalServerError",
                    "InternalServiceError",
                ),
                AGAIN,
            ),
        ],
    );
}

fn request_error() -> &'static str {
    "invalid_request_error"
}

/// How long what they say lasts.
#[test]
fn how_long_they_say() {
    let groq = "Rate limit reached for model `x` in organization `org_0` service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 99900, Requested 500. Please try again in 5m45.6s.";
    let azure = "Your requests to gpt-x for gpt-x in East US have exceeded the call rate limit for your current AIServices S0 pricing tier. Please retry after 7 seconds.";
    let moonshot = "Your account org-0<ak-0> request reached organization max RPM: 3, please try again after 1 seconds";
    let cohere =
        "You are using a Trial key, which is limited to 20 API calls / minute. You can continue to use the Trial key.";
    let ark = "The Tokens Per Minute (TPM) limit of the associated endpoint for your account has been exceeded.";
    for (body, until) in [
        (said(groq, "tokens", "rate_limit_exceeded"), U::For(Duration::from_millis(345_600))),
        (json!({"error": {"code": "429", "message": azure}}), U::For(Duration::from_secs(7))),
        (said(moonshot, "rate_limit_reached_error", ""), U::For(Duration::from_secs(1))),
        (json!({"message": cohere}), U::Backoff),
        (said(ark, "TooManyRequests", "EndpointTPMExceeded"), U::Backoff),
    ] {
        let verdict = openai(429, &body);
        assert!((is(&verdict), verdict.until_of()) == (RATE, until) && verdict.is_named(), "{body}: {verdict:?}");
    }
    // What only a plan is told to have is no limit.
    assert!(!openai(429, &json!({"message": "Too many requests. Ask for 100 per minute."})).is_named());
}
