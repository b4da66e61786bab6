//! Request bodies, query parameters, and errors of the admin API.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Serialize, de::DeserializeOwned};

/// Maximum size of a request body.
const MAX_BODY: usize = 64 << 10;

/// A JSON request body. An empty body counts as an empty object.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, _: &S) -> Result<Self, AdminError> {
        let body = axum::body::to_bytes(request.into_body(), MAX_BODY).await;
        let body = body.map_err(|_| AdminError::bad_request("the body is longer than 64 KiB or incomplete"))?;
        let body = if body.is_empty() { &b"{}"[..] } else { &body[..] };
        match serde_json::from_slice(body) {
            Ok(body) => Ok(Self(body)),
            Err(error) => Err(AdminError::bad_request(format!("the body: {}", without_values(&error.to_string())))),
        }
    }
}

/// The query parameters of a request.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = AdminError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, AdminError> {
        let query = Query::try_from_uri(&head.uri);
        query.map(|Query(query)| Self(query)).map_err(|error| AdminError::bad_request(error.body_text()))
    }
}

/// Removes the invalid value from a JSON error message, since it may be a secret, and the fields that no request may have.
fn without_values(message: &str) -> String {
    match (message.split_once(": "), message.split_once(", expected ")) {
        (Some((kind @ ("invalid type" | "invalid value"), _)), Some((_, expected))) => {
            format!("{kind}, expected {expected}")
        }
        // The gateway makes a tenant's token.
        _ => message.replace("`token`, `token_file`, `token_hash`, ", ""),
    }
}

/// The body of an error response.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    error: ErrorMessage,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ErrorMessage {
    message: String,
}

/// An error response of the admin API.
#[derive(Debug)]
pub struct AdminError {
    status: StatusCode,
    message: String,
}

impl AdminError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The error for a gateway without an admin token.
    pub fn off() -> Self {
        Self::not_found("the admin API is off: set a token with --admin-token-file or KEYPOOL_ADMIN_TOKEN")
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
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: ErrorMessage { message: self.message } };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_messages_omit_invalid_values() {
        let message = without_values("invalid type: string \"AIza-secret\", expected u64 at line 1 column 20");
        assert_eq!(message, "invalid type, expected u64 at line 1 column 20");
        assert_eq!(without_values("missing field `token` at line 1"), "missing field `token` at line 1");
    }
}
