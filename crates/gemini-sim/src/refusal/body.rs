//! The bodies, word for word.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::Refusal;
use super::quota::{QUOTA_MESSAGE, help, limit_zero};

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

/// An error before it is written: Google's envelope, or a page of HTML.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) kind: &'static str,
    message: String,
    status: &'static str,
    details: Vec<Value>,
    page: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Status<'a>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    message: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    details: &'a [Value],
}

const BLOCK_PAGE: &str = "<html><head><title>Sorry...</title></head><body>We're sorry but your \
computer or network may be sending automated queries. To protect our users, we can't process your \
request right now.</body></html>";

const NOT_FOUND_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 404 (Not Found)!!1\
</title>\n  <p><b>404.</b> <ins>That's an error.</ins>\n  <p>The requested URL was not found on \
this server.  <ins>That's all we know.</ins>\n";

const METHOD_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 405 (Method Not \
Allowed)!!1</title>\n  <p><b>405.</b> <ins>That's an error.</ins>\n";

const GATEWAY_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 502 (Server Error)!!1\
</title>\n  <p><b>502.</b> <ins>That's an error.</ins>\n  <p>The server encountered a temporary \
error and could not complete your request.<p>Please try again in 30 seconds.\n";

// === impl ApiError ===

impl ApiError {
    pub(crate) fn new(
        code: u16,
        kind: &'static str,
        status: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            kind,
            message: message.into(),
            status,
            details: Vec::new(),
            page: None,
        }
    }

    pub(crate) fn invalid_argument(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, kind, "INVALID_ARGUMENT", message)
    }

    pub(crate) fn denied(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, kind, "PERMISSION_DENIED", message)
    }

    fn page(code: u16, kind: &'static str, page: &'static str) -> Self {
        Self {
            page: Some(page),
            ..Self::new(code, kind, "", "")
        }
    }

    pub(crate) fn with(mut self, details: impl IntoIterator<Item = Value>) -> Self {
        self.details.extend(details);
        self
    }

    /// Adds the two details that a named refusal carries: reason and text.
    fn because(self, reason: &str, metadata: Value) -> Self {
        let message = self.message.clone();
        self.with([
            error_info(reason, metadata),
            json!({
                "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                "locale": "en-US",
                "message": message,
            }),
        ])
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code).expect("a three-digit status")
    }

    pub(crate) fn content_type(&self) -> &'static str {
        if self.page.is_some() {
            "text/html; charset=UTF-8"
        } else {
            "application/json; charset=UTF-8"
        }
    }

    /// The body, indented as the provider does; in a list of one where the
    /// endpoint answers with lists.
    pub(crate) fn text(&self, in_list: bool) -> String {
        if let Some(page) = self.page {
            return page.to_owned();
        }
        let envelope = self.envelope();
        let mut text = if in_list {
            serde_json::to_string_pretty(&[envelope])
        } else {
            serde_json::to_string_pretty(&envelope)
        }
        .expect("plain data");
        text.push('\n');
        text
    }

    /// The body on one line, as an event of a stream carries it.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(&self.envelope()).expect("plain data")
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            error: Status {
                code: self.code,
                message: &self.message,
                status: self.status,
                details: &self.details,
            },
        }
    }
}

fn error_info(reason: &str, metadata: Value) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": metadata,
    })
}

/// 400 with the `BadRequest` detail; `field` is left out where the real one
/// names none.
pub(crate) fn bad_request(field: Option<&str>, description: &str) -> ApiError {
    let violation = match field {
        Some(field) => json!({ "field": field, "description": description }),
        None => json!({ "description": description }),
    };
    ApiError::invalid_argument("malformed", description).with([json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [violation],
    })])
}

/// The page for paths that lead nowhere, and for methods that no path has.
pub(crate) fn not_found_page(method_exists: bool) -> ApiError {
    if method_exists {
        ApiError::page(404, "unknown_path", NOT_FOUND_PAGE)
    } else {
        ApiError::page(405, "unknown_method", METHOD_PAGE)
    }
}

