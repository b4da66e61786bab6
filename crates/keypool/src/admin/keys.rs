//! The routes that list, change and test keys. A new key is stored in the database, encrypted, and used at once.

use std::{collections::HashSet, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use keypool_store::{SqliteStore, sqlite::StoredKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tower_keypool::{ErrorClass, Key, KeyId, Scope, Secret};

use super::{
    body::{Body, Params},
    routes::tagged,
    sessions::Administrator,
};
use crate::{
    app::{App, AppState},
    config::{Loaded, NO_EXIT, SecretText},
    error::ApiError,
    key_row::{KeyRow, KeyState, key_rows},
    key_sources,
    proxy::pools::ProviderPool,
};

/// Number of keys read while a pool is locked.
const PAGE: usize = 1_000;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct KeysQuery {
    /// Only keys in this state.
    #[param(inline)]
    state: Option<KeyState>,
    /// Only keys of this project.
    project: Option<String>,
    /// Only keys of this provider.
    provider: Option<String>,
    /// Only keys whose id, label or project contains this text, in any case.
    text: Option<String>,
    /// Number of keys to skip.
    #[serde(default)]
    offset: usize,
    /// Maximum number of keys: default 100, at most 1000.
    limit: Option<usize>,
}

/// A page of keys.
#[derive(Serialize, utoipa::ToSchema)]
pub struct KeyPage {
    /// Number of keys that match the query, on all pages.
    total: usize,
    keys: Vec<KeyRow>,
}

/// Lists keys, without their secrets
///
/// The limits and model breakers of a project are only in its first key on the page.
#[utoipa::path(get, path = "/-/admin/keys", tag = "keys", params(KeysQuery), responses((status = 200, body = KeyPage)))]
pub async fn list(State(app): State<AppState>, headers: HeaderMap, Params(query): Params<KeysQuery>) -> Response {
    let text = query.text.as_deref().unwrap_or_default().to_lowercase();
    let matches = |key: &KeyRow| {
        query.state.is_none_or(|state| key.state == state)
            && query.project.as_deref().is_none_or(|project| key.project == project)
            && key.mentions(&text)
    };
    let are_all = query.state.is_none() && query.project.is_none() && text.is_empty();
    let limit = query.limit.unwrap_or(100).min(1_000);
    let mut page = KeyPage { total: 0, keys: Vec::new() };
    for provider in app.pools.iter().filter(|one| query.provider.as_deref().is_none_or(|name| *one.name == *name)) {
        let keys = provider.pool.stats().keys;
        for offset in (0..keys).step_by(PAGE) {
            if are_all && (page.total + PAGE <= query.offset || page.keys.len() == limit) {
                page.total += PAGE.min(keys - offset);
                continue;
            }
            let snapshot = provider.pool.snapshot(offset, PAGE);
            page.keys.extend(key_rows(provider, &snapshot, |key| {
                if !matches(key) {
                    return false;
                }
                page.total += 1;
                (query.offset..query.offset.saturating_add(limit)).contains(&(page.total - 1))
            }));
        }
    }
    let mut projects = HashSet::new();
    for key in &mut page.keys {
        if !projects.insert((key.provider.clone(), key.project.clone())) {
            key.given.clear();
            key.limits.clear();
            key.breakers.retain(|breaker| breaker.scope != Scope::ProjectModel);
        }
    }
    tagged(&headers, &page)
}

/// Returns a key, without its secret
#[utoipa::path(get, path = "/-/admin/keys/{id}", tag = "keys",
    responses((status = 200, body = KeyRow), (status = 404, description = "The key does not exist")))]
pub async fn one(State(app): State<AppState>, Path(id): Path<String>) -> Result<Json<KeyRow>, ApiError> {
    Ok(Json(find(&app, &id)?.1))
}

