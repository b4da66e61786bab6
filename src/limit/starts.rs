//! A sliding window of few requests: a ring of the last starts.

use super::{
    form::{Began, Form},
    need::{At, Opens},
    slide::Slide,
    zone::Days,
};

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
    slide: Slide,
    limit: u16,
}

impl Starts {
    /// `limit`: 1 to [`MOST`].
    pub(super) fn new(slide: Slide, limit: u16) -> Self {
        Self { slide, limit }
    }

    #[inline]
    fn place(&self, words: &[u16], n: u16) -> usize {
        let place = (words[HEAD] & !PRESSED) + n;
        RING + usize::from(if place >= self.limit { place - self.limit } else { place })
    }
}

impl Starts {
    /// Where one more fits beside all that is here, lets go what has left since `seen` and counts one now; whether it
    /// did.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn book_one(&self, words: &mut [u16], seen: u64, now: u64) -> bool {
        let Some(([head, len, held], ring)) = words.split_first_chunk_mut() else { return false };
        if u32::from(*len) + u32::from(*held) >= u32::from(self.limit) || *head & PRESSED != 0 {
            return false;
        }
        let to = self.slide.unit(now);
        self.let_go(head, len, ring, self.slide.unit(seen), to);
        let (limit, place) = (usize::from(self.limit), usize::from(*head) + usize::from(*len));
        let Some(start) = ring.get_mut(if place < limit { place } else { place - limit }) else { return false };
        *start = to as u16;
        *len += 1;
        true
    }

    /// Lets go what has left between two units.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    fn let_go(&self, head: &mut u16, len: &mut u16, ring: &[u16], from: u64, to: u64) {
        let Some(age) = self.slide.left_at(from, to) else {
            (*head, *len) = (0, 0);
            return;
        };
        let limit = usize::from(self.limit);
        let (mut oldest, mut count) = (usize::from(*head & !PRESSED), usize::from(*len));
        while count > 0
            && let Some(start) = ring.get(oldest)
            && (from as u16).wrapping_sub(*start) >= age
        {
            count -= 1;
            oldest = if oldest + 1 < limit { oldest + 1 } else { 0 };
        }
        if count < usize::from(*len) {
            (*head, *len) = (oldest as u16, count as u16);
        }
    }
}

impl Form for Starts {
    fn words(&self) -> usize {
        RING + usize::from(self.limit)
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.limit.into()
    }

    #[inline]
    fn purge(&self, words: &mut [u16], seen: u64, now: u64) {
        if let Some(([head, len, _], ring)) = words.split_first_chunk_mut()
            && *len > 0
        {
            self.let_go(head, len, ring, self.slide.unit(seen), self.slide.unit(now));
        }
    }

    #[inline]
    fn used(&self, words: &[u16], _: Days) -> u64 {
        words.first_chunk().map_or(0, |[_, len, held]| u64::from(*len) + u64::from(*held))
    }

    fn held(&self, words: &[u16]) -> u64 {
        words[HELD].into()
    }

    #[inline]
    fn hold(&self, words: &mut [u16], amount: u64) {
        words[HELD] = u64::from(words[HELD]).saturating_add(amount).min(u16::MAX.into()) as u16;
    }

    #[inline]
    fn unhold(&self, words: &mut [u16], amount: u64) {
        words[HELD] = u64::from(words[HELD]).saturating_sub(amount) as u16;
    }

    #[inline]
    fn add(&self, words: &mut [u16], amount: u64, began: &Began) {
        let low = self.slide.unit(began.moment) as u16;
        let Some(([head, len, _], ring)) = words.split_first_chunk_mut() else { return };
        let mut left = amount.min(self.limit.into());
        while left > 0 && *len < self.limit {
            let place = (*head & !PRESSED) + *len;
            ring[usize::from(if place >= self.limit { place - self.limit } else { place })] = low;
            *len += 1;
            left -= 1;
        }
        for _ in 0..left {
            let oldest = *head & !PRESSED;
            ring[usize::from(oldest)] = low;
            *head = PRESSED | if oldest + 1 == self.limit { 0 } else { oldest + 1 };
        }
    }

    fn also_on(&self, _: &mut [u16], _: u64, _: u8) {}

    /// Those only that stand there.
    fn remove(&self, words: &mut [u16], amount: u64, began: &Began, now: u64) {
        if words[LEN] == 0 || began.moment > now || self.slide.has_left(began.moment, now) {
            return;
        }
        let low = self.slide.unit(began.moment) as u16;
        let oldest = words[self.place(words, 0)];
        let (mut kept, mut left) = (words[LEN], amount);
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

    /// More requests than were asked for come from nowhere.
    fn raise(&self, _: &mut [u16], _: u64, _: &Began, _: u64) {}

    fn shift(&self, words: &mut [u16], amount: u64, from: &Began, to: &Began) {
        self.remove(words, amount, from, to.moment);
        self.add(words, amount, to);
    }

    /// Provisional places leave no earlier than one that starts now.
    fn opens(&self, words: &[u16], wanted: u64, now: u64, at: &At) -> Opens {
        let over = self.used(words, at.day.days) + wanted - u64::from(self.limit);
        if over > u64::from(words[LEN]) {
            return Opens::Tick(self.slide.leaves(self.slide.unit(now)));
        }
        let low = words[self.place(words, over as u16 - 1)];
        Opens::Tick(self.slide.leaves(self.slide.whole(low, now)))
    }

    fn moments(&self, words: &[u16], now: u64) -> Vec<(u64, u64)> {
        let moment = |n| self.slide.last_moment(self.slide.whole(words[self.place(words, n)], now)).min(now);
        (0..words[LEN]).map(|n| (moment(n), 1)).collect()
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
