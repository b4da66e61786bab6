//! The JSON of a request's body, and the provider's errors about it.

use http::header::CONTENT_TYPE;
use serde_json::error::Category;
use serde_json::{Value, json};

use super::call::Call;
use super::query::unknown_parameter;
use crate::refusal::{ApiError, bad_request};

/// Reads a JSON body. No body at all is an empty message; a form (which is
/// what curl's `-d` announces) is taken for query parameters.
pub(super) fn read_json(call: &Call, max: usize) -> Result<Value, ApiError> {
    let body = &*call.body;
    if body.len() > max {
        return Err(ApiError::invalid_argument(
            "too_large",
            format!("Request payload size exceeds the limit: {max} bytes."),
        ));
    }
    let content_type = call.parts.headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        // Node says `text/plain` of every text that comes without a type; `@google/generative-ai` sends caches so.
        "" | "application/json" | "text/plain" => {}
        "application/x-www-form-urlencoded" => {
            let text = String::from_utf8_lossy(body);
            let name = text.split(['=', '&']).next().unwrap_or_default();
            return Err(unknown_parameter(name));
        }
        // Not on record: the words are ours.
        _ => {
            return Err(ApiError::invalid_argument(
                "content_type",
                format!("Content type \"{essence}\" is not supported. Use application/json."),
            ));
        }
    }
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| syntax_error(&error, body))
}

fn syntax_error(error: &serde_json::Error, body: &[u8]) -> ApiError {
    let what = match error.classify() {
        Category::Eof => "Unexpected end of string. Expected a value.",
        _ if error.to_string().starts_with("recursion limit") => "Message too deep.",
        _ if error.to_string().starts_with("key must be") => "Expected an object key or }.",
        _ => "Unexpected token.",
    };
    let (excerpt, column) = excerpt(error, body);
    let mark = " ".repeat(column);
    let why = format!("Invalid JSON payload received. {what}\n{excerpt}\n{mark}^");
    bad_request(&[(String::new(), why)])
}

/// The surroundings of the error on its line, and where in them it stands.
fn excerpt(error: &serde_json::Error, body: &[u8]) -> (String, usize) {
    const AROUND: usize = 20;
    let line = body.split(|byte| *byte == b'\n');
    let line = line.clone().nth(error.line().saturating_sub(1));
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let at = error.column().saturating_sub(1);
    let from = at.saturating_sub(AROUND);
    let shown = line.chars().skip(from).take(2 * AROUND).collect();
    (shown, at - from)
}
