//! Lists of models: the models of all providers as one list, in the client's dialect.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use futures_util::future::join_all;
use http::{HeaderValue, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{handler::Incoming, pools::ProviderPool, query, route::PathTarget};
use crate::{app::AppState, dialect::Dialect, error::ApiError};

/// Maximum age of the cached list.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Timeout for a provider's list, after which the provider is left out.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum number of pages of one provider; Gemini has two of the largest size.
const MAX_PAGES: usize = 20;
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Number of models after which no further page is loaded.
const MAX_MODELS: usize = 20_000;

/// A model, as its provider lists it.
#[derive(Clone, Debug)]
struct Model {
    id: String,
    dialect: Dialect,
    provider: Arc<str>,
    entry: Value,
}

/// The cached list of the models of all providers.
#[derive(Default)]
pub struct Catalog(Mutex<Option<(Instant, Arc<[Model]>)>>);

/// Reports whether the list is that of a single provider, so that its own response can be passed on.
pub fn is_of_one(incoming: &Incoming) -> bool {
    let Incoming { app, provider, .. } = incoming;
    let named = matches!(incoming.route.target, PathTarget::Named(_));
    let is_all =
        app.pools.iter().count() == 1 && app.started.config.models.iter().all(|model| model.aliases.is_empty());
    provider.dialect == incoming.route.dialect && (named || is_all) && !incoming.tenant.restricts_models()
}

/// Returns the models that a tenant may use, or one of them.
///
/// # Errors
/// 404 for an unknown model; the first provider's error if no provider lists its models.
pub async fn answer(incoming: &Incoming, one: Option<&str>) -> Result<Response, ApiError> {
    let Incoming { app, .. } = incoming;
    let dialect = incoming.route.dialect;
    let models = app.catalog.models(app).await?;
    let is_served = |model: &&Model| {
        let provider = app.pools.choose(&incoming.route.target, dialect, Some(&model.id));
        model.is_useful_to(dialect) && provider.is_ok_and(|provider| provider.name == model.provider)
    };
    let mut listed: Vec<Model> = models.iter().filter(is_served).cloned().collect();
    add_aliases(app, &mut listed);
    let may_use = |name: &str| incoming.tenant.may_use(name) || incoming.tenant.may_use(app.pools.resolved(name));
    listed.retain(|model| may_use(&model.id));
    let body = match one {
        None => list(&listed, dialect, &incoming.head),
        Some(one) => {
            let one = one.trim_start_matches("models/");
            let found = listed.iter().find(|model| model.id == one);
            found.ok_or_else(|| ApiError::not_found(format!("there is no model {one}")))?.shown(dialect)
        }
    };
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Adds the configured aliases of the listed models.
fn add_aliases(app: &AppState, listed: &mut Vec<Model>) {
    for configured in &app.started.config.models {
        let Some(model) = listed.iter().find(|model| model.id == configured.name).cloned() else { continue };
        let new = configured.aliases.iter().filter(|alias| listed.iter().all(|model| model.id != **alias));
        let new: Vec<Model> = new.map(|alias| model.called(alias)).collect();
        listed.extend(new);
    }
}

impl Catalog {
    /// Returns the models of all providers. Only one request at a time loads them; the others wait for its result.
    async fn models(&self, app: &AppState) -> Result<Arc<[Model]>, ApiError> {
        let mut listed = self.0.lock().await;
        if let Some((at, models)) = &*listed
            && at.elapsed() < MAX_AGE
        {
            return Ok(Arc::clone(models));
        }
        let (mut models, mut failed): (Vec<Model>, Option<ApiError>) = (Vec::new(), None);
        let mut ids = HashSet::new();
        let mut is_any = false;
        let lists = app.pools.iter().map(|provider| tokio::time::timeout(TIMEOUT, all(provider)));
        for (provider, answer) in app.pools.iter().zip(join_all(lists).await) {
            let late =
                |_| Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("{} does not respond", provider.name)));
            match answer.unwrap_or_else(late) {
                Ok(more) => {
                    is_any = true;
                    models.extend(
                        more.into_iter().filter(|model| ids.insert((model.provider.clone(), model.id.clone()))),
                    );
                }
                Err(error) => {
                    tracing::warn!(provider = &*provider.name, error = error.message, "its models could not be listed");
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed.filter(|_| !is_any) {
            return Err(error);
        }
        let models: Arc<[Model]> = models.into();
        *listed = Some((Instant::now(), Arc::clone(&models)));
        Ok(models)
    }
}

/// Loads all pages of a provider's list.
async fn all(provider: &Arc<ProviderPool>) -> Result<Vec<Model>, ApiError> {
    let mut models = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let after = next
            .map(|token| percent_encoding::utf8_percent_encode(&token, percent_encoding::NON_ALPHANUMERIC).to_string());
        let path = match (provider.dialect, after) {
            (Dialect::Gemini, None) => "/v1beta/models?pageSize=1000".to_owned(),
            (Dialect::Gemini, Some(token)) => format!("/v1beta/models?pageSize=1000&pageToken={token}"),
            (Dialect::Anthropic, None) => "/v1/models?limit=1000".to_owned(),
            (Dialect::Anthropic, Some(id)) => format!("/v1/models?limit=1000&after_id={id}"),
            (Dialect::OpenAi, _) => "/v1/models".to_owned(),
        };
        let mut page = get(provider, &path).await?;
        let (entries, name) = if provider.dialect == Dialect::Gemini { ("models", "name") } else { ("data", "id") };
        // Together's list is a bare array.
        let entries = if page.is_array() { Some(&mut page) } else { page.get_mut(entries) };
        let entries = entries.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        models.extend(entries.into_iter().filter_map(|entry| {
            let id = entry[name].as_str()?.trim_start_matches("models/").to_owned();
            Some(Model { id, dialect: provider.dialect, provider: Arc::clone(&provider.name), entry })
        }));
        next = match provider.dialect {
            Dialect::Gemini => page["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned),
            Dialect::Anthropic if page["has_more"] == true => page["last_id"].as_str().map(str::to_owned),
            _ => None,
        };
        if next.is_none() || models.len() > MAX_MODELS {
            break;
        }
    }
    Ok(models)
}

async fn get(provider: &ProviderPool, path: &str) -> Result<Value, ApiError> {
    let request = Request::get(path).body(Body::empty()).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let answer = provider.send(request).await.map_err(|error| ApiError::from(&error))?;
    let wrong = |why: String| {
        ApiError::new(StatusCode::BAD_GATEWAY, format!("the models of {} cannot be listed: {why}", provider.name))
    };
    let status = answer.status();
    if !status.is_success() {
        return Err(wrong(format!("it responded with {status}")));
    }
    let body =
        Limited::new(answer.into_body(), MAX_PAGE_BYTES).collect().await.map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| wrong(error.to_string()))
}

impl Model {
    /// Reports whether clients of a dialect can use it: all models of their own API, and those of Gemini that generate or
    /// embed content.
    fn is_useful_to(&self, dialect: Dialect) -> bool {
        let mut methods = self.entry["supportedGenerationMethods"].as_array().into_iter().flatten();
        dialect == self.dialect
            || self.dialect == Dialect::Gemini
                && methods.any(|method| method == "generateContent" || method == "embedContent")
    }

    /// Returns a copy of the model under another name.
    fn called(&self, alias: &str) -> Self {
        let mut entry = self.entry.clone();
        match self.dialect {
            Dialect::Gemini => entry["name"] = format!("models/{alias}").into(),
            _ => entry["id"] = alias.into(),
        }
        Self { id: alias.to_owned(), entry, ..self.clone() }
    }

    fn shown(&self, dialect: Dialect) -> Value {
        let id = &self.id;
        match dialect {
            _ if dialect == self.dialect => self.entry.clone(),
            Dialect::Anthropic => {
                let (title, created) = (self.entry["displayName"].as_str().unwrap_or(id), "1970-01-01T00:00:00Z");
                json!({ "type": "model", "id": id, "display_name": title, "created_at": created, "lifecycle": "active" })
            }
            _ => json!({ "id": id, "object": "model", "created": 0, "owned_by": "google" }),
        }
    }
}

/// Returns the list of all models; for Anthropic clients the requested page of it, which is empty if it is next to an
/// unknown model.
fn list(models: &[Model], dialect: Dialect, head: &Parts) -> Value {
    let shown = |models: &[Model]| -> Vec<Value> { models.iter().map(|model| model.shown(dialect)).collect() };
    match dialect {
        Dialect::Gemini => json!({ "models": shown(models) }),
        Dialect::OpenAi => json!({ "object": "list", "data": shown(models) }),
        Dialect::Anthropic => {
            let position = |id| models.iter().position(|model| model.id == id);
            let limit = query::value(&head.uri, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(models.len());
            let (page, more) = if let Some(id) = query::value(&head.uri, "before_id") {
                let end = position(id).unwrap_or(0);
                (&models[end.saturating_sub(limit)..end], end > limit)
            } else {
                let after = |id| position(id).map_or(models.len(), |last| last + 1);
                let rest = &models[query::value(&head.uri, "after_id").map_or(0, after)..];
                (&rest[..limit.min(rest.len())], limit < rest.len())
            };
            let id = |model: Option<&Model>| model.map(|model| model.id.clone());
            json!({ "data": shown(page), "has_more": more, "first_id": id(page.first()), "last_id": id(page.last()) })
        }
    }
}