/// A duration as the provider's messages write it: `18h24m54.846222292s`,
/// `38.5s`, `644ms`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        let micros = f64::from(duration.subsec_nanos()) / 1_000_000.0;
        return format!("{micros}ms");
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
        let bad_key =
            |message| invalid(message).because("API_KEY_INVALID", json!({ "service": SERVICE }));
        let of_consumer = || json!({ "service": SERVICE, "consumer": consumer });
        match self {
            Self::ApiKeyInvalid => bad_key("API key not valid. Please pass a valid API key."),
            Self::ApiKeyNotFound => bad_key("API Key not found. Please pass a valid API key."),
            Self::ApiKeyExpired => bad_key("API key expired. Please renew the API key."),
            Self::MultipleCredentials => {
                invalid("Multiple authentication credentials received. Please pass only one.")
            }
            Self::UnregisteredCaller => denied(
                "Method doesn't allow unregistered callers (callers without established \
identity). Please use API Key or other form of API consumer identity to call this API.",
            ),
            Self::BadCredentials => unauthenticated(CREDENTIALS),
            Self::AccessTokenUnsupported => unauthenticated(CREDENTIALS).with([error_info(
                "ACCESS_TOKEN_TYPE_UNSUPPORTED",
                json!({ "method": rpc_method(scene), "service": SERVICE }),
            )]),
            Self::ApiKeysUnsupported => unauthenticated(
                "API keys are not supported by this API. Expected OAuth2 access token or other \
authentication credentials that assert a principal. See https://cloud.google.com/docs/authentication",
            )
            .with([error_info(
                "CREDENTIALS_MISSING",
                json!({ "method": rpc_method(scene), "service": SERVICE }),
            )]),
            Self::ConsumerSuspended => denied(&format!(
                "Permission denied: Consumer 'api_key:{key}' has been suspended."
            ))
            .because(
                "CONSUMER_SUSPENDED",
                json!({
                    "consumer": consumer,
                    "service": SERVICE,
                    "containerInfo": format!("api_key:{key}"),
                }),
            ),
            Self::KeyLeaked => {
                denied("Your API key was reported as leaked. Please use another API key.")
            }
            Self::ServiceDisabled => service_disabled(project, kind, &consumer),
            Self::ServiceBlocked => denied(&format!(
                "Requests to this API {SERVICE} method {} are blocked.",
                rpc_method(scene)
            ))
            .because("API_KEY_SERVICE_BLOCKED", of_consumer()),
            Self::ReferrerBlocked => denied("Requests from referer <empty> are blocked.")
                .because("API_KEY_HTTP_REFERRER_BLOCKED", of_consumer()),
            Self::IpAddressBlocked => denied(
                "The provided API key has an IP address restriction. The originating IP address \
of the call (203.0.113.7) violates this restriction.",
            )
            .because("API_KEY_IP_ADDRESS_BLOCKED", of_consumer()),
            Self::NoPermission => denied("The caller does not have permission"),
            Self::LocationUnsupported => ApiError::new(
                400,
                kind,
                "FAILED_PRECONDITION",
                "User location is not supported for the API use.",
            ),
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
                format!(
                    "This model models/{} is no longer available to new users.",
                    scene.model
                ),
            ),
            Self::PrepayDepleted => exhausted(PREPAID),
            Self::PrepayDepletedPaymentRequired => {
                ApiError::new(402, kind, "RESOURCE_EXHAUSTED", PREPAID)
            }
            Self::SpendingCap => exhausted(
                "Your project has exceeded its monthly spending cap. Please go to AI Studio at \
https://ai.studio/spend",
            ),
            Self::SpendRate => exhausted(
                "You exceeded your spend-based rate limit. Your spending rate has exceeded the \
allowed limit for your account's billing history and tier.",
            ),
            Self::LimitZero => limit_zero(scene.model),
            Self::Exhausted => exhausted("Resource has been exhausted (e.g. check quota)."),
            Self::QuotaHelpOnly => exhausted(QUOTA_MESSAGE).with([help()]),
            Self::CapacityExhausted => exhausted("No capacity available for model on the server")
                .with([json!({ "reason": "MODEL_CAPACITY_EXHAUSTED" })]),
            Self::InvalidArgument => invalid("Request contains an invalid argument."),
            Self::TooManyTokens => invalid(
                "The input token count exceeds the maximum number of tokens allowed 1048576.",
            ),
            Self::Cancelled => {
                ApiError::new(499, kind, "CANCELLED", "The operation was cancelled.")
            }
            Self::Internal => ApiError::new(
                500,
                kind,
                "INTERNAL",
                "An internal error has occurred. Please retry or report in \
https://developers.generativeai.google/guide/troubleshooting",
            ),
            Self::BadGateway => ApiError::page(502, kind, GATEWAY_PAGE),
            Self::Overloaded => ApiError::new(
                503,
                kind,
                "UNAVAILABLE",
                "The model is overloaded. Please try again later.",
            ),
            Self::HighDemand => ApiError::new(
                503,
                kind,
                "UNAVAILABLE",
                "This model is currently experiencing high demand. Spikes in demand are usually \
temporary. Please try again later.",
            ),
            Self::DeadlineExceeded => ApiError::new(
                504,
                kind,
                "DEADLINE_EXCEEDED",
                "Deadline expired before operation could complete.",
            ),
        }
    }
}

fn rpc_method(scene: Scene<'_>) -> String {
    let mut method = scene.method.to_owned();
    if let Some(first) = method.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!(
        "google.ai.generativelanguage.{}.GenerativeService.{method}",
        scene.version
    )
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
        json!({
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
