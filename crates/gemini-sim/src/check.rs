//! Checks of prompts that are well-formed but that the provider refuses.
//!
//! All functions read messages in the form of [`crate::proto::read`]. Error messages are those of the provider if they
//! are documented; a comment marks messages that are our own.

use std::collections::HashSet;
use std::fmt::{Display, Write as _};

use serde_json::Value;

use crate::proto::enum_values;
use crate::refusal::ApiError;

const MAX_STOP_SEQUENCES: usize = 5;
/// Index of the first valid harm category. Those before it belong to an older model.
const FIRST_HARM_CATEGORY: usize = 7;

/// Returns the 400 for a missing required field.
pub(crate) fn not_specified(message: &str, field: &str) -> ApiError {
    ApiError::malformed(format!("* {message}.{field}: {field} is not specified\n"))
}

/// Returns the 400 for an embedding request with an empty part.
pub(crate) fn empty_part(message: &str) -> ApiError {
    ApiError::malformed(format!("{message}.content contains an empty Part."))
}

/// Checks that contents are present and have parts, that parts have data, that roles are known, that numbers are within
/// their ranges, and that tools are compatible. `message` is the request's type in errors.
pub(crate) fn check_prompt(message: &str, prompt: &Value) -> Result<(), ApiError> {
    if items(&prompt["contents"]).next().is_none() && prompt["cached_content"].is_null() {
        return Err(not_specified(message, "contents"));
    }
    let mut problems = Problems::default();
    for (index, content) in items(&prompt["contents"]).enumerate() {
        if !matches!(content["role"].as_str(), None | Some("" | "user" | "model" | "function")) {
            return Err(ApiError::malformed("Please use a valid role: user, model."));
        }
        check_parts(&format!("{message}.contents[{index}]"), content, &mut problems)?;
    }
    if let Some(system) = prompt.get("system_instruction") {
        check_parts(&format!("{message}.system_instruction"), system, &mut problems)?;
    }
    if let Some(config) = prompt.get("generation_config") {
        let at = format!("{message}.generation_config");
        check_config(&at, config, &mut problems);
        check_response_format(&at, config, &mut problems);
    }
    check_safety_settings(&format!("{message}.safety_settings"), &prompt["safety_settings"], &mut problems);
    check_tools(message, prompt, &mut problems)?;
    problems.into_result()
}

/// Checks that the content to embed has text or other data.
pub(crate) fn check_embedded(message: &str, request: &Value) -> Result<(), ApiError> {
    let content = request.get("content").ok_or_else(|| not_specified(message, "content"))?;
    let is_empty = |part: &Value| !has_data(part) || part["text"] == "";
    if items(&content["parts"]).next().is_none() || items(&content["parts"]).any(is_empty) {
        return Err(empty_part(message));
    }
    Ok(())
}

/// Returns the ids of all uploaded files in a prompt.
pub(crate) fn file_ids(prompt: &Value) -> impl Iterator<Item = &str> {
    let parts = items(&prompt["contents"]).flat_map(|content| items(&content["parts"]));
    parts.filter_map(|part| Some(part["file_data"]["file_uri"].as_str()?.rsplit_once("files/")?.1))
}

fn check_parts(at: &str, content: &Value, problems: &mut Problems) -> Result<(), ApiError> {
    if items(&content["parts"]).next().is_none() {
        problems.add(format_args!("{at}.parts"), "contents.parts must not be empty.");
    }
    for (index, part) in items(&content["parts"]).enumerate() {
        let at = format!("{at}.parts[{index}]");
        for data in ["inline_data", "file_data"] {
            if let Some(mime_type) = part[data]["mime_type"].as_str().filter(|it| !is_supported(it)) {
                return Err(ApiError::malformed(format!("Unsupported MIME type: {mime_type}")));
            }
        }
        // These three messages are our own.
        for (data, field) in [("file_data", "file_uri"), ("inline_data", "mime_type"), ("inline_data", "data")] {
            if !part[data].is_null() && !is_filled(&part[data][field]) {
                problems.add(format_args!("{at}.{data}.{field}"), format_args!("{field} is not specified"));
            }
        }
        for call in ["function_call", "function_response"] {
            if !part[call].is_null() && !is_filled(&part[call]["name"]) {
                problems.add(format_args!("{at}.{call}.name"), "Name cannot be empty.");
            }
        }
        if !has_data(part) {
            problems.add(format_args!("{at}.data"), "required oneof field 'data' must have one initialized field");
        }
    }
    Ok(())
}

