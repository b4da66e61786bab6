//! The list of models, in each dialect.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::Frontend;
pub use crate::gemini::models::{Model, page};

fn one(model: &Model, frontend: Frontend) -> Value {
    if frontend.is_anthropic() {
        let created = "1970-01-01T00:00:00Z";
        json!({ "type": "model", "id": model.id, "display_name": model.title, "created_at": created })
    } else {
        json!({ "id": model.id, "object": "model", "created": 0, "owned_by": "google" })
    }
}

/// One model.
pub fn model(model: &Model, frontend: Frontend) -> Bytes {
    one(model, frontend).to_string().into()
}

/// All of them.
pub fn list(models: &[Model], frontend: Frontend) -> Bytes {
    let data: Vec<Value> = models.iter().map(|model| one(model, frontend)).collect();
    let list = if frontend.is_anthropic() {
        let id = |model: Option<&Model>| model.map(|model| model.id.clone());
        json!({ "data": data, "has_more": false, "first_id": id(models.first()), "last_id": id(models.last()) })
    } else {
        json!({ "object": "list", "data": data })
    };
    list.to_string().into()
}
