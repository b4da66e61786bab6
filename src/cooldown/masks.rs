//! All that is looked for in an answer: the keys of its pool ([`EveryKey`]), and those of its request that are in it no more;
//! each as it is, as it reads in a query, and as it reads escaped in JSON. Most keys read the same there.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{
    every_key::EveryKey,
    mask::{Encoded, Mask, mask_secret, overwritten, shows, without_escaped},
};
use crate::{
    key::{Bunch, Hit, SHORTEST, Secret},
    pool::KeyPool,
};

/// The keys that an answer may show.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) pool: &'a KeyPool,
    /// Of the attempt that was answered.
    pub(super) secret: &'a Secret,
    /// Of those before.
    pub(super) earlier: &'a [Secret],
}

impl<'a> Shown<'a> {
    fn of_attempts(self) -> impl Iterator<Item = &'a Secret> {
        std::iter::once(self.secret).chain(self.earlier)
    }
}

/// The same ones, for whoever outlives the answer's head.
pub(super) struct KeptKeys {
    pool: KeyPool,
    secret: Secret,
    earlier: Vec<Secret>,
}

impl KeptKeys {
    pub(super) fn of(Shown { pool, secret, earlier }: Shown<'_>) -> Self {
        Self { pool: pool.clone(), secret: secret.clone(), earlier: earlier.to_vec() }
    }

    pub(super) fn shown(&self) -> Shown<'_> {
        Shown { pool: &self.pool, secret: &self.secret, earlier: &self.earlier }
    }
}

/// Masks a stream of chunks, or only looks at them.
#[derive(Default)]
pub(super) struct Masks {
    every: EveryKey,
    /// What that looks for. Made with the first chunk, and anew when keys came.
    bunch: Option<Arc<Bunch>>,
    others: Option<Box<Others>>,
}

/// All forms of the request's keys that gave their places in the pool to others.
struct Others(Vec<(Encoded, Mask)>);

impl Masks {
    /// Takes a chunk and gives on what may pass.
    pub(super) fn pass(&mut self, shown: Shown<'_>, chunk: Bytes, mut give: impl FnMut(Bytes)) {
        let chunk = without_escaped(shown.secret, chunk);
        let Self { every, bunch, others } = self;
        let bunch = current(bunch, others, shown);
        match others {
            None => every.pass(bunch, chunk, give),
            Some(others) => every.pass(bunch, chunk, |chunk| pass_on(&mut others.0, chunk, &mut give)),
        }
    }

    /// At the end, what was held back was not the key. `broken`: it may have become it, had the rest come too.
    pub(super) fn finish(&mut self, broken: bool, mut give: impl FnMut(Bytes)) {
        let last = self.bunch.as_ref().map(|bunch| self.every.finish(bunch, broken)).unwrap_or_default();
        match self.others.as_deref_mut() {
            None => give(last),
            Some(others) => finish_all(&mut others.0, last, broken, &mut give),
        }
    }

    /// Only looks: whether a key ends in this chunk.
    pub(super) fn spots(&mut self, shown: Shown<'_>, chunk: &[u8]) -> bool {
        let Self { every, bunch, others } = self;
        let bunch = current(bunch, others, shown);
        every.spots(bunch, chunk)
            || others.iter_mut().flat_map(|others| &mut others.0).any(|(form, mask)| mask.spots(form.sought(), chunk))
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.every.held() + self.others().map(|(_, mask)| mask.held()).sum::<usize>()
    }

    /// Whether what has begun is long enough to be hardly anything but the key.
    pub(super) fn is_likely(&self) -> bool {
        self.every.held() >= SHORTEST || self.others().any(|(_, mask)| mask.held() >= SHORTEST)
    }

    fn others(&self) -> impl Iterator<Item = &(Encoded, Mask)> {
        self.others.iter().flat_map(|others| &others.0)
    }
}

/// The keys of the pool by now. One of the request's that has gone is looked for by itself from there on.
#[inline]
fn current<'b>(bunch: &'b mut Option<Arc<Bunch>>, others: &mut Option<Box<Others>>, shown: Shown<'_>) -> &'b Bunch {
    if !bunch.as_ref().is_some_and(|bunch| bunch.is_of(shown.pool.came())) {
        renew(bunch, others, shown);
    }
    bunch.get_or_insert_with(|| shown.pool.bunch())
}

#[cold]
fn renew(bunch: &mut Option<Arc<Bunch>>, others: &mut Option<Box<Others>>, shown: Shown<'_>) {
    let now = shown.pool.bunch();
    for gone in shown.of_attempts().filter(|secret| !now.has(secret)) {
        let others = others.get_or_insert_with(|| Box::new(Others(Vec::new())));
        let forms = Encoded::all(gone).into_iter().map(|form| (form, Mask::default()));
        let new: Vec<_> = forms.filter(|(form, _)| !others.0.iter().any(|(held, _)| held == form)).collect();
        others.0.extend(new);
    }
    *bunch = Some(now);
}

/// All of a body in one piece, with every key in it overwritten.
pub(super) fn masked(shown: Shown<'_>, chunk: Bytes) -> Bytes {
    let mut chunk = shown.of_attempts().fold(chunk, |chunk, secret| without_escaped(secret, chunk));
    let (bunch, mut from) = (shown.pool.bunch(), 0);
    while let Some((at, Hit::Whole(length))) = bunch.look(&chunk, from, false) {
        chunk = overwritten(chunk, at, length);
        from = at + length;
    }
    for gone in shown.of_attempts().filter(|secret| !bunch.has(secret)) {
        if shows(gone, &chunk) {
            let mut text = BytesMut::from(chunk);
            mask_secret(gone, &mut text);
            chunk = text.freeze();
        }
    }
    chunk
}

/// Overwrites every key of a pool, and these, in a text that is held whole, or up to what may be the beginning of one if there is
/// `more` of it.
pub(super) fn mask_all(pool: &KeyPool, keys: &[Secret], text: &mut [u8], more: bool) {
    let bunch = pool.bunch();
    bunch.mask(text, more);
    for gone in keys.iter().filter(|key| !bunch.has(key)) {
        mask_secret(gone, text);
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
