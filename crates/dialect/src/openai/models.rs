//! Models, as the dialect shows them.

use serde_json::{Value, json};

use crate::Model;

pub(super) fn list(models: &[Model]) -> String {
    let data: Vec<Value> = models.iter().map(value).collect();
    json!({ "object": "list", "data": data }).to_string()
}

pub(super) fn one(model: &Model) -> String {
    value(model).to_string()
}

fn value(model: &Model) -> Value {
    json!({ "id": model.id, "object": "model", "created": 0, "owned_by": model.owner })
}
