//! Answers that are to be JSON, of a form.

use std::{fmt, sync::Arc};

use jsonschema::Validator;
use serde_json::Value;

use super::Json;
use crate::json;

/// What is asked of answers that are to be JSON.
#[derive(Clone, Default)]
pub struct JsonCheck(Option<Arc<Validator>>);

/// A schema that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON schema: {0}")]
pub struct InvalidSchema(String);

impl JsonCheck {
    /// Any JSON.
    pub fn any() -> Self {
        Self::default()
    }

    /// JSON that this schema allows.
    ///
    /// # Errors
    /// When it is no schema.
    pub fn schema(schema: &Value) -> Result<Self, InvalidSchema> {
        let validator = jsonschema::validator_for(schema).map_err(|error| InvalidSchema(error.to_string()))?;
        Ok(Self(Some(Arc::new(validator))))
    }

    /// The JSON in a text.
    ///
    /// # Errors
    /// The kind of a task's fault, and what is wrong.
    pub(crate) fn read(&self, text: &str) -> Result<Json, (&'static str, String)> {
        let (found, written) = json::find_in(text).map_err(|error| ("invalid_json", error.to_string()))?;
        let json = Json::new(found.value, &written);
        let Some(validator) = &self.0 else { return Ok(json) };
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .take(3)
            .map(|error| {
                let place = error.instance_path().to_string();
                if place.is_empty() { error.to_string() } else { format!("{place}: {error}") }
            })
            .collect();
        if errors.is_empty() { Ok(json) } else { Err(("schema", errors.join("; "))) }
    }
}

impl fmt::Debug for JsonCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonCheck").field(&self.0.is_some()).finish()
    }
}
