//! Errors as the families of providers word them, beside the recorded samples: quota by quota, sentence by sentence.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tower_keypool::{
    Answer, Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Span, Unit, Until as U, Verdict,
    VerdictKind as K,
};

use crate::sample::now;

fn judge(provider: &dyn Provider, status: u16, body: &str) -> Verdict {
    let headers = HeaderMap::new();
    let verdict = provider.judge(&Answer::new(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), now()));
    assert!(verdict.is_success() || verdict.advice_of().ends_with('.'), "{body}: nothing to act on");
    verdict
}

fn gemini(status: u16, body: &str) -> Verdict {
    judge(&Gemini::new(), status, body)
}

fn is(verdict: &Verdict) -> (K, S, E) {
    (verdict.kind(), verdict.scope_of(), verdict.elsewhere_of())
}

/// A Gemini 429 of this quota, with the minute's delay that also comes with quotas of a day.
fn quota(id: &str, metric: &str, value: &str) -> Verdict {
    let value = if value.is_empty() { String::new() } else { format!(r#","quotaValue":"{value}""#) };
    gemini(
        429,
        &format!(
            r#"{{"error":{{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota.","details":[
            {{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{
                "quotaMetric":"generativelanguage.googleapis.com/{metric}","quotaId":"{id}"{value},
                "quotaDimensions":{{"location":"global","model":"gemini-x"}}}}]}},
            {{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"51s"}}]}}}}"#
        ),
    )
}

#[test]
fn every_known_quota_of_gemini() {
    let minute = [
        ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", Unit::Requests),
        ("GenerateRequestsPerMinutePerProjectPerModel", Unit::Requests),
        ("GenerateContentInputTokensPerModelPerMinute-FreeTier", Unit::InputTokens),
        ("GenerateContentPaidTierInputTokensPerModelPerMinute", Unit::InputTokens),
        ("GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier2", Unit::InputTokens),
        ("GenerateContentRequestsPerMinutePerProjectPerRegion", Unit::Requests),
        ("EmbedContentRequestsPerMinutePerProjectPerModel-FreeTier", Unit::Requests),
    ];
    for (id, unit) in minute {
        let verdict = quota(id, "generate_content_free_tier_requests", "15");
        assert_eq!(is(&verdict), (K::RateLimited, S::OwnerLane, E::OtherKey), "{id}");
        assert_eq!(verdict.until_of(), U::For(Duration::from_secs(51)), "{id}");
        let news = &verdict.news_of().unwrap().violations;
        assert_eq!((news[0].unit, news[0].span, news[0].amount), (unit, Span::MINUTE, Some(15)), "{id}");
    }
    let day = [
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", Unit::Requests),
        ("GenerateRequestsPerDayPerProjectPerModel", Unit::Requests),
        ("GenerateContentInputTokensPerModelPerDay-FreeTier", Unit::InputTokens),
        ("GenerateContentInputTokensPerModelPerDay", Unit::InputTokens),
        ("EmbedContentRequestsPerDayPerProjectPerModel-FreeTier", Unit::Requests),
        ("EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier", Unit::Requests),
    ];
    for (id, unit) in day {
        let verdict = quota(id, "generate_content_free_tier_requests", "20");
        assert_eq!(
            (is(&verdict), verdict.until_of()),
            ((K::QuotaExhausted, S::OwnerLane, E::OtherKey), U::DayEnd),
            "{id}"
        );
        let news = &verdict.news_of().unwrap().violations;
        assert_eq!((news[0].unit, news[0].span, news[0].amount), (unit, Span::Day, Some(20)), "{id}");
    }
    // By the metric alone, where no id is given.
    assert_eq!(quota("", "generate_requests_per_model_per_day", "").until_of(), U::DayEnd);
    for metric in ["generate_requests_per_model", "generate_content_paid_tier_2_input_token_count"] {
        assert_eq!(quota("", metric, "").kind(), K::RateLimited, "{metric}");
    }
}

