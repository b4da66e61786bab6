//! The provider's real refusals, loaded from `samples/`, and quota errors in the same format.

use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Tier;
use crate::quota::{Unit, Violation, quota_names};

/// The text of a sample, which is a real response of the provider as JSON.
macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../samples/", $name, ".json"))
    };
}

/// Defines each refusal with its kind in reports and its sample.
macro_rules! refusals {
    ($(#[$enum_doc:meta])* pub enum Refusal { $($(#[$doc:meta])* $name:ident: $kind:literal, $sample:literal;)* }) => {
        $(#[$enum_doc])*
        pub enum Refusal { $($(#[$doc])* $name,)* }

        impl Refusal {
            fn kind_and_sample(&self) -> (&'static str, &'static str) {
                match self { $(Self::$name => ($kind, sample!($sample)),)* }
            }
        }
    };
}

refusals! {
/// A refusal with the real provider's status and body.
///
/// It can be set for a [`Key`](crate::Key) from the start, with [`GeminiSim::refuse_key`](crate::GeminiSim::refuse_key)
/// at any time, or as a [`Fault`](crate::Fault) of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 400 `API_KEY_INVALID`: "API key not valid".
    ApiKeyInvalid: "api_key_invalid", "gemini_400_api_key_invalid";
    /// 400 `API_KEY_INVALID`: "API Key not found", as while a new key propagates.
    ApiKeyNotFound: "api_key_not_found", "gemini_400_api_key_not_found";
    /// 400 `API_KEY_INVALID`: "API key expired".
    ApiKeyExpired: "api_key_expired", "gemini_400_api_key_expired";
    /// 400: the request has two credentials.
    MultipleCredentials: "multiple_credentials", "gemini_400_multiple_credentials";
    /// 403: the request has no credentials.
    UnregisteredCaller: "unregistered_caller", "gemini_403_unregistered_callers";
    /// 401: a Bearer token on a native path.
    BadCredentials: "bad_credentials", "gemini_401_unauthenticated_bad_credentials";
    /// 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`: the key's service account was deleted.
    AccessTokenUnsupported: "access_token_unsupported", "gemini_401_access_token_type_unsupported";
    /// 401 `CREDENTIALS_MISSING`: this API does not accept API keys.
    ApiKeysUnsupported: "api_keys_unsupported", "gemini_401_unauthenticated_api_keys_not_supported";
    /// 403 `CONSUMER_SUSPENDED`. The body contains the caller's full key, as
    /// the real one does.
    ConsumerSuspended: "consumer_suspended", "gemini_403_consumer_suspended";
    /// 403: the key was reported as leaked.
    KeyLeaked: "key_leaked", "gemini_403_key_reported_leaked";
    /// 403 `SERVICE_DISABLED`: the API is disabled in this project.
    ServiceDisabled: "service_disabled", "gemini_403_service_disabled";
    /// 403 `API_KEY_SERVICE_BLOCKED`: the key may not call this API.
    ServiceBlocked: "service_blocked", "gemini_403_api_key_service_blocked";
    /// 403 `API_KEY_HTTP_REFERRER_BLOCKED`.
    ReferrerBlocked: "referrer_blocked", "gemini_403_api_key_http_referrer_blocked";
    /// 403 `API_KEY_IP_ADDRESS_BLOCKED`.
    IpAddressBlocked: "ip_address_blocked", "gemini_403_api_key_ip_address_blocked";
    /// 403 without a reason.
    NoPermission: "no_permission", "gemini_403_caller_no_permission";
    /// 400 `FAILED_PRECONDITION`: the caller's address is in the wrong country.
    LocationUnsupported: "location_unsupported", "gemini_400_location_not_supported";
    /// 403 with an HTML page: the caller's address is blocked.
    AddressBlocked: "address_blocked", "gemini_403_ip_banned_html";
    /// 404: the model does not exist.
    ModelNotFound: "model_not_found", "gemini_404_model_not_found";
    /// 404: the model is closed to this project.
    ModelRetired: "model_retired", "gemini_404_model_retired_new_users";
    /// 429: the billing account is out of prepaid credits.
    PrepayDepleted: "prepay_depleted", "gemini_429_prepay_depleted";
    /// 402: the same error of newer servers.
    PrepayDepletedPaymentRequired: "prepay_depleted", "gemini_402_prepay_depleted";
    /// 429: the project's monthly spending cap is reached.
    SpendingCap: "spending_cap", "gemini_429_spending_cap";
    /// 429: the billing account's ten-minute spending limit is reached.
    SpendRate: "spend_rate", "gemini_429_spend_rate_limit";
    /// 429 with `limit: 0`: the project has no entitlement to this model.
    LimitZero: "limit_zero", "gemini_429_free_tier_limit_zero";
    /// 429 without details.
    Exhausted: "exhausted", "gemini_429_exhausted_no_details";
    /// 429 with a help link but without a quota.
    QuotaHelpOnly: "quota_help_only", "gemini_429_quota_help_only";
    /// 429 `MODEL_CAPACITY_EXHAUSTED`.
    CapacityExhausted: "capacity_exhausted", "gemini_429_model_capacity_exhausted";
    /// 400: "Request contains an invalid argument."
    InvalidArgument: "invalid_argument", "gemini_400_invalid_argument_generic";
    /// 400: the prompt is longer than the model's context.
    TooManyTokens: "too_many_tokens", "gemini_400_request_too_many_tokens";
    /// 499.
    Cancelled: "cancelled", "gemini_499_cancelled";
    /// 500.
    Internal: "internal", "gemini_500_internal";
    /// 502 with an HTML page.
    BadGateway: "bad_gateway", "gemini_502_bad_gateway_html";
    /// 503 "The model is overloaded".
    Overloaded: "overloaded", "gemini_503_overloaded";
    /// 503 "This model is currently experiencing high demand".
    HighDemand: "high_demand", "gemini_503_high_demand";
    /// 504.
    DeadlineExceeded: "deadline_exceeded", "gemini_504_deadline_exceeded";
}
}

/// The page for paths that do not exist.
const UNKNOWN_PATH: (&str, &str) = ("unknown_path", sample!("gemini_404_unknown_path_html"));
/// The page for methods that HTTP does not have.
const UNKNOWN_METHOD: (&str, &str) = ("unknown_method", sample!("gemini_405_unknown_method_html"));

/// The caller of a request. Rules match against these values, and refusals contain them in place of the key, project
/// and model of a sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller<'a> {
    /// The label of the key.
    pub(crate) label: &'a str,
    pub(crate) secret: &'a str,
    /// The number of the project.
    pub(crate) project: &'a str,
    pub(crate) model: &'a str,
    /// The API version, such as `v1beta`.
    pub(crate) version: &'a str,
    /// The method, such as `generateContent`.
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
}

#[derive(Deserialize)]
struct Sample {
    status: u16,
    body: Value,
}

impl Refusal {
    /// Returns the kind in reports.
    pub fn kind(&self) -> &'static str {
        self.kind_and_sample().0
    }

    /// Returns the HTTP status of the response.
    pub fn status(&self) -> StatusCode {
        load(self.kind_and_sample(), Caller::default()).status
    }

    /// Reports whether the request is charged before this refusal: failures of the model come after the quota check,
    /// refusals before it.
    pub(crate) fn comes_after_quota(&self) -> bool {
        let by_model = matches!(self, Self::InvalidArgument | Self::TooManyTokens | Self::Cancelled);
        by_model || self.status().is_server_error()
    }

    pub(crate) fn error(&self, caller: Caller<'_>) -> ApiError {
        match self {
            Self::LimitZero => limit_zero(QuotaOwner { tier: Tier::Free, model: caller.model, embeds: false }),
            _ => load(self.kind_and_sample(), caller),
        }
    }
}

/// Returns the 404 for an unknown path, or the 405 for an unknown HTTP method.
pub(crate) fn not_found_page(method: &http::Method) -> ApiError {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let page = if KNOWN.contains(&method.as_str()) { UNKNOWN_PATH } else { UNKNOWN_METHOD };
    load(page, Caller::default())
}

/// Returns the 400 for a prompt that exceeds the model's maximum number of tokens.
pub(crate) fn too_many_tokens(most: u64) -> ApiError {
    let why = format!("The input token count exceeds the maximum number of tokens allowed {most}.");
    ApiError::invalid_argument(Refusal::TooManyTokens.kind(), why)
}

fn load((kind, sample): (&'static str, &str), caller: Caller<'_>) -> ApiError {
    let sample: Sample = serde_json::from_str(sample).expect("a sample is JSON");
    let body = match sample.body {
        Value::String(page) => Body::Html(page),
        mut body => {
            fill_in(&mut body, caller);
            Body::Json(RpcStatus::deserialize(body["error"].take()).expect("a sample is an error"))
        }
    };
    ApiError { status: StatusCode::from_u16(sample.status).expect("a valid status"), kind, body }
}

/// Replaces the key, project, model, version and method of a sample with the caller's own.
fn fill_in(value: &mut Value, caller: Caller<'_>) {
    const KEY: &str = "AIzaSyFAKE-FAKE-FAKE-FAKE-FAKE-FAKE-000";
    const PROJECT: &str = "123456789012";
    const METHOD: &str = "google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent";
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(item, caller)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_in(field, caller)),
        Value::String(text) => {
            let Caller { secret, project, model, version, method, .. } = caller;
            let (first, rest) = method.split_at(method.len().min(1));
            let service = format!("google.ai.generativelanguage.{version}.GenerativeService");
            *text = text
                .replace(METHOD, &format!("{service}.{}{rest}", first.to_ascii_uppercase()))
                .replace("models/gemini-1.0-pro", &format!("models/{model}"))
                .replace("models/gemini-2.5-flash", &format!("models/{model}"))
                .replace("API version v1beta", &format!("API version {version}"))
                .replace("supported for generateContent", &format!("supported for {method}"))
                .replace(PROJECT, project)
                .replace(KEY, secret);
        }
        _ => {}
    }
}

/// An error of the API: Google's JSON envelope or an HTML page.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// The kind in reports.
    pub(crate) kind: &'static str,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Json(RpcStatus),
    Html(String),
}

