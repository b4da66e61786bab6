//! The provider's real refusals, loaded from `samples/`.

mod error;
mod quota;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::Tier;
use error::{Body, RpcStatus};

pub(crate) use error::{ApiError, bad_request};
pub(crate) use quota::{QuotaOwner, limit_zero, over_limit};

/// The text of a sample: an answer of the real provider, as JSON.
macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../samples/", $name, ".json"))
    };
}

/// Each refusal with its word in reports and its sample.
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
/// Give one to a [`Key`](crate::Key) or a [`Project`](crate::Project) that is
/// refused from the start, to [`GeminiSim::refuse_key`](crate::GeminiSim::refuse_key)
/// while it runs, or to a [`Fault`](crate::Fault) of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 400 `API_KEY_INVALID`: "API key not valid".
    ApiKeyInvalid: "api_key_invalid", "gemini_400_api_key_invalid";
    /// 400 `API_KEY_INVALID`: "API Key not found", as while keys propagate.
    ApiKeyNotFound: "api_key_not_found", "gemini_400_api_key_not_found";
    /// 400 `API_KEY_INVALID`: "API key expired".
    ApiKeyExpired: "api_key_expired", "gemini_400_api_key_expired";
    /// 400: two credentials came with one request.
    MultipleCredentials: "multiple_credentials", "gemini_400_multiple_credentials";
    /// 403: no credential came at all.
    UnregisteredCaller: "unregistered_caller", "gemini_403_unregistered_callers";
    /// 401: a Bearer token on a native path.
    BadCredentials: "bad_credentials", "gemini_401_unauthenticated_bad_credentials";
    /// 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`: the key's service account is gone.
    AccessTokenUnsupported: "access_token_unsupported", "gemini_401_access_token_type_unsupported";
    /// 401 `CREDENTIALS_MISSING`: this API wants no API keys.
    ApiKeysUnsupported: "api_keys_unsupported", "gemini_401_unauthenticated_api_keys_not_supported";
    /// 403 `CONSUMER_SUSPENDED`. The body contains the caller's full key, as
    /// the real one does.
    ConsumerSuspended: "consumer_suspended", "gemini_403_consumer_suspended";
    /// 403: the key was reported as leaked.
    KeyLeaked: "key_leaked", "gemini_403_key_reported_leaked";
    /// 403 `SERVICE_DISABLED`: the API is off in this project.
    ServiceDisabled: "service_disabled", "gemini_403_service_disabled";
    /// 403 `API_KEY_SERVICE_BLOCKED`: the key may not call this API.
    ServiceBlocked: "service_blocked", "gemini_403_api_key_service_blocked";
    /// 403 `API_KEY_HTTP_REFERRER_BLOCKED`.
    ReferrerBlocked: "referrer_blocked", "gemini_403_api_key_http_referrer_blocked";
    /// 403 `API_KEY_IP_ADDRESS_BLOCKED`.
    IpAddressBlocked: "ip_address_blocked", "gemini_403_api_key_ip_address_blocked";
    /// 403 without any reason.
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
    /// 402: the same, as newer servers say it.
    PrepayDepletedPaymentRequired: "prepay_depleted", "gemini_402_prepay_depleted";
    /// 429: the project's monthly spending cap.
    SpendingCap: "spending_cap", "gemini_429_spending_cap";
    /// 429: the billing account's ten-minute spending window.
    SpendRate: "spend_rate", "gemini_429_spend_rate_limit";
    /// 429 with the limit-zero body: no entitlement to this model.
    LimitZero: "limit_zero", "gemini_429_free_tier_limit_zero";
    /// 429 without details.
    Exhausted: "exhausted", "gemini_429_exhausted_no_details";
    /// 429 with a help link and no quota.
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

/// Whose request it is: what a rule may ask about it, and what takes the place of the samples' own key, project and
/// model in a refusal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller<'a> {
    /// The key's place in the order of definition.
    pub(crate) key: Option<usize>,
    pub(crate) label: &'a str,
    pub(crate) secret: &'a str,
    /// Its number.
    pub(crate) project: &'a str,
    pub(crate) model: &'a str,
    /// `v1beta` and the like.
    pub(crate) version: &'a str,
    /// `generateContent` and the like.
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
}

#[derive(Deserialize)]
struct Sample {
    status: u16,
    body: Value,
}

impl Refusal {
    /// The word for it in reports.
    pub fn kind(&self) -> &'static str {
        self.kind_and_sample().0
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        load(self.kind_and_sample(), Caller::default()).status
    }

    /// Whether a request that meets this had already been counted against its quota: the model's failures come after
    /// the quota check, refusals before.
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

/// 404 or 405: no endpoint has this path, or HTTP has no such method.
pub(crate) fn not_found_page(method: &http::Method) -> ApiError {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let page = if KNOWN.contains(&method.as_str()) { UNKNOWN_PATH } else { UNKNOWN_METHOD };
    load(page, Caller::default())
}

/// 400: a prompt of more tokens than a model takes.
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

/// Replaces what a sample says of the caller by the caller's own.
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
