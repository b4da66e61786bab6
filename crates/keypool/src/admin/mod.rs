//! The admin API under `/-/admin`, and the dashboard under `/-/ui`. Both are disabled without an admin token.

mod body;
pub mod events;
mod keys;
mod routes;
mod sessions;
mod ui;

use axum::{
    Json, Router,
    middleware::from_fn_with_state,
    routing::{delete, get, post},
};
use keypool_store::SqliteStore;
use utoipa::OpenApi;

use crate::app::{App, AppState};
use body::AdminError;
use sessions::Administrator;

/// The state of the admin API: sessions and events.
#[derive(Default)]
pub struct Admin {
    /// Held during each change of keys or tenants, and during a reload: a change is based on what it has read.
    pub changes: tokio::sync::Mutex<()>,
    sessions: sessions::Sessions,
    events: events::EventLog,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "keypool: admin API",
        description = "Every request needs the admin token in the header `x-keypool-admin` or \
        `Authorization: Bearer`, or else a session cookie. Errors have the form `{\"error\": {\"message\": …}}`."
    ),
    paths(
        sessions::login,
        sessions::logout,
        routes::snapshot,
        keys::list,
        keys::one,
        keys::add,
        keys::set,
        keys::remove,
        keys::disable,
        keys::enable,
        keys::replace,
        keys::test,
        routes::usage,
        events::events,
        events::event_stream,
        routes::requests,
        routes::request,
        routes::errors,
        routes::config,
        routes::tenants,
        routes::add_tenant,
        routes::remove_tenant,
        routes::reload
    )
)]
struct Description;

/// Returns the routes of the admin API and the dashboard.
pub fn routes(app: &AppState) -> Router<AppState> {
    let guarded = Router::new()
        .route("/-/admin/logout", post(sessions::logout))
        .route("/-/admin/openapi.json", get(async || Json(Description::openapi())))
        .route("/-/admin/snapshot", get(routes::snapshot))
        .route("/-/admin/keys", get(keys::list).post(keys::add))
        .route("/-/admin/keys/{id}", get(keys::one).patch(keys::set).delete(keys::remove))
        .route("/-/admin/keys/{id}/disable", post(keys::disable))
        .route("/-/admin/keys/{id}/enable", post(keys::enable))
        .route("/-/admin/keys/{id}/replace", post(keys::replace))
        .route("/-/admin/keys/{id}/test", post(keys::test))
        .route("/-/admin/usage", get(routes::usage))
        .route("/-/admin/events", get(events::events))
        .route("/-/admin/events/stream", get(events::event_stream))
        .route("/-/admin/requests", get(routes::requests))
        .route("/-/admin/requests/{id}", get(routes::request))
        .route("/-/admin/errors", get(routes::errors))
        .route("/-/admin/config", get(routes::config))
        .route("/-/admin/tenants", get(routes::tenants).post(routes::add_tenant))
        .route("/-/admin/tenants/{name}", delete(routes::remove_tenant))
        .route("/-/admin/reload", post(routes::reload))
        .route_layer(from_fn_with_state(AppState::clone(app), sessions::authorize));
    Router::new()
        .merge(guarded)
        .route("/-/admin/login", post(sessions::login))
        .route("/", get(ui::redirect))
        .route("/-/ui", get(ui::page))
        .route("/-/ui/", get(ui::page))
        .route("/-/ui/{name}", get(ui::file))
}

/// Returns the database, for changes that must outlive the gateway.
///
/// # Errors
/// 409 if the gateway has no database.
fn database(app: &App) -> Result<SqliteStore, AdminError> {
    let none = || AdminError::conflict("the gateway has no database (--db): change keys and tenants in their files");
    app.stores.sqlite.clone().ok_or_else(none)
}

/// Logs a change by an administrator and records it as an event.
fn note(app: &App, who: Administrator, what: &str) {
    // A field, because a reason can contain line breaks.
    tracing::info!(%who, what, "change by an administrator");
    app.admin.events.record("admin", "change", what, format!("an administrator {what}"));
}
