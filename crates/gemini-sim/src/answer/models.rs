//! The catalogue, native and compatible.

use serde_json::{Value, json};

use super::Reply;
use crate::engine::Admission;
use crate::query::Query;
use crate::refusal::ApiError;
use crate::store::page;
use crate::world::World;

pub(super) fn list(world: &World, query: &Query) -> Admission<Reply> {
    let (models, next) = page(world.models(), query, (50, 1_000))?;
    let models: Vec<_> = models.iter().map(|model| model.describe()).collect();
    Ok(Reply::json(&listed("models", models, next)))
}

/// A list under its name, with the token of the next page when there is one.
/// An empty list is left out, as protobuf leaves it out.
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

pub(super) fn get(world: &World, name: &str, version: &str) -> Admission<Reply> {
    match world.model_named(name) {
        Some(model) => Ok(Reply::json(&model.describe())),
        None => Err(ApiError::new(
            404,
            "model_not_found",
            "NOT_FOUND",
            format!("Model is not found: models/{name} for api version {version}"),
        )),
    }
}

fn compatible(name: &str) -> Value {
    json!({ "id": format!("models/{name}"), "object": "model", "owned_by": "google" })
}

pub(super) fn list_compatible(world: &World) -> Reply {
    let models = world.models();
    let data: Vec<_> = models.iter().map(|model| compatible(&model.name)).collect();
    Reply::json(&json!({ "object": "list", "data": data }))
}

pub(super) fn get_compatible(world: &World, name: &str) -> Admission<Reply> {
    get(world, name, "v1main").map(|_| Reply::json(&compatible(name)))
}
