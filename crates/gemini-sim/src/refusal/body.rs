//! The bodies, word for word.

use serde_json::json;

use super::envelope::error_info;
use super::page::{BLOCK_PAGE, GATEWAY_PAGE};
use super::quota::{QUOTA_MESSAGE, help, limit_zero};
use super::{ApiError, Refusal};
use crate::Tier;
use crate::quota::Family;

/// What an error body may speak of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) key: &'a str,
    pub(crate) project: &'a str,
    pub(crate) model: &'a str,
    pub(crate) version: &'a str,
    /// `generateContent` and the like.
    pub(crate) method: &'a str,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn error(&self, scene: Scene<'_>) -> ApiError {
        const SERVICE: &str = "generativelanguage.googleapis.com";
        const CREDENTIALS: &str = "Request had invalid authentication credentials. Expected OAuth \
2 access token, login cookie or other valid authentication credential. See \
https://developers.google.com/identity/sign-in/web/devconsole-project.";
        const PREPAID: &str = "Your prepayment credits are depleted. Please go to AI Studio at \
https://ai.studio/projects to manage your project and billing.";

        let Scene { key, project, .. } = scene;
        let kind = self.kind();
        let consumer = format!("projects/{project}");
        let invalid = |message: &str| ApiError::invalid_argument(kind, message);
        let denied = |message: &str| ApiError::denied(kind, message);
        let exhausted = |message: &str| ApiError::new(429, kind, "RESOURCE_EXHAUSTED", message);
        let unauthenticated = |message: &str| ApiError::new(401, kind, "UNAUTHENTICATED", message);
        let bad_key = |message| invalid(message).because("API_KEY_INVALID", &json!({ "service": SERVICE }));
        let of_consumer = || json!({ "service": SERVICE, "consumer": consumer });
        match self {
            Self::ApiKeyInvalid => bad_key("API key not valid. Please pass a valid API key."),
            Self::ApiKeyNotFound => bad_key("API Key not found. Please pass a valid API key."),
            Self::ApiKeyExpired => bad_key("API key expired. Please renew the API key."),
            Self::MultipleCredentials => invalid("Multiple authentication credentials received. Please pass only one."),
            Self::UnregisteredCaller => denied(
                "Method doesn't allow unregistered callers (callers without established \
identity). Please use API Key or other form of API consumer identity to call this API.",
            ),
            Self::BadCredentials => unauthenticated(CREDENTIALS),
            Self::AccessTokenUnsupported => unauthenticated(CREDENTIALS).with([error_info(
                "ACCESS_TOKEN_TYPE_UNSUPPORTED",
                &json!({ "method": rpc_method(scene), "service": SERVICE }),
            )]),
            Self::ApiKeysUnsupported => unauthenticated(
                "API keys are not supported by this API. Expected OAuth2 access token or other \
authentication credentials that assert a principal. See https://cloud.google.com/docs/authentication",
            )
            .with([error_info("CREDENTIALS_MISSING", &json!({ "method": rpc_method(scene), "service": SERVICE }))]),
            Self::ConsumerSuspended => {
                denied(&format!("Permission denied: Consumer 'api_key:{key}' has been suspended.")).because(
                    "CONSUMER_SUSPENDED",
                    &json!({
                        "consumer": consumer,
                        "service": SERVICE,
                        "containerInfo": format!("api_key:{key}"),
                    }),
                )
            }
            Self::KeyLeaked => denied("Your API key was reported as leaked. Please use another API key."),
            Self::ServiceDisabled => service_disabled(project, kind, &consumer),
            Self::ServiceBlocked => {
                denied(&format!("Requests to this API {SERVICE} method {} are blocked.", rpc_method(scene)))
                    .because("API_KEY_SERVICE_BLOCKED", &of_consumer())
            }
            Self::ReferrerBlocked => denied("Requests from referer <empty> are blocked.")
                .because("API_KEY_HTTP_REFERRER_BLOCKED", &of_consumer()),
            Self::IpAddressBlocked => denied(
                "The provided API key has an IP address restriction. The originating IP address \
of the call (203.0.113.7) violates this restriction.",
            )
            .because("API_KEY_IP_ADDRESS_BLOCKED", &of_consumer()),
            Self::NoPermission => denied("The caller does not have permission"),
            Self::LocationUnsupported => {
                ApiError::new(400, kind, "FAILED_PRECONDITION", "User location is not supported for the API use.")
            }
            Self::AddressBlocked => ApiError::page(403, kind, BLOCK_PAGE),
            Self::ModelNotFound => ApiError::new(
                404,
                kind,
                "NOT_FOUND",
                format!(
                    "models/{} is not found for API version {}, or is not supported for {}. Call \
ListModels to see the list of available models and their supported methods.",
                    scene.model, scene.version, scene.method
                ),
            ),
            Self::ModelRetired => ApiError::new(
                404,
                kind,
                "NOT_FOUND",
                format!("This model models/{} is no longer available to new users.", scene.model),
            ),
            Self::PrepayDepleted => exhausted(PREPAID),
            Self::PrepayDepletedPaymentRequired => ApiError::new(402, kind, "RESOURCE_EXHAUSTED", PREPAID),
            Self::SpendingCap => exhausted(
                "Your project has exceeded its monthly spending cap. Please go to AI Studio at \
https://ai.studio/spend",
            ),
            Self::SpendRate => exhausted(
                "You exceeded your spend-based rate limit. Your spending rate has exceeded the \
allowed limit for your account's billing history and tier.",
            ),
            Self::LimitZero => limit_zero((Family::Generate, Tier::Free, scene.model)),
            Self::Exhausted => exhausted("Resource has been exhausted (e.g. check quota)."),
            Self::QuotaHelpOnly => exhausted(QUOTA_MESSAGE).with([help()]),
            Self::CapacityExhausted => exhausted("No capacity available for model on the server")
                .with([json!({ "reason": "MODEL_CAPACITY_EXHAUSTED" })]),
            Self::InvalidArgument => invalid("Request contains an invalid argument."),
            Self::TooManyTokens => too_many_tokens(1_048_576),
            Self::Cancelled => ApiError::new(499, kind, "CANCELLED", "The operation was cancelled."),
            Self::Internal => ApiError::new(
                500,
                kind,
                "INTERNAL",
                "An internal error has occurred. Please retry or report in \
https://developers.generativeai.google/guide/troubleshooting",
            ),
            Self::BadGateway => ApiError::page(502, kind, GATEWAY_PAGE),
            Self::Overloaded => {
                ApiError::new(503, kind, "UNAVAILABLE", "The model is overloaded. Please try again later.")
            }
            Self::HighDemand => ApiError::new(
                503,
                kind,
                "UNAVAILABLE",
                "This model is currently experiencing high demand. Spikes in demand are usually \
temporary. Please try again later.",
            ),
            Self::DeadlineExceeded => {
                ApiError::new(504, kind, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.")
            }
        }
    }
}

