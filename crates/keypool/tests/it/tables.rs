//! A list where a table belongs is refused, wherever the schema has a table.

use std::path::Path;

use keypool::config::{Config, schema};
use serde_json::Value;
use tower_keypool::config::Document;

/// The paths of all tables of this part of the schema, each with a value that has nothing but a list there.
fn tables(whole: &Value, part: &Value, inside: &dyn Fn(&str) -> String, found: &mut Vec<String>) {
    if let Some(name) = part["$ref"].as_str() {
        return tables(whole, &whole["$defs"][name.trim_start_matches("#/$defs/")], inside, found);
    }
    if let Some(fields) = part["properties"].as_object() {
        found.push(inside("[]"));
        for (name, field) in fields {
            tables(whole, field, &|value| inside(&format!("{{ {name} = {value} }}")), found);
        }
    }
    if part["additionalProperties"].is_object() {
        tables(whole, &part["additionalProperties"], &|value| inside(&format!("{{ any = {value} }}")), found);
    }
    if part["items"].is_object() {
        tables(whole, &part["items"], &|value| inside(&format!("[{value}]")), found);
    }
    for one in part["anyOf"].as_array().into_iter().flatten() {
        tables(whole, one, inside, found);
    }
}

#[test]
fn a_list_is_no_table() {
    let (schema, mut found) = (schema(), Vec::new());
    for (name, field) in schema["properties"].as_object().unwrap() {
        tables(&schema, field, &|value| format!("{name} = {value}"), &mut found);
    }
    assert!(found.len() > 30, "{found:?}");
    for text in &found {
        let mut document = Document::new(Path::new("keypool.toml"), text, &[]);
        document.read::<Config>();
        let problems: Vec<String> = document.into_problems().iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|problem| problem.contains("expected a table")), "{text}: {problems:?}");
    }
}
