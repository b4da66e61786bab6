//! Files and caches: for their project, until they expire.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Call;
use super::exchange::Exchange;
use super::paging::{listed, page};
use crate::answer::Reply;
use crate::refusal::ApiError;

#[derive(Debug)]
pub(crate) struct Resource {
    pub(super) project: usize,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    /// When a file leaves `PROCESSING`.
    pub(super) active: Timestamp,
    /// As the API shows it.
    pub(super) shown: Value,
}

impl Resource {
    pub(super) fn show(&self, now: Timestamp) -> Value {
        let mut shown = self.shown.clone();
        if now < self.active {
            shown["state"] = "PROCESSING".into();
        }
        shown
    }
}

/// All resources of all projects by name: `files/...` and `cachedContents/...`.
#[derive(Debug, Default)]
pub(crate) struct Resources(BTreeMap<String, Resource>);

impl Resources {
    /// A resource of this project that has not expired. Of others the API says the same as of those that do not exist.
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

    /// 409 for a name that any project has taken.
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

/// The newest first.
pub(super) fn list(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let (collection, now) = (collection(exchange.call), exchange.call.wall);
    let own = exchange.state.resources.0.iter().filter(|(name, resource)| {
        name.starts_with(collection) && resource.project == exchange.project && now < resource.expires
    });
    let mut own: Vec<_> = own.map(|(_, resource)| resource).collect();
    own.sort_by_key(|resource| std::cmp::Reverse(resource.created));
    let sizes = if collection == "files" { (10, 100) } else { (50, 1_000) };
    let (resources, next) = page(own, &exchange.call.query, sizes)?;
    Ok(Reply::json(&listed(collection, resources.iter().map(|resource| resource.show(now)).collect(), next)))
}

pub(super) fn get(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let (call, name) = (exchange.call, name(exchange.call));
    let resource = exchange.state.resources.get(exchange.project, &name, call.wall)?;
    Ok(Reply::json(&resource.show(call.wall)))
}

pub(super) fn delete(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let name = name(exchange.call);
    exchange.state.resources.get(exchange.project, &name, exchange.call.wall)?;
    exchange.state.resources.0.remove(&name);
    Ok(Reply::json(&json!({})))
}

/// The name of the resource in the path.
pub(super) fn name(call: &Call) -> String {
    format!("{}/{}", collection(call), call.id)
}

fn collection(call: &Call) -> &'static str {
    if call.parts.uri.path().contains("/cachedContents") { "cachedContents" } else { "files" }
}
