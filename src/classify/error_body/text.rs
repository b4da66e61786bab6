//! The text of an error: web pages, and parts of a message that may come from the caller.

use std::borrow::Cow;

use http::{HeaderMap, header};

use super::MAX_BYTES;

pub(super) fn as_text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&body[..body.len().min(MAX_BYTES)])
}

pub(super) fn is_page(headers: &HeaderMap, text: &str) -> bool {
    let html = headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let text = text.trim_start();
    let begins = |tag: &str| text.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    html && !text.is_empty() || begins("<html") || begins("<!doctype html")
}

/// Returns the title of a web page.
pub(super) fn title(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("<title>")?;
    rest.split('<').next().map(|title| title.trim().to_owned()).filter(|title| !title.is_empty())
}

pub(super) fn cut(text: &mut String, most: usize) {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
}

/// Removes quoted parts: `model 'x' not found` becomes `model '' not found`. A quote that is not closed extends to the
/// end.
pub(super) fn without_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find(['\'', '"', '`', '\u{201c}']) {
        let (before, quoted) = rest.split_at(open);
        out.push_str(before);
        let mark = quoted.chars().next().unwrap_or('"');
        rest = &quoted[mark.len_utf8()..];
        if mark == '\'' && before.ends_with(char::is_alphanumeric) {
            // This is an apostrophe.
            out.push(mark);
            continue;
        }
        out.push_str("''");
        let close = if mark == '\u{201c}' { '\u{201d}' } else { mark };
        let closes = |at: &usize| {
            let is_escaped = rest[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            let is_apostrophe = close == '\'' && rest[at + 1..].starts_with(char::is_alphanumeric);
            !is_escaped && !is_apostrophe
        };
        let end = rest.match_indices(close).map(|(at, _)| at).find(closes);
        rest = end.map_or("", |end| &rest[end + close.len_utf8()..]);
    }
    out.push_str(rest);
    out
}

/// Removes names of models that are not quoted: `model meta/llama-3.1 does not exist` becomes `model '' does not
/// exist`.
pub(super) fn without_model_names(text: &str) -> String {
    const BEFORE: &str = "model ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEFORE) {
        let (before, after) = rest.split_at(at + BEFORE.len());
        out.push_str(before);
        let word = after.split(char::is_whitespace).next().unwrap_or_default();
        let name = word.trim_end_matches(['.', ',', ':', ';']);
        let is_name = name.contains(|c: char| c.is_ascii_digit() || "/-_".contains(c));
        rest = if is_name { &after[name.len()..] } else { after };
        if is_name {
            out.push_str("''");
        }
    }
    out + rest
}
