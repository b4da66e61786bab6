//! Finds the error in a JSON value or in a text.

use serde_json::Value;

/// Paths of the error in an event or in a successful response.
const ERRORS: &[&str] = &["error[]", "response.error", "response.status_details.error", "choices[].error"];
/// Additional paths of the error in a response with an error status.
const MORE_ERRORS: &[&str] = &["details.error", "detail.error", "body.error", "data.error", "fault", "base_resp"];

/// Returns the values at a path such as `details[].reason`. A value that is not an array is treated as an array of one
/// item.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    const MOST: usize = 32;
    let mut found = vec![value];
    for step in path.split('.') {
        let (name, each) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let members = found.into_iter().filter_map(|value| value.get(name));
        let items = |value: &'v Value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        found = if each { members.flat_map(items).take(MOST).collect() } else { members.collect() };
    }
    found
}

/// Collects the strings in a value, down to `depth` levels below it.
pub(super) fn strings<'v>(value: &'v Value, depth: usize, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) if depth > 0 => items.iter().for_each(|item| strings(item, depth - 1, found)),
        Value::Object(members) if depth > 0 => members.values().for_each(|item| strings(item, depth - 1, found)),
        _ => {}
    }
}

pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn status(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

/// Reports whether a value is empty, since many successful responses contain `"error": null`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(members) => members.values().all(is_empty),
    }
}

/// Returns the error object, or the whole value if the value itself is the error.
pub(super) fn error_of(root: &Value) -> &Value {
    let found = |is: fn(&Value) -> bool| {
        let all = ERRORS.iter().chain(MORE_ERRORS).flat_map(|path| at(root, path));
        all.filter(|error| !is_empty(error)).find(|error| is(error))
    };
    // `{"error": "…", "message": …}`
    let calls_itself_one = is_named_error(root) && root.get("message").is_some_and(Value::is_string);
    let word = || found(Value::is_string).filter(|_| !calls_itself_one);
    found(Value::is_object).or_else(word).unwrap_or(root)
}

/// Reports whether a value names itself an error: `{"type": "error", …}`, `{"object": "error", …}`.
fn is_named_error(root: &Value) -> bool {
    ["type", "object", "event_type"].iter().any(|name| root.get(name).is_some_and(|kind| kind == "error"))
}

/// Reports whether a value of a successful response is an error.
pub(super) fn is_error(root: &Value) -> bool {
    let holds_one = ERRORS.iter().flat_map(|path| at(root, path)).any(|error| !is_empty(error));
    // MiniMax has its own status. Zhipu and Cloudflare have `success`.
    let failed = || at(root, "base_resp.status_code").iter().any(|code| code.as_u64() != Some(0));
    let is_listed = || root.get("errors").is_some_and(|errors| !is_empty(errors));
    let has_code = || root.get("code").and_then(status).is_some();
    let denied = || root.get("success") == Some(&Value::Bool(false)) && (has_code() || is_listed());
    holds_one || is_named_error(root) || failed() || denied()
}

/// Fields that a successful response may have to count as nothing but an error.
#[rustfmt::skip]
const BESIDE_ERROR: &[&str] = &[
    "error", "code", "type", "message", "msg", "status", "status_code", "statusCode", "success", "detail",
    "base_resp", "event_type", "request_id", "requestId", "trace_id", "user_id", "timestamp", "path", "param",
    "sequence_number", "object", "errors", "id", "model", "created", "provider", "usage", "system_fingerprint", "service_tier",
];

/// Reports whether a body is nothing but an error. A successful response may describe an operation or a batch that
/// failed.
pub(super) fn is_nothing_else(root: &Value) -> bool {
    let Some(members) = root.as_object() else { return false };
    let is = |name: &str, word: &str| members.get(name).is_some_and(|value| value == word);
    if is("object", "response") {
        let holds = |name: &str| members.get(name).is_some_and(|value| !is_empty(value));
        return is("status", "failed") && !holds("output") && !holds("background");
    }
    let is_empty_choice = |choice: &Value| {
        let said = ["message.content", "message.tool_calls", "delta.content", "delta.tool_calls", "text"];
        said.iter().flat_map(|path| at(choice, path)).all(is_empty)
    };
    members.iter().all(|(name, value)| match name.as_str() {
        "choices" => is_empty(value) || value.as_array().is_some_and(|choices| choices.iter().all(is_empty_choice)),
        name => BESIDE_ERROR.contains(&name) || is_empty(value),
    }) && !is("object", "batch")
}

/// Returns the item of an array that is an error, or else the first item. Returns other values unchanged.
pub(super) fn unwrapped(mut value: Value) -> Value {
    while let Value::Array(mut items) = value {
        if items.is_empty() {
            return Value::Null;
        }
        let erring = items.iter().position(is_error).unwrap_or(0);
        value = items.swap_remove(erring);
    }
    value
}

/// Parses the object or array at the start of a text and ignores the rest. `serde_json` limits its depth.
pub(super) fn first_value(text: &str) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // Skips a prefix that protects JSON from scripts, and separators between the items of a streamed array.
    let text = text.strip_prefix(")]}'").unwrap_or(text).trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

/// Finds the error in server-sent events, or in a raw object after them, with which Gemini ends a broken stream.
pub(super) fn in_events(text: &str) -> Option<Value> {
    const MAX_OBJECTS: usize = 32;
    let erring = |text: &str| first_value(text).map(unwrapped).filter(is_error);
    let (mut data, mut is_named_error, mut begin, mut objects) = (String::new(), false, 0, 0);
    for line in text.split_inclusive('\n').chain(["\n"]) {
        let bare = line.trim();
        if let Some(more) = bare.strip_prefix("data:") {
            data.push_str(more.trim_start());
        } else if let Some(name) = bare.strip_prefix("event:") {
            is_named_error = name.trim() == "error";
        } else if bare.is_empty() {
            let found = erring(&data);
            if found.is_some() {
                return found;
            }
            if is_named_error && !data.is_empty() {
                let error = first_value(&data).unwrap_or_else(|| data.into());
                return Some(serde_json::json!({ "error": error, "status": status_in_comment(text) }));
            }
            (data, is_named_error) = (String::new(), false);
        } else if bare.starts_with(['{', '[', ',']) && objects < MAX_OBJECTS {
            objects += 1;
            let found = erring(&text[begin..]);
            if found.is_some() {
                return found;
            }
        }
        begin += line.len();
    }
    None
}

/// Returns the status of an error that `DashScope` names in a comment of the event: `:HTTP_STATUS/400`.
fn status_in_comment(text: &str) -> Option<&str> {
    text.lines().filter_map(|line| line.strip_prefix(":HTTP_STATUS/")).find(|status| *status != "200")
}