/// Finds a key in the pools, with its provider.
fn find(app: &App, id: &str) -> Result<(Arc<ProviderPool>, KeyRow), ApiError> {
    let found = app.pools.iter().find_map(|provider| {
        let mut pages = (0..provider.pool.stats().keys).step_by(PAGE).map(|from| provider.pool.snapshot(from, PAGE));
        let page = pages.find(|page| page.keys.iter().any(|key| key.id.as_str() == id))?;
        let key = key_rows(provider, &page, |key| key.id == id).pop()?;
        Some((Arc::clone(provider), key))
    });
    found.ok_or_else(|| ApiError::not_found("there is no key with this id: list all keys with GET /-/admin/keys"))
}

/// Finds a key that only the database lists, so that it can be changed there.
async fn find_stored(app: &App, id: &str) -> Result<(SqliteStore, StoredKey), ApiError> {
    // A key that is skipped is in no pool.
    if let Ok((provider, key)) = find(app, id)
        && !provider.is_stored(&KeyId::new(id))
    {
        let message =
            format!("key {id} is listed in {}: change it there (disable and enable work for all keys)", key.listed_at);
        return Err(ApiError::conflict(message));
    }
    let sqlite = super::database(app)?;
    let stored = sqlite.key(&KeyId::new(id)).await.map_err(ApiError::failed)?;
    match stored {
        Some(stored) => Ok((sqlite, stored)),
        None => Err(find(app, id).err().unwrap_or_else(|| ApiError::not_found("another process has removed this key"))),
    }
}

/// The result of a change of a key.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Changed {
    /// The key's id.
    id: String,
    /// Whether the change outlives the gateway process. It does with a database or Redis.
    outlives: bool,
}

/// Adds a key to the database and uses it at once
///
/// Besides `secret` and `id`, a key has the options of key files: `project`, `tier`, `priority`, `weight`, `exit`,
/// `billing_account`, `rpm`, `rpd`, `tpm`, `concurrent`, `interval`, `zone`, `models`, `label` and `limits` by model.
/// The default `id` is derived from a hash of the secret.
#[utoipa::path(post, path = "/-/admin/keys", tag = "keys", request_body = Object,
    responses((status = 201, body = Changed), (status = 409, description = "The key exists already, or there is no database")))]
pub async fn add(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Body(options): Body<Map<String, Value>>,
) -> Result<(StatusCode, Json<Changed>), ApiError> {
    let _change = app.admin.changes.lock().await;
    let sqlite = super::database(&app)?;
    let key = checked(&app, options)?;
    let id = key.id.clone();
    check_is_new(&app, &key.secret).await?;
    if find(&app, id.as_str()).is_ok() || sqlite.key(&id).await.map_err(ApiError::failed)?.is_some() {
        return Err(ApiError::conflict(format!("there is a key {id} already: choose another id")));
    }
    sqlite.put_key(key).await.map_err(ApiError::failed)?;
    reload(&app).await?;
    super::note(&app, who, &format!("added key {id}"));
    Ok((StatusCode::CREATED, Json(Changed { id: id.to_string(), outlives: true })))
}

/// Changes options of a key
///
/// The options are those of `POST /-/admin/keys`. `null` removes an option; options that are not named stay.
#[utoipa::path(patch, path = "/-/admin/keys/{id}", tag = "keys", request_body = Object,
    responses((status = 200, body = Changed), (status = 409, description = "The key is listed in a file or a variable")))]
pub async fn set(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Path(id): Path<String>,
    Body(options): Body<Map<String, Value>>,
) -> Result<Json<Changed>, ApiError> {
    if let Some(name) = ["secret", "id"].iter().find(|name| options.contains_key(**name)) {
        return Err(ApiError::bad_request(format!(
            "{name}: this field cannot be changed; change the secret with /replace"
        )));
    }
    let _change = app.admin.changes.lock().await;
    let (sqlite, key) = find_stored(&app, &id).await?;
    let names: Vec<String> = options.keys().cloned().collect();
    let mut all = key_sources::options_of(&key);
    all.extend(options);
    sqlite.put_key(checked(&app, all)?).await.map_err(ApiError::failed)?;
    reload(&app).await?;
    super::note(&app, who, &format!("changed {} of key {id}", names.join(", ")));
    Ok(Json(Changed { id, outlives: true }))
}

