//! The routes of the admin API other than those of keys, events and sessions.

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    body::{Body, Params},
    sessions::Administrator,
};
use crate::{
    app::AppState,
    config::TenantEntry,
    error::ApiError,
    key_row::{BreakerRow, KeyRow, LimitRow, key_rows, limit_rows},
    metrics::{Counts, Step},
    middleware::access_log::RequestRecord,
    proxy::pools::ProviderPool,
    reload::{self, Reloaded},
    request_result::RequestResult,
    tenants,
    usage::{self, UsageBy, UsageRow},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Number of keys of each pool to skip.
    #[serde(default)]
    offset: usize,
    /// Maximum number of keys of each pool: default 100, at most 1000.
    limit: Option<usize>,
}

/// The current state of the gateway.
#[derive(Serialize, utoipa::ToSchema)]
pub struct GatewayView {
    version: &'static str,
    pid: u32,
    /// Whether the gateway has a database, so that this API can change keys and tenants.
    database: bool,
    /// Requests since the start, by result.
    requests: Counts,
    /// Number of requests whose response has not started.
    in_progress: i64,
    /// The last ten minutes in steps of ten seconds, without steps that have no requests.
    steps: Vec<Step>,
    /// Time to the response head, of those of the last 256 requests that a provider served.
    latency: Option<Latency>,
    pools: Vec<PoolRow>,
}

/// A provider, with a page of its keys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PoolRow {
    name: String,
    /// `gemini`, `openai` or `anthropic`.
    dialect: &'static str,
    #[schema(value_type = String)]
    strategy: tower_keypool::Strategy,
    /// Counters since the start.
    #[schema(value_type = Object)]
    stats: tower_keypool::pool::Stats,
    /// The open circuit breakers of models, billing accounts and exits.
    breakers: Vec<BreakerRow>,
    /// The requested page of keys.
    keys: Vec<KeyRow>,
}

impl PoolRow {
    /// Creates the view of a provider with `limit` of its keys, from `offset` on.
    pub fn of(provider: &ProviderPool, offset: usize, limit: usize) -> Self {
        let snapshot = provider.pool.snapshot(offset, limit);
        Self {
            name: provider.name.to_string(),
            dialect: provider.dialect.as_str(),
            strategy: snapshot.strategy,
            stats: snapshot.stats.clone(),
            breakers: snapshot.breakers.iter().map(BreakerRow::of).collect(),
            keys: key_rows(provider, &snapshot, |_| true),
        }
    }
}

/// Time from the arrival of a request to the response head.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Latency {
    /// The median, in milliseconds.
    median_ms: u64,
    /// The 95th percentile, in milliseconds.
    p95_ms: u64,
    /// Number of measured requests.
    requests: usize,
}

/// Returns the pools, each with a page of its keys, and the gateway's request counts
///
/// The response has an `ETag`: a request with `If-None-Match` gets a 304 while nothing has changed.
#[utoipa::path(get, path = "/-/admin/snapshot", tag = "look", params(PageQuery), responses((status = 200, body = GatewayView), (status = 304)))]
pub async fn snapshot(State(app): State<AppState>, headers: HeaderMap, Params(page): Params<PageQuery>) -> Response {
    let limit = page.limit.unwrap_or(100).min(1_000);
    let (requests, steps) = app.metrics.traffic();
    let view = GatewayView {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        database: app.stores.sqlite.is_some(),
        requests,
        in_progress: app.metrics.in_progress(),
        steps,
        latency: latency(&app.recent.list()),
        pools: app.pools.iter().map(|provider| PoolRow::of(provider, page.offset, limit)).collect(),
    };
    tagged(&headers, &view)
}

/// Returns the latency of served requests only: refusals are instant and say nothing about providers.
fn latency(recent: &[RequestRecord]) -> Option<Latency> {
    let reached = recent.iter().filter(|record| record.result == RequestResult::Good && !record.attempts.is_empty());
    let mut times: Vec<u64> = reached.map(|record| record.milliseconds).collect();
    times.sort_unstable();
    let at = |part: f64| times.get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1)));
    Some(Latency { median_ms: *at(0.5)?, p95_ms: *at(0.95)?, requests: times.len() })
}

/// Returns the value with an `ETag`, or a 304 if the client has it already.
pub fn tagged(headers: &HeaderMap, value: &impl Serialize) -> Response {
    let body = match serde_json::to_vec(value) {
        Ok(body) => body,
        Err(error) => return ApiError::failed(error).into_response(),
    };
    let hash = Sha256::digest(&body);
    unless_known(headers, &hash, ([(header::CONTENT_TYPE, "application/json")], body))
}

