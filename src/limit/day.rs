//! A day's window: counts by date.

use super::{log::Dates, need::Opens, words::Width, zone::DayAt};

/// For how many dates counts are kept: a clock that jumps back or forth finds them again.
pub(super) const DATES: usize = 3;

/// At most `limit` on a date. The words: what is provisional, then a count for each date of the log, in its order.
/// Provisional places count on whatever date it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    pub(super) limit: u64,
    width: Width,
}

impl Day {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, width: Width::for_limit(limit) }
    }

    pub(super) fn words(&self) -> usize {
        (1 + DATES) * self.width.words()
    }

    /// Used today, `dates` being today's; in the guard after midnight the larger of both days.
    #[inline]
    pub(super) fn used(&self, words: &[u16], at: &DayAt) -> u64 {
        let today = self.count(words, 0);
        let counted = if at.days.first == at.days.last { today } else { today.max(self.count(words, 1)) };
        counted.saturating_add(self.held(words))
    }

    #[inline]
    pub(super) fn held(&self, words: &[u16]) -> u64 {
        self.width.read(words, 0)
    }

    #[inline]
    pub(super) fn hold(&self, words: &mut [u16], amount: u64) {
        self.width.add(words, 0, amount);
    }

    #[inline]
    pub(super) fn unhold(&self, words: &mut [u16], amount: u64) {
        self.width.sub(words, 0, amount);
    }

    /// When `wanted` fits, which does not fit now: when the guard of this day ends if only the day before is full,
    /// else when that of the next does.
    pub(super) fn opens(&self, words: &[u16], wanted: u64, at: &DayAt) -> Opens {
        let today = self.count(words, 0).saturating_add(self.held(words)).saturating_add(wanted);
        Opens::Wall(if today > self.limit { at.next_ms } else { at.opens_ms })
    }

    #[inline]
    pub(super) fn count(&self, words: &[u16], place: usize) -> u64 {
        self.width.read(words, (1 + place) * self.width.words())
    }

    #[inline]
    pub(super) fn add(&self, words: &mut [u16], place: usize, amount: u64) {
        self.width.add(words, (1 + place) * self.width.words(), amount);
    }

    pub(super) fn sub(&self, words: &mut [u16], place: usize, amount: u64) {
        self.width.sub(words, (1 + place) * self.width.words(), amount);
    }

    /// Follows the log's dates to a new order.
    pub(super) fn reorder(&self, words: &mut [u16], moved: Dates) {
        let old = [0, 1, 2].map(|place| self.count(words, place));
        for (place, from) in moved.iter().enumerate() {
            self.width.write(words, (1 + place) * self.width.words(), from.map_or(0, |from| old[from]));
        }
    }
}
