//! What a key becomes in texts that are made of it.

use percent_encoding::utf8_percent_encode;

use super::UNRESERVED;

/// As it reads in a query, and escaped in a JSON string as different writers do, where that is not as it is.
pub(crate) fn written(key: &str) -> Vec<String> {
    let mut texts = vec![utf8_percent_encode(key, UNRESERVED).to_string()];
    for (marks, slash) in ESCAPES {
        let text: String = key.chars().map(|c| escaped(c, marks, slash)).collect();
        if text != key && !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// What writers of JSON escape though they need not: slashes; what might be read as HTML, as different ones do.
const ESCAPES: [(&str, bool); 5] = [("", true), ("=&<>'", false), ("=&<>'", true), ("+&<>'`", false), ("&<>", false)];

/// A character of a JSON string, where `marks` are escaped by number, and a slash if so.
fn escaped(c: char, marks: &str, slash: bool) -> String {
    match c {
        '/' if slash => "\\/".to_owned(),
        '"' | '\\' => format!("\\{c}"),
        // Whoever escapes this one writes numbers with capitals.
        '+' if marks.contains(c) => "\\u002B".to_owned(),
        c if marks.contains(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// In hexadecimal digits, small ones.
pub(crate) fn hex(key: &[u8]) -> Vec<u8> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(0, |digit| digit as u8);
    key.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// In base64, where so many bytes stand before it in its group of three: what is all the key's own.
pub(crate) fn base64(key: &[u8], before: usize) -> Vec<u8> {
    let bit = |at: usize| at.checked_sub(8 * before).map(|at| key[at / 8] >> (7 - at % 8) & 1);
    let (first, end) = ((8 * before).div_ceil(6), 8 * (before + key.len()) / 6);
    let letter =
        |at: usize| BASE64[(6 * at..6 * at + 6).filter_map(bit).fold(0, |all, bit| all << 1 | usize::from(bit))];
    (first..end).map(letter).collect()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The letter that stands behind an escape with these digits.
pub(crate) fn code(digits: Option<&[u8]>) -> Option<u8> {
    let digits = std::str::from_utf8(digits?).ok()?;
    u32::from_str_radix(digits, 16).ok().filter(|code| *code < 128)?.try_into().ok()
}
