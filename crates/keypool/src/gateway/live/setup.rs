//! Whether a message sets a session up.

use memchr::memmem;
use serde_json::{Map, Value};

use super::spelling::ESCAPE;

/// Whether a piece of a message may hold the word that sets up, and no mere word in a text.
pub(super) fn may_be(piece: &[u8]) -> bool {
    memmem::find_iter(piece, b"setup").any(|at| {
        let behind = piece[at + 5..].iter().find(|byte| !byte.is_ascii_whitespace());
        // Who reads leniently takes names in simple quotes, and without any.
        behind.is_none_or(|byte| matches!(byte, b'"' | b'\'' | b':'))
    })
}

/// Whether a message sets a session up. Most cannot, and are not read.
///
/// # Errors
/// Where it may, and is no object of JSON.
pub(super) fn is_one(message: &[u8]) -> Result<bool, serde_json::Error> {
    if !may_be(message) && memmem::find(message, ESCAPE).is_none() {
        return Ok(false);
    }
    let fields: Map<String, Value> = serde_json::from_slice(message)?;
    Ok(fields.contains_key("setup"))
}
