//! Conversion of JSON schemas for Gemini.

use serde_json::{Map, Value, json};

/// Returns a schema for `parametersJsonSchema` and `responseJsonSchema`. They accept JSON Schema with exceptions:
/// - `$schema` is removed, because some models reject it;
/// - `const` becomes an `enum` of one value, because models ignore `const`;
/// - a `$ref` with other fields beside it is moved into an `anyOf` of one, and a lost `#` is restored;
/// - an `allOf` of one, which generators write around a `$ref`, becomes an `anyOf`;
/// - `null` in an `enum` becomes a separate type, and an `enum` with other values moves into the description, because an
///   `enum` may only contain strings and numbers;
/// - a list of `items`, the older form of a tuple, becomes `prefixItems`;
/// - a type is written in lower case.
pub(super) fn adapted(schema: &Value) -> Value {
    let mut schema = schema.clone();
    adapt(&mut schema);
    schema
}

/// Returns the schema of a function's arguments. Its root needs a type, also if the function has no parameters: Gemini
/// refuses the mode ANY for a function without a schema (googleapis/python-genai#981).
pub(super) fn of_arguments(schema: Option<&Value>) -> Value {
    let Some(schema) = schema else { return json!({ "type": "object", "properties": {} }) };
    let mut schema = adapted(schema);
    let one = schema["anyOf"]
        .as_array()
        .filter(|all| all.len() == 1 && schema["properties"].is_null())
        .map_or(&schema, |all| &all[0]);
    let place = one["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
    let target = place.and_then(|place| schema.pointer(place)).and_then(Value::as_object).cloned();
    let Some(fields) = schema.as_object_mut() else { return schema };
    if let Some(target) = target {
        fields.shift_remove("$ref");
        fields.shift_remove("anyOf");
        fields.extend(target);
    }
    let kind = fields.entry("type").or_insert(Value::Null);
    if kind.is_null() || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("object"))) {
        *kind = "object".into();
    }
    schema
}

/// Fields whose members have user-chosen names and are schemas.
const NAMED: [&str; 5] = ["properties", "$defs", "definitions", "patternProperties", "dependentSchemas"];
/// Fields that contain values, not schemas.
const VALUES: [&str; 5] = ["enum", "default", "examples", "example", "dependentRequired"];

/// Converts a schema in place, recursively; the JSON parser limits the depth.
fn adapt(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(adapt),
        Value::Object(fields) => {
            fields.shift_remove("$schema");
            if let Some(only) = fields.shift_remove("const") {
                fields.insert("enum".to_owned(), json!([only]));
            }
            if let Some(Value::String(place)) = fields.get_mut("$ref")
                && place.starts_with('/')
            {
                place.insert(0, '#');
            }
            if fields.get("items").is_some_and(Value::is_array) {
                fields.shift_remove("additionalItems");
                let items = fields.shift_remove("items").unwrap_or_default();
                fields.insert("prefixItems".to_owned(), items);
            }
            if let Some(Value::String(kind)) = fields.get_mut("type") {
                kind.make_ascii_lowercase();
            }
            part_reference(fields);
            part_null(fields);
            describe_values(fields);
            for (name, value) in fields {
                match value.as_object_mut().filter(|_| NAMED.contains(&&**name)) {
                    Some(named) => named.values_mut().for_each(adapt),
                    None if VALUES.contains(&&**name) => {}
                    None => adapt(value),
                }
            }
        }
        _ => {}
    }
}

/// Moves a `$ref` with other fields beside it, or the content of an `allOf` of one, into an `anyOf` of one.
fn part_reference(fields: &mut Map<String, Value>) {
    if fields.get("$ref").is_some_and(Value::is_string) {
        // Gemini accepts only one of the two; the reference is kept.
        fields.shift_remove("anyOf");
        fields.shift_remove("allOf");
    } else if fields.contains_key("anyOf") {
        return;
    }
    let beside = fields.keys().any(|name| !name.starts_with('$') && name != "allOf");
    if beside && fields.get("$ref").is_some_and(Value::is_string) {
        let place = fields.shift_remove("$ref");
        fields.insert("anyOf".to_owned(), json!([{ "$ref": place }]));
    } else if fields.get("allOf").and_then(Value::as_array).is_some_and(|all| all.len() == 1)
        && let Some(one) = fields.shift_remove("allOf")
    {
        fields.insert("anyOf".to_owned(), one);
    }
}

/// Moves `null` from an `enum` to a type of its own.
fn part_null(fields: &mut Map<String, Value>) {
    let Some(Value::Array(values)) = fields.get_mut("enum") else { return };
    let before = values.len();
    values.retain(|value| !value.is_null());
    if values.len() == before {
        return;
    }
    let nothing_else = values.is_empty();
    let describes = |name: &str| matches!(name, "description" | "title" | "default") || name.starts_with('$');
    let (mut outside, mut inside): (Map<_, _>, Map<_, _>) =
        std::mem::take(fields).into_iter().partition(|(name, _)| describes(name));
    if nothing_else {
        outside.insert("type".to_owned(), "null".into());
    } else {
        if let Some(Value::Array(types)) = inside.get_mut("type") {
            types.retain(|kind| kind != "null");
        }
        outside.insert("anyOf".to_owned(), json!([inside, { "type": "null" }]));
    }
    *fields = outside;
}

/// Moves an `enum` of values that it must not contain into the description.
fn describe_values(fields: &mut Map<String, Value>) {
    let is_allowed = |value: &Value| value.is_string() || value.is_number();
    if fields.get("enum").and_then(Value::as_array).is_none_or(|values| values.iter().all(is_allowed)) {
        return;
    }
    if fields["enum"].as_array().is_some_and(|values| values.iter().all(Value::is_boolean)) {
        fields.entry("type").or_insert("boolean".into());
    }
    let values = format!("One of {}", fields.shift_remove("enum").unwrap_or_default());
    let before = fields.get("description").and_then(Value::as_str).map(|text| format!("{text}\n"));
    fields.insert("description".to_owned(), (before.unwrap_or_default() + &values).into());
}
