//! A day's window: counts by date.

use std::marker::PhantomData;

use super::{
    form::{Began, Form},
    log::Dates,
    need::{At, Opens},
    words::{One, Width},
    zone::Days,
};

/// At most `limit` on a date. The words: what is provisional, then a count for each date of the log, in its order.
/// Provisional places count on whatever date it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day<W> {
    limit: u64,
    kept: Dates,
    width: PhantomData<W>,
}

impl<W: Width> Day<W> {
    pub(super) fn new(limit: u64, kept: Dates) -> Self {
        Self { limit, kept, width: PhantomData }
    }

    /// Follows the log's dates to a new order: for each place the old one, or none.
    pub(super) fn reorder(&self, words: &mut [u16], moved: &[Option<usize>]) {
        let old = words.to_vec();
        for (place, from) in moved.iter().enumerate().take(self.kept.places()) {
            W::write(words, Self::at(place), from.map_or(0, |from| W::read(&old, Self::at(from))));
        }
    }

    #[inline]
    fn at(place: usize) -> usize {
        (1 + place) * W::WORDS
    }

    /// Each place that `places` names.
    #[inline]
    fn each(mut places: u16) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            let place = places.trailing_zeros() as usize;
            places &= places.checked_sub(1)?;
            Some(place)
        })
    }
}

impl Day<One> {
    /// The count on the date that stands first, where there is room for one more.
    #[inline]
    pub(super) fn room_today(self, words: &mut [u16]) -> Option<&mut u16> {
        let [held, today, ..] = words.first_chunk_mut::<2>()?;
        (u64::from(*held) + u64::from(*today) < self.limit).then_some(today)
    }

    /// What is provisional, where anything is, and the count on the date that stands first, within the limit.
    #[inline]
    pub(super) fn held_and_today(self, words: &mut [u16]) -> Option<(&mut u16, &mut u16)> {
        let [held, today, ..] = words.first_chunk_mut::<2>()?;
        (*held > 0 && u64::from(*today) < self.limit).then_some((held, today))
    }
}

impl<W: Width> Form for Day<W> {
    fn words(&self) -> usize {
        Self::at(self.kept.places())
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.limit
    }

    #[inline]
    fn purge(&self, _: &mut [u16], _: u64, _: u64) {}

    /// Today's, in the guard after midnight the larger of both days.
    #[inline]
    fn used(&self, words: &[u16], days: Days) -> u64 {
        let today = W::read(words, Self::at(0));
        let counted = if days.first == days.last { today } else { today.max(W::read(words, Self::at(1))) };
        counted.saturating_add(W::read(words, 0))
    }

    fn held(&self, words: &[u16]) -> u64 {
        W::read(words, 0)
    }

    #[inline]
    fn hold(&self, words: &mut [u16], amount: u64) {
        W::add(words, 0, amount);
    }

    #[inline]
    fn unhold(&self, words: &mut [u16], amount: u64) {
        W::sub(words, 0, amount);
    }

    #[inline]
    fn add(&self, words: &mut [u16], amount: u64, began: &Began) {
        if began.places == 1 {
            W::add(words, Self::at(0), amount);
        } else {
            self.also_on(words, amount, began.places);
        }
    }

    fn also_on(&self, words: &mut [u16], amount: u64, places: u16) {
        for place in Self::each(places) {
            W::add(words, Self::at(place), amount);
        }
    }

    fn remove(&self, words: &mut [u16], amount: u64, began: &Began, _: u64) {
        for place in Self::each(began.places) {
            W::sub(words, Self::at(place), amount);
        }
    }

    fn raise(&self, words: &mut [u16], amount: u64, began: &Began, _: u64) {
        self.also_on(words, amount, began.places);
    }

    fn shift(&self, _: &mut [u16], _: u64, _: &Began, _: &Began) {}

    /// When the guard of this day ends if only the day before is full, else when that of the next does.
    fn opens(&self, words: &[u16], wanted: u64, _: u64, at: &At) -> Opens {
        let today = W::read(words, Self::at(0)).saturating_add(W::read(words, 0)).saturating_add(wanted);
        Opens::Wall(if today > self.limit { at.day.next_ms } else { at.day.opens_ms })
    }

    fn moments(&self, _: &[u16], _: u64) -> Vec<(u64, u64)> {
        Vec::new()
    }

    fn counts_at(&self, _: u64, _: u64) -> bool {
        false
    }

    fn lay(&self, _: &mut [u16], _: &[(u64, u64)], _: u64) {}

    /// Where it was more than could be written (a limit was lowered far), more than any limit allows.
    fn on_date(&self, words: &[u16], place: usize) -> u64 {
        let count = W::read(words, Self::at(place));
        if count == W::MOST { count.max(1 << 40) } else { count }
    }
}