/// `google.rpc.Status` in JSON, in the real order of its fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct RpcStatus {
    code: u16,
    message: String,
    status: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<Value>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a RpcStatus,
}

impl ApiError {
    pub(crate) fn new(code: u16, kind: &'static str, status: &str, message: impl Into<String>) -> Self {
        let body = RpcStatus { code, message: message.into(), status: status.to_owned(), details: Vec::new() };
        Self { status: StatusCode::from_u16(code).expect("a valid status"), kind, body: Body::Json(body) }
    }

    pub(crate) fn invalid_argument(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, kind, "INVALID_ARGUMENT", message)
    }

    /// Creates the 400 for a malformed request.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::invalid_argument("malformed", message)
    }

    pub(crate) fn denied(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, kind, "PERMISSION_DENIED", message)
    }

    pub(crate) fn with(mut self, more: impl IntoIterator<Item = Value>) -> Self {
        if let Body::Json(RpcStatus { details, .. }) = &mut self.body {
            details.extend(more);
        }
        self
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.body {
            Body::Json(_) => "application/json; charset=UTF-8",
            Body::Html(_) => "text/html; charset=UTF-8",
        }
    }

    /// Returns the body, indented as by the provider. Endpoints that stream a list and those of OpenAI's API wrap it in
    /// a list.
    pub(crate) fn to_body(&self, in_list: bool) -> String {
        match &self.body {
            Body::Html(page) => page.clone(),
            Body::Json(error) => {
                let envelope = Envelope { error };
                let text = if in_list {
                    serde_json::to_string_pretty(&[envelope])
                } else {
                    serde_json::to_string_pretty(&envelope)
                };
                text.expect("plain data") + "\n"
            }
        }
    }

    /// Returns the body on one line, as in an event of a stream.
    pub(crate) fn to_line(&self) -> String {
        match &self.body {
            Body::Html(page) => page.clone(),
            Body::Json(error) => serde_json::to_string(&Envelope { error }).expect("plain data"),
        }
    }
}

