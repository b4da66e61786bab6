//! One key that the provider echoes is overwritten with as many `*`: in headers, in texts that are held whole, and where it is
//! written with escapes that it need not have. What passes in chunks is looked through for all keys (`every_key`).
//!
//! A chunk is changed in place where nobody else holds it, else copied; chunks without the key pass as they came.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header::ALT_SVC};
use memchr::{memchr_iter, memchr3_iter, memmem};

use crate::key::{SHORTEST, Secret, Start, forms, holds_otherwise, mask_otherwise, rarest};

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    text: &'a [u8],
    /// Where its rarest byte stands: that one is looked for first.
    rare_at: usize,
}

impl<'a> Sought<'a> {
    pub(super) fn key(secret: &'a Secret) -> Option<Self> {
        let text = secret.bytes();
        (text.len() >= SHORTEST).then_some(Self { text, rare_at: secret.rare_at() })
    }

    fn find(self, text: &[u8]) -> Option<usize> {
        if text.len() < self.text.len() {
            return None;
        }
        memchr_iter(self.text[self.rare_at], text)
            .filter_map(|at| at.checked_sub(self.rare_at))
            .find(|&start| text[start..].starts_with(self.text))
    }
}

/// The key as it reads in a query or, escaped, in a JSON string, where that differs.
pub(super) struct Encoded {
    text: Box<str>,
    rare_at: usize,
}

impl Encoded {
    /// All its other forms; of most keys there are none.
    #[inline]
    pub(super) fn forms(secret: &Secret) -> Vec<Self> {
        if secret.is_encodable() && secret.bytes().len() >= SHORTEST { Self::encode(secret) } else { Vec::new() }
    }

    #[cold]
    fn encode(secret: &Secret) -> Vec<Self> {
        let form = |text: String| Self { rare_at: usize::from(rarest(text.as_bytes())), text: text.into() };
        forms::written(secret.expose()).into_iter().map(form).collect()
    }

    pub(super) fn sought(&self) -> Sought<'_> {
        Sought { text: self.text.as_bytes(), rare_at: self.rare_at }
    }
}

/// How an escaped letter of a key begins: none need be.
const ESCAPE: &[u8] = b"\\u00";
pub(super) static ESCAPED: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(ESCAPE));

/// A chunk without a key that is written there with escapes that it need not have, as far as it stands in this chunk.
#[inline]
pub(super) fn without_escaped(secret: &Secret, chunk: Bytes) -> Bytes {
    if ESCAPED.find(&chunk).is_none() { chunk } else { unescaped(secret, chunk) }
}

#[inline(never)]
fn unescaped(secret: &Secret, chunk: Bytes) -> Bytes {
    if !holds_otherwise(secret, &chunk) {
        return chunk;
    }
    let mut chunk = chunk.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    mask_otherwise(secret, &mut chunk);
    chunk.freeze()
}

/// The chunk with `len` bytes from `at` on overwritten; copied only where somebody else holds it too.
pub(super) fn overwritten(chunk: Bytes, at: usize, len: usize) -> Bytes {
    let mut chunk = chunk.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    chunk[at..at + len].fill(b'*');
    chunk.freeze()
}

/// Whether there may be something to mask in a text, or this word in it, which may be empty: one look for both, and for keys
/// that all begin with this start. Words of this kind are written with underscores, and hardly any other text.
#[inline]
pub(super) fn glance(start: Start, word: &str, text: &[u8]) -> bool {
    let word = word.as_bytes();
    // Nor is there room for either in the shortest of answers.
    if text.len() < SHORTEST && (word.is_empty() || text.len() < word.len()) {
        return false;
    }
    let (key_at, word_at) = (start.rare_at(), mark_of(word));
    let word_mark = word.get(word_at).copied().unwrap_or(start.rare());
    memchr3_iter(start.rare(), word_mark, ESCAPE[0], text).any(|at| {
        (at >= key_at && start.begins(&text[at - key_at..]))
            || (!word.is_empty() && at >= word_at && text[at - word_at..].starts_with(word))
            || text[at..].starts_with(ESCAPE)
    })
}