fn has_data(part: &Value) -> bool {
    const DATA: &str =
        "text inline_data file_data function_call function_response executable_code code_execution_result";
    DATA.split(' ').any(|name| !part[name].is_null())
}

/// Reports whether the provider supports a MIME type. For audio, video, images and text, the refused types are
/// documented; for other types, the supported ones.
fn is_supported(mime_type: &str) -> bool {
    const REFUSED: [&str; 2] = ["image/jpg", "image/svg+xml"];
    const TAKEN: &str = "pdf json xml rtf javascript x-javascript typescript x-typescript x-python-code x-ipynb+json";
    let essence = mime_type.split(';').next().unwrap_or_default().trim();
    match essence.split_once('/') {
        None => mime_type.is_empty(),
        Some(("audio" | "image" | "text" | "video", subtype)) => !subtype.is_empty() && !REFUSED.contains(&essence),
        Some(("application", subtype)) => TAKEN.split(' ').any(|taken| taken == subtype),
        Some(_) => false,
    }
}

fn check_config(at: &str, config: &Value, problems: &mut Problems) {
    const MIME_TYPES: [&str; 5] =
        ["text/plain", "application/json", "application/xml", "application/yaml", "text/x.enum"];
    const RANGES: [(&str, f64, f64, &str); 6] = [
        ("temperature", 0.0, 2.0, "[0.0, 2.0]"),
        ("top_p", 0.0, 1.0, "[0.0, 1.0]"),
        ("candidate_count", 1.0, 8.0, "[1, 8]"),
        ("max_output_tokens", 1.0, 65_536.0, "[1, 65537)"),
        ("presence_penalty", -2.0, 2.0, "[-2.0, 2.0]"),
        ("frequency_penalty", -2.0, 2.0, "[-2.0, 2.0]"),
    ];
    for (name, least, most, range) in RANGES {
        // `NaN` is a string here, and is in no range.
        let is_inside = config[name].as_f64().is_some_and(|number| (least..=most).contains(&number));
        if !config[name].is_null() && !is_inside {
            problems.add(format_args!("{at}.{name}"), format_args!("{name} must be in the range {range}."));
        }
    }
    if items(&config["stop_sequences"]).count() > MAX_STOP_SEQUENCES {
        // The message is our own.
        let problem = format!("at most {MAX_STOP_SEQUENCES} stop sequences can be given.");
        problems.add(format_args!("{at}.stop_sequences"), problem);
    }
    let mime_type = config["response_mime_type"].as_str().unwrap_or_default();
    if !mime_type.is_empty() && !MIME_TYPES.contains(&mime_type) {
        let allowed = MIME_TYPES.map(|mime| format!("`{mime}`")).join(", ");
        problems.add(format_args!("{at}.response_mime_type"), format_args!("allowed mimetypes are {allowed}."));
    }
    let thinking = &config["thinking_config"];
    if !thinking["thinking_budget"].is_null() && !thinking["thinking_level"].is_null() {
        problems.0.push_str("You can only set only one of thinking budget and thinking level.");
    }
}

fn check_safety_settings(at: &str, settings: &Value, problems: &mut Problems) {
    let known = &enum_values("HarmCategory")[FIRST_HARM_CATEGORY..];
    let mut seen = Vec::new();
    for (index, setting) in items(settings).enumerate() {
        let Some(category) = setting["category"].as_str() else { continue };
        if !known.iter().any(|known| known == category) {
            let known: Vec<_> = known.iter().map(|category| format!("HarmCategory.{category}")).collect();
            let problem = format!("element predicate failed: $.category in ({})", known.join(", "));
            problems.add(format_args!("{at}[{index}]"), problem);
        }
        if seen.contains(&category) {
            // The message is our own.
            let problem = format!("there is more than one setting for {category}");
            problems.add(format_args!("{at}[{index}].category"), problem);
        }
        seen.push(category);
    }
}