/// Returns a 400 with the `BadRequest` detail, which lists fields with their problems. The field is empty if the real
/// error does not name one.
pub(crate) fn bad_request(violations: &[(String, String)]) -> ApiError {
    let message: Vec<_> = violations.iter().map(|(_, description)| description.as_str()).collect();
    let violations = violations.iter().map(|(field, description)| match &**field {
        "" => json!({ "description": description }),
        field => json!({ "field": field, "description": description }),
    });
    let details = json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": violations.collect::<Vec<_>>(),
    });
    ApiError::malformed(message.join("\n")).with([details])
}

const MESSAGE: &str = "You exceeded your current quota, please check your plan and billing details. For more \
information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, \
head to: https://ai.dev/rate-limit. ";

/// The subject of a quota error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaOwner<'a> {
    pub(crate) tier: Tier,
    pub(crate) model: &'a str,
    pub(crate) embeds: bool,
}

/// Returns the 429 for exceeded limits. For the daily requests of a free project, the real provider responds with a
/// delay of less than a minute: `short_delay`.
pub(crate) fn over_limit(violations: &[Violation], owner: QuotaOwner<'_>, short_delay: Duration) -> ApiError {
    let delay = |violation: &Violation| match violation.unit {
        Unit::RequestsPerDay if owner.tier == Tier::Free => short_delay,
        _ => violation.wait,
    };
    let delay = violations.iter().map(delay).max().unwrap_or(short_delay);
    let exceeded: Vec<_> = violations.iter().map(|violation| (violation.unit, violation.limit)).collect();
    quota_failure("over_limit", &exceeded, owner, delay)
}

