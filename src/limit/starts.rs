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

    /// Lets go what has left between `seen` and `now`.
    #[inline]
    pub(super) fn purge(&self, words: &mut [u16], seen: u64, now: u64) {
        let len = words[LEN];
        if len == 0 {
            return;
        }
        let Some(passage) = self.slide.passage(seen, now) else { return };
        if passage.clears() {
            words[LEN] = 0;
            return;
        }
        if !passage.takes(words[RING + usize::from(words[HEAD])]) {
            return;
        }
        let (mut head, mut len) = (words[HEAD], len);
        while len > 0 && passage.takes(words[RING + usize::from(head)]) {
            head = if head + 1 == self.limit { 0 } else { head + 1 };
            len -= 1;
        }
        words[HEAD] = head;
        words[LEN] = len;
    }

    #[inline]
    pub(super) fn used(words: &[u16]) -> u64 {
        u64::from(words[LEN]) + u64::from(words[HELD])
    }

    pub(super) fn held(words: &[u16]) -> u64 {
        u64::from(words[HELD])
    }

    #[inline]
    pub(super) fn hold(words: &mut [u16], count: u64) {
        words[HELD] = words[HELD].saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
    }

    #[inline]
    pub(super) fn unhold(words: &mut [u16], count: u64) {
        words[HELD] = words[HELD].saturating_sub(u16::try_from(count).unwrap_or(u16::MAX));
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
        for _ in 0..count.min(u64::from(self.limit)) {
            if words[LEN] == self.limit {
                words[HEAD] = if words[HEAD] + 1 == self.limit { 0 } else { words[HEAD] + 1 };
            } else {
                words[LEN] += 1;
            }
            let last = self.place(words, words[LEN] - 1);
            words[last] = low;
        }
    }

    /// Takes back up to `count` starts at `then`: those only that stand there.
    pub(super) fn remove(&self, words: &mut [u16], count: u64, then: u64, now: u64) {
        if then > now || self.slide.has_left(then, now) {
            return;
        }
        let low = self.slide.unit(then) as u16;
        let (mut kept, mut left) = (0, count);
        for n in 0..words[LEN] {
            let start = words[self.place(words, n)];
            if start == low && left > 0 {
                left -= 1;
            } else {
                let to = self.place(words, kept);
                words[to] = start;
                kept += 1;
            }
        }
        words[LEN] = kept;
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
        let place = words[HEAD] + n;
        RING + usize::from(if place >= self.limit { place - self.limit } else { place })
    }
}