#[test]
fn no_entitlement_in_every_form() {
    let zero = |verdict: &Verdict| {
        assert_eq!(is(verdict), (K::ModelUnavailable, S::OwnerLane, E::OtherKey));
        assert_eq!((verdict.until_of(), verdict.code_of()), (U::For(Duration::from_hours(24)), "LIMIT_ZERO"));
    };
    for id in
        ["GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"]
    {
        zero(&quota(id, "generate_content_free_tier_requests", "0"));
    }
    // As a number, and beside a limit that is none of zero.
    zero(&gemini(
        429,
        r#"{"error":{"details":[{"violations":[{"quotaId":"XRequestsPerDay","quotaValue":0},{"quotaId":"YRequestsPerMinute","quotaValue":"15"}]}]}}"#,
    ));
    // Two lines of zero, the violations without a value.
    zero(&gemini(
        429,
        "{\"error\":{\"message\":\"Quota exceeded.\\n* Quota exceeded for metric: g/a, limit: 0, model: gemini-x\\n* Quota exceeded for metric: g/b, limit: 0, model: gemini-x\\nPlease retry in 35.1s.\",\"details\":[{\"violations\":[{\"quotaMetric\":\"g/a\",\"quotaId\":\"APerDay\"},{\"quotaMetric\":\"g/b\",\"quotaId\":\"BPerMinute\"}]}]}}",
    ));
    // Ten is not zero, nor is what a limit of another thing says.
    let ten = "{\"error\":{\"message\":\"* Quota exceeded for metric: g/a, limit: 10, model: gemini-x\",\"details\":[{\"violations\":[{\"quotaMetric\":\"g/a\",\"quotaId\":\"APerMinute\"}]}]}}";
    assert_eq!(gemini(429, ten).kind(), K::RateLimited);
}