/// Where a word's underscore stands: in the one alarm that there is at its fourth letter.
#[inline]
fn mark_of(word: &[u8]) -> usize {
    if word.get(3) == Some(&b'_') { 3 } else { word.iter().position(|byte| *byte == b'_').unwrap_or(0) }
}

/// Masks a key in a text that is held whole, in all its forms.
pub(super) fn mask_secret(secret: &Secret, text: &mut [u8]) {
    if let Some(key) = Sought::key(secret) {
        mask_text(key, text);
    }
    for form in Encoded::forms(secret) {
        mask_text(form.sought(), text);
    }
}

fn mask_text(key: Sought<'_>, text: &mut [u8]) {
    let mut done = 0;
    while let Some(at) = key.find(&text[done..]) {
        text[done + at..][..key.text.len()].fill(b'*');
        done += at + key.text.len();
    }
}

/// Shorter values (dates, types of contents) are in every answer, and have no room for a provider's key.
const LONG: usize = 32;

/// Masks a key in every header. Shows them to `see` on the way: another pass costs as much as looking at them. Whether one of
/// them had room for another key.
#[inline]
pub(super) fn mask_headers(
    secret: &Secret,
    headers: &mut HeaderMap,
    mut see: impl FnMut(&HeaderName, &HeaderValue),
) -> bool {
    let mut roomy = false;
    let key = Sought::key(secret);
    // Most values have no room for a key.
    let shortest = key.map_or(usize::MAX, |key| key.text.len());
    for (name, value) in headers.iter_mut() {
        see(name, value);
        if value.len() >= shortest
            && let Some(key) = key
        {
            // What it says of the provider's host is long.
            roomy |= value.len() >= LONG && *name != ALT_SVC;
            mask_value(key, value);
        }
    }
    if secret.is_nameable() | secret.is_encodable() {
        mask_in_headers(secret, headers);
    }
    roomy
}

/// The same of a key that reads otherwise in a header, too.
#[cold]
fn mask_in_headers(secret: &Secret, headers: &mut HeaderMap) {
    if secret.is_nameable() {
        drop_named(secret, headers);
    }
    for form in Encoded::forms(secret) {
        headers.values_mut().for_each(|value| mask_value(form.sought(), value));
    }
}

/// A header that is called by the key goes: it cannot have another name.
fn drop_named(secret: &Secret, headers: &mut HeaderMap) {
    let key = secret.expose();
    if key.len() < SHORTEST {
        return;
    }
    let named: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains(key)).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

/// Whether a key stands in a text.
#[cfg(feature = "hyper")]
pub(super) fn shows(secret: &Secret, text: &[u8]) -> bool {
    Sought::key(secret).is_some_and(|key| key.find(text).is_some())
        || Encoded::forms(secret).iter().any(|form| form.sought().find(text).is_some())
}

#[inline]
fn mask_value(key: Sought<'_>, value: &mut HeaderValue) {
    if key.find(value.as_bytes()).is_some() {
        overwrite(key, value);
    }
}

#[cold]
fn overwrite(key: Sought<'_>, value: &mut HeaderValue) {
    let mut text = value.as_bytes().to_vec();
    mask_text(key, &mut text);
    let mut masked = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("***"));
    masked.set_sensitive(value.is_sensitive());
    *value = masked;
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AIzaAIzbSyAIza-not-a-real-key-AIza";

    #[test]
    fn a_query_shows_the_key_percent_encoded() {
        let secret = Secret::new("abc+def/ghi==").unwrap();
        let mut text = *b"?key=abc%2Bdef%2Fghi%3D%3D&x";
        mask_secret(&secret, &mut text);
        assert_eq!(&text, b"?key=*********************&x");
        assert!(Encoded::forms(&Secret::new(KEY).unwrap()).is_empty());
    }

    #[test]
    fn a_json_string_shows_the_key_escaped() {
        let secret = Secret::new("abc+def/ghi==").unwrap();
        for shown in [r"abc+def\/ghi==", r"abc+def/ghi\u003d\u003d", r"abc+def\/ghi\u003d\u003d", r"abc\u002Bdef/ghi=="]
        {
            let mut text = format!("\"{shown}\"").into_bytes();
            mask_secret(&secret, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), format!("\"{}\"", "*".repeat(shown.len())));
        }
    }
}
