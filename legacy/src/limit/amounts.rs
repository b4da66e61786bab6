//! A sliding window of many requests, or of tokens: a ring of amounts.

use std::marker::PhantomData;

use super::{
    form::{Began, Form},
    need::{At, Opens},
    slide::{SLICES, Slide},
    starts::UNCOUNTED,
    words::Width,
    zone::Days,
};

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
pub(super) struct Amounts<W> {
    slide: Slide,
    limit: u64,
    slice: u16,
    entries: u16,
    width: PhantomData<W>,
}

impl<W: Width> Amounts<W> {
    const HELD: usize = TOTAL + W::WORDS;
    const RING: usize = TOTAL + 2 * W::WORDS;
    const STRIDE: usize = 1 + W::WORDS;

    /// `starts`: more entries than these are not worth keeping apart.
    pub(super) fn new(slide: Slide, limit: u64, starts: u64) -> Self {
        Self {
            slide,
            limit,
            slice: (slide.units() / SLICES) as u16,
            entries: starts.min(limit).clamp(1, u64::from(SLICES)) as u16 + 2,
            width: PhantomData,
        }
    }

    /// The entry that holds a start: the first that is not older. None when the start has left.
    fn entry(&self, words: &[u16], then: u64, now: u64) -> Option<usize> {
        if then > now || self.slide.has_left(then, now) {
            return None;
        }
        let unit = self.slide.unit(then);
        (0..words[LEN]).map(|n| self.place(words, n)).find(|place| self.slide.whole(words[*place], now) >= unit)
    }

    /// Takes off what is counted in all. Where that is more than there are numbers for, it is counted anew.
    #[inline]
    fn take_off(&self, words: &mut [u16], amount: u64) {
        let all = W::read(words, TOTAL);
        W::write(words, TOTAL, all.saturating_sub(amount));
        if all == W::MOST {
            self.recount(words);
        }
    }

    #[cold]
    fn recount(&self, words: &mut [u16]) {
        let total = (0..words[LEN]).map(|n| W::read(words, self.place(words, n) + 1)).fold(0, u64::saturating_add);
        W::write(words, TOTAL, total);
    }

    fn drop_oldest(&self, words: &mut [u16]) {
        words[HEAD] = if words[HEAD] + 1 == self.entries { 0 } else { words[HEAD] + 1 };
        words[LEN] -= 1;
    }

    #[inline]
    fn place(&self, words: &[u16], n: u16) -> usize {
        let place = words[HEAD] + n;
        let place = if place >= self.entries { place - self.entries } else { place };
        Self::RING + usize::from(place) * Self::STRIDE
    }
}

impl<W: Width> Form for Amounts<W> {
    fn words(&self) -> usize {
        Self::RING + usize::from(self.entries) * Self::STRIDE
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.limit
    }

    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    fn purge(&self, words: &mut [u16], seen: u64, now: u64) {
        if words[LEN] == 0 {
            return;
        }
        let from = self.slide.unit(seen);
        let Some(age) = self.slide.left_at(from, self.slide.unit(now)) else {
            words[LEN] = 0;
            W::write(words, TOTAL, 0);
            return;
        };
        while words[LEN] > 0 {
            let oldest = self.place(words, 0);
            if (from as u16).wrapping_sub(words[oldest]) < age {
                break;
            }
            let amount = W::read(words, oldest + 1);
            self.drop_oldest(words);
            self.take_off(words, amount);
        }
    }

    #[inline]
    fn used(&self, words: &[u16], _: Days) -> u64 {
        W::read(words, TOTAL).saturating_add(W::read(words, Self::HELD))
    }

    fn held(&self, words: &[u16]) -> u64 {
        W::read(words, Self::HELD)
    }

    #[inline]
    fn hold(&self, words: &mut [u16], amount: u64) {
        W::add(words, Self::HELD, amount);
    }

    #[inline]
    fn unhold(&self, words: &mut [u16], amount: u64) {
        W::sub(words, Self::HELD, amount);
    }

    #[inline]
    fn add(&self, words: &mut [u16], amount: u64, began: &Began) {
        if amount == 0 {
            return;
        }
        let low = self.slide.unit(began.moment) as u16;
        W::add(words, TOTAL, amount);
        if words[LEN] > 0 && low.wrapping_sub(words[BEGAN]) <= self.slice {
            let newest = self.place(words, words[LEN] - 1);
            words[newest] = low;
            W::add(words, newest + 1, amount);
            return;
        }
        if words[LEN] == self.entries {
            let oldest = W::read(words, self.place(words, 0) + 1);
            let next = self.place(words, 1) + 1;
            W::add(words, next, oldest);
            self.drop_oldest(words);
        }
        words[LEN] += 1;
        words[BEGAN] = low;
        let newest = self.place(words, words[LEN] - 1);
        words[newest] = low;
        W::write(words, newest + 1, amount);
    }

    fn also_on(&self, _: &mut [u16], _: u64, _: u16) {}

    fn remove(&self, words: &mut [u16], amount: u64, began: &Began, now: u64) {
        if let Some(place) = self.entry(words, began.moment, now) {
            let taken = W::sub(words, place + 1, amount);
            self.take_off(words, taken);
        }
    }

    fn raise(&self, words: &mut [u16], amount: u64, began: &Began, now: u64) {
        match self.entry(words, began.moment, now) {
            Some(place) => {
                W::add(words, place + 1, amount);
                W::add(words, TOTAL, amount);
            }
            // Its start has no entry, as it needed nothing.
            None if began.moment <= now && !self.slide.has_left(began.moment, now) => {
                self.add(words, amount, &Began { moment: now, ..*began });
            }
            None => {}
        }
    }

    fn shift(&self, words: &mut [u16], amount: u64, from: &Began, to: &Began) {
        self.remove(words, amount, from, to.moment);
        self.add(words, amount, to);
    }

    /// Provisional amounts leave no earlier than what starts now.
    fn opens(&self, words: &[u16], wanted: u64, now: u64, at: &At) -> Opens {
        let mut over = self.used(words, at.day.days).saturating_add(wanted).saturating_sub(self.limit);
        for n in 0..words[LEN] {
            let place = self.place(words, n);
            let amount = W::read(words, place + 1);
            if amount >= over {
                return Opens::Tick(self.slide.leaves(self.slide.whole(words[place], now)));
            }
            over -= amount;
        }
        Opens::Tick(self.slide.leaves(self.slide.unit(now)))
    }

    fn moments(&self, words: &[u16], now: u64) -> Vec<(u64, u64)> {
        let entry = |place: usize| {
            let moment = self.slide.last_moment(self.slide.whole(words[place], now)).min(now);
            let amount = W::read(words, place + 1);
            // More than could be written: more than any limit allows.
            (moment, if amount == W::MOST { amount.max(UNCOUNTED) } else { amount })
        };
        (0..words[LEN]).map(|n| entry(self.place(words, n))).collect()
    }

    fn counts_at(&self, then: u64, now: u64) -> bool {
        !self.slide.has_left(then, now)
    }

    fn lay(&self, words: &mut [u16], moments: &[(u64, u64)], now: u64) {
        for &(moment, amount) in moments.iter().filter(|then| self.counts_at(then.0, now)) {
            self.add(words, amount, &Began { moment, places: 0 });
        }
    }

    fn on_date(&self, _: &[u16], _: usize) -> u64 {
        0
    }
}
