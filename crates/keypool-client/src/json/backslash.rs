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

/// Doubles every backslash that begins no escape of JSON. Where such are commands of LaTeX, those that look like an escape
/// (`\frac`, `\times`) are doubled, too.
pub(super) fn doubled(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let latex =
        spots(text).any(|(_, rest)| rest.starts_with(|letter: char| letter.is_ascii_alphabetic()) && !is_escape(rest));
    let mut whole = String::with_capacity(text.len() + 16);
    let mut from = 0;
    for (at, rest) in spots(text) {
        if !is_escape(rest) || (latex && is_command(rest)) {
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
