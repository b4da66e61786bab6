//! Tools that are declared wrongly, or that do not go together.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::message::MODES;
use super::objects::{Named, check_objects};
use crate::proto_json::{field, items, word};
use crate::refusal::ApiError;

/// Refusals on record say 64, the reference says 128: what either takes is taken.
const LONGEST: usize = 128;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::invalid_argument("malformed", message)
}

/// Functions that have names of their own, and say what they take; and a choice among those that are there.
pub(super) fn check_declarations(name: &str, request: &Value, complaints: &mut String) -> Result<(), ApiError> {
    let mut names = HashSet::new();
    for (tool, declared) in declarations(request) {
        for (index, function) in declared.into_iter().enumerate() {
            let at = format!("{name}.tools[{tool}].function_declarations[{index}]");
            let called = function.get("name").and_then(Value::as_str).unwrap_or_default();
            if !is_name(called) {
                let why = "Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, \
0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.";
                let _ = writeln!(complaints, "* {at}.name: {why}");
            } else if !names.insert(called) {
                return Err(invalid(format!("Duplicate function declaration found: {called}")));
            }
            let given = |camel, snake| field(function, camel, snake).filter(|schema| !schema.is_null());
            let parameters = given("parameters", "parameters");
            if let Some(parameters) = parameters {
                check_objects(parameters, &format!("{at}.parameters"), Named::Plainly, complaints);
            }
            if parameters.is_some() && given("parametersJsonSchema", "parameters_json_schema").is_some() {
                // Not on record: the words are ours, the rule is the reference's.
                let why = "parameters and parameters_json_schema are mutually exclusive";
                let _ = writeln!(complaints, "* {at}.parameters_json_schema: {why}");
            }
        }
    }
    check_choice(name, request, &names, complaints)
}

/// There is a choice where there are functions. Names are given where some function is to be called, and are of functions
/// that are there.
fn check_choice(name: &str, request: &Value, names: &HashSet<&str>, complaints: &mut String) -> Result<(), ApiError> {
    let config = field(request, "toolConfig", "tool_config").unwrap_or(&Value::Null);
    let config = field(config, "functionCallingConfig", "function_calling_config").unwrap_or(&Value::Null);
    if !config.is_null() && declarations(request).iter().all(|(_, declared)| declared.is_empty()) {
        return Err(invalid("Function calling config is set without function_declarations."));
    }
    let allowed = items(field(config, "allowedFunctionNames", "allowed_function_names"));
    if allowed.is_empty() {
        return Ok(());
    }
    let at = format!("{name}.tool_config.function_calling_config.allowed_function_names");
    // Not on record: the words are ours, the rules are the reference's.
    if !matches!(calling_mode(request), Some("ANY" | "VALIDATED")) {
        let _ = writeln!(complaints, "* {at}: only allowed where mode is ANY or VALIDATED");
    }
    for (index, called) in allowed.into_iter().enumerate() {
        let called = called.as_str().unwrap_or_default();
        if !names.contains(called) {
            let _ = writeln!(complaints, "* {at}[{index}]: there is no function declaration for {called}");
        }
    }
    Ok(())
}

/// Whether functions are called.
pub(crate) fn calling_mode(request: &Value) -> Option<&'static str> {
    let config = field(request, "toolConfig", "tool_config")?;
    let config = field(config, "functionCallingConfig", "function_calling_config")?;
    word(config.get("mode")?, &MODES)
}

/// Whether functions stand beside a tool of the provider's own.
pub(super) fn mixes_tools(request: &Value) -> bool {
    const OWN: [(&str, &str); 3] = [
        ("googleSearch", "google_search"),
        ("googleSearchRetrieval", "google_search_retrieval"),
        ("codeExecution", "code_execution"),
    ];
    let tools = items(request.get("tools"));
    let has = |(camel, snake)| tools.iter().any(|tool| field(tool, camel, snake).is_some_and(|own| !own.is_null()));
    declarations(request).iter().any(|(_, declared)| !declared.is_empty()) && OWN.into_iter().any(has)
}

