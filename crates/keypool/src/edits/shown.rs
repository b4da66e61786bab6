//! What is shown of keys holds none: names, labels, and why one is switched off.

use jiff::Timestamp;
use tower_keypool::{
    config::{KeySpec, Origin},
    store::KeyBook,
};

use super::EditError;

/// Whether what is shown of a key holds a key.
pub(super) fn shows_a_key(book: &KeyBook, spec: &KeySpec) -> bool {
    shown_of(spec).any(|text| book.holds_secret(text) || text.contains(spec.secret()) && !spec.secret().is_empty())
}

/// What of a key's settings is shown.
pub fn shown_of(spec: &KeySpec) -> impl Iterator<Item = &str> {
    let names = [&spec.id, &spec.owner, &spec.billing_account, &spec.exit].into_iter().flatten();
    let labels = spec.labels.iter().flat_map(|(name, value)| [name, value]);
    // Limits are shown beside their models.
    names.chain(labels).chain(spec.limits.keys()).map(String::as_str)
}

/// What is said of a text that would be shown and holds a key.
pub const HOLDS_A_KEY: &str = "a name, label or reason holds a key, and all of these are shown";

/// A reason has so many characters at most.
const LONGEST_REASON: usize = 512;

/// Why a key is switched off, which is shown.
///
/// # Errors
/// When it looks like a key, or is too long.
pub fn reason(text: &str) -> Result<(), EditError> {
    let is_key = |text: &str| KeySpec::read(text, &[], Origin::Default).is_ok();
    // Or says one in so many words: those that are long enough for a key, and no plain words or times.
    let is_time = |word: &str| word.parse::<Timestamp>().is_ok();
    let says_one =
        |word: &str| word.len() >= 20 && word.contains(|c: char| c.is_ascii_digit()) && is_key(word) && !is_time(word);
    if is_key(text) && !is_time(text) || text.split_whitespace().any(says_one) {
        return Err(EditError::wrong("the reason looks like a key, and reasons are shown"));
    }
    if text.chars().count() > LONGEST_REASON {
        return Err(EditError::Wrong(format!("the reason is longer than {LONGEST_REASON} characters")));
    }
    Ok(())
}

/// Switches a key of the book off.
///
/// # Errors
/// When there is none of that name, or the reason holds a key.
pub fn disable(book: &mut KeyBook, id: &str, reason: &str) -> Result<(), EditError> {
    if book.holds_secret(reason) {
        return Err(EditError::wrong(HOLDS_A_KEY));
    }
    Ok(book.disable(id, reason)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_may_say_where_and_when() {
        for fine in [
            "too dear",
            "see https://jira.example/browse/OPS-1234?focused=12345678901234567890",
            "leaked at 2026-08-29T12:00:00Z",
            "2026-08-29T12:00:00.123456+02:00",
        ] {
            assert!(reason(fine).is_ok(), "{fine}");
        }
        // Providers have keys in any form, also that of a UUID.
        for key in [
            "AIzaSyTEST-reason-key-number-one-0000001",
            "is 123e4567-e89b-12d3-a456-426614174000 no more",
            "is 2026-08-29T12:00:00ZAIzaSyTEST no more",
            "key-2026-08-29T12:00:00Z",
        ] {
            assert!(reason(key).is_err(), "{key}");
        }
    }
}
