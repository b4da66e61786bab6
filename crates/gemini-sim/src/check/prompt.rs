//! Contents, parts and settings.

use serde_json::Value;

use super::schema::check_response_format;
use super::tools::check_tools;
use super::{Problems, is_filled, items};
use crate::proto::enum_values;
use crate::refusal::ApiError;

const MAX_STOP_SEQUENCES: usize = 5;
/// The harm categories before this one belong to an older model.
const FIRST_HARM_CATEGORY: usize = 7;

/// 400 for a field that must be there.
pub(crate) fn not_specified(message: &str, field: &str) -> ApiError {
    ApiError::malformed(format!("* {message}.{field}: {field} is not specified\n"))
}

/// 400 for nothing to embed.
pub(crate) fn empty_part(message: &str) -> ApiError {
    ApiError::malformed(format!("{message}.content contains an empty Part."))
}

/// Contents are there, each with parts, parts with data, roles known, numbers within their bounds, tools that go
/// together. `message`: the request's type, as errors name it.
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

/// What is to be embedded has text or other data.
pub(crate) fn check_embedded(message: &str, request: &Value) -> Result<(), ApiError> {
    let content = request.get("content").ok_or_else(|| not_specified(message, "content"))?;
    let is_empty = |part: &Value| !has_data(part) || part["text"] == "";
    if items(&content["parts"]).next().is_none() || items(&content["parts"]).any(is_empty) {
        return Err(empty_part(message));
    }
    Ok(())
}

/// The ids of all uploaded files that a prompt names.
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
        // The words of these three are ours.
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

/// Of sounds, films, pictures and texts the types that the provider refuses are on record; of all others those that it
/// takes.
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
        // `NaN` stays a text, and is in no range.
        let is_inside = config[name].as_f64().is_some_and(|number| (least..=most).contains(&number));
        if !config[name].is_null() && !is_inside {
            problems.add(format_args!("{at}.{name}"), format_args!("{name} must be in the range {range}."));
        }
    }
    if items(&config["stop_sequences"]).count() > MAX_STOP_SEQUENCES {
        // The words are ours.
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
            // The words are ours.
            let problem = format!("there is more than one setting for {category}");
            problems.add(format_args!("{at}[{index}].category"), problem);
        }
        seen.push(category);
    }
}
