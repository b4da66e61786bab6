//! Declared functions, and the choice among them.

use std::collections::HashSet;

use serde_json::Value;

use super::schema::check_schema;
use super::{Problems, items};
use crate::refusal::ApiError;

/// Refusals on record say 64, the reference says 128: what either takes is taken.
const MAX_NAME: usize = 128;

/// The functions of all tools.
pub(crate) fn functions(prompt: &Value) -> impl Iterator<Item = &Value> {
    items(&prompt["tools"]).flat_map(|tool| items(&tool["function_declarations"]))
}

/// Whether functions are called: `AUTO`, `ANY`, `NONE` or `VALIDATED`.
pub(crate) fn calling_mode(prompt: &Value) -> Option<&str> {
    prompt["tool_config"]["function_calling_config"]["mode"].as_str()
}

/// Whether functions stand beside a tool of the provider's own.
pub(super) fn mixes_tools(prompt: &Value) -> bool {
    const BUILT_IN: [&str; 3] = ["google_search", "google_search_retrieval", "code_execution"];
    let has_built_in = items(&prompt["tools"]).any(|tool| BUILT_IN.iter().any(|name| !tool[name].is_null()));
    has_built_in && functions(prompt).next().is_some()
}

/// Functions have different, valid names and one schema each; the choice is among functions that are there.
pub(super) fn check_tools(message: &str, prompt: &Value, problems: &mut Problems) -> Result<(), ApiError> {
    const BAD_NAME: &str = "Invalid function name. Must start with a letter or an underscore. Must be alphameric \
(a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.";
    let mut names = HashSet::new();
    for (tool_index, tool) in items(&prompt["tools"]).enumerate() {
        for (index, function) in items(&tool["function_declarations"]).enumerate() {
            let at = format!("{message}.tools[{tool_index}].function_declarations[{index}]");
            let name = function["name"].as_str().unwrap_or_default();
            if !is_function_name(name) {
                problems.add(format_args!("{at}.name"), BAD_NAME);
            } else if !names.insert(name) {
                return Err(ApiError::malformed(format!("Duplicate function declaration found: {name}")));
            }
            if let Some(parameters) = function.get("parameters") {
                check_schema(&format!("{at}.parameters"), parameters, "", problems);
                if function.get("parameters_json_schema").is_some() {
                    // The words are ours, the rule is the reference's.
                    let problem = "parameters and parameters_json_schema are mutually exclusive";
                    problems.add(format_args!("{at}.parameters_json_schema"), problem);
                }
            }
        }
    }
    let config = &prompt["tool_config"]["function_calling_config"];
    if !config.is_null() && functions(prompt).next().is_none() {
        return Err(ApiError::malformed("Function calling config is set without function_declarations."));
    }
    let at = format!("{message}.tool_config.function_calling_config.allowed_function_names");
    // The words of both are ours, the rules are the reference's.
    let may_name = matches!(calling_mode(prompt), Some("ANY" | "VALIDATED"));
    if items(&config["allowed_function_names"]).next().is_some() && !may_name {
        problems.add(&at, "only allowed where mode is ANY or VALIDATED");
    }
    for (index, name) in items(&config["allowed_function_names"]).enumerate() {
        let name = name.as_str().unwrap_or_default();
        if !names.contains(name) {
            problems.add(format_args!("{at}[{index}]"), format_args!("there is no function declaration for {name}"));
        }
    }
    Ok(())
}

fn is_function_name(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    starts_well && name.len() <= MAX_NAME && name.bytes().all(is_allowed)
}
