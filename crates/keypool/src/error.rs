//! Error responses of the gateway itself, in the caller's dialect.

use std::{sync::LazyLock, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tower_keypool::{
    Anthropic, Error, ErrorKind, Failure, Gemini, OpenAi, Provider, classify::causes, provider::whole_seconds,
};

use crate::dialect::Dialect;

fn provider(dialect: Dialect) -> &'static dyn Provider {
    static GEMINI: LazyLock<Gemini> = LazyLock::new(Gemini::new);
    static OPENAI: LazyLock<OpenAi> = LazyLock::new(OpenAi::new);
    static ANTHROPIC: LazyLock<Anthropic> = LazyLock::new(Anthropic::new);
    match dialect {
        Dialect::Gemini => &*GEMINI,
        Dialect::OpenAi => &*OPENAI,
        Dialect::Anthropic => &*ANTHROPIC,
    }
}

/// An error response of the gateway itself.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// The error for a failure of the database or of another lower layer.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    #[must_use]
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// Returns the value of `Retry-After`: whole seconds, rounded up, at least 1.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(whole_seconds)
    }

    /// Converts the error to the last event of a stream, in a dialect.
    pub fn into_event(self, dialect: Dialect) -> Bytes {
        let body = provider(dialect).error_body(self.status, &self.message, self.retry_after);
        let name = if dialect == Dialect::Anthropic { "event: error\n" } else { "" };
        Bytes::from(format!("{name}data: {}\n\n", body.replace('\n', " ")))
    }

    /// Converts the error to a response, in a dialect.
    pub fn in_dialect(self, dialect: Dialect) -> Response {
        let body = provider(dialect).error_body(self.status, &self.message, self.retry_after);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // For the access log.
        response.extensions_mut().insert(Cause(self.message));
        response
    }
}

/// The form of the admin API's errors.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.in_dialect(Dialect::Gemini)
    }
}

/// Converts the error of a request that no key could serve, or to which no provider responded.
impl From<&Error> for ApiError {
    fn from(error: &Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Request if is_body_timeout(error) => StatusCode::REQUEST_TIMEOUT,
            ErrorKind::Request => StatusCode::BAD_REQUEST,
            ErrorKind::Unavailable | ErrorKind::Store | ErrorKind::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Transport if Failure::from_transport(error).code() == Some("timeout") => {
                StatusCode::GATEWAY_TIMEOUT
            }
            ErrorKind::Transport => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // It is not known when the store is back.
        let soon = (error.kind() == ErrorKind::Store).then_some(Duration::from_secs(1));
        Self::new(status, error.with_cause()).retry_after(error.retry_after().or(soon))
    }
}

/// Reports whether the client stopped sending the body of its request.
fn is_body_timeout(error: &Error) -> bool {
    causes(error).any(<dyn std::error::Error>::is::<tower_http::timeout::TimeoutError>)
}

/// The reason why the gateway refused a request, for the access log.
#[derive(Clone, Debug)]
pub struct Cause(pub String);