/// Returns a response with the hash of its content as its `ETag`, or a 304 if the client has it already.
pub fn unless_known(headers: &HeaderMap, hash: &[u8], response: impl IntoResponse) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash[..12]));
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { response.into_response() };
    response.headers_mut().insert(header::ETAG, HeaderValue::try_from(tag).expect("letters and digits"));
    response
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// Grouping: key, project, model, tenant or day; default key. There is a row for each group and day.
    #[serde(default)]
    #[param(inline)]
    by: UsageBy,
    /// The first day, such as 2026-06-15.
    from: Option<String>,
    /// The last day; by default all days up to today are included.
    to: Option<String>,
    /// Number of days up to today, if `from` is not set; default 1, at most 400.
    days: Option<i32>,
}

/// Usage by day.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Usage {
    /// Today's date in the provider's time zone; for tenants in UTC.
    today: String,
    rows: Vec<UsageRow>,
}

/// Returns the usage of each day, summed over all processes that share the database
#[utoipa::path(get, path = "/-/admin/usage", tag = "look", params(UsageQuery),
    responses((status = 200, body = Usage), (status = 409, description = "There is no database")))]
pub async fn usage(State(app): State<AppState>, Params(query): Params<UsageQuery>) -> Result<Json<Usage>, ApiError> {
    let sqlite = super::database(&app)?;
    let zone = if query.by == UsageBy::Tenant { "UTC" } else { app.pools.own().pool.provider().zone() };
    let today = usage::today(zone);
    let date = |name: &str, text: &Option<String>, default: i32| match text {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map(usage::days_of)
            .map_err(|_| ApiError::bad_request(format!("{name}: expected a date such as 2026-06-15"))),
    };
    let days = query.days.unwrap_or(1).clamp(1, 400);
    let from = date("from", &query.from, today + 1 - days)?;
    // In the time zone of some project it may be tomorrow already.
    let to = date("to", &query.to, today + 1)?;
    let rows = usage::rows(&sqlite, query.by, from..=to).await.map_err(ApiError::failed)?;
    Ok(Json(Usage { today: usage::date_of(today).to_string(), rows }))
}

/// Lists the last 256 requests with their attempts, newest first
#[utoipa::path(get, path = "/-/admin/requests", tag = "look", responses((status = 200, body = Vec<RequestRecord>)))]
pub async fn requests(State(app): State<AppState>, headers: HeaderMap) -> Response {
    tagged(&headers, &app.recent.list())
}

/// Returns one of the last 256 requests with its attempts, by its `x-request-id`
#[utoipa::path(get, path = "/-/admin/requests/{id}", tag = "look",
    responses((status = 200, body = RequestRecord), (status = 404, description = "The request is not among the last 256")))]
pub async fn request(State(app): State<AppState>, Path(id): Path<String>) -> Result<Json<RequestRecord>, ApiError> {
    let unknown = || ApiError::not_found("this request is not among the last 256 of this process");
    app.recent.find(&id).map(Json).ok_or_else(unknown)
}

/// Number of failed attempts of an error class.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ErrorCount {
    /// The name of the provider.
    pool: String,
    /// The error class.
    class: &'static str,
    count: u64,
    /// The recommended action.
    advice: &'static str,
}

/// Returns the number of failed attempts since the start, by error class
#[utoipa::path(get, path = "/-/admin/errors", tag = "look", responses((status = 200, body = Vec<ErrorCount>)))]
pub async fn errors(State(app): State<AppState>) -> Json<Vec<ErrorCount>> {
    let counts = app.pools.iter().flat_map(|provider| {
        let by_class = provider.pool.stats().by_class;
        by_class.into_iter().map(|(class, count)| {
            let (pool, advice) = (provider.name.to_string(), class.policy().advice);
            ErrorCount { pool, class: class.as_str(), count, advice }
        })
    });
    Json(counts.collect())
}

/// Returns the effective configuration, without secrets
#[utoipa::path(get, path = "/-/admin/config", tag = "look", responses((status = 200, body = Object)))]
pub async fn config(State(app): State<AppState>) -> Json<Value> {
    let loaded = app.loaded.load();
    let config = &loaded.config;
    let providers: Vec<Value> = app
        .pools
        .iter()
        .map(|provider| json!({ "name": *provider.name, "base": provider.pool.provider().base().to_string(), "models": provider.models }))
        .collect();
    let models: Vec<Value> =
        config.models.iter().map(|model| json!({ "name": model.name, "aliases": model.aliases })).collect();
    Json(json!({
        "file": loaded.path, "gateway": config.gateway, "pool": config.pool, "store": config.store, "admin": config.admin,
        "log": config.log, "exits": config.exits, "batch": config.batch, "providers": providers, "models": models,
    }))
}

/// Reloads the configuration, the key files and the database, as SIGHUP does
#[utoipa::path(post, path = "/-/admin/reload", tag = "change",
    responses((status = 200, body = Reloaded), (status = 409, description = "The configuration is invalid or the database cannot be read")))]
