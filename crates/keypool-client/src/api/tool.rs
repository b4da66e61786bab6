//! Tools: what a model may call, and what came of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Other, or_none};

/// What a model may use. Google's own tools (`googleSearch`, `codeExecution`, …) stand in `other`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Functions of yours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub function_declarations: Vec<FunctionDeclaration>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

impl Tool {
    /// Functions of yours.
    pub fn functions(functions: impl IntoIterator<Item = FunctionDeclaration>) -> Self {
        Self { function_declarations: functions.into_iter().collect(), other: Other::new() }
    }

    /// One of Google's own, by its field: `googleSearch`.
    pub fn named(name: impl Into<String>) -> Self {
        let other = [(name.into(), Value::Object(Other::new()))].into_iter().collect();
        Self { function_declarations: Vec::new(), other }
    }
}

/// A function that a model may ask you to call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDeclaration {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it takes, as JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_json_schema: Option<Value>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

/// A call that the model wants made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionCall {
    /// Which function; empty where a model says none.
    #[serde(default, deserialize_with = "or_none")]
    pub name: String,
    /// What it is given.
    #[serde(default)]
    pub args: Value,
    /// What else there is, such as its `id`.
    #[serde(flatten)]
    pub other: Other,
}

/// What a call came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionResponse {
    /// Which function.
    pub name: String,
    /// What it gave: an object.
    pub response: Value,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}