/// Maximum length of a function name. The documented refusals name 64, the reference 128; the larger one is used.
const MAX_NAME: usize = 128;

/// Returns the functions of all tools.
pub(crate) fn functions(prompt: &Value) -> impl Iterator<Item = &Value> {
    items(&prompt["tools"]).flat_map(|tool| items(&tool["function_declarations"]))
}

/// Returns the mode of function calling: `AUTO`, `ANY`, `NONE` or `VALIDATED`.
pub(crate) fn calling_mode(prompt: &Value) -> Option<&str> {
    prompt["tool_config"]["function_calling_config"]["mode"].as_str()
}

/// Reports whether the prompt has both functions and a built-in tool.
fn mixes_tools(prompt: &Value) -> bool {
    const BUILT_IN: [&str; 3] = ["google_search", "google_search_retrieval", "code_execution"];
    let has_built_in = items(&prompt["tools"]).any(|tool| BUILT_IN.iter().any(|name| !tool[name].is_null()));
    has_built_in && functions(prompt).next().is_some()
}

/// Checks that functions have unique, valid names and one schema each, and that the allowed functions are declared.
fn check_tools(message: &str, prompt: &Value, problems: &mut Problems) -> Result<(), ApiError> {
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
                    // The message is our own; the rule is in the reference.
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
    // Both messages are our own; the rules are in the reference.
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

/// Checks that an object has properties and a list has items. `quote` surrounds the names of properties in messages.
fn check_schema(at: &str, schema: &Value, quote: &str, problems: &mut Problems) {
    let has_choice = items(&schema["any_of"]).next().is_some();
    let properties = schema["properties"].as_object();
    // The behaviour of either together with `any_of` is not documented.
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

/// Checks that at most one response schema is given, and only for formats that allow one. The first two messages are
/// our own; the rules are in the reference.
fn check_response_format(at: &str, config: &Value, problems: &mut Problems) {
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

/// Checks that function calls follow a user turn, and that each has a response.
pub(crate) fn check_function_calls(prompt: &Value) -> Result<(), ApiError> {
    let contents: Vec<&Value> = items(&prompt["contents"]).collect();
    for (index, content) in contents.iter().enumerate() {
        let previous = index.checked_sub(1).map(|previous| contents[previous]);
        let responses = parts_with("function_response", content).count();
        let calls = previous.map_or(0, |previous| parts_with("function_call", previous).count());
        if responses != calls {
            return Err(ApiError::malformed(
                "Please ensure that the number of function response parts is equal to the number of function call \
parts of the function call turn.",
            ));
        }
        let follows_user = previous.is_some_and(|previous| previous["role"] != "model");
        if parts_with("function_call", content).next().is_some() && !follows_user {
            return Err(ApiError::malformed(
                "Please ensure that function call turn comes immediately after a user turn or after a function \
response turn.",
            ));
        }
    }
    Ok(())
}

fn parts_with<'a>(data: &str, content: &'a Value) -> impl Iterator<Item = &'a Value> {
    items(&content["parts"]).filter(move |part| !part[data].is_null())
}

/// The thinking budget that lets the model decide.
const DYNAMIC_BUDGET: i64 = -1;

fn is_third_generation(model: &str) -> bool {
    model.starts_with("gemini-3")
}

pub(crate) fn check_model(prompt: &Value, model: &str) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ApiError::malformed(message));
    let config = &prompt["generation_config"];
    check_thinking(&config["thinking_config"], model)?;
    if !is_third_generation(model) {
        let has_tools = items(&prompt["tools"]).next().is_some();
        if config["response_mime_type"] == "application/json" && has_tools {
            return invalid("Function calling with a response mime type: 'application/json' is unsupported");
        }
        if mixes_tools(prompt) {
            return invalid("Tool use with function calling is unsupported");
        }
    }
    // Only text is simulated.
    let modalities = || items(&config["response_modalities"]).filter_map(Value::as_str);
    if modalities().any(|modality| modality != "TEXT") {
        let wanted = modalities().collect::<Vec<_>>().join(",").to_ascii_lowercase();
        return Err(ApiError::malformed(format!(
            "The requested combination of response modalities ({wanted}) is not supported by the model."
        )));
    }
    Ok(())
}

