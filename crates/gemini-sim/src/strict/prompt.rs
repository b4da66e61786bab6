//! Prompts that are well-formed and yet make no sense.

use std::fmt::Write as _;

use serde_json::Value;

use super::message::{FIRST_HARM, HARMS};
use super::objects::check_form;
use super::tools::check_declarations;
use crate::proto_json::{field, items, number, word};
use crate::refusal::ApiError;

/// The most stop sequences of one request.
const STOPS: usize = 5;

/// The complaint that a field is not there.
pub(crate) fn missing(message: &str, field: &str) -> ApiError {
    ApiError::invalid_argument("malformed", format!("* {message}.{field}: {field} is not specified\n"))
}

/// A generate request: contents there, each with parts, parts with data, roles
/// known, numbers within their bounds.
pub(crate) fn check_prompt(request: &Value) -> Result<(), ApiError> {
    let cached = field(request, "cachedContent", "cached_content").is_some();
    check_prompt_of("GenerateContentRequest", request, cached)
}

/// The same of a message that may hold its contents elsewhere.
pub(crate) fn check_uncached_prompt(name: &str, request: &Value) -> Result<(), ApiError> {
    check_prompt_of(name, request, false)
}

fn check_prompt_of(name: &str, request: &Value, may_be_empty: bool) -> Result<(), ApiError> {
    let contents = items(request.get("contents"));
    if contents.is_empty() && !may_be_empty {
        return Err(missing(name, "contents"));
    }
    let mut complaints = String::new();
    for (index, content) in contents.iter().enumerate() {
        let role = content.get("role").and_then(Value::as_str);
        if !matches!(role, None | Some("" | "user" | "model" | "function")) {
            return Err(ApiError::invalid_argument("malformed", "Please use a valid role: user, model."));
        }
        check_parts(&format!("{name}.contents[{index}]"), content, &mut complaints)?;
    }
    if let Some(system) = field(request, "systemInstruction", "system_instruction").filter(|said| !said.is_null()) {
        check_parts(&format!("{name}.system_instruction"), system, &mut complaints)?;
    }
    if let Some(config) = field(request, "generationConfig", "generation_config") {
        check_config(name, config, &mut complaints);
        check_form(name, config, &mut complaints);
    }
    check_safety(name, request, &mut complaints);
    check_declarations(name, request, &mut complaints)?;
    if complaints.is_empty() { Ok(()) } else { Err(ApiError::invalid_argument("malformed", complaints)) }
}

/// What somebody said at `at`: some parts, each of which holds something.
fn check_parts(at: &str, content: &Value, complaints: &mut String) -> Result<(), ApiError> {
    let parts = items(content.get("parts"));
    if parts.is_empty() {
        let _ = writeln!(complaints, "* {at}.parts: contents.parts must not be empty.");
    }
    for (part, value) in parts.iter().enumerate() {
        if let Some(kind) = kind_of(value).filter(|kind| !is_kind(kind)) {
            return Err(ApiError::invalid_argument("malformed", format!("Unsupported MIME type: {kind}")));
        }
        let at = format!("{at}.parts[{part}]");
        check_blob(&at, value, complaints);
        check_name(&at, value, complaints);
        if !has_data(value) {
            let _ = writeln!(complaints, "* {at}.data: required oneof field 'data' must have one initialized field");
        }
    }
    Ok(())
}

/// The complaint that there is nothing to embed.
pub(crate) fn empty_part(name: &str) -> ApiError {
    ApiError::invalid_argument("malformed", format!("{name}.content contains an empty Part."))
}

/// What is to be embedded: it says something.
pub(crate) fn check_embedded(name: &str, item: &Value) -> Result<(), ApiError> {
    let content = item.get("content").filter(|content| !content.is_null());
    let content = content.ok_or_else(|| missing(name, "content"))?;
    let parts = items(content.get("parts"));
    if parts.is_empty() || parts.iter().any(|part| !has_data(part) || part["text"] == "") {
        return Err(empty_part(name));
    }
    Ok(())
}

/// A call and what a tool answered name the function.
fn check_name(at: &str, part: &Value, complaints: &mut String) {
    for (camel, snake) in [("functionCall", "function_call"), ("functionResponse", "function_response")] {
        let held = field(part, camel, snake).filter(|held| !held.is_null());
        if held.is_some_and(|held| held.get("name").and_then(Value::as_str).is_none_or(str::is_empty)) {
            let _ = writeln!(complaints, "* {at}.{snake}.name: Name cannot be empty.");
        }
    }
}

/// What a part says its data is.
fn kind_of(part: &Value) -> Option<&str> {
    let data = field(part, "inlineData", "inline_data").or_else(|| field(part, "fileData", "file_data"))?;
    field(data, "mimeType", "mime_type")?.as_str()
}

