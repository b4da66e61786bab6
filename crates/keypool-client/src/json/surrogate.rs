//! Halves of characters: JSON's grammar lets a `\ud83d` stand alone, and no text can hold it.

/// The same with U+FFFD in the place of each half without its other one; `None` where there is none.
pub(super) fn paired(json: &str) -> Option<String> {
    let mut out = None::<String>;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\').map(|found| at + found) {
        let high = unit(&json[found..]);
        at = match high {
            // An escape of something else, or one of a backslash.
            None => found + 1 + json[found + 1..].chars().next().map_or(0, char::len_utf8),
            Some(0xd800..0xdc00) if matches!(unit(&json[found + 6..]), Some(0xdc00..0xe000)) => found + 12,
            Some(0xd800..0xe000) => {
                // As long as what it replaces.
                out.get_or_insert_with(|| json.to_owned()).replace_range(found..found + 6, "\\ufffd");
                found + 6
            }
            Some(_) => found + 6,
        };
    }
    out
}

/// What `\uXXXX` at the begin stands for.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}
