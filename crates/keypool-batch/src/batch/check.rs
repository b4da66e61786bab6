//! Checks of answers.

use serde_json::{Value, value::RawValue};

use super::result::TaskError;
use crate::{
    client::{Answer, Error, ErrorKind, Finish},
    json,
};

/// The JSON that an answer must contain.
#[derive(Debug, Default)]
pub(super) enum JsonCheck {
    #[default]
    Off,
    Any,
    Schema(Box<jsonschema::Validator>),
}

/// The reason why an answer is rejected.
pub(super) struct Wrong {
    pub(super) error: TaskError,
    /// Whether a retry may bring a better answer.
    pub(super) is_worth_a_retry: bool,
}

impl Wrong {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { error: TaskError::new(kind, message), is_worth_a_retry: true }
    }
}

impl JsonCheck {
    pub(super) fn of_schema(schema: &Value) -> Result<Self, Error> {
        let validator = jsonschema::validator_for(schema)
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("the JSON schema is invalid: {error}")))?;
        Ok(Self::Schema(Box::new(validator)))
    }

    pub(super) fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Checks an answer. Returns its JSON, if JSON is required.
    pub(super) fn check(&self, answer: &Answer) -> Result<Option<Box<RawValue>>, Wrong> {
        let max_tokens = "the answer was cut at the limit of output tokens: raise max_output_tokens";
        match &answer.finish {
            Finish::Stop => {}
            Finish::MaxTokens => {
                return Err(Wrong { is_worth_a_retry: false, ..Wrong::new("max_tokens", max_tokens) });
            }
            Finish::Blocked(reason) => {
                return Err(Wrong::new("blocked", format!("the provider blocked the answer: {reason}")));
            }
            Finish::Empty => return Err(Wrong::new("empty", "the answer is empty")),
            Finish::Other(reason) => {
                return Err(Wrong::new("unfinished", format!("the provider ended the answer with {reason}")));
            }
        }
        if !self.is_on() {
            return Ok(None);
        }
        let found = json::find(&answer.text).map_err(|error| Wrong::new("invalid_json", error.to_string()))?;
        if let Self::Schema(validator) = self {
            let value: Value = serde_json::from_str(found.get())
                .map_err(|error| Wrong::new("invalid_json", format!("the JSON cannot be checked: {error}")))?;
            if let Some(error) = validator.iter_errors(&value).next() {
                let path = error.instance_path().to_string();
                let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
                return Err(Wrong::new("schema", format!("{place}{}", error.masked())));
            }
        }
        Ok(Some(found))
    }
}