/// Removes a key from the database
#[utoipa::path(delete, path = "/-/admin/keys/{id}", tag = "keys",
    responses((status = 200, body = Changed), (status = 409, description = "The key is listed in a file or a variable")))]
pub async fn remove(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Path(id): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let _change = app.admin.changes.lock().await;
    let (sqlite, key) = find_stored(&app, &id).await?;
    sqlite.remove_key(&key.id).await.map_err(ApiError::failed)?;
    reload(&app).await?;
    super::note(&app, who, &format!("removed key {id}"));
    Ok(Json(Changed { id, outlives: true }))
}

/// The reason for disabling a key.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Disable {
    /// The reason, in your own words. It is shown with the key.
    #[serde(default)]
    reason: String,
}

/// Disables a key until it is enabled again
#[utoipa::path(post, path = "/-/admin/keys/{id}/disable", tag = "keys", request_body = Disable, responses((status = 200, body = Changed)))]
pub async fn disable(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Path(id): Path<String>,
    Body(Disable { reason }): Body<Disable>,
) -> Result<Json<Changed>, ApiError> {
    let (provider, _) = find(&app, &id)?;
    let reason = if reason.trim().is_empty() { "disabled by an administrator" } else { reason.trim() };
    if reason.len() > 300 || holds_secret(&app, reason).await? {
        return Err(ApiError::bad_request("reason: expected at most 300 characters without a key or token"));
    }
    provider.pool.disable(&KeyId::new(&*id), reason).map_err(ApiError::failed)?;
    super::note(&app, who, &format!("disabled key {id}: {reason}"));
    Ok(Json(Changed { id, outlives: app.stores.sqlite.is_some() || app.stores.redis.is_some() }))
}

/// Enables a key: clears its failures and the cooldowns that cover it
#[utoipa::path(post, path = "/-/admin/keys/{id}/enable", tag = "keys", responses((status = 200, body = Changed)))]
pub async fn enable(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Path(id): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let (provider, _) = find(&app, &id)?;
    provider.pool.enable(&KeyId::new(&*id)).map_err(ApiError::failed)?;
    super::note(&app, who, &format!("enabled key {id}"));
    Ok(Json(Changed { id, outlives: app.stores.sqlite.is_some() || app.stores.redis.is_some() }))
}

/// The new secret of a key.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// The new secret.
    secret: String,
}

/// Replaces the secret of a key: its id, counts and project stay
#[utoipa::path(post, path = "/-/admin/keys/{id}/replace", tag = "keys", request_body = Replace,
    responses((status = 200, body = Changed), (status = 409, description = "The key is listed in a file or a variable")))]
pub async fn replace(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Path(id): Path<String>,
    Body(Replace { secret }): Body<Replace>,
) -> Result<Json<Changed>, ApiError> {
    let _change = app.admin.changes.lock().await;
    let (sqlite, key) = find_stored(&app, &id).await?;
    let mut options = key_sources::options_of(&key);
    options.insert("secret".to_owned(), secret.into());
    let key = checked(&app, options)?;
    check_is_new(&app, &key.secret).await?;
    let (key_id, secret) = (key.id.clone(), key.secret.clone());
    sqlite.put_key(key).await.map_err(ApiError::failed)?;
    app.pools.own().pool.replace_secret(&key_id, &secret).map_err(ApiError::failed)?;
    reload(&app).await?;
    super::note(&app, who, &format!("replaced the secret of key {id}"));
    Ok(Json(Changed { id, outlives: true }))
}

/// The result of a test of a key.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Tested {
    /// The key's id.
    id: String,
    /// Whether the provider accepted the key.
    works: bool,
    /// The status of the provider's response.
    status: Option<u16>,
    /// The error class.
    class: Option<&'static str>,
    /// The provider's error message.
    message: Option<String>,
    /// The recommended action.
    advice: Option<&'static str>,
    /// Duration of the test in milliseconds.
    milliseconds: u64,
}

/// Tests a key: requests the provider's list of models with it, which uses no quota
///
/// The key's state in the pool does not change.
#[utoipa::path(post, path = "/-/admin/keys/{id}/test", tag = "keys",
    responses((status = 200, body = Tested), (status = 409, description = "The provider has changed, which needs a restart")))]
