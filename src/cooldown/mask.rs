//! A key that the provider echoes is overwritten with as many `*`, wherever it stands: across the borders of chunks,
//! and in headers.
//!
//! Nothing is kept but a count: bytes held back at the end of a chunk are, by definition, the beginning of the key.
//! A chunk is changed in place where nobody else holds it, else copied; chunks without the key pass as they came.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use memchr::memchr_iter;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::needle::{Carried, begun_at_end, carry};
use crate::key::{Secret, rarest};

/// A shorter key is no secret, and masking it would maim good text.
pub(super) const SHORTEST: usize = 8;
/// What stands in a query as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

/// The key as it reads in a query, where that differs.
pub(super) struct Encoded {
    text: Box<str>,
    rare_at: usize,
}

impl Encoded {
    #[inline]
    pub(super) fn of(secret: &Secret) -> Option<Self> {
        if secret.is_encodable() && secret.bytes().len() >= SHORTEST { Some(Self::encode(secret)) } else { None }
    }

    #[cold]
    fn encode(secret: &Secret) -> Self {
        let text: Box<str> = utf8_percent_encode(secret.expose(), UNRESERVED).to_string().into();
        let rare_at = usize::from(rarest(text.as_bytes()));
        Self { text, rare_at }
    }

    pub(super) fn sought(&self) -> Sought<'_> {
        Sought { text: self.text.as_bytes(), rare_at: self.rare_at }
    }
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
fn overwritten(chunk: Bytes, at: usize, len: usize) -> Bytes {
    let mut chunk = chunk.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    chunk[at..at + len].fill(b'*');
    chunk.freeze()
}

/// All of a body in one piece, both forms of the key masked.
#[inline]
pub(super) fn masked(secret: &Secret, chunk: Bytes) -> Bytes {
    let chunk = match Sought::key(secret) {
        Some(key) => masked_in(key, chunk),
        None => chunk,
    };
    match Encoded::of(secret) {
        Some(encoded) => masked_in(encoded.sought(), chunk),
        None => chunk,
    }
}

#[inline]
fn masked_in(key: Sought<'_>, mut chunk: Bytes) -> Bytes {
    let mut done = 0;
    while let Some(at) = key.find(&chunk[done..]) {
        chunk = overwritten(chunk, done + at, key.text.len());
        done += at + key.text.len();
    }
    chunk
}

/// Masks a key in a text that is held whole, in both its forms.
pub(super) fn mask_secret(secret: &Secret, text: &mut [u8]) {
    if let Some(key) = Sought::key(secret) {
        mask_text(key, text);
    }
    if let Some(encoded) = Encoded::of(secret) {
        mask_text(encoded.sought(), text);
    }
}

fn mask_text(key: Sought<'_>, text: &mut [u8]) {
    let mut done = 0;
    while let Some(at) = key.find(&text[done..]) {
        text[done + at..][..key.text.len()].fill(b'*');
        done += at + key.text.len();
    }
}

/// Masks a key in every header.
pub(super) fn mask_headers(secret: &Secret, headers: &mut HeaderMap) {
    if let Some(key) = Sought::key(secret) {
        mask_values(key, headers);
    }
    if let Some(encoded) = Encoded::of(secret) {
        mask_values(encoded.sought(), headers);
    }
}

/// Whether a key stands in a text.
#[cfg(feature = "hyper")]
pub(super) fn shows(secret: &Secret, text: &[u8]) -> bool {
    Sought::key(secret).is_some_and(|key| key.find(text).is_some())
        || Encoded::of(secret).is_some_and(|encoded| encoded.sought().find(text).is_some())
}

fn mask_values(key: Sought<'_>, headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        if key.find(value.as_bytes()).is_none() {
            continue;
        }
        let mut text = value.as_bytes().to_vec();
        mask_text(key, &mut text);
        let mut masked = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("***"));
        masked.set_sensitive(value.is_sensitive());
        *value = masked;
    }
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
        let encoded = Encoded::of(&secret).unwrap();
        let mut text = *b"?key=abc%2Bdef%2Fghi%3D%3D&x";
        mask_text(encoded.sought(), &mut text);
        assert_eq!(&text, b"?key=*********************&x");
        assert!(Encoded::of(&Secret::new(KEY).unwrap()).is_none());
    }
}
