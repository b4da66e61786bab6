//! Clients of other APIs in front of Gemini's keys: the dialect crate at work.

use std::sync::Arc;

use axum::response::Response;

use crate::{
    app::AppState,
    error::{ApiError, Dialect},
    proxy::{
        body::Collected,
        handler::Incoming,
        pools::ProviderPool,
        route::{Endpoint, Route},
    },
};

/// Translates a request for Gemini, sends it, and translates the answer.
///
/// # Errors
/// 404 for an endpoint that cannot be translated.
pub async fn serve(_app: &AppState, _provider: &Arc<ProviderPool>, _incoming: Incoming) -> Result<Response, ApiError> {
    Err(ApiError::not_found("nothing is translated yet"))
}

/// Leaves out of a body for Anthropic or OpenAI the blocks that only this gateway understands.
pub fn without_ours(route: &Route, body: &mut Collected) {
    let frontend = match route.endpoint {
        Endpoint::Messages | Endpoint::CountTokens => keypool_dialect2::Frontend::Messages,
        Endpoint::Chat => keypool_dialect2::Frontend::Chat,
        Endpoint::Responses => keypool_dialect2::Frontend::Responses,
        _ => return,
    };
    debug_assert_ne!(route.dialect, Dialect::Gemini);
    if let Collected::Whole(data) = body
        && let Some(cleaned) = keypool_dialect2::without_ours(frontend, data)
    {
        *data = cleaned;
    }
}
