//! What the schema says of texts and names, as regular expressions: as much of what the check asks for as those can tell.

use serde_json::{Value, json};

/// The name of a model. Its length is counted in characters there, and in bytes by the check.
pub(super) const MODEL: &str = r"^[^\s\u0000-\u001f\u007f-\u009f]{1,256}$";
/// A text that is shown.
const SHOWN: &str = r"^[^\u0000-\u001f\u007f-\u009f]{1,256}$";
const TIER: &str = "^(free|paid|tier-[A-Za-z0-9]{1,16})$";
/// What a namespace in Redis is made of.
pub(super) const NAMESPACE: &str = "^[A-Za-z0-9._:-]{1,64}$";

/// The names in a table by model.
pub(super) fn models() -> Value {
    json!({ "pattern": MODEL })
}

/// The names in a table by tier, where one may stand for every other.
pub(super) fn tiers() -> Value {
    json!({ "anyOf": [{ "const": "*" }, { "pattern": TIER }] })
}

/// What is known of models by tier.
pub(super) fn known(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let amounts = generator.subschema_for::<super::Amounts>();
    schemars::json_schema!({
        "type": "object",
        "propertyNames": models(),
        "additionalProperties": {
            "type": "object", "propertyNames": { "pattern": TIER }, "additionalProperties": amounts,
        },
    })
}

/// Labels: a name and a text each.
pub(super) fn labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "propertyNames": { "pattern": SHOWN, "maxLength": 64 },
        "additionalProperties": { "type": "string", "pattern": SHOWN },
    })
}

/// Exactly one of these is there.
pub(super) fn one_of(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "required": [name] })).collect()
}