pub async fn reload(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
) -> Result<Json<Reloaded>, ApiError> {
    let reloaded = reload::reload(&app).await.map_err(|error| ApiError::conflict(error.to_string()))?;
    super::note(&app, who, "reloaded the configuration");
    Ok(Json(reloaded))
}

/// A tenant: a user of the gateway.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TenantRow {
    name: String,
    /// Whether it is listed in the database, so that this API can remove it.
    in_database: bool,
    /// The models that it may use; all if empty. A name may end in `*`.
    models: Vec<String>,
    /// Maximum number of concurrent requests.
    max_concurrent: Option<u32>,
    /// The date or time from which its token is refused.
    expires: Option<String>,
    /// Its limits, and their current use by this process and, before its start, by all that share the store.
    limits: Vec<LimitRow>,
}

/// Lists the tenants with their limits and use
#[utoipa::path(get, path = "/-/admin/tenants", tag = "tenants", responses((status = 200, body = Vec<TenantRow>)))]
pub async fn tenants(State(app): State<AppState>) -> Json<Vec<TenantRow>> {
    let loaded = app.loaded.load();
    let snapshot = app.tenants.snapshot();
    let row = |tenant: &std::sync::Arc<tenants::Tenant>| {
        let entry = tenant.entry();
        let project = tenants::counted_as(&entry.name);
        let used = snapshot.projects.iter().find(|known| *known.name == *project);
        TenantRow {
            name: entry.name.clone(),
            in_database: !loaded.config.tenants.iter().any(|listed| listed.name == entry.name),
            models: entry.models.clone(),
            max_concurrent: entry.max_concurrent,
            expires: entry.expires.clone(),
            limits: match used.map(limit_rows) {
                Some(used) if !used.is_empty() => used,
                _ => tenant.limits().iter().map(|limit| LimitRow::given("*", limit)).collect(),
            },
        }
    };
    Json(app.tenants.list().iter().map(row).collect())
}

/// A tenant that was added.
#[derive(Serialize, utoipa::ToSchema)]
pub struct AddedTenant {
    name: String,
    /// Its token, which is shown only once.
    token: String,
}

/// Adds a tenant to the database
#[utoipa::path(post, path = "/-/admin/tenants", tag = "tenants", request_body = TenantEntry,
    responses((status = 201, body = AddedTenant), (status = 409, description = "The tenant exists already, or there is no database")))]
pub async fn add_tenant(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Body(mut entry): Body<TenantEntry>,
) -> Result<(StatusCode, Json<AddedTenant>), ApiError> {
    if entry.token.is_some() || entry.token_file.is_some() || entry.token_hash.is_some() {
        return Err(ApiError::bad_request("token: the gateway itself makes the token"));
    }
    let name = entry.name.trim().to_owned();
    entry.name.clone_from(&name);
    if let Some(problem) = entry.problems().into_iter().next() {
        return Err(ApiError::bad_request(problem));
    }
    let _change = app.admin.changes.lock().await;
    let sqlite = super::database(&app)?;
    let stored = sqlite.tenants().await.map_err(ApiError::failed)?;
    if app.tenants.list().iter().any(|tenant| tenant.entry().name == name) || stored.iter().any(|one| one.name == name)
    {
        return Err(ApiError::conflict(format!(
            "there is a tenant {name} already: remove it first, or choose another name"
        )));
    }
    let token = tenants::add(&sqlite, &entry).await.map_err(ApiError::failed)?;
    app.tenants.reload(&app.loaded.load_full(), &app.stores).await.map_err(ApiError::failed)?;
    super::note(&app, who, &format!("added tenant {name}"));
    Ok((StatusCode::CREATED, Json(AddedTenant { name, token })))
}

/// Removes a tenant from the database: its token is refused from now on, and its requests in progress are cut off
#[utoipa::path(delete, path = "/-/admin/tenants/{name}", tag = "tenants",
    responses((status = 204), (status = 409, description = "The tenant is listed in the configuration")))]
pub async fn remove_tenant(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let _change = app.admin.changes.lock().await;
    let loaded = app.loaded.load_full();
    if loaded.config.tenants.iter().any(|listed| listed.name == name) {
        return Err(ApiError::conflict(format!(
            "tenant {name} is listed in {}: remove it there",
            loaded.path.display()
        )));
    }
    let sqlite = super::database(&app)?;
    if !sqlite.remove_tenant(&name).await.map_err(ApiError::failed)? {
        return Err(ApiError::not_found(format!("there is no tenant {name}")));
    }
    app.tenants.reload(&loaded, &app.stores).await.map_err(ApiError::failed)?;
    super::note(&app, who, &format!("removed tenant {name}"));
    Ok(StatusCode::NO_CONTENT)
}
