//! Refusals of ours, in the shape that the asking client understands.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde_json::json;

/// Which API's clients send such a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error": {"code", "message", "status"}}`
    Gemini,
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`
    Anthropic,
}

/// A request that goes no further, and why.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    status: StatusCode,
    message: &'static str,
}

impl Refusal {
    /// With this status and message. The message holds nothing of the request.
    pub const fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message }
    }

    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        self.status
    }
}

impl Dialect {
    /// Reads it from the path and the headers that only one API's clients send.
    pub fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        let under =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if under("/v1beta/openai") || under("/openai") {
            Self::OpenAi
        } else if head.headers.contains_key("x-api-key") && head.headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else {
            Self::Gemini
        }
    }

    /// The answer that says it.
    pub fn answer(self, refusal: Refusal) -> Response<Full<Bytes>> {
        let Refusal { status, message } = refusal;
        let mut response = Response::new(Full::from(self.body(status, message)));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        response
    }
}

impl Dialect {
    /// A body that says it.
    pub(super) fn body(self, status: StatusCode, message: &str) -> String {
        match self {
            Self::Gemini => json!({ "error": {
                "code": status.as_u16(), "message": message, "status": google_status(status),
            } }),
            Self::OpenAi => json!({ "error": {
                "message": message, "type": openai_type(status), "param": null, "code": openai_code(status),
            } }),
            Self::Anthropic => json!({
                "type": "error", "error": { "type": anthropic_type(status), "message": message },
            }),
        }
        .to_string()
    }
}

fn google_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => "UNIMPLEMENTED",
        StatusCode::BAD_GATEWAY | StatusCode::INTERNAL_SERVER_ERROR => "INTERNAL",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        _ => "INVALID_ARGUMENT",
    }
}

fn openai_type(status: StatusCode) -> &'static str {
    if status.is_server_error() { "server_error" } else { "invalid_request_error" }
}

fn openai_code(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some("invalid_api_key"),
        StatusCode::SERVICE_UNAVAILABLE => Some("no_available_keys"),
        _ => None,
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}
