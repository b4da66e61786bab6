//! The provider's real ways of saying no.

mod body;
mod envelope;
mod page;
mod quota;

use http::StatusCode;

pub(crate) use body::{Scene, too_many_tokens};
pub(crate) use envelope::{ApiError, Wrapping, bad_request};
pub(crate) use page::not_found_page;
pub(crate) use quota::{limit_zero, over_quota};

/// A refusal with the real provider's status and body.
///
/// Give one to a [`Key`](crate::Key) or a [`Project`](crate::Project) that is
/// refused from the start, to [`GeminiSim::refuse_key`](crate::GeminiSim::refuse_key)
/// while it runs, or to a [`Fault`](crate::Fault) of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 400 `API_KEY_INVALID`: "API key not valid".
    ApiKeyInvalid,
    /// 400 `API_KEY_INVALID`: "API Key not found", as while keys propagate.
    ApiKeyNotFound,
    /// 400 `API_KEY_INVALID`: "API key expired".
    ApiKeyExpired,
    /// 400: two credentials came with one request.
    MultipleCredentials,
    /// 403: no credential came at all.
    UnregisteredCaller,
    /// 401: a Bearer token on a native path.
    BadCredentials,
    /// 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`: the key's service account is gone.
    AccessTokenUnsupported,
    /// 401 `CREDENTIALS_MISSING`: this API wants no API keys.
    ApiKeysUnsupported,
    /// 403 `CONSUMER_SUSPENDED`. The body contains the caller's full key, as
    /// the real one does.
    ConsumerSuspended,
    /// 403: the key was reported as leaked.
    KeyLeaked,
    /// 403 `SERVICE_DISABLED`: the API is off in this project.
    ServiceDisabled,
    /// 403 `API_KEY_SERVICE_BLOCKED`: the key may not call this API.
    ServiceBlocked,
    /// 403 `API_KEY_HTTP_REFERRER_BLOCKED`.
    ReferrerBlocked,
    /// 403 `API_KEY_IP_ADDRESS_BLOCKED`.
    IpAddressBlocked,
    /// 403 without any reason.
    NoPermission,
    /// 400 `FAILED_PRECONDITION`: the caller's address is in the wrong country.
    LocationUnsupported,
    /// 403 with an HTML page: the caller's address is blocked.
    AddressBlocked,
    /// 404: the model does not exist.
    ModelNotFound,
    /// 404: the model is closed to this project.
    ModelRetired,
    /// 429: the billing account is out of prepaid credits.
    PrepayDepleted,
    /// 402: the same, as newer servers say it.
    PrepayDepletedPaymentRequired,
    /// 429: the project's monthly spending cap.
    SpendingCap,
    /// 429: the billing account's ten-minute spending window.
    SpendRate,
    /// 429 with the limit-zero body: no entitlement to this model.
    LimitZero,
    /// 429 without details.
    Exhausted,
    /// 429 with a help link and no quota.
    QuotaHelpOnly,
    /// 429 `MODEL_CAPACITY_EXHAUSTED`.
    CapacityExhausted,
    /// 400: "Request contains an invalid argument."
    InvalidArgument,
    /// 400: the prompt is longer than the model's context.
    TooManyTokens,
    /// 499.
    Cancelled,
    /// 500.
    Internal,
    /// 502 with an HTML page.
    BadGateway,
    /// 503 "The model is overloaded".
    Overloaded,
    /// 503 "This model is currently experiencing high demand".
    HighDemand,
    /// 504.
    DeadlineExceeded,
}

impl Refusal {
    /// The word for it in reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApiKeyInvalid => "api_key_invalid",
            Self::ApiKeyNotFound => "api_key_not_found",
            Self::ApiKeyExpired => "api_key_expired",
            Self::MultipleCredentials => "multiple_credentials",
            Self::UnregisteredCaller => "unregistered_caller",
            Self::BadCredentials => "bad_credentials",
            Self::AccessTokenUnsupported => "access_token_unsupported",
            Self::ApiKeysUnsupported => "api_keys_unsupported",
            Self::ConsumerSuspended => "consumer_suspended",
            Self::KeyLeaked => "key_leaked",
            Self::ServiceDisabled => "service_disabled",
            Self::ServiceBlocked => "service_blocked",
            Self::ReferrerBlocked => "referrer_blocked",
            Self::IpAddressBlocked => "ip_address_blocked",
            Self::NoPermission => "no_permission",
            Self::LocationUnsupported => "location_unsupported",
            Self::AddressBlocked => "address_blocked",
            Self::ModelNotFound => "model_not_found",
            Self::ModelRetired => "model_retired",
            Self::PrepayDepleted | Self::PrepayDepletedPaymentRequired => "prepay_depleted",
            Self::SpendingCap => "spending_cap",
            Self::SpendRate => "spend_rate",
            Self::LimitZero => "limit_zero",
            Self::Exhausted => "exhausted",
            Self::QuotaHelpOnly => "quota_help_only",
            Self::CapacityExhausted => "capacity_exhausted",
            Self::InvalidArgument => "invalid_argument",
            Self::TooManyTokens => "too_many_tokens",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
            Self::BadGateway => "bad_gateway",
            Self::Overloaded => "overloaded",
            Self::HighDemand => "high_demand",
            Self::DeadlineExceeded => "deadline_exceeded",
        }
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        let code = match self {
            Self::ApiKeyInvalid
            | Self::ApiKeyNotFound
            | Self::ApiKeyExpired
            | Self::MultipleCredentials
            | Self::LocationUnsupported
            | Self::InvalidArgument
            | Self::TooManyTokens => 400,
            Self::BadCredentials | Self::AccessTokenUnsupported | Self::ApiKeysUnsupported => 401,
            Self::PrepayDepletedPaymentRequired => 402,
            Self::UnregisteredCaller
            | Self::ConsumerSuspended
            | Self::KeyLeaked
            | Self::ServiceDisabled
            | Self::ServiceBlocked
            | Self::ReferrerBlocked
            | Self::IpAddressBlocked
            | Self::NoPermission
            | Self::AddressBlocked => 403,
            Self::ModelNotFound | Self::ModelRetired => 404,
            Self::PrepayDepleted
            | Self::SpendingCap
            | Self::SpendRate
            | Self::LimitZero
            | Self::Exhausted
            | Self::QuotaHelpOnly
            | Self::CapacityExhausted => 429,
            Self::Cancelled => 499,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Overloaded | Self::HighDemand => 503,
            Self::DeadlineExceeded => 504,
        };
        StatusCode::from_u16(code).expect("a three-digit status")
    }

    /// Whether a request that meets this had already been counted against its
    /// quota: the model's failures come after the quota check, refusals before.
    pub(crate) fn comes_after_quota(&self) -> bool {
        matches!(
            self,
            Self::InvalidArgument
                | Self::TooManyTokens
                | Self::Cancelled
                | Self::Internal
                | Self::BadGateway
                | Self::Overloaded
                | Self::HighDemand
                | Self::DeadlineExceeded
        )
    }
}
