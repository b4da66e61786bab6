//! The state of a running gateway, and the path of a request through it: the list of layers in [`layered`].

use std::{any::Any, convert::Infallible, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Router, extract::Request, middleware::from_fn_with_state, response::Response, routing::get};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders},
};
use tower_keypool::Gemini;

use crate::{
    admin::{self, Admin},
    config::{GatewaySection, Inputs, Loaded},
    convert::{Media, Signatures},
    dialect::Dialect,
    error::ApiError,
    health,
    metrics::{self, Metrics},
    middleware::{
        access_log::{self, Recent},
        auth, host_guard,
    },
    proxy::{
        affinity::SessionAffinity, handler, models::Catalog, pools::Pools, resources::Resources, upstream::client_tls,
    },
    store::Stores,
    tenants::Tenants,
};

/// The state of a gateway, shared by all handlers.
pub type AppState = Arc<App>;

/// A running gateway.
pub struct App {
    pub inputs: Inputs,
    /// The current configuration.
    pub loaded: ArcSwap<Loaded>,
    /// The configuration at the start. Some of its settings stay in effect until the next start.
    pub started: Arc<Loaded>,
    pub stores: Stores,
    pub pools: Pools,
    pub tenants: Tenants,
    pub resources: Resources,
    /// Which project served a client's session last.
    pub sessions: SessionAffinity,
    /// Fetches the media that translated requests name by URL.
    pub media: Media,
    /// Thought signatures of Gemini, which clients of other APIs cannot send back.
    pub signatures: Signatures,
    /// Cached lists of models.
    pub catalog: Catalog,
    /// Finds the model in requests of Gemini clients.
    pub gemini: Gemini,
    /// The last requests, for the dashboard.
    pub recent: Recent,
    pub metrics: Metrics,
    /// The tasks of Live API sessions, which end with the gateway.
    pub live: TaskTracker,
    pub admin: Admin,
    /// Cancelled when the gateway shuts down.
    pub shutdown: CancellationToken,
}

impl App {
    /// Opens the stores and pools of a configuration.
    ///
    /// # Errors
    /// If a store, a pool, or the HTTP client cannot be opened.
    pub async fn open(inputs: Inputs, loaded: Loaded) -> anyhow::Result<AppState> {
        let loaded = Arc::new(loaded);
        let stores = Stores::open(&loaded).await?;
        let gateway = &loaded.config.gateway;
        let session_header = gateway.session_affinity.then(|| gateway.session_header.parse().ok()).flatten();
        let app = Arc::new(Self {
            pools: Pools::open(&loaded, &stores).await?,
            tenants: Tenants::open(&loaded, &stores).await?,
            resources: Resources::new(stores.sqlite.clone()),
            sessions: SessionAffinity::new(session_header),
            media: Media::new(gateway.fetch_images.then(|| client_tls(&loaded)).transpose()?),
            signatures: Signatures::default(),
            catalog: Catalog::default(),
            gemini: Gemini::new(),
            recent: Recent::default(),
            metrics: Metrics::default(),
            live: TaskTracker::new(),
            admin: Admin::default(),
            shutdown: CancellationToken::new(),
            loaded: ArcSwap::new(Arc::clone(&loaded)),
            started: loaded,
            inputs,
            stores,
        });
        admin::events::follow(&app);
        Ok(app)
    }

    /// Returns the settings that are in effect until the gateway ends.
    pub fn settings(&self) -> &GatewaySection {
        &self.started.config.gateway
    }
}

/// The service that answers the requests of one listening socket.
pub type Gateway = BoxCloneSyncService<Request, Response, Infallible>;

/// Creates the service for clients. It includes the admin pages unless they have their own address.
pub fn gateway(app: &AppState) -> Gateway {
    let pages = health::routes().route("/-/metrics", get(metrics::serve));
    let pages = if app.loaded.load().admin_listen.is_none() { pages.merge(admin::routes(app)) } else { pages };
    layered(app, pages, true)
}

/// Creates the service for a separate admin address: the admin API, the dashboard, and the health pages.
pub fn admin_pages(app: &AppState) -> Gateway {
    layered(app, admin::routes(app).merge(health::routes()), false)
}

/// The layers of a request, outermost first. The innermost service is axum's router with the gateway's own pages, which
/// need no tenant's token. Proxied requests do not reach it: axum gives responses to HEAD a `Content-Length` of 0.
fn layered(app: &AppState, own_pages: Router<AppState>, is_proxy: bool) -> Gateway {
    let state = || AppState::clone(app);
    let service = ServiceBuilder::new()
        .layer(from_fn_with_state(state(), access_log::log))
        .layer(from_fn_with_state(state(), host_guard::guard))
        .layer(CatchPanicLayer::custom(panicked))
        .option_layer((is_proxy && !app.settings().origins.is_empty()).then(|| cors(app)))
        .option_layer(is_proxy.then(|| from_fn_with_state(state(), auth::authenticate)))
        .option_layer(is_proxy.then(|| from_fn_with_state(state(), handler::proxy)))
        .service(own_pages.fallback(not_found).with_state(state()));
    BoxCloneSyncService::new(service)
}

async fn not_found(uri: Uri) -> Response {
    ApiError::not_found(format!("the gateway has no path {}", uri.path())).into_response(Dialect::Gemini)
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error of the gateway: see its log")
        .into_response(Dialect::Gemini)
}

/// Allows pages of the configured origins to read responses, except those of the gateway's own paths.
fn cors(app: &AppState) -> CorsLayer {
    let origins = app.settings().origins.clone();
    let may_read = move |origin: &HeaderValue, head: &http::request::Parts| {
        let is_ours = |ours: &String| ours.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
        !head.uri.path().starts_with("/-/") && origins.iter().any(is_ours)
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(may_read))
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list([
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("request-id"),
            HeaderName::from_static("x-goog-upload-url"),
            HeaderName::from_static("x-goog-upload-status"),
            header::RETRY_AFTER,
        ]))
        .max_age(Duration::from_secs(600))
}
