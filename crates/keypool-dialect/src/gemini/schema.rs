//! JSON schemas as Gemini takes them.

use serde_json::{Map, Value, json};

/// A schema as `parametersJsonSchema` and `responseJsonSchema` take it. They take JSON Schema itself, but for
/// - `$schema`, which some models refuse, and `const`, which none looks at: an `enum` of one says the same;
/// - a `$ref` with anything beside it: it stands in an `anyOf` of one then; one whose `#` was lost gets it back;
/// - an `allOf` of one, as generators write it for the same reason;
/// - `null` in an `enum`, which holds strings and numbers: it is a type of its own.
pub(super) fn adapted(schema: &Value) -> Value {
    let mut schema = schema.clone();
    adapt(&mut schema);
    schema
}

/// Fields whose own fields are names that somebody chose.
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];
/// Fields that hold values, not schemas.
const VALUES: [&str; 4] = ["enum", "default", "examples", "example"];

/// The parser bounds the depth.
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
            part_reference(fields);
            part_null(fields);
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

/// Puts a reference that something stands beside, or an `allOf` of one, into an `anyOf` of one.
fn part_reference(fields: &mut Map<String, Value>) {
    if fields.contains_key("anyOf") {
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

/// Takes `null` out of an `enum`.
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