pub async fn test(
    State(app): State<AppState>,
    Extension(who): Extension<Administrator>,
    Path(id): Path<String>,
) -> Result<Json<Tested>, ApiError> {
    let (provider, _) = find(&app, &id)?;
    let loaded = app.loaded.load_full();
    check_place(&loaded, &provider)?;
    let keys = app.pools.listed(&loaded, &app.stores, &provider).await.map_err(ApiError::failed)?;
    let key = keys.into_iter().find(|key| key.id().as_str() == id);
    let key = key.ok_or_else(|| ApiError::not_found("this key is no longer listed"))?;
    let checked = app.pools.check_key(&provider, key).await;
    let tested = Tested {
        id,
        works: checked.works,
        status: checked.status,
        class: checked.class.map(ErrorClass::as_str),
        message: checked.message,
        advice: checked.advice,
        milliseconds: checked.took.as_millis().try_into().unwrap_or(u64::MAX),
    };
    let result = tested.class.unwrap_or(if tested.works { "it works" } else { "no response" });
    super::note(&app, who, &format!("tested key {}: {result}", tested.id));
    Ok(Json(tested))
}

/// Checks that a secret is not known yet.
async fn check_is_new(app: &App, secret: &Secret) -> Result<(), ApiError> {
    let (loaded, text) = (app.loaded.load_full(), secret.expose());
    for (_, listed) in key_sources::all(&loaded, &app.stores).await.map_err(ApiError::failed)? {
        if let Some(id) = listed.keys.iter().find(|key| key.has_secret(text)).map(Key::id) {
            let place = listed.place(&id);
            return Err(ApiError::conflict(format!("this key exists already as {id}, listed in {place}")));
        }
    }
    // A skipped key is in no pool.
    match key_sources::with_secret(&super::database(app)?, text).await.map_err(ApiError::failed)? {
        Some(key) => Err(ApiError::conflict(format!("this key exists already as {}, listed in the database", key.id))),
        None => Ok(()),
    }
}

/// Reports whether a text for people contains a key or a token.
async fn holds_secret(app: &App, text: &str) -> Result<bool, ApiError> {
    let loaded = app.loaded.load_full();
    let tokens = [Some(&loaded.token), loaded.admin_token.as_ref()];
    let is_separator = |c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c);
    // A shorter token may be part of a common word.
    let mut tokens = tokens.into_iter().flatten().map(SecretText::expose).filter(|token| token.len() >= 8);
    if tokens.any(|token| text.contains(token)) {
        return Ok(true);
    }
    let all = key_sources::all(&loaded, &app.stores).await.map_err(ApiError::failed)?;
    let keys = || all.iter().flat_map(|(_, listed)| &listed.keys);
    Ok(text.split(is_separator).any(|word| keys().any(|key| key.has_secret(word))))
}

/// Checks that keys are sent where the configuration says.
fn check_place(loaded: &Loaded, provider: &ProviderPool) -> Result<(), ApiError> {
    if provider.is_moved(loaded) {
        let message =
            "the provider's kind, upstream or header has changed in the configuration: restart the gateway first";
        return Err(ApiError::conflict(message));
    }
    Ok(())
}

/// Checks that the pool can use a key with these options, and returns it as the database stores it.
fn checked(app: &App, options: Map<String, Value>) -> Result<StoredKey, ApiError> {
    let loaded = app.loaded.load();
    check_place(&loaded, app.pools.own())?;
    let (key, stored) = key_sources::stored_from(options, &loaded).map_err(ApiError::bad_request)?;
    if app.started.has_exit_of(&key) && loaded.has_exit_of(&key) {
        Ok(stored)
    } else {
        Err(ApiError::bad_request(NO_EXIT))
    }
}

/// Reloads the keys of the pools.
async fn reload(app: &App) -> Result<(), ApiError> {
    app.pools.reload(&app.loaded.load_full(), &app.stores).await.map_err(ApiError::failed)
}
