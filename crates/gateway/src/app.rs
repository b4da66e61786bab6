//! What a running gateway consists of, and the path of a request through it.
//!
//! ```text
//! request id        every answer has x-request-id
//! access log        one line a request, one an attempt that failed
//! catch panic       a bug is a 500, not a lost connection
//! host guard        only our names, only the configured origins
//! CORS              answers preflights of those origins
//! ├─ /health …      health.rs: health and readiness, where probes look for them
//! ├─ /-/metrics     metrics.rs
//! ├─ /-/admin, /-/ui  admin: behind a token of its own
//! └─ everything else
//!    authenticate   the route and the tenant of a request; 404 and 401 take no key
//!    proxy          proxy/handler.rs, top to bottom
//! ```

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Router, middleware::from_fn_with_state, routing::get};
use http::{HeaderName, HeaderValue, header};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders},
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
};
use tower_keypool::Gemini;

use crate::{
    admin::{self, Admin},
    config::{Inputs, Loaded},
    convert::{Media, Signatures},
    error::ApiError,
    health,
    metrics::{self, Metrics},
    middleware::{
        access_log::{self, Recent},
        auth, host_guard,
    },
    proxy::{handler, models::Catalog, pools::Pools, resources::Resources, sessions::Sessions, upstream::client_tls},
    store::Stores,
    tenants::Tenants,
};

/// The state of a gateway, which every handler shares.
pub type AppState = Arc<App>;

/// A running gateway.
pub struct App {
    pub inputs: Inputs,
    /// The configuration that holds now.
    pub loaded: ArcSwap<Loaded>,
    pub settings: Settings,
    pub hosts: Vec<String>,
    pub origins: Vec<String>,
    pub stores: Stores,
    pub pools: Pools,
    pub tenants: Tenants,
    pub resources: Resources,
    pub sessions: Sessions,
    /// What translated requests name by URL.
    pub media: Media,
    pub signatures: Signatures,
    pub catalog: Catalog,
    /// Reads what requests of Gemini's clients ask for.
    pub gemini: Gemini,
    pub recent: Recent,
    pub metrics: Metrics,
    /// Sessions of the Live API, which end with the gateway.
    pub live: TaskTracker,
    pub admin: Admin,
    /// Is cancelled when the gateway is to end.
    pub shutdown: CancellationToken,
}

/// What handlers need of the configuration. It holds until the next start.
#[derive(Clone, Debug)]
pub struct Settings {
    pub strict: bool,
    pub served_headers: bool,
    pub max_wait: Duration,
    pub replay_limit: usize,
    pub body_timeout: Duration,
    /// After so long without a message a live session ends, or one that a side does not read.
    pub reader_timeout: Duration,
}

impl App {
    /// Opens the stores and pools of a configuration.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn open(inputs: Inputs, loaded: Loaded) -> anyhow::Result<AppState> {
        let stores = Stores::open(&loaded).await?;
        let gateway = &loaded.config.gateway;
        let settings = Settings {
            strict: gateway.strict,
            served_headers: gateway.served_headers,
            max_wait: gateway.max_wait.0,
            replay_limit: (gateway.replay_mib as usize) << 20,
            body_timeout: gateway.body_timeout.0,
            reader_timeout: gateway.reader_timeout.0,
        };
        let session_header = gateway.session_affinity.then(|| gateway.session_header.parse().ok()).flatten();
        let app = Arc::new(Self {
            settings,
            hosts: gateway.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            origins: gateway.origins.clone(),
            pools: Pools::open(&loaded, &stores).await?,
            tenants: Tenants::open(&loaded, &stores).await?,
            resources: Resources::new(stores.sqlite.clone()),
            sessions: Sessions::new(session_header),
            media: Media::new(gateway.fetch_images.then(|| client_tls(&loaded)).transpose()?),
            signatures: Signatures::default(),
            catalog: Catalog::default(),
            gemini: Gemini::new(),
            recent: Recent::default(),
            metrics: Metrics::default(),
            live: TaskTracker::new(),
            admin: Admin::default(),
            shutdown: CancellationToken::new(),
            loaded: ArcSwap::from_pointee(loaded),
            inputs,
            stores,
        });
        admin::events::follow(&app);
        Ok(app)
    }
}

/// Everything that a gateway answers.
pub fn router(app: &AppState) -> Router {
    let proxy = Router::new().fallback(handler::handle).layer(from_fn_with_state(Arc::clone(app), auth::authenticate));
    let mut router = Router::new()
        .merge(health::routes())
        .route("/-/metrics", get(metrics::serve))
        .fallback_service(proxy.with_state(Arc::clone(app)));
    if app.loaded.load().admin_listen.is_none() {
        router = router.merge(admin::routes(app));
    }
    layered(app, router.with_state(Arc::clone(app)))
}

/// The admin API and the dashboard, where they have an address of their own.
pub fn admin_router(app: &AppState) -> Router {
    let router = admin::routes(app).merge(health::routes()).with_state(Arc::clone(app));
    layered(app, router)
}

/// The layers that every request passes, innermost first.
fn layered(app: &AppState, router: Router) -> Router {
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    let panicked = |_| {
        ApiError::new(http::StatusCode::INTERNAL_SERVER_ERROR, "the gateway failed: see its log")
            .into_response(crate::error::Dialect::Gemini)
    };
    let router = if app.origins.is_empty() { router } else { router.layer(cors(app)) };
    router
        .layer(from_fn_with_state(Arc::clone(app), host_guard::guard))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(app), access_log::log))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, RandomId))
}

/// Lets the pages of the configured origins read answers; never those of the gateway's own paths, which need another token.
fn cors(app: &AppState) -> CorsLayer {
    let origins: Vec<_> = app.origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    let may_read = move |origin: &HeaderValue, head: &http::request::Parts| {
        !head.uri.path().starts_with("/-/") && origins.contains(origin)
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(may_read))
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list([
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-goog-upload-url"),
            HeaderName::from_static("x-goog-upload-status"),
            header::RETRY_AFTER,
        ]))
        .max_age(Duration::from_secs(600))
}

#[derive(Clone, Copy)]
struct RandomId;

impl MakeRequestId for RandomId {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        HeaderValue::try_from(format!("{:016x}", fastrand::u64(..))).ok().map(RequestId::new)
    }
}
