//! Cached contents: until their time is up, for their project and model.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::proto_json::field;
use crate::refusal::ApiError;

/// A prompt's beginning that the provider keeps.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(crate) id: String,
    pub(crate) project: usize,
    pub(crate) model: String,
    pub(crate) display_name: Option<String>,
    pub(crate) tokens: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) expires: Timestamp,
}

impl Cache {
    /// As the API shows it.
    pub(crate) fn describe(&self) -> Value {
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

/// How long a cache shall live, as a request says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime;

impl Lifetime {
    /// `expireTime`, or `ttl` from now, or an hour.
    pub(crate) fn read(request: &Value, now: Timestamp) -> Result<Timestamp, ApiError> {
        let invalid = |what: &str| ApiError::invalid_argument("malformed", what);
        if let Some(text) = field(request, "expireTime", "expire_time").and_then(Value::as_str) {
            let time: Timestamp = text.parse().map_err(|_| invalid("Invalid expire_time."))?;
            if time <= now {
                return Err(invalid("expire_time must be in the future."));
            }
            return Ok(time);
        }
        let ttl = match request.get("ttl").and_then(Value::as_str) {
            None => SignedDuration::from_hours(1),
            Some(text) => text
                .strip_suffix('s')
                .and_then(|seconds| seconds.parse::<f64>().ok())
                .filter(|seconds| *seconds > 0.0)
                .and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
                .ok_or_else(|| invalid("Invalid ttl."))?,
        };
        now.checked_add(ttl).map_err(|_| invalid("Invalid ttl."))
    }
}

/// All caches by id, for all projects.
#[derive(Debug, Default)]
pub(crate) struct Caches(BTreeMap<String, Cache>);

fn denied() -> ApiError {
    ApiError::denied("cache_denied", "CachedContent not found (or permission denied)")
}

impl Caches {
    /// A cache of this project whose time is not up.
    pub(crate) fn get(&self, project: usize, id: &str, now: Timestamp) -> Result<&Cache, ApiError> {
        let found = self.0.get(id).filter(|cache| cache.project == project);
        found.filter(|cache| now < cache.expires).ok_or_else(denied)
    }

    pub(crate) fn put(&mut self, cache: Cache) {
        self.0.insert(cache.id.clone(), cache);
    }

    pub(crate) fn prolong(
        &mut self,
        project: usize,
        id: &str,
        (now, expires): (Timestamp, Timestamp),
    ) -> Result<&Cache, ApiError> {
        self.get(project, id, now)?;
        let cache = self.0.get_mut(id).ok_or_else(denied)?;
        cache.updated = now;
        cache.expires = expires;
        Ok(cache)
    }

    pub(crate) fn delete(&mut self, project: usize, id: &str, now: Timestamp) -> Result<(), ApiError> {
        self.get(project, id, now)?;
        self.0.remove(id);
        Ok(())
    }

    /// The caches of one project, newest first.
    pub(crate) fn of(&self, project: usize, now: Timestamp) -> Vec<&Cache> {
        let own = |cache: &&Cache| cache.project == project && now < cache.expires;
        let mut own: Vec<_> = self.0.values().filter(own).collect();
        own.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        own
    }
}
