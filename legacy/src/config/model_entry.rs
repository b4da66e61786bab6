//! `[[models]]`: a model, its place among those to step down to, and its limits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amounts, patterns, plain_values::Place};

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub struct ModelEntry {
    /// The model's name: `gemini-2.5-flash`.
    #[schemars(regex(pattern = patterns::MODEL))]
    pub name: String,
    /// Its place among the models to step down to when the one asked for is out: lower first. Without one it is not
    /// among them.
    pub priority: Option<Place>,
    /// Other names that clients may ask for it by. Of several models with one alias the first that has a key serves.
    /// Where none has, they step down as they do when they are named themselves.
    #[schemars(inner(regex(pattern = patterns::MODEL)), extend("uniqueItems" = true))]
    pub aliases: Vec<String>,
    /// Limits of every owner by tier (`free`, `paid`, `tier-2`, …); `"*"` for owners of every other tier and of none.
    #[schemars(extend("propertyNames" = patterns::tiers()))]
    pub limits: BTreeMap<String, Amounts>,
}
