//! The short way through requests a minute, requests a day and prompt tokens a minute: what most models are limited by.
//!
//! The same as [`Quick`](super::quick::Quick) with a third window; it stands for whole plans alone.

use super::{
    Unit,
    amounts::Amounts,
    day::Day,
    form::{Began, Form},
    log::{self, HEAD},
    slide,
    starts::Starts,
    window::{AnyForm, Window},
    words::{One, Two},
    zone::Days,
};
use crate::time::Tick;

/// The three windows; they follow the log's head in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuickTokens {
    starts: Starts,
    day: AnyDay,
    tokens: Amounts<Two>,
    /// Where the day begins behind the head, and where the tokens do behind the day's beginning.
    split: (usize, usize),
}

#[derive(Clone, Copy, Debug)]
enum AnyDay {
    Short(Day<One>),
    Long(Day<Two>),
}

impl QuickTokens {
    pub(super) fn of(windows: &[Window]) -> Option<Self> {
        let [Window { form: AnyForm::Starts(starts), .. }, day, tokens] = windows else { return None };
        let (days, split) = match day.form {
            AnyForm::ShortDay(day) => (AnyDay::Short(day), day.words()),
            AnyForm::Day(day) => (AnyDay::Long(day), day.words()),
            _ => return None,
        };
        let AnyForm::Amounts(amounts) = tokens.form else { return None };
        let fits = day.limit.unit == Unit::Requests && tokens.limit.unit == Unit::InputTokens;
        fits.then(|| Self { starts: *starts, day: days, tokens: amounts, split: (starts.words(), split) })
    }

    /// Books one request of so many tokens, where it fits: from when it counts, and for how many tokens there is room
    /// then. Nothing is done, too, on the day that the log sees first, and while two days count.
    #[inline(never)]
    pub(super) fn book_one(&self, log: &mut [u16], amount: u64, tick: Tick, days: Days) -> Option<(Tick, u64)> {
        let (head, windows) = log.split_first_chunk_mut::<HEAD>()?;
        if !log::stands_at_one(head, days) {
            return None;
        }
        let (starts, windows) = windows.split_at_mut_checked(self.split.0)?;
        let (day, tokens) = windows.split_at_mut_checked(self.split.1)?;
        let used = self.tokens.used(tokens, days).saturating_add(amount.max(1));
        if used > self.tokens.limit() {
            return None;
        }
        let day_has_room = match &self.day {
            AnyDay::Short(form) => form.used(day, days) < form.limit(),
            AnyDay::Long(form) => form.used(day, days) < form.limit(),
        };
        let seen = log::seen(head);
        let moment = slide::moment(tick).max(seen);
        if !day_has_room || !self.starts.book_one(starts, seen, moment) {
            return None;
        }
        let began = Began { moment, places: days.places() };
        match &self.day {
            AnyDay::Short(form) => form.add(day, 1, &began),
            AnyDay::Long(form) => form.add(day, 1, &began),
        }
        self.tokens.purge(tokens, seen, moment);
        self.tokens.add(tokens, amount, &began);
        log::see(head, moment);
        let room = self.tokens.limit().saturating_sub(self.tokens.used(tokens, days));
        Some((slide::tick(moment), room))
    }
}
