//! A good answer, and who gave it.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tower_keypool::{KeyId, ServedBy};

use crate::{
    api::{FunctionCall, GenerateContentResponse, UsageMetadata},
    error::{Error, ErrorKind},
    json,
};

/// A good answer, and who gave it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) response: GenerateContentResponse,
    pub(crate) served_by: Option<ServedBy>,
    pub(crate) request_id: Option<String>,
}

impl Answer {
    /// What the model said, without its thoughts. Empty where it was blocked or only calls functions.
    pub fn text(&self) -> String {
        self.response.text()
    }

    /// The JSON in that text, typed. Fences, words around it and broken JSON are coped with, and every digit of a number is
    /// there for a type that holds it (`u128`, `serde_json::value::RawValue`).
    ///
    /// # Errors
    /// When there is none, or it is of another form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let text = self.text();
        let (found, text) = json::find_in(&text).map_err(|error| self.no_json(error.to_string()))?;
        // A number that is too large for any type is a very large one in the value.
        serde_json::from_str(&text)
            .or_else(|_| serde_json::from_value(found.value))
            .map_err(|error| self.no_json(format!("JSON of another form: {error}")))
    }

    /// The same as any value, whose numbers are `u64`, `i64` or `f64`: longer ones are rounded.
    ///
    /// # Errors
    /// When there is none.
    pub fn json_value(&self) -> Result<Value, Error> {
        json::find(&self.text()).map(|found| found.value).map_err(|error| self.no_json(error.to_string()))
    }

    fn no_json(&self, what: String) -> Error {
        Error::new(ErrorKind::Json(what)).with(self.request_id(), self.served_by.clone())
    }

    /// The calls that it wants made.
    pub fn function_calls(&self) -> impl Iterator<Item = &FunctionCall> {
        self.response.function_calls()
    }

    /// Why it ended: `STOP`, `MAX_TOKENS`, …
    pub fn finish_reason(&self) -> Option<&str> {
        self.response.finish_reason()
    }

    /// What it cost.
    pub fn usage(&self) -> Option<&UsageMetadata> {
        self.response.usage_metadata.as_ref()
    }

    /// The id that the request was given.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The key that served.
    pub fn key_id(&self) -> Option<&KeyId> {
        self.served_by.as_ref()?.key()
    }

    /// The model that was asked for.
    pub fn requested_model(&self) -> Option<&str> {
        self.served_by.as_ref()?.requested_model()
    }

    /// The model that served.
    pub fn used_model(&self) -> Option<&str> {
        self.served_by.as_ref()?.used_model()
    }

    /// How many attempts it took.
    pub fn attempts(&self) -> usize {
        self.served_by.as_ref().map_or(1, ServedBy::attempts)
    }

    /// Everything about who served, each attempt included.
    pub fn served_by(&self) -> Option<&ServedBy> {
        self.served_by.as_ref()
    }

    /// All of it, as the provider sent it.
    pub fn response(&self) -> &GenerateContentResponse {
        &self.response
    }

    /// All of it.
    pub fn into_response(self) -> GenerateContentResponse {
        self.response
    }
}