/// Returns the 429 for a model for which the project has no quota.
pub(crate) fn limit_zero(owner: QuotaOwner<'_>) -> ApiError {
    let all = [Unit::TokensPerDay, Unit::TokensPerMinute, Unit::RequestsPerMinute, Unit::RequestsPerDay];
    quota_failure("limit_zero", &all.map(|unit| (unit, 0)), owner, Duration::from_nanos(59_953_424_872))
}

fn quota_failure(kind: &'static str, exceeded: &[(Unit, u64)], owner: QuotaOwner<'_>, delay: Duration) -> ApiError {
    let model = owner.model;
    let mut message = MESSAGE.to_owned();
    let mut violations = Vec::new();
    for &(unit, limit) in exceeded {
        let (id, metric) = quota_names(unit, owner.tier, owner.embeds);
        let metric = format!("generativelanguage.googleapis.com/{metric}");
        let _ = write!(message, "\n* Quota exceeded for metric: {metric}, limit: {limit}, model: {model}");
        let mut violation = json!({
            "quotaMetric": metric,
            "quotaId": id,
            "quotaDimensions": { "location": "global", "model": model },
        });
        // Zero is the default of the field, which proto3's JSON omits.
        if limit > 0 {
            violation["quotaValue"] = limit.to_string().into();
        }
        violations.push(violation);
    }
    let _ = write!(message, "\nPlease retry in {}.", go_duration(delay));
    let help = json!({
        "description": "Learn more about Gemini API quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    });
    let retry_delay = format!("{}s", delay.as_secs());
    ApiError::new(429, kind, "RESOURCE_EXHAUSTED", message).with([
        json!({ "@type": "type.googleapis.com/google.rpc.Help", "links": [help] }),
        json!({ "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations }),
        json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay }),
    ])
}

/// Formats a duration as Go does: `18h24m54.846222292s`, `38.5s`, `644ms`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", f64::from(duration.subsec_nanos()) / 1e6);
    }
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let rest = format!("{}.{:09}", seconds % 60, duration.subsec_nanos());
    let rest = rest.trim_end_matches('0').trim_end_matches('.');
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_format_of_go() {
        let of = |seconds, nanos| go_duration(Duration::new(seconds, nanos));
        assert_eq!(of(66_294, 846_222_292), "18h24m54.846222292s");
        assert_eq!(
            (of(38, 500_000_000), of(0, 644_000_000), of(60, 0)),
            ("38.5s".into(), "644ms".into(), "1m0s".into())
        );
    }
}
