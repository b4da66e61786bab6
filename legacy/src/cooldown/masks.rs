//! All that is looked for in an answer: the keys of its pool ([`EveryKey`]), and those of its request that are in it no more;
//! each as it is, as it reads in a query, and as it reads escaped in JSON. Most keys read the same there.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    every_key::EveryKey,
    mask::{mask_secret, overwritten, without_escaped},
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

    /// Those of the request that are none of these; `None`: all are.
    fn gone_from(self, bunch: &Bunch) -> Option<Bunch> {
        let gone: Vec<Secret> = self.of_attempts().filter(|secret| !bunch.has(secret)).cloned().collect();
        (!gone.is_empty()).then(|| Bunch::of(0, gone))
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
    gone: Option<Box<Gone>>,
}

/// The request's keys that gave their places in the pool to others.
struct Gone {
    every: EveryKey,
    bunch: Bunch,
}

impl Masks {
    /// Takes a chunk and gives on what may pass.
    pub(super) fn pass(&mut self, shown: Shown<'_>, chunk: Bytes, mut give: impl FnMut(Bytes)) {
        let chunk = without_escaped(shown.secret, chunk);
        let Self { every, bunch, gone } = self;
        let bunch = current(bunch, gone, shown);
        match gone.as_deref_mut() {
            None => every.pass(bunch, chunk, give),
            Some(gone) => every.pass(bunch, chunk, |chunk| gone.every.pass(&gone.bunch, chunk, &mut give)),
        }
    }

    /// At the end, what was held back was not the key. `broken`: it may have become it, had the rest come too.
    pub(super) fn finish(&mut self, broken: bool, mut give: impl FnMut(Bytes)) {
        let last = self.bunch.as_ref().map(|bunch| self.every.finish(bunch, broken)).unwrap_or_default();
        match self.gone.as_deref_mut() {
            None => give(last),
            Some(gone) => {
                gone.every.pass(&gone.bunch, last, &mut give);
                give(gone.every.finish(&gone.bunch, broken));
            }
        }
    }

    /// Only looks: whether a key ends in this chunk.
    pub(super) fn spots(&mut self, shown: Shown<'_>, chunk: &[u8]) -> bool {
        let Self { every, bunch, gone } = self;
        let bunch = current(bunch, gone, shown);
        every.spots(bunch, chunk) || gone.as_deref_mut().is_some_and(|gone| gone.every.spots(&gone.bunch, chunk))
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.every.held() + self.held_of_gone()
    }

    /// Whether what has begun is long enough to be hardly anything but the key.
    pub(super) fn is_likely(&self) -> bool {
        self.every.held() >= SHORTEST || self.held_of_gone() >= SHORTEST
    }

    fn held_of_gone(&self) -> usize {
        self.gone.as_ref().map_or(0, |gone| gone.every.held())
    }
}

/// The keys of the pool by now. One of the request's that has gone is looked for by itself from there on.
#[inline]
fn current<'b>(bunch: &'b mut Option<Arc<Bunch>>, gone: &mut Option<Box<Gone>>, shown: Shown<'_>) -> &'b Bunch {
    if !bunch.as_ref().is_some_and(|bunch| bunch.is_of(shown.pool.came())) {
        renew(bunch, gone, shown);
    }
    bunch.get_or_insert_with(|| shown.pool.bunch())
}

#[cold]
fn renew(bunch: &mut Option<Arc<Bunch>>, gone: &mut Option<Box<Gone>>, shown: Shown<'_>) {
    let now = shown.pool.bunch();
    if let Some(others) = shown.gone_from(&now) {
        match gone {
            // Whatever of them has begun goes on.
            Some(gone) => gone.bunch = others,
            None => *gone = Some(Box::new(Gone { every: EveryKey::default(), bunch: others })),
        }
    }
    *bunch = Some(now);
}

/// All of a body in one piece, with every key in it overwritten.
pub(super) fn masked(shown: Shown<'_>, chunk: Bytes) -> Bytes {
    let chunk = shown.of_attempts().fold(chunk, |chunk, secret| without_escaped(secret, chunk));
    let bunch = shown.pool.bunch();
    let chunk = without(&bunch, chunk);
    match shown.gone_from(&bunch) {
        None => chunk,
        Some(gone) => without(&gone, chunk),
    }
}

fn without(bunch: &Bunch, mut chunk: Bytes) -> Bytes {
    let mut from = 0;
    while let Some((at, Hit::Whole(length))) = bunch.look(&chunk, from, false) {
        chunk = overwritten(chunk, at, length);
        from = at + length;
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
