//! The endpoints: their paths and parameters.

mod call;
mod chat;
mod delivery;
mod embed;
mod exchange;
mod files;
mod generate;
mod live;
mod models;
mod resources;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, any, on};

use crate::answer::Reply;
use crate::refusal::ApiError;
use crate::simulator::Simulator;
use exchange::{Exchange, serve};

pub(crate) use files::Uploads;
pub(crate) use resources::Resources;

/// The static properties of an endpoint.
pub(crate) struct Endpoint {
    /// The name in error messages.
    name: &'static str,
    /// The name of the message in the body; see `messages.json`.
    message: Option<&'static str>,
    /// Query parameters besides those of every endpoint.
    query: &'static [&'static str],
    /// Whether requests are charged against the quota.
    is_charged: bool,
    handler: fn(&mut Exchange<'_>) -> Result<Reply, ApiError>,
}

impl Endpoint {
    const fn new(name: &'static str, handler: fn(&mut Exchange<'_>) -> Result<Reply, ApiError>) -> Self {
        Self { name, message: None, query: &[], is_charged: false, handler }
    }

    const fn message(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self
    }

    const fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    const fn charged(mut self) -> Self {
        self.is_charged = true;
        self
    }
}

const VERSIONS: [&str; 5] = ["v1", "v1beta", "v1beta2", "v1beta3", "v1alpha"];
const PAGES: &[&str] = &["pageSize", "pageToken"];
const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

static ROUTES: [(MethodFilter, &str, Endpoint); 16] = [
    (GET, "/{version}/models", Endpoint::new("listModels", models::list).query(PAGES)),
    (
        POST.or(MethodFilter::PUT),
        "/upload/{version}/files",
        Endpoint::new("createFile", files::upload).query(&["upload_id"]),
    ),
    (GET, "/{version}/files", Endpoint::new("listFiles", resources::list).query(PAGES)),
    (GET, "/{version}/files/{id}", Endpoint::new("getFile", resources::get)),
    (DELETE, "/{version}/files/{id}", Endpoint::new("deleteFile", resources::delete)),
    (
        POST,
        "/{version}/cachedContents",
        Endpoint::new("createCachedContent", resources::create_cache).message("CachedContent"),
    ),
    (GET, "/{version}/cachedContents", Endpoint::new("listCachedContents", resources::list).query(PAGES)),
    (GET, "/{version}/cachedContents/{id}", Endpoint::new("getCachedContent", resources::get)),
    (
        PATCH,
        "/{version}/cachedContents/{id}",
        Endpoint::new("updateCachedContent", resources::update_cache)
            .message("UpdateCachedContentRequest")
            .query(&["updateMask"]),
    ),
    (DELETE, "/{version}/cachedContents/{id}", Endpoint::new("deleteCachedContent", resources::delete)),
    (
        POST,
        "/{version}/openai/chat/completions",
        Endpoint::new("generateContent", chat::complete).message("ChatCompletionRequest").charged(),
    ),
    (
        POST,
        "/{version}/openai/embeddings",
        Endpoint::new("embedContent", embed::openai).message("EmbeddingsRequest").charged(),
    ),
    (GET, "/{version}/openai/models", Endpoint::new("listModels", models::list_openai)),
    (GET, "/{version}/openai/models/{model}", Endpoint::new("getModel", models::get_openai)),
    (GET, "/{version}/openai/models/models/{model}", Endpoint::new("getModel", models::get_openai)),
    (GET, "/{version}/models/{model}", Endpoint::new("getModel", models::get)),
];

/// `POST /{version}/models/{model}:{name}`.
static MODEL_METHODS: [Endpoint; 5] = [
    Endpoint::new("generateContent", generate::generate).message("GenerateContentRequest").charged(),
    Endpoint::new("streamGenerateContent", generate::generate).message("GenerateContentRequest").charged(),
    Endpoint::new("countTokens", generate::count_tokens).message("CountTokensRequest"),
    Endpoint::new("embedContent", embed::one).message("EmbedContentRequest").charged(),
    Endpoint::new("batchEmbedContents", embed::batch).message("BatchEmbedContentsRequest").charged(),
];

type Params = Result<Path<HashMap<String, String>>, PathRejection>;

pub(crate) fn router(simulator: Arc<Simulator>) -> Router {
    let mut router = Router::new();
    for (methods, path, endpoint) in &ROUTES {
        let handler = move |State(simulator): State<Arc<Simulator>>, params: Params, request: Request| {
            let params = params.map(|Path(params)| params).unwrap_or_default();
            // A model name cannot contain a colon.
            let exists = !params.get("model").is_some_and(|model| model.contains(':'));
            serve(simulator, exists.then_some(endpoint), params, request)
        };
        router = router.route(path, on(*methods, handler));
    }
    router
        .route("/{version}/models/{model}", on(POST, model_method))
        .route("/ws/{service}", any(live::open))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .with_state(simulator)
}

async fn model_method(State(simulator): State<Arc<Simulator>>, params: Params, request: Request) -> Response {
    let mut params = params.map(|Path(params)| params).unwrap_or_default();
    let target = params.remove("model").unwrap_or_default();
    let (model, method) = target.rsplit_once(':').unwrap_or_default();
    params.insert("model".to_owned(), model.to_owned());
    let endpoint = MODEL_METHODS.iter().find(|endpoint| endpoint.name == method);
    serve(simulator, endpoint, params, request).await
}

async fn not_found(State(simulator): State<Arc<Simulator>>, request: Request) -> Response {
    serve(simulator, None, HashMap::new(), request).await
}
