//! `/v1/messages/count_tokens`: the request is [read](crate::Frontend::parse) as one for a message, and
//! [encoded](crate::Encoder::count_tokens) as Gemini's `countTokens`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::Error;

/// Writes the answer, of Gemini's.
///
/// # Errors
/// When Gemini's answer makes no sense.
pub fn answer(body: &[u8]) -> Result<Bytes, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        #[serde(default)]
        total_tokens: u64,
    }
    let counted: Counted = serde_json::from_slice(body).map_err(|_| Error::bad_upstream())?;
    Ok(json!({ "input_tokens": counted.total_tokens }).to_string().into())
}
