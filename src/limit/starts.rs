//! A sliding window of few requests: a ring of the last starts.

use super::slide::Slide;
use crate::time::Tick;

/// The most requests that are kept one by one.
pub(super) const MOST: u64 = 512;

// The words: where the oldest start stands in the ring, how many there are, how many places are provisional; the ring.
const HEAD: usize = 0;
const LEN: usize = 1;
const HELD: usize = 2;
const RING: usize = 3;

/// In the first word: starts older than the oldest that is kept were pressed out, and still count.
const PRESSED: u16 = 1 << 15;

/// At most `limit` starts in any span. Each start is the low 16 bits of its unit, oldest first.
///
/// More than the limit may be pressed in (a probe): the newest `limit` starts alone decide when there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    pub(super) slide: Slide,
    pub(super) limit: u16,
}

impl Starts {
    pub(super) fn words(&self) -> usize {
        RING + usize::from(self.limit)
    }

    /// Whether `wanted` fits beside all that is here, whether it has left or not.
    #[inline]
    pub(super) fn fits(&self, words: &[u16], wanted: u64) -> bool {
        Self::used(words) + wanted <= u64::from(self.limit)
    }

    /// Lets go what has left between `seen` and `now`.
    #[inline]
    pub(super) fn purge(&self, words: &mut [u16], seen: u64, now: u64) {
        let Some(([head, len, _], ring)) = words.split_first_chunk_mut() else { return };
        if *len == 0 {
            return;
        }
        let Some(passage) = self.slide.passage(seen, now) else { return };
        if passage.clears() {
            *head = 0;
            *len = 0;
            return;
        }
        let mut oldest = *head & !PRESSED;
        if !passage.takes(ring[usize::from(oldest)]) {
            return;
        }
        loop {
            oldest = if oldest + 1 == self.limit { 0 } else { oldest + 1 };
            *len -= 1;
            if *len == 0 || !passage.takes(ring[usize::from(oldest)]) {
                break;
            }
        }
        *head = oldest;
    }

    #[inline]
    pub(super) fn used(words: &[u16]) -> u64 {
        words.first_chunk().map_or(0, |[_, len, held]| u64::from(*len) + u64::from(*held))
    }

    pub(super) fn held(words: &[u16]) -> u64 {
        u64::from(words[HELD])
    }

    #[inline]
    pub(super) fn hold(words: &mut [u16], count: u64) {
        words[HELD] = saturate(u64::from(words[HELD]) + count);
    }

    #[inline]
    pub(super) fn unhold(words: &mut [u16], count: u64) {
        words[HELD] = u64::from(words[HELD]).saturating_sub(count) as u16;
    }

    /// When `wanted` fits, which does not fit now. Provisional places leave no earlier than one that starts now.
    pub(super) fn opens(&self, words: &[u16], wanted: u64, now: u64) -> Tick {
        let over = Self::used(words) + wanted - u64::from(self.limit);
        if over > u64::from(words[LEN]) {
            return self.slide.leaves(self.slide.unit(now));
        }
        let low = words[self.place(words, over as u16 - 1)];
        self.slide.leaves(self.slide.whole(low, now))
    }

    /// Counts `count` starts at `then`, not before any other.
    #[inline]
    pub(super) fn push(&self, words: &mut [u16], count: u64, then: u64) {
        let low = self.slide.unit(then) as u16;
        let Some(([head, len, _], ring)) = words.split_first_chunk_mut() else { return };
        for _ in 0..count.min(u64::from(self.limit)) {
            let oldest = *head & !PRESSED;
            if *len == self.limit {
                ring[usize::from(oldest)] = low;
                *head = PRESSED | if oldest + 1 == self.limit { 0 } else { oldest + 1 };
            } else {
                let place = oldest + *len;
                ring[usize::from(if place >= self.limit { place - self.limit } else { place })] = low;
                *len += 1;
            }
        }
    }

    /// Takes back up to `count` starts at `then`: those only that stand there.
    pub(super) fn remove(&self, words: &mut [u16], count: u64, then: u64, now: u64) {
        if then > now || self.slide.has_left(then, now) {
            return;
        }
        let low = self.slide.unit(then) as u16;
        let oldest = words[self.place(words, 0)];
        let (mut kept, mut left) = (words[LEN], count);
        for n in (0..words[LEN]).rev() {
            let start = words[self.place(words, n)];
            if start == low && left > 0 {
                left -= 1;
            } else {
                kept -= 1;
                let to = self.place(words, kept);
                words[to] = start;
            }
        }
        if words[HEAD] & PRESSED == 0 {
            words[HEAD] = (self.place(words, kept) - RING) as u16;
            words[LEN] -= kept;
        } else {
            // Those pressed out come back in their place, none later than the oldest.
            for n in 0..kept {
                let to = self.place(words, n);
                words[to] = oldest;
            }
        }
    }

    /// The last moment that each start may have been at, oldest first.
    pub(super) fn moments(&self, words: &[u16], now: u64) -> impl Iterator<Item = u64> {
        (0..words[LEN]).map(move |n| {
            let low = words[self.place(words, n)];
            self.slide.last_moment(self.slide.whole(low, now)).min(now)
        })
    }

    #[inline]
    fn place(&self, words: &[u16], n: u16) -> usize {
        let place = (words[HEAD] & !PRESSED) + n;
        RING + usize::from(if place >= self.limit { place - self.limit } else { place })
    }
}

fn saturate(count: u64) -> u16 {
    count.min(u64::from(u16::MAX)) as u16
}
