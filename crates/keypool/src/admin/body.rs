//! Request bodies and query parameters of the admin API.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Maximum size of a request body.
const MAX_BODY: usize = 64 << 10;

/// A JSON request body. An empty body counts as an empty object.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let body = axum::body::to_bytes(request.into_body(), MAX_BODY).await;
        let body = body.map_err(|_| ApiError::bad_request("the body is longer than 64 KiB or incomplete"))?;
        let body = if body.is_empty() { &b"{}"[..] } else { &body[..] };
        match serde_json::from_slice(body) {
            Ok(body) => Ok(Self(body)),
            Err(error) => Err(ApiError::bad_request(format!("the body: {}", without_values(&error.to_string())))),
        }
    }
}

/// The query parameters of a request.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::try_from_uri(&head.uri);
        query.map(|Query(query)| Self(query)).map_err(|error| ApiError::bad_request(error.body_text()))
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
