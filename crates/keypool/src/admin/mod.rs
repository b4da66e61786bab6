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
    routing::{get, post},
};
use keypool_store::SqliteStore;
use utoipa::{
    OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, AppState},
    error::ApiError,
};
use sessions::{Administrator, COOKIE};

/// The state of the admin API: sessions and events.
#[derive(Default)]
pub struct Admin {
    /// Held during each change of keys or tenants, and during a reload: a change is based on what it has read.
    pub changes: tokio::sync::Mutex<()>,
    sessions: sessions::Sessions,
    events: events::EventLog,
}

/// The body of an error response. It has more fields, since it has the form of Gemini's errors.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "this is only a description")]
struct ErrorBody {
    error: ErrorMessage,
}

#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "this is only a description")]
struct ErrorMessage {
    message: String,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "keypool: admin API"),
    components(schemas(ErrorBody)),
    security(("token" = []), ("bearer" = []), ("session" = []))
)]
struct Description;

/// Returns the API's description, with how a request authenticates and the form of errors.
async fn description() -> Json<openapi::OpenApi> {
    let mut api = guarded().routes(routes!(sessions::login)).into_openapi();
    let schemes = [
        ("token", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-keypool-admin")))),
        ("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
        ("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(format!("{COOKIE}PORT"))))),
    ];
    let components = api.components.get_or_insert_default();
    components.security_schemes.extend(schemes.map(|(name, scheme)| (name.to_owned(), scheme)));
    let content = openapi::Content::new(Some(openapi::Ref::from_schema_name("ErrorBody")));
    let error = openapi::ResponseBuilder::new().description("An error").content("application/json", content).build();
    for item in api.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), error.clone().into());
        }
    }
    Json(api)
}

/// Returns the routes that need the admin token.
fn guarded() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(sessions::logout))
        .routes(routes!(routes::snapshot))
        .routes(routes!(keys::list, keys::add))
        .routes(routes!(keys::one, keys::set, keys::remove))
        .routes(routes!(keys::disable))
        .routes(routes!(keys::enable))
        .routes(routes!(keys::replace))
        .routes(routes!(keys::test))
        .routes(routes!(routes::usage))
        .routes(routes!(events::events))
        .routes(routes!(events::event_stream))
        .routes(routes!(routes::requests))
        .routes(routes!(routes::request))
        .routes(routes!(routes::errors))
        .routes(routes!(routes::config))
        .routes(routes!(routes::tenants, routes::add_tenant))
        .routes(routes!(routes::remove_tenant))
        .routes(routes!(routes::reload))
}

/// Returns the routes of the admin API and the dashboard.
pub fn routes(app: &AppState) -> Router<AppState> {
    Router::from(guarded())
        .route("/-/admin/openapi.json", get(description))
        .route_layer(from_fn_with_state(AppState::clone(app), sessions::authorize))
        .route("/-/admin/login", post(sessions::login))
        .route("/", get(ui::redirect))
        .route("/-/ui", get(ui::page))
        .route("/-/ui/", get(ui::page))
        .route("/-/ui/{name}", get(ui::file))
}

/// Returns the error for a gateway without an admin token.
fn off() -> ApiError {
    ApiError::not_found("the admin API is off: set a token with --admin-token-file or KEYPOOL_ADMIN_TOKEN")
}

/// Returns the database, for changes that must outlive the gateway.
///
/// # Errors
/// 409 if the gateway has no database.
fn database(app: &App) -> Result<SqliteStore, ApiError> {
    let none = || ApiError::conflict("the gateway has no database (--db): change keys and tenants in their files");
    app.stores.sqlite.clone().ok_or_else(none)
}

/// Logs a change by an administrator and records it as an event.
fn note(app: &App, who: Administrator, what: &str) {
    // A field, because a reason can contain line breaks.
    tracing::info!(%who, what, "change by an administrator");
    app.admin.events.record("admin", "change", what, format!("an administrator {what}"));
}
