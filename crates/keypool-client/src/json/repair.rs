//! The last resort: JSON that is broken.

use jsonrepair_rs::{RepairOptions, jsonrepair_with_options};
use serde_json::Value;

use super::{
    MOST_BYTES,
    amend::{quoted, separated, unescaped, valued},
    backslash::doubled,
    value,
};

/// Makes a value of what begins with one, and may have words behind it, and the text of that value. `None` where it cannot be
/// told what was meant.
pub(super) fn repair(broken: &str) -> Option<(Value, String)> {
    if let Some(inner) = unescaped(broken.trim()) {
        return value(&inner).ok().map(|value| (value, inner.clone())).or_else(|| repair(&inner));
    }
    let fixed = doubled(broken.trim());
    let fixed = valued(&fixed);
    let whole = fixed.trim_end_matches(['`', '\n', ' ']);
    // What is between two commas of a list would be taken for the end of a list within it.
    let list = whole.starts_with('[').then(|| separated(whole)).filter(|separated| **separated != *whole);
    if let Some(repaired) = list.and_then(|separated| tried(&separated)).or_else(|| tried(whole)) {
        return Some(repaired);
    }
    // Words behind it: up to its last bracket.
    let end = match whole.as_bytes().first()? {
        b'{' => whole.rfind('}'),
        b'[' => whole.rfind(']'),
        _ => return tried(&format!("{{{whole}}}")),
    };
    let up_to = end.map(|end| &whole[..=end]);
    up_to
        .filter(|up_to| up_to.len() < whole.len())
        .and_then(tried)
        .or_else(|| up_to.and_then(amended))
        .or_else(|| amended(whole))
}

/// The same with what the repair does not know amended before it.
fn amended(text: &str) -> Option<(Value, String)> {
    let separated = separated(text);
    let quoted = quoted(&separated);
    [&separated, &quoted].into_iter().filter(|amended| ***amended != *text).find_map(|amended| tried(amended))
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