#[test]
fn gemini_sentence_by_sentence() {
    let coded = |status: u16, name: &str, message: &str| {
        gemini(status, &format!(r#"{{"error":{{"code":{status},"message":"{message}","status":"{name}"}}}}"#))
    };
    for (status, name, message, expected) in [
        (400, "INVALID_ARGUMENT", "Request contains an invalid argument.", (K::CallerFault, S::Caller, E::No)),
        (400, "FAILED_PRECONDITION", "Precondition check failed.", (K::CallerFault, S::Caller, E::No)),
        (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", (K::Blocked, S::Exit, E::No)),
        (
            400,
            "FAILED_PRECONDITION",
            "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.",
            (K::Suspended, S::Owner, E::OtherKey),
        ),
        (400, "OUT_OF_RANGE", "The input token count exceeds the maximum.", (K::CallerFault, S::Caller, E::No)),
        (
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials.",
            (K::InvalidKey, S::Key, E::OtherKey),
        ),
        (
            403,
            "PERMISSION_DENIED",
            "Your project has been denied access. Please contact support.",
            (K::Suspended, S::Owner, E::OtherKey),
        ),
        (
            403,
            "PERMISSION_DENIED",
            "Generative Language API has not been used in project 42 before or it is disabled.",
            (K::Suspended, S::Owner, E::OtherKey),
        ),
        (403, "PERMISSION_DENIED", "Not today.", (K::InvalidKey, S::KeyLane, E::OtherKey)),
        (
            404,
            "NOT_FOUND",
            "models/gemini-pro is not found for API version v1beta, or is not supported for generateContent.",
            (K::ModelUnavailable, S::Lane, E::OtherModel),
        ),
        (
            404,
            "NOT_FOUND",
            "This model models/gemini-2.0-flash is no longer available to new users.",
            (K::ModelUnavailable, S::OwnerLane, E::OtherKey),
        ),
        (
            404,
            "NOT_FOUND",
            "This model models/gemini-2.0-flash is no longer available. Please update your code.",
            (K::ModelUnavailable, S::Lane, E::OtherModel),
        ),
        (
            404,
            "NOT_FOUND",
            "Publisher Model `projects/p/locations/global/publishers/google/models/gemini-x` was not found or your project does not have access to it.",
            (K::ModelUnavailable, S::Lane, E::OtherModel),
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted (e.g. check quota).",
            (K::RateLimited, S::KeyLane, E::OtherKey),
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.",
            (K::Overloaded, S::Lane, E::AfterPause),
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Quota exceeded for aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model with base model: gemini-x.",
            (K::RateLimited, S::OwnerLane, E::OtherKey),
        ),
        (499, "CANCELLED", "The operation was cancelled.", (K::Cancelled, S::Caller, E::No)),
        (500, "INTERNAL", "An internal error has occurred.", (K::Transient, S::Caller, E::AfterPause)),
        (503, "UNAVAILABLE", "The model is overloaded.", (K::Overloaded, S::Lane, E::AfterPause)),
        (
            503,
            "UNAVAILABLE",
            "Deadline expired before operation could complete.",
            (K::Transient, S::Caller, E::AfterPause),
        ),
    ] {
        assert_eq!(is(&coded(status, name, message)), expected, "{status} {message}");
    }
}

#[test]
fn those_who_speak_like_openai() {
    let openai = |status, body: &str| judge(&OpenAi::new(), status, body);
    let owner_lane = (K::RateLimited, S::OwnerLane, E::OtherKey);
    let money = (K::QuotaExhausted, S::Owner, E::OtherKey);
    let key = (K::InvalidKey, S::Key, E::OtherKey);
    let capacity = (K::Overloaded, S::Lane, E::AfterPause);
    let caller = (K::CallerFault, S::Caller, E::No);
    for (who, status, body, expected) in [
        (
            "Groq",
            429,
            r#"{"error":{"message":"Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_x` service tier `on_demand` on tokens per minute (TPM): Limit 12000, Used 11500, Requested 1200. Please try again in 3.5s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            owner_lane,
        ),
        (
            "Groq, larger than a minute",
            413,
            r#"{"error":{"message":"Request too large for model `x` in organization `org_x` on tokens per minute (TPM): Limit 6000, Requested 9000","type":"tokens","code":"rate_limit_exceeded"}}"#,
            (K::CallerFault, S::Caller, E::OtherOwner),
        ),
        (
            "Groq, restricted",
            400,
            r#"{"error":{"message":"Organization has been restricted. Please reach out to support.","type":"invalid_request_error","code":"organization_restricted"}}"#,
            (K::Suspended, S::Owner, E::OtherKey),
        ),
        (
            "Groq, flex",
            498,
            r#"{"error":{"message":"Flex tier capacity exceeded","type":"x","code":"capacity_exceeded"}}"#,
            capacity,
        ),
        (
            "Groq, key",
            401,
            r#"{"error":{"message":"Invalid API Key","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            key,
        ),
        (
            "Mistral",
            429,
            r#"{"object":"error","message":"Requests rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#,
            owner_lane,
        ),
        (
            "Mistral, capacity",
            429,
            r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#,
            capacity,
        ),
        ("Mistral, key", 401, r#"{"detail":"Unauthorized"}"#, key),
        (
            "Mistral, schema",
            422,
            r#"{"object":"error","message":{"detail":[]},"type":"invalid_request_error"}"#,
            caller,
        ),
        (
            "DeepSeek, balance",
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
            money,
        ),
        (
            "DeepSeek, key",
            401,
            r#"{"error":{"message":"Authentication Fails, Your api key: ****abcd is invalid","type":"authentication_error","code":"invalid_request_error"}}"#,
            key,
        ),
        (
            "Azure, key",
            401,
            r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}"#,
            key,
        ),
        (
            "Azure, filter",
            400,
            r#"{"error":{"message":"The response was filtered","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            caller,
        ),
        (
            "Azure, rate",
            429,
            r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current pricing tier. Please retry after 22 seconds."}}"#,
            owner_lane,
        ),
        (
            "OpenRouter, key's own limit",
            403,
            r#"{"error":{"message":"Key limit exceeded. Please manage it using https://openrouter.ai/settings/keys","code":403}}"#,
            (K::QuotaExhausted, S::Key, E::OtherKey),
        ),
        ("OpenRouter, key", 401, r#"{"error":{"message":"User not found.","code":401}}"#, key),
        (
            "OpenRouter, model",
            404,
            r#"{"error":{"message":"No endpoints found for a/b.","code":404}}"#,
            (K::ModelUnavailable, S::Lane, E::OtherModel),
        ),
        (
            "xAI, credits",
            403,
            r#"{"code":"The caller does not have permission to execute the specified operation","error":"Your newly created team doesn't have any credits yet. You can purchase credits on https://console.x.ai"}"#,
            money,
        ),
        (
            "xAI, a new team",
            403,
            r#"{"code":"The caller does not have permission to execute the specified operation","error":"Your newly created teams doesn't have any credits yet. You can purchase credits on https://console.x.ai"}"#,
            money,
        ),
        (
            "LiteLLM, a key's budget",
            400,
            r#"{"error":{"message":"Budget has been exceeded! Current cost: 20.5, Max budget: 20.0","type":"budget_exceeded","param":null,"code":"400"}}"#,
            (K::QuotaExhausted, S::Key, E::OtherKey),
        ),
        (
            "xAI, spent",
            429,
            r#"{"code":"Some resource has been exhausted","error":"Your team x has either used all available credits or reached its monthly spending limit."}"#,
            money,
        ),
        (
            "Cerebras",
            429,
            r#"{"message":"Requests per minute limit exceeded - too many requests sent.","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#,
            owner_lane,
        ),
        (
            "OpenAI, context",
            400,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            caller,
        ),
        (
            "OpenAI, streamed for those who are verified",
            400,
            r#"{"error":{"message":"Your organization must be verified to stream this model. Please go to: https://platform.openai.com/settings/organization/general and click on Verify Organization.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}"#,
            (K::WrongOwner, S::Caller, E::OtherOwner),
        ),
        (
            "OpenAI, project without the model",
            403,
            r#"{"error":{"message":"Project `proj_x` does not have access to model `gpt-5`","type":"invalid_request_error","code":"model_not_found"}}"#,
            (K::ModelUnavailable, S::KeyLane, E::OtherKey),
        ),
        (
            "OpenAI, overloaded",
            503,
            r#"{"error":{"message":"The server is overloaded","type":"server_error"}}"#,
            capacity,
        ),
        ("anybody, nothing said", 429, "", (K::RateLimited, S::KeyLane, E::OtherKey)),
    ] {
        assert_eq!(is(&openai(status, body)), expected, "{who}");
    }
    let learned = openai(
        429,
        r#"{"error":{"message":"Rate limit reached on tokens per minute (TPM): Limit 12000, Used 1. Please try again in 3.5s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
    );
    assert_eq!(learned.retry_after(), Some(Duration::from_millis(3_500)));
    assert_eq!(learned.news_of().unwrap().violations[0].amount, Some(12_000));
}

#[test]
fn anthropic_type_by_type() {
    let typed = |status: u16, kind: &str, message: &str| {
        let body =
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_x"}}"#);
        judge(&Anthropic::new(), status, &body)
    };
    for (status, kind, message, expected) in [
        (
            400,
            "invalid_request_error",
            "messages: at least one message is required",
            (K::CallerFault, S::Caller, E::No),
        ),
        (
            400,
            "invalid_request_error",
            "Output blocked by content filtering policy",
            (K::CallerFault, S::Caller, E::No),
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
            (K::QuotaExhausted, S::Owner, E::OtherKey),
        ),
        (
            400,
            "invalid_request_error",
            "This credential is only authorized for use with Claude Code and cannot be used for other API requests.",
            (K::InvalidKey, S::Key, E::OtherKey),
        ),
        (401, "authentication_error", "invalid x-api-key", (K::InvalidKey, S::Key, E::OtherKey)),
        (401, "authentication_error", "x-api-key header is required", (K::Misconfigured, S::Caller, E::No)),
        (403, "permission_error", "Your account does not have access to x.", (K::InvalidKey, S::KeyLane, E::OtherKey)),
        (404, "not_found_error", "model: claude-x", (K::ModelUnavailable, S::Lane, E::OtherModel)),
        (404, "not_found_error", "Not found", (K::CallerFault, S::Caller, E::No)),
        (413, "request_too_large", "Request exceeds the maximum size", (K::CallerFault, S::Caller, E::No)),
        (
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 40,000 input tokens per minute",
            (K::RateLimited, S::OwnerLane, E::OtherKey),
        ),
        (
            429,
            "rate_limit_error",
            "Number of request tokens has exceeded your per-minute rate limit",
            (K::RateLimited, S::OwnerLane, E::OtherKey),
        ),
        (500, "api_error", "Internal server error", (K::Transient, S::Caller, E::AfterPause)),
        (504, "timeout_error", "Request timed out", (K::Transient, S::Caller, E::AfterPause)),
        (529, "overloaded_error", "Overloaded", (K::Overloaded, S::Lane, E::AfterPause)),
    ] {
        assert_eq!(is(&typed(status, kind, message)), expected, "{status} {kind} {message}");
    }
}
