//! Cached contents.

use serde_json::{Value, json};

use super::Reply;
use super::models::listed;
use crate::engine::{Admission, Admitted, State, Visit};
use crate::proto_json::field;
use crate::store::{Cache, Lifetime, page};

pub(super) fn create(state: &mut State, visit: &Visit<'_>, admitted: &Admitted) -> Admission<Reply> {
    let request = &admitted.request;
    let name = field(request, "displayName", "display_name").and_then(Value::as_str);
    let cache = Cache {
        id: state.id(),
        project: admitted.project,
        model: visit.model.clone(),
        display_name: name.map(str::to_owned),
        tokens: admitted.charge.tokens,
        created: visit.wall,
        updated: visit.wall,
        expires: Lifetime::read(request, visit.wall)?,
    };
    let described = cache.describe();
    state.caches.put(cache);
    Ok(Reply::json(&described))
}

pub(super) fn list(state: &State, visit: &Visit<'_>, project: usize) -> Admission<Reply> {
    let own = state.caches.of(project, visit.wall);
    let (caches, next) = page(own, &visit.query, (50, 1_000))?;
    let caches = caches.iter().map(|cache| cache.describe());
    Ok(Reply::json(&listed("cachedContents", caches.collect(), next)))
}

pub(super) fn get(state: &State, visit: &Visit<'_>, project: usize, id: &str) -> Admission<Reply> {
    let cache = state.caches.get(project, id, visit.wall)?;
    Ok(Reply::json(&cache.describe()))
}

pub(super) fn update(state: &mut State, visit: &Visit<'_>, admitted: &Admitted, id: &str) -> Admission<Reply> {
    let expires = Lifetime::read(&admitted.request, visit.wall)?;
    let times = (visit.wall, expires);
    let cache = state.caches.prolong(admitted.project, id, times)?;
    Ok(Reply::json(&cache.describe()))
}

pub(super) fn delete(state: &mut State, visit: &Visit<'_>, project: usize, id: &str) -> Admission<Reply> {
    state.caches.delete(project, id, visit.wall)?;
    Ok(Reply::json(&json!({})))
}
