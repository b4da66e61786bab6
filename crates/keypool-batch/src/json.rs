//! Extraction of JSON from a model's text: the text as it is, or else JSON in a fence or between words, or else
//! repaired JSON.

use std::borrow::Cow;

use jsonrepair_rs::{RepairOptions, jsonrepair_with_options};
use serde_json::value::RawValue;

/// Maximum length of a text that is repaired, in bytes.
const MAX_REPAIRED: usize = 8 << 20;
/// Tags around a model's thoughts at the start of its answer.
const THOUGHTS: [(&str, &str); 3] =
    [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>")];

/// The error for a text without JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct NoJson(String);

/// Finds the JSON in a text, and puts it on one line, with every digit of the text.
///
/// ```
/// use keypool_batch::json::find;
///
/// let found = find("Sure!\n```json\n{\"a\": [1, 2.50,]}\n```\nAnything else?")?;
/// assert_eq!(found.get(), r#"{"a":[1,2.50]}"#);
/// # Ok::<(), keypool_batch::json::NoJson>(())
/// ```
///
/// # Errors
/// If there is no JSON, or it cannot be repaired.
pub fn find(text: &str) -> Result<Box<RawValue>, NoJson> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let error = match parse(text) {
        Ok(json) => return Ok(json),
        Err(error) => error,
    };
    let answer = after_thoughts(text);
    let region = fenced(answer).unwrap_or(answer);
    // The fields of an object without its braces.
    let bare = (region.starts_with(['"', '\'']) && region.contains(':')).then(|| format!("{{{region}}}"));
    let extracted = parse(region).ok().or_else(|| if bare.is_none() { first_value(region) } else { None });
    let broken = bare.as_deref().or_else(|| openers(region).next().map(|at| &region[at..]));
    extracted.or_else(|| broken.and_then(repair)).ok_or(NoJson(error))
}

/// Parses the whole text as a value, and puts it on one line.
fn parse(text: &str) -> Result<Box<RawValue>, String> {
    let value: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    RawValue::from_string(pair_surrogates(&compact(value.get()))).map_err(|error| error.to_string())
}

/// Replaces each unpaired surrogate, such as `\\ud83d` alone: the grammar allows it, but a string cannot hold it.
fn pair_surrogates(json: &str) -> String {
    let unit = |at: usize| {
        let digits = json.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(json.len());
    let mut at = 0;
    while let Some(escape) = json[at..].find('\\').map(|found| at + found) {
        out.push_str(&json[at..escape]);
        let (length, is_half) = match unit(escape) {
            Some(0xd800..0xdc00) if matches!(unit(escape + 6), Some(0xdc00..0xe000)) => (12, false),
            Some(0xd800..0xe000) => (6, true),
            Some(_) => (6, false),
            None => (2, false),
        };
        at = escape + length;
        out.push_str(if is_half { "\\ufffd" } else { &json[escape..at] });
    }
    out.push_str(&json[at..]);
    out
}

/// Removes the white space between tokens.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let kept = letters(json).filter(|(_, letter, quoted)| *quoted || !letter.is_ascii_whitespace());
    out.extend(kept.map(|(_, letter, _)| letter));
    out
}

/// Returns each letter with its offset, and whether it is inside a string.
fn letters(json: &str) -> impl Iterator<Item = (usize, char, bool)> {
    let (mut quoted, mut escaped) = (false, false);
    json.char_indices().map(move |(at, letter)| {
        let was_quoted = quoted;
        if quoted {
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else {
            quoted = letter == '"';
        }
        (at, letter, was_quoted)
    })
}

/// Returns the text after the thoughts at its start.
fn after_thoughts(text: &str) -> &str {
    let after = THOUGHTS.iter().find_map(|(opens, closes)| text.strip_prefix(opens)?.split_once(closes));
    after.map(|(_, after)| after.trim()).filter(|after| !after.is_empty()).unwrap_or(text)
}

/// Returns the contents of the first fence that starts like JSON. A fence within a value is part of the value.
fn fenced(text: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(at) = text[from..].find("```").map(|at| from + at) {
        if let Some(opener) = openers(&text[from..at]).next().map(|opener| from + opener) {
            // A value starts before the fence: it contains the fence, unless it ends before it.
            let ends = opener + end_of(&text[opener..])?;
            if opener == 0 || ends > at {
                return None;
            }
        }
        let inside = &text[at + 3..];
        let inside =
            inside.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || "-_+.".contains(letter));
        if inside.trim_start().starts_with(['{', '[', '"']) {
            let end = closing_fence(inside).unwrap_or(inside.len());
            return Some(inside[..end].trim());
        }
        let begin = text.len() - inside.len();
        from = begin + inside.find("```").map_or(inside.len(), |end| end + 3);
    }
    None
}

