//! The key in all its forms: as it is, as it reads in a query, and as it reads escaped in JSON. Most keys read the same
//! there.

use bytes::Bytes;

use super::mask::{Encoded, Mask, Sought, without_escaped};
use crate::key::{SHORTEST, Secret};

/// Masks a stream of chunks, or only looks at them.
pub(super) struct Masks {
    plain: Mask,
    others: Option<Box<Others>>,
}

/// The forms that read differently, and all of the keys of earlier attempts.
struct Others(Vec<(Encoded, Mask)>);

impl Masks {
    #[inline]
    pub(super) fn of(secret: Option<&Secret>, earlier: &[Secret]) -> Self {
        let mut forms = secret.map(Encoded::forms).unwrap_or_default();
        forms.extend(earlier.iter().flat_map(Encoded::all));
        let others = |forms: Vec<Encoded>| forms.into_iter().map(|form| (form, Mask::default())).collect();
        let forms = Some(forms).filter(|forms| !forms.is_empty());
        Self { plain: Mask::default(), others: forms.map(|forms| Box::new(Others(others(forms)))) }
    }

    /// Takes a chunk and gives on what may pass.
    pub(super) fn pass(&mut self, secret: &Secret, chunk: Bytes, mut give: impl FnMut(Bytes)) {
        let Some(key) = Sought::key(secret) else { return give(chunk) };
        let chunk = without_escaped(secret, chunk);
        match self.others.as_deref_mut() {
            None => self.plain.pass(key, chunk, give),
            Some(others) => self.plain.pass(key, chunk, |chunk| pass_on(&mut others.0, chunk, &mut give)),
        }
    }

    /// At the end, what was held back was not the key. `broken`: it may have become it, had the rest come too.
    pub(super) fn finish(&mut self, secret: &Secret, broken: bool, mut give: impl FnMut(Bytes)) {
        let Some(key) = Sought::key(secret) else { return };
        let last = self.plain.finish(key, broken).unwrap_or_default();
        match self.others.as_deref_mut() {
            None => give(last),
            Some(others) => finish_all(&mut others.0, last, broken, &mut give),
        }
    }

    /// Only looks: whether the key ends in this chunk.
    pub(super) fn spots(&mut self, secret: &Secret, chunk: &[u8]) -> bool {
        Sought::key(secret).is_some_and(|key| self.plain.spots(key, chunk))
            || self.others_mut().any(|(form, mask)| mask.spots(form.sought(), chunk))
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.plain.held() + self.others().map(|(_, mask)| mask.held()).sum::<usize>()
    }

    /// Whether what has begun is long enough to be hardly anything but the key.
    pub(super) fn is_likely(&self) -> bool {
        self.plain.held() >= SHORTEST || self.others().any(|(_, mask)| mask.held() >= SHORTEST)
    }

    fn others(&self) -> impl Iterator<Item = &(Encoded, Mask)> {
        self.others.iter().flat_map(|others| &others.0)
    }

    fn others_mut(&mut self) -> impl Iterator<Item = &mut (Encoded, Mask)> {
        self.others.iter_mut().flat_map(|others| &mut others.0)
    }
}

/// Through one form after the other.
fn pass_on(forms: &mut [(Encoded, Mask)], chunk: Bytes, give: &mut dyn FnMut(Bytes)) {
    match forms.split_first_mut() {
        None => give(chunk),
        Some(((form, mask), rest)) => mask.pass(form.sought(), chunk, |chunk| pass_on(rest, chunk, give)),
    }
}

fn finish_all(forms: &mut [(Encoded, Mask)], last: Bytes, broken: bool, give: &mut dyn FnMut(Bytes)) {
    match forms.split_first_mut() {
        None => give(last),
        Some(((form, mask), rest)) => {
            mask.pass(form.sought(), last, |chunk| pass_on(rest, chunk, give));
            let held = mask.finish(form.sought(), broken).unwrap_or_default();
            finish_all(rest, held, broken, give);
        }
    }
}