/// 400: a prompt of more tokens than a model takes.
pub(crate) fn too_many_tokens(most: u64) -> ApiError {
    let why = format!("The input token count exceeds the maximum number of tokens allowed {most}.");
    ApiError::invalid_argument(Refusal::TooManyTokens.kind(), why)
}

fn rpc_method(scene: Scene<'_>) -> String {
    let mut method = scene.method.to_owned();
    if let Some(first) = method.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("google.ai.generativelanguage.{}.GenerativeService.{method}", scene.version)
}

fn service_disabled(project: &str, kind: &'static str, consumer: &str) -> ApiError {
    let url = format!(
        "https://console.developers.google.com/apis/api/generativelanguage.googleapis.com/overview?project={project}"
    );
    ApiError::denied(
        kind,
        format!(
            "Generative Language API has not been used in project {project} before or it is \
disabled. Enable it by visiting {url} then retry. If you enabled this API recently, wait a few \
minutes for the action to propagate to our systems and retry."
        ),
    )
    .because(
        "SERVICE_DISABLED",
        &json!({
            "service": "generativelanguage.googleapis.com",
            "consumer": consumer,
            "serviceTitle": "Generative Language API",
            "containerInfo": project,
            "activationUrl": url,
        }),
    )
    .with([json!({
        "@type": "type.googleapis.com/google.rpc.Help",
        "links": [{ "description": "Google developers console API activation", "url": url }],
    })])
}
