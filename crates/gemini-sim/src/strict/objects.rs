//! Schemas that say too little, or that stand where none is read.

use std::fmt::Write as _;

use serde_json::Value;

use super::message::TYPES;
use crate::proto_json::{field, items, word};

/// No schema that is looked into is deeper.
const DEEPEST: usize = 64;

/// How the properties of a schema are named in a complaint about it.
#[derive(Clone, Copy)]
pub(super) enum Named {
    Plainly,
    InQuotes,
}

/// An object says which properties it has, and a list of what it is one.
pub(super) fn check_objects(schema: &Value, at: &str, named: Named, complaints: &mut String) {
    check_within(schema, at, (named, DEEPEST), complaints);
}

fn check_within(schema: &Value, at: &str, (named, deep): (Named, usize), complaints: &mut String) {
    let Some(deeper) = deep.checked_sub(1) else { return };
    let some = items(field(schema, "anyOf", "any_of"));
    let kind = schema.get("type").and_then(|kind| word(kind, &TYPES));
    let properties = schema.get("properties").and_then(Value::as_object);
    let item = schema.get("items").filter(|items| !items.is_null());
    // What is said of either beside a choice is not on record.
    if some.is_empty() && kind == Some("OBJECT") && properties.is_none_or(serde_json::Map::is_empty) {
        let _ = writeln!(complaints, "* {at}.properties: should be non-empty for OBJECT type");
    }
    if some.is_empty() && kind == Some("ARRAY") && item.is_none() {
        let _ = writeln!(complaints, "* {at}.items: missing field.");
    }
    for (name, property) in properties.into_iter().flatten() {
        let at = match named {
            Named::Plainly => format!("{at}.properties[{name}]"),
            Named::InQuotes => format!("{at}.properties[\"{name}\"]"),
        };
        check_within(property, &at, (named, deeper), complaints);
    }
    if let Some(item) = item {
        check_within(item, &format!("{at}.items"), (named, deeper), complaints);
    }
    for (index, one) in some.into_iter().enumerate() {
        check_within(one, &format!("{at}.any_of[{index}]"), (named, deeper), complaints);
    }
}

/// An answer's form is given once, and for answers that have one.
pub(super) fn check_form(name: &str, config: &Value, complaints: &mut String) {
    let at = format!("{name}.generation_config");
    let given = |camel, snake| field(config, camel, snake).filter(|schema| !schema.is_null());
    let schema = given("responseSchema", "response_schema");
    let plain = given("responseJsonSchema", "response_json_schema")
        .or_else(|| given("_responseJsonSchema", "_response_json_schema"));
    let mime = field(config, "responseMimeType", "response_mime_type").and_then(Value::as_str).unwrap_or_default();
    let formed = ["application/json", "text/x.enum"].contains(&mime);
    for (field, given) in [("response_schema", schema), ("response_json_schema", plain)] {
        if given.is_some() && !formed {
            // Not on record: the words are ours, the rule is the reference's.
            let why = "only allowed with a response_mime_type of application/json or text/x.enum";
            let _ = writeln!(complaints, "* {at}.{field}: {why}");
        }
    }
    if schema.is_some() && plain.is_some() {
        // The same.
        let why = "response_schema and response_json_schema are mutually exclusive";
        let _ = writeln!(complaints, "* {at}.response_json_schema: {why}");
    }
    if let Some(schema) = schema {
        check_objects(schema, &format!("{at}.response_schema"), Named::InQuotes, complaints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(config: &Value) -> String {
        let mut complaints = String::new();
        check_form("GenerateContentRequest", config, &mut complaints);
        complaints
    }

    fn schema(schema: &Value) -> String {
        form(&json!({ "responseMimeType": "application/json", "responseSchema": schema }))
    }

    #[test]
    fn objects_have_properties_and_lists_are_of_something() {
        let at = "* GenerateContentRequest.generation_config.response_schema";
        for empty in [json!({ "type": "OBJECT" }), json!({ "type": "object", "properties": {} })] {
            assert_eq!(schema(&empty), format!("{at}.properties: should be non-empty for OBJECT type\n"));
            let deep =
                json!({ "type": "OBJECT", "properties": { "a": { "type": "ARRAY", "items": { "anyOf": [empty] } } } });
            let place = format!("{at}.properties[\"a\"].items.any_of[0].properties");
            assert_eq!(schema(&deep), format!("{place}: should be non-empty for OBJECT type\n"));
        }
        for list in [json!({ "type": "ARRAY" }), json!({ "type": 5 })] {
            assert_eq!(schema(&list), format!("{at}.items: missing field.\n"));
        }
        let fine =
            json!({ "type": "OBJECT", "properties": { "a": { "type": "ARRAY", "items": { "type": "STRING" } } } });
        assert_eq!(schema(&fine), "");
        assert_eq!(schema(&json!({ "type": "STRING" })), "");
    }

    #[test]
    fn a_form_is_given_once_and_where_there_is_one() {
        let text = json!({ "type": "STRING" });
        assert!(form(&json!({ "responseSchema": text })).contains("response_schema: only allowed with"));
        assert!(form(&json!({ "responseJsonSchema": text })).contains("response_json_schema: only allowed with"));
        let mime = "application/json";
        let both = json!({ "responseMimeType": mime, "responseSchema": text, "responseJsonSchema": text });
        assert!(form(&both).contains("mutually exclusive"));
        assert_eq!(form(&json!({ "responseMimeType": mime, "responseJsonSchema": { "type": "object" } })), "");
        assert_eq!(form(&json!({ "responseMimeType": "text/x.enum", "responseSchema": text })), "");
        assert_eq!(form(&json!({ "responseSchema": null })), "");
    }
}