/// Bytes that are there, and said to be of some type; or a place where they are.
fn check_blob(at: &str, part: &Value, complaints: &mut String) {
    let file = field(part, "fileData", "file_data").filter(|file| !file.is_null());
    if file.is_some_and(|file| field(file, "fileUri", "file_uri").and_then(Value::as_str).is_none_or(str::is_empty)) {
        // Not on record: the words are ours.
        let _ = writeln!(complaints, "* {at}.file_data.file_uri: file_uri is not specified");
    }
    let Some(blob) = field(part, "inlineData", "inline_data").filter(|blob| !blob.is_null()) else { return };
    for (camel, snake) in [("mimeType", "mime_type"), ("data", "data")] {
        if field(blob, camel, snake).and_then(Value::as_str).is_none_or(str::is_empty) {
            // Not on record: the words are ours.
            let _ = writeln!(complaints, "* {at}.inline_data.{snake}: {snake} is not specified");
        }
    }
}

/// Whether it is a type that the provider takes, as far as that is known: of sound, films, pictures and texts those that it does
/// not are on record, of everything else those that it does.
fn is_kind(kind: &str) -> bool {
    const NONE: [&str; 2] = ["image/jpg", "image/svg+xml"];
    const OTHERS: [&str; 10] = [
        "application/pdf",
        "application/json",
        "application/xml",
        "application/rtf",
        "application/javascript",
        "application/x-javascript",
        "application/typescript",
        "application/x-typescript",
        "application/x-python-code",
        "application/x-ipynb+json",
    ];
    let bare = kind.split(';').next().unwrap_or_default().trim();
    match bare.split_once('/') {
        None => kind.is_empty(),
        Some(("audio" | "image" | "text" | "video", sub)) => !sub.is_empty() && !NONE.contains(&bare),
        Some(_) => OTHERS.contains(&bare),
    }
}

fn has_data(part: &Value) -> bool {
    const DATA: [(&str, &str); 7] = [
        ("text", "text"),
        ("inlineData", "inline_data"),
        ("fileData", "file_data"),
        ("functionCall", "function_call"),
        ("functionResponse", "function_response"),
        ("executableCode", "executable_code"),
        ("codeExecutionResult", "code_execution_result"),
    ];
    DATA.iter().any(|(camel, snake)| field(part, camel, snake).is_some_and(|value| !value.is_null()))
}

fn check_config(name: &str, config: &Value, complaints: &mut String) {
    const MIME: [&str; 5] = ["text/plain", "application/json", "application/xml", "application/yaml", "text/x.enum"];
    let bounds = [
        ("temperature", "temperature", 0.0, 2.0, "[0.0, 2.0]"),
        ("topP", "top_p", 0.0, 1.0, "[0.0, 1.0]"),
        ("candidateCount", "candidate_count", 1.0, 8.0, "[1, 8]"),
        ("maxOutputTokens", "max_output_tokens", 1.0, 65_536.0, "[1, 65537)"),
        ("presencePenalty", "presence_penalty", -2.0, 2.0, "[-2.0, 2.0]"),
        ("frequencyPenalty", "frequency_penalty", -2.0, 2.0, "[-2.0, 2.0]"),
    ];
    for (camel, snake, least, most, range) in bounds {
        let number = field(config, camel, snake).and_then(number);
        // What is no number is in none.
        if number.is_some_and(|number| !(least..=most).contains(&number)) {
            let _ = writeln!(complaints, "* {name}.generation_config.{snake}: {snake} must be in the range {range}.");
        }
    }
    if items(field(config, "stopSequences", "stop_sequences")).len() > STOPS {
        // Not on record: the words are ours.
        let _ = writeln!(
            complaints,
            "* {name}.generation_config.stop_sequences: at most {STOPS} stop sequences can be given."
        );
    }
    let mime = field(config, "responseMimeType", "response_mime_type").and_then(Value::as_str);
    if mime.is_some_and(|mime| !mime.is_empty() && !MIME.contains(&mime)) {
        let allowed = MIME.map(|mime| format!("`{mime}`")).join(", ");
        let _ = writeln!(complaints, "* {name}.generation_config.response_mime_type: allowed mimetypes are {allowed}.");
    }
    let thinking = field(config, "thinkingConfig", "thinking_config").unwrap_or(&Value::Null);
    if field(thinking, "thinkingBudget", "thinking_budget").is_some()
        && field(thinking, "thinkingLevel", "thinking_level").is_some()
    {
        complaints.push_str("You can only set only one of thinking budget and thinking level.");
    }
}

