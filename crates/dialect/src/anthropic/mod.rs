//! Anthropic's dialect, on the caller's side: messages, their tokens, models.

mod block;
mod events;
mod fault;
mod message;
mod origin;
mod request;
mod search;
mod tool;

use serde_json::{Value, json};

use crate::{Asked, Caller, Fault, Model, Refused, Shape, Voice};

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct Anthropic;

impl Caller for Anthropic {
    fn conversation<'a>(&self, body: &'a [u8], strict: bool) -> Result<Asked<'a>, Fault> {
        request::read(body, strict)
    }

    fn voice(&self, shape: Shape) -> Box<dyn Voice> {
        if shape.stream { Box::new(events::Events::new(shape)) } else { Box::new(message::Message::new(shape)) }
    }

    fn refused(&self, fault: &Fault) -> Refused {
        fault::refused(fault)
    }

    fn models(&self, models: &[Model]) -> String {
        let id = |model: Option<&Model>| model.map(|model| model.id.clone());
        let (first, last) = (id(models.first()), id(models.last()));
        let data: Vec<Value> = models.iter().map(described).collect();
        json!({ "data": data, "has_more": false, "first_id": first, "last_id": last }).to_string()
    }

    fn model(&self, model: &Model) -> String {
        described(model).to_string()
    }
}

fn described(model: &Model) -> Value {
    json!({ "type": "model", "id": model.id, "display_name": model.title, "created_at": "1970-01-01T00:00:00Z" })
}

/// What ids of calls begin with.
const CALL: &str = "toolu_";
