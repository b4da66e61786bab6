//! The key in both its forms: as it is, and as it reads in a query. Most keys read the same there.

use bytes::Bytes;

use super::mask::{Encoded, Mask, SHORTEST, Sought};
use crate::key::Secret;

/// Masks a stream of chunks, or only looks at them.
pub(super) struct Masks {
    plain: Mask,
    encoded: Option<Box<(Encoded, Mask)>>,
}

impl Masks {
    #[inline]
    pub(super) fn of(secret: Option<&Secret>) -> Self {
        let encoded = secret.and_then(Encoded::of);
        Self { plain: Mask::default(), encoded: encoded.map(|text| Box::new((text, Mask::default()))) }
    }

    /// Takes a chunk and gives on what may pass.
    pub(super) fn pass(&mut self, secret: &Secret, chunk: Bytes, mut give: impl FnMut(Bytes)) {
        let Some(key) = Sought::key(secret) else { return give(chunk) };
        match self.encoded.as_deref_mut() {
            None => self.plain.pass(key, chunk, give),
            Some((text, mask)) => self.plain.pass(key, chunk, |chunk| mask.pass(text.sought(), chunk, &mut give)),
        }
    }

    /// At the end, what was held back was not the key. `broken`: it may have become it, had the rest come too.
    pub(super) fn finish(&mut self, secret: &Secret, broken: bool, mut give: impl FnMut(Bytes)) {
        let Some(key) = Sought::key(secret) else { return };
        let last = self.plain.finish(key, broken).unwrap_or_default();
        match self.encoded.as_deref_mut() {
            None => give(last),
            Some((text, mask)) => {
                mask.pass(text.sought(), last, &mut give);
                give(mask.finish(text.sought(), broken).unwrap_or_default());
            }
        }
    }

    /// Only looks: whether the key ends in this chunk.
    pub(super) fn spots(&mut self, secret: &Secret, chunk: &[u8]) -> bool {
        Sought::key(secret).is_some_and(|key| self.plain.spots(key, chunk))
            || self.encoded.as_deref_mut().is_some_and(|(text, mask)| mask.spots(text.sought(), chunk))
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.plain.held() + self.encoded.as_ref().map_or(0, |encoded| encoded.1.held())
    }

    /// Whether what has begun is long enough to be hardly anything but the key.
    pub(super) fn is_likely(&self) -> bool {
        self.plain.held().max(self.encoded.as_ref().map_or(0, |encoded| encoded.1.held())) >= SHORTEST
    }
}
