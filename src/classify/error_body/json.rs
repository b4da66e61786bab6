//! Finds the error in a JSON value or in a text.

use serde_json::Value;

use super::paths::{BESIDE_ERROR, ERRORS, ERRORS_IN_ERROR_BODIES, FAILED, LIMITED};
use crate::classify::sse::{Event, event_end};

/// Returns the values at a path such as `details[].reason`, ignoring the case of names. A value that is not an array is
/// treated as an array of one item.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    const MOST: usize = 32;
    let mut found = vec![value];
    for step in path.split('.') {
        let (name, each) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let is = |(key, _): &(&String, &Value)| key.eq_ignore_ascii_case(name);
        let any_case = |value: &'v Value| value.as_object()?.iter().find(is).map(|(_, member)| member);
        let members = found.into_iter().filter_map(|value| value.get(name).or_else(|| any_case(value)));
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
        let all = ERRORS.iter().chain(ERRORS_IN_ERROR_BODIES).flat_map(|path| at(root, path));
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
    let any = |paths: &[&str], is: fn(&Value) -> bool| paths.iter().flat_map(|path| at(root, path)).any(is);
    // MiniMax has its own status. Zhipu and Cloudflare have `success`.
    let is_denied = || root.get("success") == Some(&Value::Bool(false));
    let has_code = || any(&["code"], |code| status(code).is_some());
    any(ERRORS, |error| !is_empty(error))
        || is_named_error(root)
        || is_limited(root)
        || any(FAILED, |status| status == "failed")
        || any(&["base_resp.status_code"], |code| code.as_u64() != Some(0))
        || is_denied() && (has_code() || any(&["errors"], |errors| !is_empty(errors)))
        || (has_code() || any(&["error_code"], |code| !is_empty(code)))
            && any(&["message", "msg", "error_msg"], Value::is_string)
            && is_nothing_else(root)
}

/// Reports whether a response of Gemini ended because the account is limited.
pub(super) fn is_limited(root: &Value) -> bool {
    at(root, "candidates[].finishReason").iter().any(|reason| *reason == LIMITED)
}

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

/// Parses the object or array at the start of a text and ignores the rest. An array may be incomplete. `serde_json`
/// limits the depth.
pub(super) fn first_value(text: &str) -> Option<Value> {
    let is_between = |c: char| c.is_whitespace() || c == ',';
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    // Skips a prefix that protects JSON from scripts, and separators between the items of a streamed array.
    let text = text.strip_prefix(")]}'").unwrap_or(text).trim_start_matches(is_between);
    if text.starts_with('{') {
        return serde_json::Deserializer::from_str(text).into_iter().next()?.ok();
    }
    let mut rest = text.strip_prefix('[')?;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches(is_between);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter();
        let Some(Ok(item)) = values.next() else { break };
        items.push(item);
        rest = &rest[values.byte_offset()..];
    }
    // A text such as `[429 Too Many Requests]` is not an array.
    let is_array = rest.starts_with(']') || matches!(items.first()?, Value::Object(_) | Value::Array(_));
    (is_array && !items.is_empty()).then_some(Value::Array(items))
}

/// Finds the error in server-sent events, or in a raw object after them, with which Gemini ends a broken stream.
pub(super) fn in_events(text: &str) -> Option<Value> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (end, next) = event_end(rest, 0).unwrap_or((rest.len(), rest.len()));
        let event = Event::parse(&rest[..end]);
        rest = &rest[next..];
        let data = String::from_utf8_lossy(event.data.trim_ascii());
        match first_value(&data).map(unwrapped) {
            Some(value) if is_error(&value) => return Some(value),
            value if event.name == b"error" && !data.is_empty() => {
                let error = value.unwrap_or_else(|| data.into_owned().into());
                return Some(serde_json::json!({ "error": error, "status": status_in_comment(text) }));
            }
            _ => {}
        }
    }
    None
}

/// Returns the status of an error that `DashScope` names in a comment of the event: `:HTTP_STATUS/400`.
fn status_in_comment(text: &str) -> Option<&str> {
    text.lines().filter_map(|line| line.strip_prefix(":HTTP_STATUS/")).find(|status| *status != "200")
}