fn check_thinking(thinking: &Value, model: &str) -> Result<(), ApiError> {
    if !thinking["thinking_level"].is_null() && !is_third_generation(model) {
        return Err(ApiError::malformed("Thinking level is not supported for this model."));
    }
    let Some(budget) = thinking["thinking_budget"].as_i64() else { return Ok(()) };
    if budget == 0 && model.contains("-pro") {
        return Err(ApiError::malformed("Budget 0 is invalid. This model only works in thinking mode."));
    }
    let (least, most) = match model.strip_prefix("gemini-2.5-") {
        Some(name) if name.starts_with("pro") => (128, 32_768),
        Some(name) if name.starts_with("flash-lite") => (512, 24_576),
        Some(name) if name.starts_with("flash") => (0, 24_576),
        _ => return Ok(()),
    };
    // Zero disables thinking, even if the range starts above it.
    if budget == DYNAMIC_BUDGET || budget == 0 || (least..=most).contains(&budget) {
        return Ok(());
    }
    Err(ApiError::malformed(format!(
        "The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
    )))
}

/// The problems of a request, one per line.
#[derive(Default)]
struct Problems(String);

impl Problems {
    fn add(&mut self, at: impl Display, problem: impl Display) {
        let _ = writeln!(self.0, "* {at}: {problem}");
    }

    fn into_result(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::malformed(self.0)) }
    }
}

/// Returns the items of a list, or none if the value is not a list.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Reports whether a field is a non-empty string.
fn is_filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_follow_the_user_and_each_has_a_response() {
        let problem = |contents: Value| {
            let result = check_function_calls(&json!({ "contents": contents }));
            result.map_or_else(|error| error.to_line(), |()| String::new())
        };
        let user = json!({ "role": "user", "parts": [{ "text": "x" }] });
        let call = json!({ "role": "model", "parts": [{ "function_call": { "name": "f" } }] });
        let responses =
            |n: usize| json!({ "role": "user", "parts": vec![json!({ "function_response": { "name": "f" } }); n] });
        assert_eq!(problem(json!([user, call, responses(1)])), "");
        assert!(problem(json!([user, call, responses(2)])).contains("number of function response parts"));
        assert!(problem(json!([user, call, user])).contains("number of function response parts"));
        assert!(problem(json!([call, responses(1)])).contains("immediately after a user turn"));
    }

    #[test]
    fn thinking_budgets_have_bounds() {
        let problem = |model: &str, budget: i64| {
            let prompt = json!({ "generation_config": { "thinking_config": { "thinking_budget": budget } } });
            check_model(&prompt, model).map_or_else(|error| error.to_line(), |()| String::new())
        };
        for (model, budget, range) in [
            ("gemini-2.5-flash", 999_999, "0 and 24576"),
            ("gemini-2.5-flash", -7, "0 and 24576"),
            ("gemini-2.5-flash-lite", 511, "512 and 24576"),
            ("gemini-2.5-pro", 50, "128 and 32768"),
        ] {
            let expected = format!("The thinking budget {budget} is invalid. Please choose a value between {range}.");
            assert!(problem(model, budget).contains(&expected), "{model} {budget}: {}", problem(model, budget));
        }
        assert!(problem("gemini-2.5-pro", 0).contains("only works in thinking mode"));
        for (model, budget) in
            [("gemini-2.5-flash", 0), ("gemini-2.5-flash-lite", 0), ("gemini-2.5-pro", -1), ("gemini-2.5-pro", 128)]
        {
            assert_eq!(problem(model, budget), "", "{model} {budget}");
        }
    }

    #[test]
    fn an_empty_list_of_tools_has_no_tools() {
        let config = json!({ "response_mime_type": "application/json" });
        let check =
            |tools: Value| check_model(&json!({ "tools": tools, "generation_config": config }), "gemini-2.5-flash");
        assert!(check(json!([])).is_ok());
        assert!(check(json!([{ "function_declarations": [{ "name": "f" }] }])).is_err());
    }
}
