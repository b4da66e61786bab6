//! What the repair does not know: quotes within a text, separators that are others or too many, a value that was escaped as a
//! whole.

use std::{borrow::Cow, iter::Peekable, str::CharIndices};

/// What was written into a text by itself, and then taken out of it: `{\"a\": \"b\"}`. `None` where it was not.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let inside = text.strip_prefix(['{', '['])?.trim_start_matches([' ', '\n', '\r', '\t', '{', '[']);
    let inside = inside.trim_start_matches("\\n").trim_start();
    if !inside.starts_with("\\\"") {
        return None;
    }
    // Its lines may be its own.
    let text = text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

/// With a comma in the place of each semicolon and of several commas, outside of texts.
pub(super) fn separated(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    // Whether something stands between the last bracket or comma and here.
    let mut filled = false;
    for letter in text.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => (quoted, filled) = (!quoted, true),
            _ if quoted => {}
            ',' | ';' if filled => {
                out.push(',');
                filled = false;
                continue;
            }
            ',' | ';' => continue,
            '{' | '[' => filled = false,
            _ if letter.is_whitespace() => {}
            _ => filled = true,
        }
        out.push(letter);
    }
    if out == text { text.into() } else { out.into() }
}

/// With `null` in the place of each sign that no number follows, outside of texts: it is how models write that there is none,
/// and the repair makes a nought of it.
pub(super) fn valued(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut quoted, mut escaped, mut begins) = (0, false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => (quoted, begins) = (!quoted, false),
            _ if quoted || byte.is_ascii_whitespace() => {}
            b'-' if begins && ends_value(&text[at + 1..]) => {
                out.push_str(&text[copied..at]);
                out.push_str("null");
                copied = at + 1;
            }
            _ => begins = matches!(byte, b':' | b',' | b';' | b'['),
        }
    }
    out.push_str(&text[copied..]);
    if copied == 0 { text.into() } else { out.into() }
}

fn ends_value(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with([',', ';', '}', ']', '`'])
}

/// With a backslash before each quote that ends no text: what stands behind it belongs to none of JSON's own.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len() + 8);
    let mut open = Vec::new();
    // In an object: whether the next text is a name.
    let mut names = false;
    let mut letters = text.char_indices().peekable();
    while let Some((_, letter)) = letters.next() {
        out.push(letter);
        match letter {
            '{' | '[' => {
                open.push(letter);
                names = letter == '{';
            }
            '}' | ']' => drop(open.pop()),
            ':' => names = false,
            ',' => names = open.last() == Some(&'{'),
            '"' => {
                let place = match (open.last(), names) {
                    (Some('{'), true) => Place::Name,
                    (Some('{'), false) => Place::Value,
                    _ => Place::Item,
                };
                copy_text(text, &mut letters, place, &mut out);
            }
            _ => {}
        }
    }
    if out == text { text.into() } else { out.into() }
}

/// Where a text stands.
#[derive(Clone, Copy)]
enum Place {
    Name,
    Value,
    Item,
}

/// Copies a text up to the quote that ends it.
fn copy_text(all: &str, letters: &mut Peekable<CharIndices<'_>>, place: Place, out: &mut String) {
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                out.push(letter);
                out.extend(letters.next().map(|(_, next)| next));
            }
            '"' if place.ends_at(&all[at + 1..]) => {
                out.push(letter);
                return;
            }
            '"' => out.push_str("\\\""),
            _ => out.push(letter),
        }
    }
}

impl Place {
    /// Whether a text in this place has ended where this follows its quote.
    fn ends_at(self, rest: &str) -> bool {
        let rest = rest.trim_start();
        let Some(next) = rest.chars().next() else { return true };
        let behind = rest[next.len_utf8()..].trim_start();
        match (self, next) {
            (Self::Name, ':') => true,
            (Self::Value, '}') | (Self::Item, ']') => behind.is_empty() || behind.starts_with([',', '}', ']', '`']),
            (Self::Value, ',') => behind.starts_with('}') || begins_with_name(behind),
            (Self::Item, ',') => {
                behind.starts_with(['"', '{', '[', ']', '-'])
                    || behind.starts_with(|letter: char| letter.is_ascii_digit())
                    || ["true", "false", "null"].iter().any(|word| behind.starts_with(word))
            }
            _ => false,
        }
    }
}

/// `"a": `.
fn begins_with_name(text: &str) -> bool {
    let name = text.strip_prefix('"').and_then(|text| text.split_once('"'));
    name.is_some_and(|(_, behind)| behind.trim_start().starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sound_stays() {
        for sound in [
            r#"{"a": "b", "c": [1, 2], "d": {"e": "f; g,, h"}, "i": "say \"x\", y"}"#,
            r#"[["a", "b"], {}, [], "c", null, -1, "d"]"#,
            r#"{"a": "x", "b": "y: z", "c": ["p", "q"]}"#,
        ] {
            assert_eq!(separated(sound), sound);
            assert_eq!(quoted(sound), sound);
            assert_eq!(valued(sound), sound);
            assert_eq!(unescaped(sound), None);
        }
    }

    #[test]
    fn each_mends_what_it_is_for() {
        assert_eq!(separated(r#"{,"a":"b",,"c":1;"d":[;2,],}"#), r#"{"a":"b","c":1,"d":[2,],}"#);
        assert_eq!(valued(r#"{"a":-,"b":[-1, - ],"c":"-, -"}"#), r#"{"a":null,"b":[-1, null ],"c":"-, -"}"#);
        assert_eq!(quoted(r#"{"q": "What is "AI"?", "a": 1}"#), r#"{"q": "What is \"AI\"?", "a": 1}"#);
        assert_eq!(quoted(r#"["a "b", she said", "c"]"#), r#"["a \"b\", she said", "c"]"#);
        assert_eq!(unescaped(r#"{\"a\": \"b \\\"c\\\"\"}"#).unwrap(), r#"{"a": "b \"c\""}"#);
    }
}