/// Each category is one that Gemini has, and is set once.
fn check_safety(name: &str, request: &Value, complaints: &mut String) {
    let mut seen = Vec::new();
    for (index, setting) in items(field(request, "safetySettings", "safety_settings")).into_iter().enumerate() {
        let Some(category) = setting.get("category").and_then(|category| word(category, &HARMS)) else { continue };
        if !HARMS[FIRST_HARM..].contains(&category) {
            let known = HARMS[FIRST_HARM..].iter().map(|harm| format!("HarmCategory.{harm}")).collect::<Vec<_>>();
            let why = format!("element predicate failed: $.category in ({})", known.join(", "));
            let _ = writeln!(complaints, "* {name}.safety_settings[{index}]: {why}");
        }
        if seen.contains(&category) {
            // Not on record: the words are ours.
            let why = format!("there is more than one setting for {category}");
            let _ = writeln!(complaints, "* {name}.safety_settings[{index}].category: {why}");
        }
        seen.push(category);
    }
}

/// The ids of all uploaded files that a prompt names.
pub(crate) fn file_ids(request: &Value) -> Vec<&str> {
    let mut ids = Vec::new();
    for content in items(request.get("contents")) {
        for part in items(content.get("parts")) {
            let data = field(part, "fileData", "file_data");
            let uri = data.and_then(|data| field(data, "fileUri", "file_uri")?.as_str());
            if let Some((_, id)) = uri.and_then(|uri| uri.rsplit_once("files/")) {
                ids.push(id);
            }
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Wrapping;
    use serde_json::json;

    fn complaint(request: &Value) -> String {
        let error = check_prompt(request).expect_err("a complaint");
        let line: Value = serde_json::from_str(&error.line(Wrapping::Bare)).unwrap();
        line["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn contents_must_be_there_and_hold_something() {
        let none = "* GenerateContentRequest.contents: contents is not specified\n";
        assert_eq!(complaint(&json!({})), none);
        assert_eq!(complaint(&json!({ "contents": [] })), none);
        assert!(complaint(&json!({ "contents": [{}] })).contains("parts must not be empty"));
        let empty_part = json!({ "contents": [{ "parts": [{}] }] });
        assert!(complaint(&empty_part).contains("contents[0].parts[0].data: required oneof"));
        for kind in
            ["application/octet-stream", "application/zip", "application/x-foo", "image/svg+xml", "nonsense", "/x"]
        {
            let of_kind =
                json!({ "contents": [{ "parts": [{ "inlineData": { "mimeType": kind, "data": "aGk=" } }] }] });
            assert_eq!(complaint(&of_kind), format!("Unsupported MIME type: {kind}"));
        }
        let role = json!({ "contents": [{ "role": "system", "parts": [{ "text": "" }] }] });
        assert_eq!(complaint(&role), "Please use a valid role: user, model.");
    }

    #[test]
    fn numbers_have_bounds() {
        let request = |config: Value| json!({ "contents": { "parts": { "text": "x" } }, "generationConfig": config });
        assert!(complaint(&request(json!({ "temperature": 2.1 }))).contains("[0.0, 2.0]"));
        let both = json!({ "thinkingConfig": { "thinkingBudget": 1, "thinkingLevel": "low" } });
        assert!(complaint(&request(both)).contains("only one of thinking"));
        assert!(complaint(&request(json!({ "candidateCount": "9" }))).contains("[1, 8]"));
        assert!(complaint(&request(json!({ "stopSequences": ["a", "b", "c", "d", "e", "f"] }))).contains("at most 5"));
        assert!(check_prompt(&request(json!({ "temperature": 2.0 }))).is_ok());
    }

    #[test]
    fn bytes_are_there_and_said_to_be_something() {
        let of = |blob: Value| json!({ "contents": [{ "parts": [{ "inlineData": blob }] }] });
        let at = "* GenerateContentRequest.contents[0].parts[0].inline_data";
        for blob in [json!({ "data": "aGk=" }), json!({ "data": "aGk=", "mimeType": "" })] {
            assert_eq!(complaint(&of(blob)), format!("{at}.mime_type: mime_type is not specified\n"));
        }
        for blob in [json!({ "mimeType": "image/png" }), json!({ "mimeType": "image/png", "data": "" })] {
            assert_eq!(complaint(&of(blob)), format!("{at}.data: data is not specified\n"));
        }
    }

    #[test]
    fn each_category_of_harm_is_set_once() {
        let of = |categories: [&str; 2]| {
            let settings = categories.map(|category| json!({ "category": category, "threshold": "OFF" }));
            json!({ "contents": { "parts": { "text": "x" } }, "safetySettings": settings })
        };
        let (one, other) = ("HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH");
        assert!(complaint(&of([one, one])).contains("safety_settings[1].category: there is more than one"));
        assert!(check_prompt(&of([one, other])).is_ok());
    }

    #[test]
    fn files_are_found_by_their_uris() {
        let request = json!({ "contents": [{ "parts": [
            { "fileData": { "fileUri": "https://host/v1beta/files/abc" } },
            { "file_data": { "file_uri": "https://youtu.be/x" } },
        ] }] });
        assert_eq!(file_ids(&request), ["abc"]);
    }
}
