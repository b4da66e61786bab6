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

/// How many were pressed out where so many were that nobody counted them: more than any limit allows.
pub(super) const UNCOUNTED: u64 = 1 << 40;

/// At most `limit` starts in any span. Each start is the low 16 bits of its unit, oldest first.
///
/// More than the limit may be pressed in (a probe, a limit that was lowered): the newest `limit` starts alone decide when
/// there is room. Those pressed out are counted beside them, since the limit may rise again: they leave no later than the
/// oldest that is kept.
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
        let place = words[HEAD] + n;
        RING + usize::from(if place >= self.limit { place - self.limit } else { place })
    }

    /// How many stand in the ring, and how many were pressed out of it.
    #[inline]
    fn kept_and_pressed(&self, words: &[u16]) -> (u16, u16) {
        let kept = words[LEN].min(self.limit);
        (kept, words[LEN] - kept)
    }
}

impl Starts {
    /// Where one more fits beside all that is here, lets go what has left since `seen` and counts one now; whether it
    /// did.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn book_one(&self, words: &mut [u16], seen: u64, now: u64) -> bool {
        let Some(([head, len, held], ring)) = words.split_first_chunk_mut() else { return false };
        if u32::from(*len) + u32::from(*held) >= u32::from(self.limit) {
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

    /// Keeps a provisional place where one more fits beside all that is here; whether it did.
    #[inline]
    pub(super) fn hold_one(&self, words: &mut [u16]) -> bool {
        let Some([_, len, held]) = words.first_chunk_mut() else { return false };
        let fits = u32::from(*len) + u32::from(*held) < u32::from(self.limit);
        *held += u16::from(fits);
        fits
    }

    /// Lets go what has left since `seen` and counts now one that was provisional; whether it did.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn start_one(&self, words: &mut [u16], seen: u64, now: u64) -> bool {
        // Its place is one of the ring's once it is no more provisional.
        let Some(held) = words.get_mut(HELD).filter(|held| **held > 0) else { return false };
        *held -= 1;
        let started = self.book_one(words, seen, now);
        if !started {
            words[HELD] += 1;
        }
        started
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
        let kept = usize::from(*len).min(limit);
        let (mut oldest, mut count) = (usize::from(*head), kept);
        while count > 0
            && let Some(start) = ring.get(oldest)
            && (from as u16).wrapping_sub(*start) >= age
        {
            count -= 1;
            oldest = if oldest + 1 < limit { oldest + 1 } else { 0 };
        }
        // Those pressed out were gone before the first of these.
        if count < kept {
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
        let all = u64::from(*len).saturating_add(amount).min(u16::MAX.into()) as u16;
        let mut left = amount.min(self.limit.into());
        while left > 0 && *len < self.limit {
            let place = *head + *len;
            ring[usize::from(if place >= self.limit { place - self.limit } else { place })] = low;
            *len += 1;
            left -= 1;
        }
        for _ in 0..left {
            ring[usize::from(*head)] = low;
            *head = if *head + 1 == self.limit { 0 } else { *head + 1 };
        }
        *len = all;
    }

    fn also_on(&self, _: &mut [u16], _: u64, _: u16) {}

    /// Those only that stand there.
    fn remove(&self, words: &mut [u16], amount: u64, began: &Began, now: u64) {
        if words[LEN] == 0 || began.moment > now || self.slide.has_left(began.moment, now) {
            return;
        }
        let low = self.slide.unit(began.moment) as u16;
        let oldest = words[self.place(words, 0)];
        let (kept, pressed) = self.kept_and_pressed(words);
        let (mut gone, mut left) = (kept, amount);
        for n in (0..kept).rev() {
            let start = words[self.place(words, n)];
            if start == low && left > 0 {
                left -= 1;
            } else {
                gone -= 1;
                let to = self.place(words, gone);
                words[to] = start;
            }
        }
        // Those pressed out come back in their place, none later than the oldest.
        let back = gone.min(pressed);
        for n in gone - back..gone {
            let to = self.place(words, n);
            words[to] = oldest;
        }
        words[HEAD] = (self.place(words, gone - back) - RING) as u16;
        words[LEN] -= gone;
    }

    /// More requests than were asked for come from nowhere.
    fn raise(&self, _: &mut [u16], _: u64, _: &Began, _: u64) {}

    fn shift(&self, words: &mut [u16], amount: u64, from: &Began, to: &Began) {
        self.remove(words, amount, from, to.moment);
        self.add(words, amount, to);
    }

    /// Provisional places leave no earlier than one that starts now.
    fn opens(&self, words: &[u16], wanted: u64, now: u64, _: &At) -> Opens {
        let (kept, _) = self.kept_and_pressed(words);
        let over = u64::from(kept) + self.held(words) + wanted - u64::from(self.limit);
        if over > u64::from(kept) {
            return Opens::Tick(self.slide.leaves(self.slide.unit(now)));
        }
        let low = words[self.place(words, over as u16 - 1)];
        Opens::Tick(self.slide.leaves(self.slide.whole(low, now)))
    }

    fn moments(&self, words: &[u16], now: u64) -> Vec<(u64, u64)> {
        let (kept, pressed) = self.kept_and_pressed(words);
        let pressed = if words[LEN] == u16::MAX { UNCOUNTED } else { pressed.into() };
        let moment = |n| self.slide.last_moment(self.slide.whole(words[self.place(words, n)], now)).min(now);
        (0..kept).map(|n| (moment(n), if n == 0 { 1 + pressed } else { 1 })).collect()
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
