//! Backslashes that begin no escape: paths and formulas, as models write them into strings.

use std::borrow::Cow;

/// Commands of LaTeX that begin as an escape does.
const COMMANDS: &[&str] = &[
    "bar",
    "begin",
    "beta",
    "big",
    "binom",
    "boldsymbol",
    "bot",
    "forall",
    "frac",
    "nabla",
    "ne",
    "neq",
    "nu",
    "not",
    "rangle",
    "rfloor",
    "rho",
    "right",
    "rightarrow",
    "tan",
    "tau",
    "text",
    "textbf",
    "theta",
    "tilde",
    "times",
    "to",
    "top",
    "triangle",
];

/// Doubles every backslash that begins no escape of JSON, and all of a path from a drive on (`C:\Users\new`) in which one does not.
/// Where such are commands of LaTeX, those that look like an escape
/// (`\frac`, `\times`) are doubled, too.
pub(super) fn doubled(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let latex =
        spots(text).any(|(_, rest)| rest.starts_with(|letter: char| letter.is_ascii_alphabetic()) && !is_escape(rest));
    let mut whole = String::with_capacity(text.len() + 16);
    let mut from = 0;
    let mut path_ends = 0;
    for (at, rest) in spots(text) {
        if at >= path_ends && is_drive(&text[..at]) {
            path_ends = length_of_path(rest).map_or(0, |length| at + 1 + length);
        }
        if !is_escape(rest) || at < path_ends || (latex && is_command(rest)) {
            whole.push_str(&text[from..=at]);
            whole.push('\\');
            from = at + 1;
        }
    }
    whole.push_str(&text[from..]);
    whole.into()
}

/// Every backslash that is not escaped itself, with what follows it.
fn spots(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text.get(from..)?.find('\\')?;
        let rest = &text[at + 1..];
        from = at + 1 + rest.chars().next().map_or(0, char::len_utf8);
        Some((at, rest))
    })
}

/// Whether a path begins behind this: a letter by itself and a colon.
fn is_drive(before: &str) -> bool {
    let mut letters = before.strip_suffix(':').unwrap_or_default().chars().rev();
    letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
        && letters.next().is_none_or(|letter| !letter.is_alphanumeric())
}

/// How long a path goes on whose backslashes are its own: one at least begins no escape, and none is doubled.
fn length_of_path(rest: &str) -> Option<usize> {
    let path = &rest[..rest.find(['"', '\n']).unwrap_or(rest.len())];
    let mut steps = path.split('\\');
    let is_literal = steps.clone().all(|step| !step.is_empty()) && steps.any(|step| !is_escape(step));
    is_literal.then_some(path.len())
}

fn is_escape(rest: &str) -> bool {
    let mut letters = rest.chars();
    match letters.next() {
        Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | '\'' | '\n' | '\r') | None => true,
        Some('u') => rest.len() > 4 && rest.as_bytes()[1..5].iter().all(u8::is_ascii_hexdigit),
        Some(_) => false,
    }
}

fn is_command(rest: &str) -> bool {
    let word = rest.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    COMMANDS.contains(&word)
}
