//! `[[models]]`: a model, its place among those to step down to, and its limits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amounts, plain_values::Place};

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub struct ModelEntry {
    /// The model's name: `gemini-2.5-flash`.
    pub name: String,
    /// Its place among the models to step down to when the one asked for is out: lower first. Without one it is not
    /// among them.
    pub priority: Option<Place>,
    /// Other names that clients may ask for it by. Of several models with one alias the first that has a key serves.
    /// Where none has, they step down as they do when they are named themselves.
    pub aliases: Vec<String>,
    /// Limits of every owner by tier (`free`, `paid`, `tier-2`, …); `"*"` for owners of every other tier and of none.
    pub limits: BTreeMap<String, Amounts>,
}