/// The functions of each tool, by the tool's place.
fn declarations(request: &Value) -> Vec<(usize, Vec<&Value>)> {
    let tools = items(request.get("tools")).into_iter().enumerate();
    tools.map(|(at, tool)| (at, items(field(tool, "functionDeclarations", "function_declarations")))).collect()
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    begins && name.len() <= LONGEST && name.bytes().all(stands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Wrapping;
    use serde_json::json;

    fn complaint(request: &Value) -> String {
        let mut complaints = String::new();
        match check_declarations("GenerateContentRequest", request, &mut complaints) {
            Ok(()) => complaints,
            Err(error) => serde_json::from_str::<Value>(&error.line(Wrapping::Bare)).unwrap()["error"]["message"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    fn declaring(functions: &Value) -> Value {
        json!({ "tools": [{ "functionDeclarations": functions }] })
    }

    #[test]
    fn a_function_has_a_name_of_its_own() {
        let long = "x".repeat(LONGEST + 1);
        for name in ["", "get weather", "1st", "a/b", "é", &*long] {
            let told = complaint(&declaring(&json!([{ "name": "f" }, { "name": name }])));
            let at = "* GenerateContentRequest.tools[0].function_declarations[1].name: Invalid function name.";
            assert!(told.starts_with(at), "{name}: {told}");
        }
        assert_eq!(complaint(&declaring(&json!([{ "name": "_a.b:c-D9" }, { "name": "x".repeat(64) }]))), "");
        let twice = json!({ "tools": [
            { "functionDeclarations": [{ "name": "f" }] }, { "function_declarations": [{ "name": "f" }] },
        ] });
        assert_eq!(complaint(&twice), "Duplicate function declaration found: f");
    }

    #[test]
    fn what_a_function_takes_is_said_once_and_whole() {
        let at = "* GenerateContentRequest.tools[0].function_declarations[0].parameters";
        let of = |parameters: Value| complaint(&declaring(&json!([{ "name": "f", "parameters": parameters }])));
        assert_eq!(of(json!({ "type": "OBJECT" })), format!("{at}.properties: should be non-empty for OBJECT type\n"));
        let list = json!({ "type": "OBJECT", "properties": { "a": { "type": "ARRAY" } } });
        assert_eq!(of(list), format!("{at}.properties[a].items: missing field.\n"));
        let both = json!([{ "name": "f", "parameters": { "type": "STRING" }, "parametersJsonSchema": {} }]);
        assert!(complaint(&declaring(&both)).contains("mutually exclusive"));
        let plain = json!([{ "name": "f", "parametersJsonSchema": { "type": "object" } }, { "name": "g" }]);
        assert_eq!(complaint(&declaring(&plain)), "");
    }

    #[test]
    fn a_choice_is_of_functions_that_are_there() {
        let of = |config: Value| {
            let mut request = declaring(&json!([{ "name": "f" }]));
            request["toolConfig"] = json!({ "functionCallingConfig": config });
            complaint(&request)
        };
        for mode in ["ANY", "VALIDATED"] {
            assert_eq!(of(json!({ "mode": mode, "allowedFunctionNames": ["f"] })), "");
            assert!(of(json!({ "mode": mode, "allowedFunctionNames": ["f", "g"] })).contains("names[1]: there is no"));
        }
        for mode in [json!("AUTO"), json!("NONE"), Value::Null] {
            assert!(of(json!({ "mode": mode, "allowedFunctionNames": ["f"] })).contains("only allowed where"));
            assert_eq!(of(json!({ "mode": mode, "allowedFunctionNames": [] })), "");
        }
    }

    #[test]
    fn functions_stand_alone() {
        let mixed = |own: &str| json!({ "tools": [{ "functionDeclarations": [{ "name": "f" }] }, { own: {} }] });
        assert!(mixes_tools(&mixed("googleSearch")) && mixes_tools(&mixed("code_execution")));
        assert!(!mixes_tools(&json!({ "tools": [{ "googleSearch": {} }, { "codeExecution": {} }] })));
        assert!(!mixes_tools(&declaring(&json!([{ "name": "f" }]))));
    }
}
