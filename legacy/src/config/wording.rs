//! What serde and toml say, without the values that they would quote.

use std::path::Path;

/// A reader's message as it may be shown.
pub(super) fn plain(message: &str) -> String {
    let expected = |behind: &str| match message.split_once("expected ") {
        Some((_, expected)) => format!("{behind}{}", expected.replace('`', "").replace(" or ", ", ")),
        None => behind.trim_end_matches([':', ' ', ',']).to_owned(),
    };
    if message.starts_with("unknown field") && message.ends_with("there are no fields") {
        return "nothing reads this key, and this table has none".to_owned();
    }
    if message.starts_with("unknown field") {
        return expected("nothing reads this key; known here: ").replace("one of ", "");
    }
    if message.starts_with("unknown variant") {
        return expected("expected one of ").replacen("one of one of", "one of", 1);
    }
    if message.starts_with("missing field") {
        let field = message.split('`').nth(1).unwrap_or_default();
        return format!("{field} is missing");
    }
    if message.starts_with("invalid type")
        || message.starts_with("invalid value")
        || message.starts_with("invalid length")
    {
        let expected = message.rsplit_once("expected ").map_or("something else", |(_, expected)| expected);
        return format!("expected {}", kind(expected));
    }
    if message == "wanted string or table" {
        return "expected a text".to_owned();
    }
    message.to_owned()
}

/// Rust's names of things, in plain words.
fn kind(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "path string" => "the path of a file or folder, as a text",
        "a sequence" => "a list: [\"…\", \"…\"]",
        "a map" => "a table",
        _ if expected.starts_with("struct ") => "a table",
        other => other.trim_start_matches("borrowed "),
    }
}

/// Shorter than any provider's key.
pub(super) const SHORT: usize = 20;

/// Whether a text may be a key of a provider, so that it is not shown even where a name belongs.
pub(super) fn may_be_secret(name: &str) -> bool {
    let begins = ["AIza", "AQ.", "sk-", "ya29.", "eyJ"].iter().any(|prefix| name.starts_with(prefix));
    let mixed = name.len() >= SHORT
        && name.bytes().any(|byte| byte.is_ascii_uppercase())
        && name.bytes().any(|byte| byte.is_ascii_digit());
    begins || mixed
}

/// Whether a path, or a part of it, begins as keys of providers do and is as long: somebody pasted one where the path of a
/// file or a folder belongs.
pub fn is_key_for_path(path: &Path) -> bool {
    let begins = |part: &str| ["AIza", "AQ.", "sk-"].iter().any(|prefix| part.starts_with(prefix));
    let is_database = |part: &str| Path::new(part).extension().is_some_and(|end| end.eq_ignore_ascii_case("db"));
    let is_key = |part: &str| part.len() >= SHORT && begins(part) && !is_database(part);
    path.display().to_string().split(['/', '\\']).any(is_key)
}

/// A file's path, as it is shown: where one puts a key by mistake, it is not.
pub(crate) fn file(path: &Path) -> String {
    let text = path.display().to_string();
    let bare = !text.contains(['/', '\\']) && (text.starts_with("AQ.") || !text.contains('.'));
    if is_key_for_path(path) || (bare && may_be_secret(&text)) {
        "(a name that is not shown: it looks like a key)".to_owned()
    } else {
        text
    }
}

/// One step of a path, as it is shown.
pub(super) fn step(name: &str) -> String {
    if may_be_secret(name) || name.len() > 64 {
        "(a name that is not shown)".to_owned()
    } else if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_kept_and_the_value_is_not() {
        let secret = "AIzaSy-some-secret";
        for (message, shown) in [
            (
                "unknown field `AIzaSy-some-secret`, expected one of `id`, `weight`",
                "nothing reads this key; known here: id, weight",
            ),
            (
                "unknown field `AIzaSy-some-secret`, expected `first` or `cap`",
                "nothing reads this key; known here: first, cap",
            ),
            (
                "unknown field `AIzaSy-some-secret`, there are no fields",
                "nothing reads this key, and this table has none",
            ),
            ("unknown variant `AIzaSy-some-secret`, expected `limits` or `any`", "expected one of limits, any"),
            ("unknown variant `AIzaSy-some-secret`, expected one of `a`, `b`", "expected one of a, b"),
            ("invalid type: string \"AIzaSy-some-secret\", expected u16", "expected a whole number from 0 to 65535"),
            ("invalid type: string \"AIzaSy-some-secret, expected x\", expected a boolean", "expected true or false"),
            ("missing field `name`", "name is missing"),
        ] {
            assert_eq!(plain(message), shown);
            assert!(!plain(message).contains(secret));
        }
    }

    #[test]
    fn a_step_is_never_a_key() {
        assert_eq!(step("rate_limited"), "rate_limited");
        assert_eq!(step("gemini-2.5-flash"), "\"gemini-2.5-flash\"");
        assert!(!step("AIzaSyTEST").contains("AIza"));
        assert!(!step("Zx81kdkeo2kd93kfnvm2").contains("Zx81"));
    }
}
