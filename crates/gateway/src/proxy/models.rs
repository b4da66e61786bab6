//! Lists of models.

use std::sync::Arc;

use axum::response::Response;

use super::{handler::Incoming, pools::ProviderPool};
use crate::{app::AppState, error::ApiError};

/// The models of all providers, or one of them.
///
/// # Errors
/// Where no provider lists its models.
pub async fn answer(
    _app: &AppState,
    _provider: &Arc<ProviderPool>,
    _incoming: &Incoming,
    _one: Option<&str>,
) -> Result<Response, ApiError> {
    Err(ApiError::not_found("models are not listed yet"))
}
