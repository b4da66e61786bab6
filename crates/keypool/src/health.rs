//! Health and readiness, at the paths that probes use.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::StatusCode;

use crate::app::AppState;

/// Returns the routes for liveness (`/health`, `/healthz`, `/livez`, `/-/health`) and readiness (`/readyz`,
/// `/-/ready`).
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

/// Answers 200 while any key is not disabled, requests can be counted, and the gateway is not shutting down. Cooling
/// keys count as usable.
async fn ready(State(app): State<AppState>) -> impl IntoResponse {
    if app.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the gateway is shutting down\n");
    }
    if app.pools.own().pool.store_refuses_requests() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the store is unavailable, and on_store_loss is fail_closed\n");
    }
    if app.pools.iter().any(|provider| provider.has_usable_key()) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no key is usable: there is no key, or all are disabled\n")
    }
}
