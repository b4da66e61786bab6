//! Answers of the admin API are what its description says.

use http::{Method, StatusCode};
use serde_json::Value;

/// Why a value is not what a schema of this description says; nothing is in it that is not described.
pub(crate) fn unlike(description: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return unlike(description, &description["components"]["schemas"][name], value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let whys: Vec<String> = any.iter().map_while(|schema| unlike(description, schema, value, at)).collect();
        return (whys.len() == any.len()).then(|| whys.join(" / "));
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64() && schema["minimum"].is_null(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        other => panic!("{at}: {other:?} in {schema}"),
    };
    if !fits || schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Some(format!("{at}: {value} is not {schema}"));
    }
    let items = value.as_array().into_iter().flatten();
    let unlike_item =
        items.enumerate().find_map(|(n, item)| unlike(description, &schema["items"], item, &format!("{at}[{n}]")));
    let fields = value.as_object().into_iter().flatten();
    let unlike_field =
        fields.filter(|_| schema["properties"].is_object() || schema["additionalProperties"].is_object());
    let unlike_field =
        unlike_field.map(|(name, field)| (name, field, &schema["properties"][name])).find_map(|(name, field, own)| {
            let at = format!("{at}.{name}");
            match (own.is_object(), &schema["additionalProperties"]) {
                (true, _) => unlike(description, own, field, &at),
                (false, others @ Value::Object(_)) => unlike(description, others, field, &at),
                _ => Some(format!("{at} is described nowhere")),
            }
        });
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing =
        required.filter(|name| value.get(name).is_none()).map(|name| format!("{at}.{name} is missing")).next();
    unlike_item.or(unlike_field).or(missing)
}

/// The schema of what is answered so, where this path, without its query, is described.
pub(crate) fn schema<'d>(description: &'d Value, method: &Method, path: &str, status: StatusCode) -> Option<&'d Value> {
    let path = format!("/-/admin{}", path.split('?').next().unwrap());
    let is_it = |template: &str| {
        let (mut parts, mut own) = (path.split('/'), template.split('/'));
        let fit = own.by_ref().all(|own| parts.next().is_some_and(|part| own == part || own == "{id}"));
        fit && parts.next().is_none()
    };
    let paths = description["paths"].as_object().unwrap();
    // A name that is written out comes before one that any may be.
    let (_, operations) =
        paths.iter().filter(|(template, _)| is_it(template)).min_by_key(|(template, _)| template.contains("{id}"))?;
    let response = &operations[method.as_str().to_ascii_lowercase()]["responses"][status.as_str()];
    Some(&response["content"]["application/json"]["schema"]).filter(|schema| schema.is_object())
}
