//! The admin API under `/-/admin` and the dashboard under `/-/ui`.

use axum::Router;

use crate::app::AppState;

/// Both; nothing where there is no admin token.
pub fn routes(_app: &AppState) -> Router<AppState> {
    Router::new()
}
