//! `/v1/messages/count_tokens`: the request is [parsed](crate::Frontend::parse) like one for a message, and
//! [encoded](crate::NativeRequest::count_tokens) as Gemini's `countTokens`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::Error;

/// Converts Gemini's response.
///
/// # Errors
/// 502 if Gemini's response is invalid.
pub fn answer(body: &[u8]) -> Result<Bytes, Error> {
    let counted: Value = serde_json::from_slice(body).map_err(|_| Error::bad_upstream())?;
    let tokens = counted["totalTokens"].as_u64().ok_or_else(Error::bad_upstream)?;
    Ok(json!({ "input_tokens": tokens }).to_string().into())
}
