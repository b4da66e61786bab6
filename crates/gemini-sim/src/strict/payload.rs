//! From bytes to JSON, or to the provider's complaint about them.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use serde_json::error::Category;

use crate::query::unbound;
use crate::refusal::{ApiError, bad_request};

/// Reads a JSON body. No body at all is an empty message; a form (which is
/// what curl's `-d` announces) is taken for query parameters.
pub(crate) fn read_json(headers: &HeaderMap, body: &[u8], most: usize) -> Result<Value, ApiError> {
    if body.len() > most {
        return Err(ApiError::invalid_argument(
            "too_large",
            format!("Request payload size exceeds the limit: {most} bytes."),
        ));
    }
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.map_or("", |value| value.to_str().unwrap_or("?"));
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        // Node says `text/plain` of every text that comes without a type; `@google/generative-ai` sends caches so.
        "" | "application/json" | "text/plain" => {}
        "application/x-www-form-urlencoded" => {
            let text = String::from_utf8_lossy(body);
            let name = text.split(['=', '&']).next().unwrap_or_default();
            return Err(bad_request(None, &unbound(name)));
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
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| complain(&error, body))
}

fn complain(error: &serde_json::Error, body: &[u8]) -> ApiError {
    let what = match error.classify() {
        Category::Eof => &*format!("Unexpected end of string. {}", expected(error, body)),
        _ if error.to_string().starts_with("recursion limit") => "Message too deep.",
        _ if error.to_string().starts_with("key must be") => "Expected an object key or }.",
        _ => "Unexpected token.",
    };
    let (excerpt, column) = excerpt(error, body);
    let mark = " ".repeat(column);
    bad_request(None, &format!("Invalid JSON payload received. {what}\n{excerpt}\n{mark}^"))
}

/// What would have gone on where a body ends, in the words of protobuf's parser.
fn expected(error: &serde_json::Error, body: &[u8]) -> &'static str {
    let told = error.to_string();
    let begins = matches!(body.trim_ascii_end().last(), Some(b'{' | b'[' | b','));
    match (begins, told.contains("an object"), told.contains("a list")) {
        (true, true, _) => "Expected an object key or }.",
        (false, true, _) => "Expected , or } after key:value pair.",
        (true, _, true) => "Expected a value or ] within an array.",
        (false, _, true) => "Expected , or ] after array value.",
        _ if told.contains("a string") => "Closing quote expected in string.",
        _ => "Expected a value.",
    }
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
