//! Health and readiness, where probes look for them.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::StatusCode;

use crate::app::AppState;

/// The process is alive: `/health`, `/healthz`, `/livez`, `/-/health`. It can serve: `/readyz`, `/-/ready`.
pub fn routes() -> Router<AppState> {
    let alive = || get(async || "ok\n");
    Router::new()
        .route("/health", alive())
        .route("/healthz", alive())
        .route("/livez", alive())
        .route("/-/health", alive())
        .route("/readyz", get(ready))
        .route("/-/ready", get(ready))
}

/// 200 while some key is not disabled and the gateway is not about to end. Keys that cool come back: 200.
async fn ready(State(app): State<AppState>) -> impl IntoResponse {
    if app.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the gateway is shutting down\n");
    }
    if app.pools.iter().any(|provider| provider.has_usable_key()) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no key is usable: there is no key, or all are disabled\n")
    }
}
