//! The state of a running gateway, and the path of a request through it: the list of layers in [`layered`].

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{
    Service, ServiceBuilder, ServiceExt,
    layer::layer_fn,
    service_fn,
    util::{BoxCloneSyncService, ServiceFn},
};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders};
use tower_keypool::Gemini;

use crate::{
    admin::{self, Admin},
    config::{GatewaySection, Inputs, Loaded},
    convert::{Media, Signatures},
    error::ApiError,
    health,
    metrics::{self, Metrics},
    middleware::{
        access_log::{self, Recent},
        host_guard,
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
/// need no tenant's token. The proxy is a layer and no route, because a route of axum sets the `Content-Length` of
/// responses to HEAD to 0.
fn layered(app: &AppState, own_pages: Router<AppState>, is_proxy: bool) -> Gateway {
    let state = || AppState::clone(app);
    let service = ServiceBuilder::new()
        .layer_fn(|next| step(state(), access_log::log, next))
        .layer_fn(|next| step(state(), host_guard::guard, next))
        .layer_fn(|next| service_fn(move |request| catch_panic(request, Clone::clone(&next))))
        .option_layer((is_proxy && !app.settings().origins.is_empty()).then(|| cors(app)))
        .option_layer(is_proxy.then(|| layer_fn(|next| step(state(), handler::proxy, next))))
        .service(own_pages.fallback(not_found).with_state(state()));
    BoxCloneSyncService::new(service)
}

/// The layers below one.
pub trait Next: Service<Request, Response = Response, Error = Infallible> {}
impl<S: Service<Request, Response = Response, Error = Infallible>> Next for S {}

/// Creates the service of a layer from its function, like axum's `from_fn`, but without boxes.
fn step<N: Clone, F>(
    app: AppState,
    run: fn(AppState, Request, N) -> F,
    next: N,
) -> ServiceFn<impl Fn(Request) -> F + Clone> {
    service_fn(move |request| run(app.clone(), request, next.clone()))
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::not_found(format!("the gateway has no path {}", uri.path()))
}

async fn catch_panic(request: Request, next: impl Next) -> Result<Response, Infallible> {
    let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error of the gateway: see its log");
    let answer = AssertUnwindSafe(next.oneshot(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| Ok(error.into_response()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_is_an_internal_error() {
        let broken = service_fn(async |_: Request| -> Result<Response, Infallible> { panic!("on purpose") });
        let response = catch_panic(Request::default(), broken).await.expect("it cannot fail");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
