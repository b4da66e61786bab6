//! Where JSON stands in a text: in a fence, or between words.

use serde_json::Value;

/// Tags that models think between, before they answer.
const THOUGHTS: [(&str, &str); 3] =
    [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>")];

/// What stands behind the thoughts that a text begins with; all of it where there are none, or nothing but them.
pub(super) fn behind_thoughts(text: &str) -> &str {
    let behind = THOUGHTS.iter().find_map(|(opens, closes)| text.strip_prefix(opens)?.split_once(closes));
    behind.map(|(_, behind)| behind.trim()).filter(|behind| !behind.is_empty()).unwrap_or(text)
}

/// What stands in the first fence that looks as if it held JSON, without its marks. A fence inside of a value's string is
/// none: what opens a value comes first. An example between words that ends before the fence is no answer, either.
pub(super) fn fenced(text: &str) -> Option<&str> {
    let mut opens = openers(text).next();
    let mut from = 0;
    while let Some(at) = text[from..].find("```").map(|at| from + at) {
        while let Some(opener) = opens.filter(|opener| *opener < at) {
            let ends = end_of(&text[opener..]).map(|length| opener + length);
            let ends = ends.filter(|ends| opener > 0 && *ends <= at)?;
            opens = openers(&text[ends..]).next().map(|next| ends + next);
        }
        let inside = &text[at + 3..];
        let inside =
            inside.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || "-_+.".contains(letter));
        let begin = text.len() - inside.len();
        let trimmed = inside.trim_start();
        if trimmed.starts_with(['{', '[', '"']) {
            // The last fence behind it that stands at a line's begin ends it; a truncated answer has none.
            let end = closing_fence(inside).unwrap_or(inside.len());
            return Some(inside[..end].trim());
        }
        // Other code: on behind its end.
        from = begin + inside.find("```").map_or(inside.len(), |end| end + 3);
        if from >= text.len() {
            return None;
        }
    }
    None
}

/// The first fence behind a value that is no part of a string: outside of quotes.
fn closing_fence(inside: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    let bytes = inside.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'`' if !quoted && bytes[at..].starts_with(b"```") => return Some(at),
            _ => {}
        }
    }
    // Quotes may be out of step, in what is to be repaired: then the last one on a line of its own.
    inside.rfind("\n```")
}

/// The first balanced value that is JSON; else what seems to be JSON and is broken. A number that cites (`as said in [1]`)
/// gives way to what follows it.
pub(super) fn first(text: &str) -> (Option<(Value, &str)>, Option<&str>) {
    let (mut cited, mut broken) = (None, None);
    let mut from = 0;
    while let Some(start) = openers(&text[from..]).next().map(|at| from + at) {
        match end_of(&text[start..]) {
            Some(length) => {
                let piece = &text[start..start + length];
                match super::value(piece) {
                    Ok(value) if is_citation(&text[..start], &value) => drop(cited.get_or_insert((value, piece))),
                    Ok(value) if broken.is_none() => return (Some((value, piece)), None),
                    // What is broken came first, and this is something else.
                    Ok(_) => break,
                    Err(_) => drop(broken.get_or_insert(&text[start..])),
                }
                from = start + length;
            }
            // A list of numbers without an end, between words, is none: `[0, 1)`.
            None if start > 0 && text[start..].starts_with('[') && is_interval(&text[start + 1..]) => from = start + 1,
            // It has no end: whatever is inside of it is only a part.
            None => {
                broken.get_or_insert(&text[start..]);
                break;
            }
        }
    }
    if broken.is_some() { (None, broken) } else { (cited, None) }
}

/// An object without its brackets: `"a": 1, "b": 2`.
pub(super) fn bare(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.starts_with(['"', '\'']) && text.contains(':')).then_some(text)
}

/// Words behind which `[1]` is what they speak of.
const ANNOUNCE: [&str; 13] =
    ["is", "are", "be", "was", "were", "list", "array", "answer", "result", "output", "value", "json", "returns"];

/// Whether a list is a whole number that stands for a source: behind a word, a sentence or another source on its line.
fn is_citation(before: &str, value: &Value) -> bool {
    let is_number = value.as_array().is_some_and(|list| matches!(&**list, [number] if number.is_u64()));
    let line = before.rsplit('\n').next().unwrap_or_default().trim_end();
    let word = line.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    is_number
        && line.ends_with(|last: char| last.is_alphanumeric() || ".,;!?)]}\"'\u{201d}".contains(last))
        && !ANNOUNCE.iter().any(|announces| word.eq_ignore_ascii_case(announces))
}

/// Where an object or a list may begin, by what follows its bracket.
fn openers(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(['{', '['])
        .filter(|(at, bracket)| {
            let rest = text[at + 1..].trim_start();
            let next = rest.chars().next();
            match (*bracket, next) {
                (_, None | Some('"' | '\'' | '}' | ']' | '\u{201c}' | '/')) => true,
                // Escaped as a whole.
                (_, Some('\\')) => rest.trim_start_matches("\\n").trim_start().starts_with("\\\""),
                ("[", Some(next)) => {
                    next == '{' || next == '[' || next == '-' || next.is_ascii_digit() || is_word(rest)
                }
                (_, Some(next)) => (next.is_alphabetic() || next == '_' || next == '#') && is_field(rest),
            }
        })
        .map(|(at, _)| at)
}

/// Numbers up to a round bracket.
fn is_interval(rest: &str) -> bool {
    let behind = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || " ,.;-+".contains(letter));
    behind.starts_with(')')
}

/// `true`, `None`, … as the first of a list.
fn is_word(rest: &str) -> bool {
    ["true", "false", "null", "True", "False", "None"].iter().any(|word| rest.starts_with(word))
}

/// A name and a colon, as the first of an object.
fn is_field(rest: &str) -> bool {
    let name = rest.trim_start_matches(|letter: char| letter.is_alphanumeric() || "_-$".contains(letter));
    name.len() < rest.len() && name.trim_start().starts_with(':')
}

/// How long the value is that begins here; `None` where it does not end.
fn end_of(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            b'}' | b']' => {
                if open.pop() != Some(byte) {
                    return None;
                }
                if open.is_empty() {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
