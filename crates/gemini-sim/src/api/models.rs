//! The list of models, native and OpenAI-compatible.

use serde_json::{Value, json};

use super::exchange::Exchange;
use super::resources::{listed, page};
use crate::answer::Reply;
use crate::refusal::ApiError;

pub(super) fn list(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let models = exchange.simulator.catalogue.iter().collect();
    let (models, next) = page(models, &exchange.call.query, (50, 1_000))?;
    Ok(Reply::json(&listed("models", models.iter().map(|model| model.describe()).collect(), next)))
}

pub(super) fn get(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let (name, version) = (&exchange.call.model, &exchange.call.version);
    let model = exchange.simulator.catalogue.get(name).map(|model| Reply::json(&model.describe()));
    model.ok_or_else(|| {
        let why = format!("Model is not found: models/{name} for api version {version}");
        ApiError::new(404, "model_not_found", "NOT_FOUND", why)
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a handler")]
pub(super) fn list_openai(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let models = exchange.simulator.catalogue.iter().map(|model| describe_openai(&model.name));
    Ok(Reply::json(&json!({ "object": "list", "data": models.collect::<Vec<_>>() })))
}

pub(super) fn get_openai(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    get(exchange).map(|_| Reply::json(&describe_openai(&exchange.call.model)))
}

fn describe_openai(name: &str) -> Value {
    json!({ "id": format!("models/{name}"), "object": "model", "owned_by": "google" })
}
