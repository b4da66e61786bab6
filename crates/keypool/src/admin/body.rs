//! Bodies of requests, and errors.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::json;

/// A body is not longer.
const LONGEST: usize = 64 << 10;

/// A body of JSON; nothing is an empty object.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, _: &S) -> Result<Self, AdminError> {
        let body = axum::body::to_bytes(request.into_body(), LONGEST).await;
        let body = body.map_err(|_| AdminError::bad_request("the body is longer than 64 KiB or incomplete"))?;
        let body = if body.is_empty() { &b"{}"[..] } else { &body[..] };
        match serde_json::from_slice(body) {
            Ok(body) => Ok(Self(body)),
            Err(error) => Err(AdminError::bad_request(format!("the body: {}", without_values(&error.to_string())))),
        }
    }
}

/// The query of a path.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = AdminError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, AdminError> {
        let query = Query::try_from_uri(&head.uri);
        query.map(|Query(query)| Self(query)).map_err(|error| AdminError::bad_request(error.body_text()))
    }
}

/// What is wrong with a body, without the value that is wrong: it may be a secret.
fn without_values(message: &str) -> String {
    match (message.split_once(": "), message.split_once(", expected ")) {
        (Some((kind @ ("invalid type" | "invalid value"), _)), Some((_, expected))) => {
            format!("{kind}, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// Why the admin API refused a request.
#[derive(Debug)]
pub struct AdminError {
    status: StatusCode,
    message: String,
}

impl AdminError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// There is no admin token.
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

    /// The database, or something else beneath, failed.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "message": self.message } });
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
    fn what_is_wrong_is_told_without_the_value() {
        let told = without_values("invalid type: string \"AIza-secret\", expected u64 at line 1 column 20");
        assert_eq!(told, "invalid type, expected u64 at line 1 column 20");
        assert_eq!(without_values("missing field `token` at line 1"), "missing field `token` at line 1");
    }
}
