//! A key that the provider echoes is overwritten with as many `*`, wherever it stands: across the borders of chunks,
//! and in headers.
//!
//! Nothing is kept but a count: bytes held back at the end of a chunk are, by definition, the beginning of the key.
//! A chunk is changed in place where nobody else holds it, else copied; chunks without the key pass as they came.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header::ALT_SVC};
use memchr::{memchr_iter, memchr3_iter, memmem};

use super::needle::{Carried, begun_at_end, carry};
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
#[derive(PartialEq, Eq)]
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

    /// All its forms, the one as it is among them.
    pub(super) fn all(secret: &Secret) -> Vec<Self> {
        let plain = Self { text: secret.expose().into(), rare_at: secret.rare_at() };
        let is_sought = secret.bytes().len() >= SHORTEST;
        Self::forms(secret).into_iter().chain(is_sought.then_some(plain)).collect()
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

/// Masks a stream of chunks.
#[derive(Default)]
pub(super) struct Mask {
    /// Bytes held back: the key's first ones.
    held: usize,
}

impl Mask {
    /// Takes a chunk and gives on what may pass.
    pub(super) fn pass(&mut self, key: Sought<'_>, mut chunk: Bytes, mut give: impl FnMut(Bytes)) {
        let mut done = 0;
        if self.held > 0 {
            match carry(key.text, self.held, &chunk) {
                Carried::Partly(held) => {
                    // The beginning moved on: what was held before it is ordinary text.
                    let plain = self.held + chunk.len() - held;
                    if plain > 0 {
                        give(Bytes::copy_from_slice(&key.text[..plain]));
                    }
                    self.held = held;
                    return;
                }
                Carried::Whole { from_before, here } => {
                    let mut before = key.text[..self.held].to_vec();
                    before[self.held - from_before..].fill(b'*');
                    give(before.into());
                    chunk = overwritten(chunk, 0, here);
                    done = here;
                }
                Carried::Broken => give(Bytes::copy_from_slice(&key.text[..self.held])),
            }
            self.held = 0;
        }
        while let Some(at) = key.find(&chunk[done..]) {
            chunk = overwritten(chunk, done + at, key.text.len());
            done += at + key.text.len();
        }
        self.held = begun_at_end(key.text, &chunk[done..]);
        if self.held > 0 {
            chunk.truncate(chunk.len() - self.held);
        }
        if !chunk.is_empty() {
            give(chunk);
        }
    }

    /// At the end: what was held back was not the key. Where the body broke off it may have been, as far as it came.
    pub(super) fn finish(&mut self, key: Sought<'_>, broken: bool) -> Option<Bytes> {
        let held = std::mem::take(&mut self.held);
        if broken && held >= SHORTEST {
            return Some(vec![b'*'; held].into());
        }
        (held > 0).then(|| Bytes::copy_from_slice(&key.text[..held]))
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Only looks: whether the key ends in this chunk. What [`held`](Mask::held) says afterwards is how much of it
    /// has begun.
    pub(super) fn spots(&mut self, key: Sought<'_>, chunk: &[u8]) -> bool {
        if self.held > 0 {
            match carry(key.text, self.held, chunk) {
                Carried::Partly(held) => {
                    self.held = held;
                    return false;
                }
                Carried::Whole { .. } => return true,
                Carried::Broken => {}
            }
        }
        self.held = begun_at_end(key.text, chunk);
        key.find(chunk).is_some()
    }
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
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "AIzaAIzbSyAIza-not-a-real-key-AIza";

    fn through(key: &str, chunks: &[&[u8]]) -> Vec<u8> {
        let secret = Secret::new(key).unwrap();
        let sought = Sought::key(&secret).unwrap();
        let (mut mask, mut out) = (Mask::default(), Vec::new());
        for chunk in chunks {
            mask.pass(sought, Bytes::copy_from_slice(chunk), |bytes| out.extend_from_slice(&bytes));
            assert!(mask.held() < key.len());
        }
        out.extend(mask.finish(sought, false).unwrap_or_default());
        out
    }

    proptest! {
        #[test]
        fn any_chunking_masks_what_one_chunk_masks(
            pieces in prop::collection::vec(prop_oneof![Just(KEY), Just("AIza"), Just("AIzaAIz"), Just("é, "), Just("A")], 0..12),
            cuts in prop::collection::vec(0_usize..500, 0..40),
        ) {
            let text = pieces.concat();
            let stars = "*".repeat(KEY.len());
            let expected = text.replace(KEY, &stars);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(String::from_utf8(through(KEY, &chunks)).unwrap(), expected.clone());
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(String::from_utf8(through(KEY, &bytes)).unwrap(), expected);
        }
    }

    #[test]
    fn a_chunk_that_nobody_else_holds_is_changed_in_place() {
        let secret = Secret::new(KEY).unwrap();
        let chunk = Bytes::from(format!("<{KEY}>"));
        let address = chunk.as_ptr();
        Mask::default().pass(Sought::key(&secret).unwrap(), chunk, |bytes| {
            assert_eq!(bytes.as_ptr(), address);
            assert_eq!(bytes, format!("<{}>", "*".repeat(KEY.len())));
        });
    }

    #[test]
    fn a_chunk_that_somebody_else_holds_stays_as_it_is_for_them() {
        let secret = Secret::new(KEY).unwrap();
        let theirs = Bytes::from(format!("<{KEY}>"));
        Mask::default().pass(Sought::key(&secret).unwrap(), theirs.clone(), |bytes| assert_ne!(bytes, theirs));
        assert_eq!(theirs, format!("<{KEY}>"));
    }

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
