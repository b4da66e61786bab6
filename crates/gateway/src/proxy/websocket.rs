//! Gemini's Live API: a WebSocket between the client and the provider.

use std::sync::Arc;

use axum::response::Response;
use http::{StatusCode, request::Parts};

use super::route::Route;
use crate::{app::AppState, error::ApiError, tenants::Tenant};

/// Opens a session.
///
/// # Errors
/// Where the request is no handshake.
pub async fn serve(_app: &AppState, _route: &Route, _tenant: &Arc<Tenant>, _head: Parts) -> Result<Response, ApiError> {
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "live sessions are not served yet"))
}
