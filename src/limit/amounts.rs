//! A sliding window of many requests, or of tokens: a ring of amounts.

use super::{
    slide::{SLICES, Slide},
    words::Width,
};
use crate::time::Tick;

// The words: where the oldest entry stands in the ring, how many there are, the unit in which the newest began; then
// what is counted, what is provisional, and the ring of (unit, amount).
const HEAD: usize = 0;
const LEN: usize = 1;
const BEGAN: usize = 2;
const TOTAL: usize = 3;

/// At most `limit` in any span. What starts within a slice of the window (250 ms of a minute) shares an entry, which
/// leaves when the last of it does: late by a slice at most, never early. Where the ring is short, because another
/// limit allows few requests, its two oldest entries become one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amounts {
    pub(super) slide: Slide,
    pub(super) limit: u32,
    slice: u16,
    entries: u16,
    width: Width,
}

impl Amounts {
    /// `starts`: at most so many entries are worth keeping apart.
    pub(super) fn new(slide: Slide, limit: u64, starts: u64) -> Self {
        // Above 2^31 a sliding window holds 2^31.
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(1 << 31);
        let entries = starts.min(limit.into()).clamp(1, u64::from(SLICES)) as u16 + 2;
        Self {
            slide,
            limit,
            slice: (slide.units() / SLICES) as u16,
            entries,
            width: if Width::for_limit(limit.into()) == Width::One { Width::One } else { Width::Two },
        }
    }

    pub(super) fn words(&self) -> usize {
        self.ring() + usize::from(self.entries) * self.stride()
    }

    /// Lets go what has left between `seen` and `now`.
    #[inline]
    pub(super) fn purge(&self, words: &mut [u16], seen: u64, now: u64) {
        if words[LEN] == 0 {
            return;
        }
        let Some(passage) = self.slide.passage(seen, now) else { return };
        if passage.clears() {
            words[LEN] = 0;
            self.width.write(words, TOTAL, 0);
            return;
        }
        while words[LEN] > 0 {
            let oldest = self.place(words, 0);
            if !passage.takes(words[oldest]) {
                break;
            }
            let amount = self.width.read(words, oldest + 1);
            self.width.sub(words, TOTAL, amount);
            self.drop_oldest(words);
        }
    }

    #[inline]
    pub(super) fn used(&self, words: &[u16]) -> u64 {
        self.width.read(words, TOTAL) + self.held(words)
    }

    #[inline]
    pub(super) fn held(&self, words: &[u16]) -> u64 {
        self.width.read(words, self.held_at())
    }

    #[inline]
    pub(super) fn hold(&self, words: &mut [u16], amount: u64) {
        self.width.add(words, self.held_at(), amount);
    }

    #[inline]
    pub(super) fn unhold(&self, words: &mut [u16], amount: u64) {
        self.width.sub(words, self.held_at(), amount);
    }

    /// When `wanted` fits, which does not fit now. Provisional amounts leave no earlier than what starts now.
    pub(super) fn opens(&self, words: &[u16], wanted: u64, now: u64) -> Tick {
        let mut over = self.used(words) + wanted - u64::from(self.limit);
        for n in 0..words[LEN] {
            let place = self.place(words, n);
            let amount = self.width.read(words, place + 1);
            if amount >= over {
                return self.slide.leaves(self.slide.whole(words[place], now));
            }
            over -= amount;
        }
        self.slide.leaves(self.slide.unit(now))
    }

    /// Counts `amount` at `then`, not before any other.
    pub(super) fn push(&self, words: &mut [u16], amount: u64, then: u64) {
        if amount == 0 {
            return;
        }
        let low = self.slide.unit(then) as u16;
        self.width.add(words, TOTAL, amount);
        if words[LEN] > 0 && low.wrapping_sub(words[BEGAN]) <= self.slice {
            let newest = self.place(words, words[LEN] - 1);
            words[newest] = low;
            self.width.add(words, newest + 1, amount);
            return;
        }
        if words[LEN] == self.entries {
            let oldest = self.width.read(words, self.place(words, 0) + 1);
            let next = self.place(words, 1) + 1;
            self.width.add(words, next, oldest);
            self.drop_oldest(words);
        }
        words[LEN] += 1;
        words[BEGAN] = low;
        let newest = self.place(words, words[LEN] - 1);
        words[newest] = low;
        self.width.write(words, newest + 1, amount);
    }

    /// Takes back `amount` of what started at `then`, unless it has left.
    pub(super) fn remove(&self, words: &mut [u16], amount: u64, then: u64, now: u64) {
        if let Some(place) = self.entry(words, then, now) {
            let taken = self.width.sub(words, place + 1, amount);
            self.width.sub(words, TOTAL, taken);
        }
    }

    /// Adds to what started at `then`, unless it has left.
    pub(super) fn raise(&self, words: &mut [u16], amount: u64, then: u64, now: u64) {
        match self.entry(words, then, now) {
            Some(place) => {
                self.width.add(words, place + 1, amount);
                self.width.add(words, TOTAL, amount);
            }
            // Its start was given no entry, as it needed nothing.
            None if then <= now && !self.slide.has_left(then, now) => self.push(words, amount, now),
            None => {}
        }
    }

    /// The last moment that each entry may stand for, and its amount, oldest first.
    pub(super) fn moments(&self, words: &[u16], now: u64) -> impl Iterator<Item = (u64, u64)> {
        (0..words[LEN]).map(move |n| {
            let place = self.place(words, n);
            let moment = self.slide.last_moment(self.slide.whole(words[place], now)).min(now);
            (moment, self.width.read(words, place + 1))
        })
    }

    /// The entry that holds a start: the first that is not older. None when the start has left.
    fn entry(&self, words: &[u16], then: u64, now: u64) -> Option<usize> {
        if then > now || self.slide.has_left(then, now) {
            return None;
        }
        let unit = self.slide.unit(then);
        (0..words[LEN]).map(|n| self.place(words, n)).find(|place| self.slide.whole(words[*place], now) >= unit)
    }

    fn drop_oldest(&self, words: &mut [u16]) {
        words[HEAD] = if words[HEAD] + 1 == self.entries { 0 } else { words[HEAD] + 1 };
        words[LEN] -= 1;
    }

    #[inline]
    fn held_at(&self) -> usize {
        TOTAL + self.width.words()
    }

    #[inline]
    fn ring(&self) -> usize {
        TOTAL + 2 * self.width.words()
    }

    #[inline]
    fn stride(&self) -> usize {
        1 + self.width.words()
    }

    #[inline]
    fn place(&self, words: &[u16], n: u16) -> usize {
        let place = words[HEAD] + n;
        let place = if place >= self.entries { place - self.entries } else { place };
        self.ring() + usize::from(place) * self.stride()
    }
}
