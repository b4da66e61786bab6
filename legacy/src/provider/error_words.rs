//! The words that `OpenAI`, Anthropic and their likes use for what HTTP has statuses for: needed where an error
//! stands inside a stream whose status was good.

use serde_json::Value;

use super::rule::{Rule, status_named};

/// The HTTP status that an error object stands for: its own number, or that of its code; else what stands beside it in `event`, or
/// what its type stands for, which is the most general. What a code means that is not listed here the provider's own tables say.
pub(super) fn status_of(error: &Value, event: Option<&Value>, tables: &[&[Rule]]) -> Option<u16> {
    let number_of = |of: &Value, name: &str| {
        let value = of.get(name)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    };
    let number = |name| number_of(error, name);
    let beside = || ["status_code", "status", "statusCode"].iter().find_map(|name| number_of(event?, name));
    let word = |name| {
        let word = error.get(name)?;
        let word = word.as_str().map_or_else(|| word.to_string(), str::to_owned);
        let known = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&word)).map(|(_, status)| *status);
        known.or_else(|| status_named(tables, &word))
    };
    let outcome = || {
        let code = error.get("status_code")?.as_u64()?;
        OUTCOMES.iter().find(|(known, _)| *known == code).map(|(_, status)| *status)
    };
    let told = ["code", "status", "http_code"].into_iter().find_map(number).or_else(|| word("code"));
    told.or_else(outcome).or_else(beside).or_else(|| word("type"))
}

/// `MiniMax`'s numbers.
const OUTCOMES: &[(u64, u16)] = &[
    (1002, 429),
    (1004, 401),
    (1008, 402),
    (1026, 400),
    (1027, 400),
    (1039, 429),
    (1041, 429),
    (1042, 400),
    (2013, 400),
    (2045, 429),
    (2049, 401),
    (2056, 429),
    (2061, 403),
];

const WORDS: &[(&str, u16)] = &[
    // DashScope's.
    ("InvalidParameter", 400),
    ("DataInspectionFailed", 400),
    ("data_inspection_failed", 400),
    ("InvalidApiKey", 401),
    ("AccessDenied", 403),
    ("ModelNotFound", 404),
    ("Throttling", 429),
    ("Throttling.RateQuota", 429),
    ("Throttling.BurstRate", 429),
    ("Throttling.AllocationQuota", 429),
    ("Throttling.ResourceExhausted", 429),
    ("Throttling.Concurrency", 429),
    ("limit_requests", 429),
    ("limit_burst_rate", 429),
    ("Throttling.ServiceOverloaded", 503),
    // iFlytek's: not for this application, too many.
    ("11200", 403),
    ("11202", 429),
    // Moonshot's.
    ("rate_limit_reached_error", 429),
    ("InternalError", 500),
    // Mistral's.
    ("rate_limited", 429),
    ("service_tier_capacity_exceeded", 429),
    // vLLM's.
    ("BadRequestError", 400),
    ("NotFoundError", 404),
    ("invalid_request_error", 400),
    ("invalid_request", 400),
    ("context_length_exceeded", 400),
    ("content_filter", 400),
    ("invalid_prompt", 400),
    ("content_policy_violation", 400),
    ("cyber_policy", 400),
    ("bio_policy", 400),
    ("moderation_blocked", 400),
    ("image_content_policy_violation", 400),
    ("image_generation_user_error", 400),
    ("external_connector_error", 400),
    ("invalid_image", 400),
    ("invalid_image_format", 400),
    ("invalid_base64_image", 400),
    ("invalid_image_url", 400),
    ("invalid_image_mode", 400),
    ("image_too_large", 400),
    ("image_too_small", 400),
    ("image_parse_error", 400),
    ("image_file_too_large", 400),
    ("image_file_not_found", 400),
    ("empty_image_file", 400),
    ("unsupported_image_media_type", 400),
    ("failed_to_download_image", 400),
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("account_deactivated", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("inference_not_authorized_error", 403),
    ("request_forbidden", 403),
    ("usage_not_included", 403),
    ("not_found_error", 404),
    ("model_not_found", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("insufficient_quota", 429),
    ("usage_limit_reached", 429),
    ("credit_balance_exhausted", 429),
    ("organization_spend_limit_exceeded", 429),
    ("project_spend_limit_exceeded", 429),
    ("organization_usage_limit_exceeded", 429),
    ("billing_hard_limit_reached", 429),
    ("requests", 429),
    ("tokens", 429),
    ("api_error", 500),
    ("server_error", 500),
    ("internal_error", 500),
    ("service_unavailable", 503),
    ("slow_down", 503),
    ("timeout_error", 504),
    ("timeout", 504),
    ("overloaded_error", 529),
];
