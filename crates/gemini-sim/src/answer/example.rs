//! Values that fit a JSON schema.

use serde_json::Value;

/// Deeper than this a schema refers to itself.
const MAX_DEPTH: usize = 24;

/// The simplest value of a schema, whose strings are `text`.
pub(super) fn example(schema: &Value, text: &str) -> Value {
    fitting(schema, schema, text, 0)
}

fn fitting(root: &Value, schema: &Value, text: &str, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    let inner = |schema: &Value| fitting(root, schema, text, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.strip_prefix('#').and_then(|place| root.pointer(place)).map_or(Value::Null, inner);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for choice in ["anyOf", "any_of", "oneOf"] {
        if let Some(first) = schema[choice].get(0) {
            return inner(first);
        }
    }
    // JSON Schema may name several types.
    let kind = schema["type"].get(0).unwrap_or(&schema["type"]);
    let kind = kind.as_str().unwrap_or("object").to_ascii_lowercase();
    let minimum = schema["minimum"].as_f64();
    match &*kind {
        "string" => text.into(),
        "integer" => minimum.map_or(1, |least| least.ceil() as i64).into(),
        "number" => minimum.unwrap_or(1.0).into(),
        "boolean" => true.into(),
        "null" => Value::Null,
        "array" => {
            let count = schema.get("minItems").or_else(|| schema.get("min_items")).and_then(Value::as_u64);
            (0..count.unwrap_or(1).min(100)).map(|_| schema.get("items").map_or(Value::Null, inner)).collect()
        }
        _ => {
            // All properties are required where the schema does not say.
            let required = schema["required"].as_array();
            let is_required = |name: &str| required.is_none_or(|names| names.iter().any(|known| known == name));
            let properties = schema["properties"].as_object().into_iter().flatten();
            let properties = properties.filter(|(name, _)| is_required(name));
            properties.map(|(name, schema)| (name.clone(), inner(schema))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_example_fits_its_schema() {
        let schema = json!({
            "type": "OBJECT",
            "properties": {
                "name": { "type": "STRING" },
                "age": { "type": ["integer", "null"], "minimum": 2.5 },
                "tags": { "type": "array", "items": { "$ref": "#/$defs/tag" }, "minItems": 2 },
                "extra": { "type": "string" },
            },
            "required": ["name", "age", "tags"],
            "$defs": { "tag": { "enum": ["a", "b"] } },
        });
        assert_eq!(example(&schema, "x"), json!({ "name": "x", "age": 3, "tags": ["a", "a"] }));
        let endless = json!({ "type": "object", "properties": { "self": { "$ref": "#" } } });
        assert!(example(&endless, "x").is_object());
    }
}
