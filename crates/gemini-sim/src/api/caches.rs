//! Cached contents: for their project and model, until they expire.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::exchange::Exchange;
use super::paging::{listed, page};
use crate::answer::Reply;
use crate::check::check_prompt;
use crate::refusal::ApiError;
use crate::tokens::tokens_of_prompt;

/// The least tokens of a cache.
const MIN_TOKENS: u64 = 1_024;

/// The beginning of a prompt that the provider keeps.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    id: String,
    project: usize,
    pub(super) model: String,
    display_name: Option<String>,
    pub(super) tokens: u64,
    created: Timestamp,
    updated: Timestamp,
    expires: Timestamp,
}

impl Cache {
    /// As the API shows it.
    fn describe(&self) -> Value {
        let mut value = json!({
            "name": format!("cachedContents/{}", self.id),
            "model": format!("models/{}", self.model),
            "createTime": self.created.to_string(),
            "updateTime": self.updated.to_string(),
            "expireTime": self.expires.to_string(),
            "usageMetadata": { "totalTokenCount": self.tokens },
        });
        if let Some(name) = &self.display_name {
            value["displayName"] = name.clone().into();
        }
        value
    }
}

/// All caches of all projects, by id.
#[derive(Debug, Default)]
pub(crate) struct Caches(BTreeMap<String, Cache>);

impl Caches {
    /// A cache of this project that has not expired.
    pub(super) fn get(&self, project: usize, id: &str, now: Timestamp) -> Result<&Cache, ApiError> {
        let found = self.0.get(id).filter(|cache| cache.project == project && now < cache.expires);
        found.ok_or_else(|| ApiError::denied("cache_denied", "CachedContent not found (or permission denied)"))
    }

    /// The caches of one project, newest first.
    fn of(&self, project: usize, now: Timestamp) -> Vec<&Cache> {
        let mut own: Vec<_> = self.0.values().filter(|cache| cache.project == project && now < cache.expires).collect();
        own.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        own
    }
}

pub(super) fn create(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    exchange.model()?;
    let (request, call) = (&exchange.request, exchange.call);
    // A system instruction alone will do.
    if request.get("contents").is_some() || request.get("system_instruction").is_none() {
        check_prompt("CreateCachedContentRequest", request)?;
    }
    exchange.check_files(request)?;
    let tokens = tokens_of_prompt(request);
    if tokens < MIN_TOKENS {
        return Err(ApiError::malformed(format!(
            "Cached content is too small. total_token_count={tokens}, min_total_token_count={MIN_TOKENS}"
        )));
    }
    let cache = Cache {
        id: exchange.state.new_id(),
        project: exchange.project,
        model: call.model.clone(),
        display_name: request["display_name"].as_str().map(str::to_owned),
        tokens,
        created: call.wall,
        updated: call.wall,
        expires: expiry(request, call.wall)?,
    };
    let described = cache.describe();
    exchange.state.caches.0.insert(cache.id.clone(), cache);
    Ok(Reply::json(&described))
}

pub(super) fn list(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let own = exchange.state.caches.of(exchange.project, exchange.call.wall);
    let (caches, next) = page(own, &exchange.call.query, (50, 1_000))?;
    Ok(Reply::json(&listed("cachedContents", caches.iter().map(|cache| cache.describe()).collect(), next)))
}

pub(super) fn get(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let cache = exchange.state.caches.get(exchange.project, &exchange.call.id, exchange.call.wall)?;
    Ok(Reply::json(&cache.describe()))
}

pub(super) fn update(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let call = exchange.call;
    let expires = expiry(&exchange.request, call.wall)?;
    let cache = exchange.state.caches.get(exchange.project, &call.id, call.wall)?;
    let cache = Cache { updated: call.wall, expires, ..cache.clone() };
    let described = cache.describe();
    exchange.state.caches.0.insert(cache.id.clone(), cache);
    Ok(Reply::json(&described))
}

pub(super) fn delete(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let call = exchange.call;
    exchange.state.caches.get(exchange.project, &call.id, call.wall)?;
    exchange.state.caches.0.remove(&call.id);
    Ok(Reply::json(&json!({})))
}

/// `expireTime`, or `ttl` from now, or an hour.
fn expiry(request: &Value, now: Timestamp) -> Result<Timestamp, ApiError> {
    if let Some(text) = request["expire_time"].as_str() {
        let time: Timestamp = text.parse().map_err(|_| ApiError::malformed("Invalid expire_time."))?;
        return if time > now { Ok(time) } else { Err(ApiError::malformed("expire_time must be in the future.")) };
    }
    let ttl = match request["ttl"].as_str() {
        None => Some(SignedDuration::from_hours(1)),
        Some(text) => {
            let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
            let seconds = seconds.filter(|seconds| *seconds > 0.0);
            seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
        }
    };
    ttl.and_then(|ttl| now.checked_add(ttl).ok()).ok_or_else(|| ApiError::malformed("Invalid ttl."))
}