/// Returns the offset of the fence after a value: the first one outside quotes, or, if quotes do not match, the last
/// one at the start of a line.
fn closing_fence(inside: &str) -> Option<usize> {
    let closes = letters(inside).find(|(at, _, quoted)| !quoted && inside[*at..].starts_with("```"));
    closes.map(|(at, ..)| at).or_else(|| inside.rfind("\n```"))
}

/// Returns the first balanced value between words. A citation, such as `as said in [1]`, is used only if no other value
/// follows.
fn first_value(text: &str) -> Option<Box<RawValue>> {
    let mut cited = None;
    let mut from = 0;
    while let Some(at) = openers(&text[from..]).next().map(|at| from + at) {
        // A value inside a broken value is only a part of it.
        let end = at + end_of(&text[at..])?;
        let value = parse(&text[at..end]).ok()?;
        if !is_citation(value.get()) {
            return Some(value);
        }
        cited.get_or_insert(value);
        from = end;
    }
    cited
}

fn is_citation(json: &str) -> bool {
    let number = json.strip_prefix('[').and_then(|json| json.strip_suffix(']'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the offsets at which an object or a list may start, judged by the text after the bracket: not `{name}`,
/// `[see below]`, `[0, 1)`.
fn openers(text: &str) -> impl Iterator<Item = usize> {
    let begins = |(at, bracket): &(usize, &str)| {
        let rest = text[at + 1..].trim_start();
        let is_field = || {
            let name = rest.trim_start_matches(|letter: char| letter.is_alphanumeric() || "_-$".contains(letter));
            name.len() < rest.len() && name.trim_start().starts_with(':')
        };
        match (*bracket, rest.chars().next()) {
            (_, None | Some('"' | '\'' | '}' | ']' | '\u{201c}' | '/' | '\\')) => true,
            ("[", Some(next)) if next.is_ascii_digit() => {
                let after =
                    rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || " ,.;-+".contains(letter));
                *at == 0 || !after.starts_with(')')
            }
            ("[", Some(next)) => {
                "{[-".contains(next)
                    || ["true", "false", "null", "True", "False", "None"].iter().any(|word| rest.starts_with(word))
            }
            (_, Some(_)) => is_field(),
        }
    };
    text.match_indices(['{', '[']).filter(begins).map(|(at, _)| at)
}

/// Returns the length of the value at the start of the text, or `None` if its brackets do not match.
fn end_of(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    for (at, letter, _) in letters(text).filter(|(_, _, quoted)| !quoted) {
        match letter {
            '{' => open.push('}'),
            '[' => open.push(']'),
            '}' | ']' if open.pop() != Some(letter) => return None,
            '}' | ']' if open.is_empty() => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Repairs a broken value, which may be followed by words.
fn repair(broken: &str) -> Option<Box<RawValue>> {
    if broken.len() > MAX_REPAIRED {
        return None;
    }
    let fixed = double_backslashes(broken.trim_end_matches(['`', '\n', ' ']));
    let closes = if fixed.starts_with('{') { '}' } else { ']' };
    let up_to = fixed.rfind(closes).map(|end| &fixed[..=end]);
    // The result must be of the same kind as the input: words after an object would make it a list.
    [Some(&*fixed), up_to].into_iter().flatten().find_map(|text| {
        let options = RepairOptions::new().with_max_input_bytes(2 * MAX_REPAIRED);
        let repaired = jsonrepair_with_options(text, options).ok()?;
        (repaired.trim_start().as_bytes().first() == text.as_bytes().first()).then(|| parse(&repaired).ok())?
    })
}

/// Doubles each backslash that does not start a JSON escape, as in `\alpha` or `C:\dir`.
fn double_backslashes(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        out.push(letter);
        if letter != '\\' {
            continue;
        }
        let rest = &text[at + 1..];
        let is_escape = match rest.chars().next() {
            Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | '\'' | '\n' | '\r') | None => true,
            Some('u') => rest.len() > 4 && rest.as_bytes()[1..5].iter().all(u8::is_ascii_hexdigit),
            Some(_) => false,
        };
        if !is_escape {
            out.push('\\');
        } else if let Some((_, escaped)) = letters.next() {
            out.push(escaped);
        }
    }
    out.into()
}
