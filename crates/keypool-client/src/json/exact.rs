//! JSON as it was written: without the blanks between, and with every digit.

use serde_json::value::RawValue;

/// Numbers of fewer digits are the same once they were read.
const KEPT_DIGITS: usize = 15;

/// JSON on one line: what stands between its words is left out, nothing else.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (piece, quoted) in pieces(json) {
        if quoted {
            out.push_str(piece);
        } else {
            out.extend(piece.split_ascii_whitespace());
        }
    }
    out
}

/// The same, where reading it as a value would cost digits.
pub(crate) fn exact(json: &str) -> Option<Box<RawValue>> {
    let is_long = |piece: &str| {
        let numbers =
            piece.split(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | '-' | '+' | 'e' | 'E'));
        numbers.into_iter().any(|number| number.bytes().filter(u8::is_ascii_digit).count() > KEPT_DIGITS)
    };
    let long = pieces(json).any(|(piece, quoted)| !quoted && is_long(piece));
    long.then(|| RawValue::from_string(compact(json)).ok()).flatten()
}

/// Texts with their quotes, and what is between them.
fn pieces(json: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let quoted = rest.starts_with('"');
        let end = if quoted { end_of_text(rest) } else { rest.find('"').unwrap_or(rest.len()) };
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some((piece, quoted))
    })
}

fn end_of_text(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_and_only_long_numbers_need_it() {
        let json = "{ \"a b\" : [ 1,\n 12345678901234567890123 ],\t\"c\\\" \": \"x  y\\n\" }";
        let on_a_line = "{\"a b\":[1,12345678901234567890123],\"c\\\" \":\"x  y\\n\"}";
        assert_eq!(compact(json), on_a_line);
        assert_eq!(exact(json).unwrap().get(), on_a_line);
        assert_eq!(exact("-0.1234567890123456").unwrap().get(), "-0.1234567890123456");
        for short in
            ["{\"a\": 123456789012345}", "\"12345678901234567890123\"", "[1.5e300, 1234567890, 1234567890]", ""]
        {
            assert!(exact(short).is_none(), "{short}");
        }
    }
}
