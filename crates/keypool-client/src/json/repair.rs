//! The last resort: JSON that is broken.

use jsonrepair_rs::{RepairOptions, jsonrepair_with_options};
use serde_json::Value;

use super::{MOST_BYTES, backslash::doubled, value};

/// Makes a value of what begins with one, and may have words behind it, and the text of that value. `None` where it cannot be
/// told what was meant.
pub(super) fn repair(broken: &str) -> Option<(Value, String)> {
    let fixed = doubled(broken.trim());
    let whole = fixed.trim_end_matches(['`', '\n', ' ']);
    tried(whole).or_else(|| {
        // Words behind it: up to its last bracket.
        let end = match whole.as_bytes().first()? {
            b'{' => whole.rfind('}')?,
            b'[' => whole.rfind(']')?,
            _ => return tried(&format!("{{{whole}}}")),
        };
        (end + 1 < whole.len()).then(|| tried(&whole[..=end])).flatten()
    })
}

/// What comes out must be of the kind that went in: a repair that wraps an object and the words behind it into a list is
/// none.
fn tried(text: &str) -> Option<(Value, String)> {
    let options = RepairOptions::new().with_max_input_bytes(2 * MOST_BYTES);
    let repaired = jsonrepair_with_options(text, options).ok()?;
    let value = value(&repaired).ok()?;
    match text.as_bytes().first()? {
        b'{' => value.is_object(),
        b'[' => value.is_array(),
        _ => false,
    }
    .then_some((value, repaired))
}
