//! Schemas of functions and of answers.

use serde_json::Value;

use super::{Problems, items};

/// An object names its properties, a list its items. `quote` goes around the names of properties in messages.
pub(super) fn check_schema(at: &str, schema: &Value, quote: &str, problems: &mut Problems) {
    let has_choice = items(&schema["any_of"]).next().is_some();
    let properties = schema["properties"].as_object();
    // What is said of either beside a choice is not on record.
    if !has_choice && schema["type"] == "OBJECT" && properties.is_none_or(serde_json::Map::is_empty) {
        problems.add(format_args!("{at}.properties"), "should be non-empty for OBJECT type");
    }
    if !has_choice && schema["type"] == "ARRAY" && schema["items"].is_null() {
        problems.add(format_args!("{at}.items"), "missing field.");
    }
    for (name, property) in properties.into_iter().flatten() {
        check_schema(&format!("{at}.properties[{quote}{name}{quote}]"), property, quote, problems);
    }
    if let Some(item) = schema.get("items") {
        check_schema(&format!("{at}.items"), item, quote, problems);
    }
    for (index, choice) in items(&schema["any_of"]).enumerate() {
        check_schema(&format!("{at}.any_of[{index}]"), choice, quote, problems);
    }
}

/// A schema of the answer is given once, and only for answers that have one. The words of the first two are ours, the
/// rules are the reference's.
pub(super) fn check_response_format(at: &str, config: &Value, problems: &mut Problems) {
    let schema = config.get("response_schema");
    let json_schema = config.get("response_json_schema").or_else(|| config.get("_response_json_schema"));
    let has_format = matches!(config["response_mime_type"].as_str(), Some("application/json" | "text/x.enum"));
    for (name, given) in [("response_schema", schema), ("response_json_schema", json_schema)] {
        if given.is_some() && !has_format {
            let problem = "only allowed with a response_mime_type of application/json or text/x.enum";
            problems.add(format_args!("{at}.{name}"), problem);
        }
    }
    if schema.is_some() && json_schema.is_some() {
        let problem = "response_schema and response_json_schema are mutually exclusive";
        problems.add(format_args!("{at}.response_json_schema"), problem);
    }
    if let Some(schema) = schema {
        check_schema(&format!("{at}.response_schema"), schema, "\"", problems);
    }
}
