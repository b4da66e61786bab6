//! Values that fit a JSON schema.

use serde_json::{Map, Value, json};

use crate::proto_json::word;
use crate::strict::TYPES;

/// Deeper than this a schema goes in circles.
const DEEPEST: usize = 24;

/// The plainest value of a schema, whose texts are `text`.
pub(super) fn of(schema: &Value, text: &str) -> Value {
    fitting(schema, schema, text, 0)
}

fn fitting(root: &Value, schema: &Value, text: &str, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    let inner = |schema: &Value| fitting(root, schema, text, depth + 1);
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        return place.strip_prefix('#').and_then(|place| root.pointer(place)).map_or(Value::Null, inner);
    }
    if let Some(first) = schema.get("enum").and_then(|words| words.get(0)) {
        return first.clone();
    }
    for either in ["anyOf", "any_of", "oneOf"] {
        if let Some(first) = schema.get(either).and_then(|all| all.get(0)) {
            return inner(first);
        }
    }
    let kind = schema.get("type").unwrap_or(&Value::Null);
    // JSON Schema may name several.
    match word(kind.get(0).unwrap_or(kind), &TYPES).unwrap_or("OBJECT") {
        "STRING" => text.into(),
        "INTEGER" => schema.get("minimum").and_then(Value::as_f64).map_or(1, |least| least.ceil() as i64).into(),
        "NUMBER" => schema.get("minimum").and_then(Value::as_f64).unwrap_or(1.0).into(),
        "BOOLEAN" => true.into(),
        "ARRAY" => {
            let items = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).min(100);
            (0..items).map(|_| schema.get("items").map_or(Value::Null, inner)).collect()
        }
        "NULL" => Value::Null,
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let fields: Map<String, Value> = properties
                .into_iter()
                .flatten()
                .filter(|(name, _)| is_required(schema, name))
                .map(|(name, schema)| (name.clone(), inner(schema)))
                .collect();
            json!(fields)
        }
    }
}

/// All are, where the schema does not say.
fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_none_or(|required| required.iter().any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_plainest_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": { "type": "STRING" }, "b": { "enum": ["x", "y"] }, "c": { "type": "integer", "minimum": 3 },
                "d": { "type": "array", "items": { "$ref": "#/$defs/d" }, "minItems": 2 }, "e": { "type": "string" },
                "f": { "anyOf": [{ "type": "boolean" }, { "type": "null" }] },
            },
            "required": ["a", "b", "c", "d", "f"],
            "$defs": { "d": { "type": "number" } },
        });
        let expected = json!({ "a": "t", "b": "x", "c": 3, "d": [1.0, 1.0], "f": true });
        assert_eq!(of(&schema, "t"), expected);
        // Protobuf's own clients send types by number.
        let numbered = json!({ "type": 6, "properties": { "a": { "type": 5, "items": { "type": 1 } } } });
        assert_eq!(of(&numbered, "t"), json!({ "a": ["t"] }));
        let endless = json!({ "$ref": "#" });
        assert_eq!(of(&endless, "t"), Value::Null);
    }
}
