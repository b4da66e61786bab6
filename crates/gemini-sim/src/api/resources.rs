//! Files and caches, which belong to a project until they expire.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::{Call, Query};
use super::exchange::Exchange;
use crate::answer::Reply;
use crate::check::check_prompt;
use crate::refusal::ApiError;
use crate::tokens::tokens_of_prompt;

#[derive(Debug)]
pub(crate) struct Resource {
    pub(super) project: usize,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    /// The resource as the API shows it.
    pub(super) shown: Value,
}

/// The resources of all projects by name: `files/...` and `cachedContents/...`.
#[derive(Debug, Default)]
pub(crate) struct Resources(BTreeMap<String, Resource>);

impl Resources {
    /// Returns a resource of this project that has not expired. For resources of other projects, the error is the same
    /// as for missing ones.
    pub(super) fn get(&mut self, project: usize, name: &str, now: Timestamp) -> Result<&mut Resource, ApiError> {
        let found = self.0.get_mut(name).filter(|resource| resource.project == project && now < resource.expires);
        found.ok_or_else(|| match name.strip_prefix("files/") {
            None => ApiError::denied("cache_denied", "CachedContent not found (or permission denied)"),
            Some(id) => {
                let why = format!("You do not have permission to access the File {id} or it may not exist.");
                ApiError::denied("file_denied", why)
            }
        })
    }

    /// Returns a 409 if any project uses the name already.
    pub(super) fn check_free(&self, name: &str, now: Timestamp) -> Result<(), ApiError> {
        match self.0.get(name) {
            Some(resource) if now < resource.expires => {
                let why = format!("Requested entity already exists: {name}");
                Err(ApiError::new(409, "already_exists", "ALREADY_EXISTS", why))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, name: String, resource: Resource) {
        self.0.insert(name, resource);
    }
}

/// Lists the resources, newest first.
pub(super) fn list(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let (collection, now) = (collection(exchange.call), exchange.call.wall);
    let own = exchange.state.resources.0.iter().filter(|(name, resource)| {
        name.starts_with(collection) && resource.project == exchange.project && now < resource.expires
    });
    let mut own: Vec<_> = own.map(|(_, resource)| resource).collect();
    own.sort_by_key(|resource| std::cmp::Reverse(resource.created));
    let sizes = if collection == "files" { (10, 100) } else { (50, 1_000) };
    let (resources, next) = page(own, &exchange.call.query, sizes)?;
    Ok(Reply::json(&listed(collection, resources.iter().map(|resource| resource.shown.clone()).collect(), next)))
}

pub(super) fn get(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let (call, name) = (exchange.call, name(exchange.call));
    let resource = exchange.state.resources.get(exchange.project, &name, call.wall)?;
    Ok(Reply::json(&resource.shown))
}

pub(super) fn delete(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let name = name(exchange.call);
    exchange.state.resources.get(exchange.project, &name, exchange.call.wall)?;
    exchange.state.resources.0.remove(&name);
    Ok(Reply::json(&json!({})))
}

/// Returns the name of the resource in the path.
pub(super) fn name(call: &Call) -> String {
    format!("{}/{}", collection(call), call.id)
}

fn collection(call: &Call) -> &'static str {
    if call.parts.uri.path().contains("/cachedContents") { "cachedContents" } else { "files" }
}

/// Minimum number of tokens of a cache.
const MIN_TOKENS: u64 = 1_024;

pub(super) fn create_cache(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    exchange.model()?;
    let (request, now) = (std::mem::take(&mut exchange.request), exchange.call.wall);
    // A system instruction alone is enough.
    if request.get("contents").is_some() || request.get("system_instruction").is_none() {
        check_prompt("CreateCachedContentRequest", &request)?;
    }
    exchange.check_files(&request)?;
    let tokens = tokens_of_prompt(&request);
    if tokens < MIN_TOKENS {
        return Err(ApiError::malformed(format!(
            "Cached content is too small. total_token_count={tokens}, min_total_token_count={MIN_TOKENS}"
        )));
    }
    let expires = expiry(&request, now)?;
    let name = format!("cachedContents/{}", exchange.state.new_id());
    let mut shown = json!({
        "name": name,
        "model": format!("models/{}", exchange.call.model),
        "createTime": now.to_string(),
        "updateTime": now.to_string(),
        "expireTime": expires.to_string(),
        "usageMetadata": { "totalTokenCount": tokens },
    });
    if let Some(display_name) = request.get("display_name") {
        shown["displayName"] = display_name.clone();
    }
    let reply = Reply::json(&shown);
    let resource = Resource { project: exchange.project, created: now, expires, shown };
    exchange.state.resources.insert(name, resource);
    Ok(reply)
}

/// Sets a new expiry.
pub(super) fn update_cache(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let now = exchange.call.wall;
    let expires = expiry(&exchange.request, now)?;
    let resource = exchange.state.resources.get(exchange.project, &name(exchange.call), now)?;
    resource.expires = expires;
    resource.shown["expireTime"] = expires.to_string().into();
    resource.shown["updateTime"] = now.to_string().into();
    Ok(Reply::json(&resource.shown))
}

/// Returns the expiry: `expireTime`, `ttl` from now, or one hour from now.
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

/// Returns one page of `items` and the token of the next one. The page size is limited to `most`. A token contains an
/// offset.
pub(super) fn page<T>(
    items: Vec<T>,
    query: &Query,
    (default, most): (usize, usize),
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let get = |camel, snake| query.get(camel).or_else(|| query.get(snake));
    let invalid = |what: &str| ApiError::malformed(what);
    let size = match get("pageSize", "page_size").filter(|text| !text.is_empty()) {
        None => default,
        Some(text) => match text.parse::<i64>() {
            Ok(0) => default,
            Ok(size) if size > 0 => usize::try_from(size).unwrap_or(most).min(most),
            _ => return Err(invalid("Invalid page size.")),
        },
    };
    let offset = match get("pageToken", "page_token").filter(|text| !text.is_empty()) {
        None => 0,
        Some(token) => token
            .strip_prefix("sim-page-")
            .and_then(|offset| offset.parse::<usize>().ok())
            .filter(|offset| *offset <= items.len())
            .ok_or_else(|| invalid("Invalid page token."))?,
    };
    let total = items.len();
    let next = offset.saturating_add(size);
    let items = items.into_iter().skip(offset).take(size).collect();
    Ok((items, (next < total).then(|| format!("sim-page-{next}"))))
}

/// Returns a list under its name, with the token of the next page if there is one. Protobuf omits empty lists.
pub(super) fn listed(name: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut value = json!({});
    if !items.is_empty() {
        value[name] = items.into();
    }
    if let Some(next) = next {
        value["nextPageToken"] = next.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all: Vec<u32> = (0..5).collect();
        let mut seen = Vec::new();
        let mut query = "pageSize=2".to_owned();
        loop {
            let found = page(all.clone(), &Query::parse(&format!("/?{query}").parse().unwrap()), (50, 100)).unwrap();
            seen.extend(found.0);
            match found.1 {
                Some(token) => query = format!("pageSize=2&pageToken={token}"),
                None => break,
            }
        }
        assert_eq!(seen, all);
        let bad = Query::parse(&"/?pageToken=made-up".parse().unwrap());
        assert!(page(all, &bad, (50, 100)).is_err());
    }
}
