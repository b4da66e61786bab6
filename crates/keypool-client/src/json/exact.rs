//! JSON as it was written: without the blanks between, and with every digit.

use serde_json::{Value, value::RawValue};

/// Whole numbers of fewer digits stay as they are.
const KEPT_DIGITS: usize = 18;

/// JSON on one line: what stands between its words is left out, nothing else.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for Piece { text, quoted, .. } in pieces(json) {
        if quoted {
            out.push_str(text);
        } else {
            out.extend(text.split_ascii_whitespace());
        }
    }
    out
}

/// The same, where a value would write some number of it otherwise: with fewer digits, or in another form.
pub(crate) fn exact(json: &str) -> Option<Box<RawValue>> {
    let changes = numbers(json).any(|(_, number)| !stays(number));
    changes.then(|| RawValue::from_string(compact(json)).ok()).flatten()
}

/// The value that JSON stands for. In the place of a number that is too large for any value it has a very large one.
pub(crate) fn value(json: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(json).or_else(|error| match bounded(json) {
        Some(bounded) => serde_json::from_str(&bounded),
        None => Err(error),
    })
}

/// In the place of numbers beyond any value; as long as the shortest of them.
const LARGE: &str = "1e308";

/// The same JSON with such numbers in their place, and everything where it was; `None` where there are none.
fn bounded(json: &str) -> Option<String> {
    let is_beyond = |number: &str| number.parse::<f64>().is_ok_and(f64::is_infinite);
    let mut out = None::<String>;
    for (at, number) in numbers(json).filter(|(_, number)| is_beyond(number)) {
        let sign = if number.starts_with('-') { "-" } else { "" };
        let large = format!("{:1$}", format!("{sign}{LARGE}"), number.len());
        out.get_or_insert_with(|| json.to_owned()).replace_range(at..at + number.len(), &large);
    }
    out
}

/// Whether a number comes out of a value as it went in.
fn stays(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_plain = digits.len() <= KEPT_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && (!digits.starts_with('0') || number == "0") {
        return true;
    }
    let written = serde_json::from_str::<Value>(number).map(|value| value.to_string());
    written.is_ok_and(|written| written == number)
}

/// What looks like a number outside of texts, and where it begins.
fn numbers(json: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_of_one = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+' | 'e' | 'E');
    pieces(json).filter(|piece| !piece.quoted).flat_map(move |Piece { at, text, .. }| {
        let mut from = 0;
        std::iter::from_fn(move || {
            let begin = from + text.get(from..)?.find(is_of_one)?;
            let length = text[begin..].find(|letter| !is_of_one(letter)).unwrap_or(text.len() - begin);
            from = begin + length;
            Some((at + begin, &text[begin..from]))
        })
        // `true` has a letter of numbers.
        .filter(|(_, number)| number.bytes().any(|byte| byte.is_ascii_digit()))
    })
}

/// A text with its quotes, or what is between two.
struct Piece<'a> {
    at: usize,
    text: &'a str,
    quoted: bool,
}

fn pieces(json: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &json[at..];
        let quoted = rest.starts_with('"');
        let end = if quoted { end_of_text(rest) } else { rest.find('"').unwrap_or(rest.len()) };
        let piece = Piece { at, text: &rest[..end], quoted };
        at += end;
        (end > 0).then_some(piece)
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
    fn texts_stay_and_only_numbers_that_would_change_need_it() {
        let json = "{ \"a b\" : [ 1,\n 12345678901234567890123 ],\t\"c\\\" \": \"x  y\\n\" }";
        let on_a_line = "{\"a b\":[1,12345678901234567890123],\"c\\\" \":\"x  y\\n\"}";
        assert_eq!(compact(json), on_a_line);
        assert_eq!(exact(json).unwrap().get(), on_a_line);
        for long in ["0.10000000000000000555", "1.10", "-0", "1e400", "1E5", "[18446744073709551616]", "1.0e-7"] {
            assert_eq!(exact(long).unwrap().get(), long);
        }
        for short in [
            "{\"a\": 123456789012345}",
            "\"12345678901234567890123\"",
            "[1.5, 1234567890, 1234567890, true, false, 0, -7]",
            "[18446744073709551615, -9223372036854775808, 0.1]",
            "",
        ] {
            assert!(exact(short).is_none(), "{short}");
        }
    }

    #[test]
    fn a_number_beyond_all_is_a_large_one_and_moves_nothing() {
        let json = "{\"a\": [1e400, -1E+999], \"1e400\": \"1e400\"}";
        assert_eq!(bounded(json).unwrap(), "{\"a\": [1e308, -1e308 ], \"1e400\": \"1e400\"}");
        assert_eq!(value(json).unwrap()["a"][1].as_f64(), Some(-1e308));
        let wrong = value("[1e400, ?]").unwrap_err();
        assert!(wrong.to_string().contains("expected value at line 1 column 9"), "{wrong}");
        assert!(bounded("[1, 1e308]").is_none() && value("[1, 2").is_err());
    }
}
