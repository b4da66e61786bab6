//! What a request does to the windows, from its grant to its end.

use super::{
    Unit,
    form::{Began, Form},
    headroom::counts,
    log,
    need::{At, Full, Need, Stamp},
    plan::{Plan, Short},
    slide,
    window::{Window, with_form},
    zone::Days,
};
use crate::time::Tick;

/// What was reserved and what it really was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correction {
    pub(crate) reserved: u64,
    pub(crate) actual: u64,
}

/// What was booked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booked {
    pub(crate) stamp: Stamp,
    /// For how many input tokens there is room now; `u64::MAX` where nothing limits them.
    pub(crate) room: u64,
}

impl Plan {
    /// Whether there is room for `need` in all windows now.
    ///
    /// # Errors
    /// The limit that opens last of those that are full, and when.
    #[inline]
    pub(crate) fn room(&self, log: &mut [u16], need: &Need, at: &At) -> Result<(), Full> {
        if self.has_room(log, need, at.day.days) { Ok(()) } else { self.room_at(log, need, at) }
    }

    /// Whether there is room, as far as that shows without letting go what has left.
    #[inline]
    pub(crate) fn has_room(&self, log: &mut [u16], need: &Need, days: Days) -> bool {
        self.turn_to(log, days);
        let (quick, others) = self.quick_and_others();
        quick.is_none_or(|quick| quick.fits(log, need, days))
            && (others.is_empty() || fits_in_all(others, log, need, days))
    }

    /// Takes room for `need`. Its place is provisional, and does not leave, until it is stamped or refunded.
    #[inline]
    pub(crate) fn reserve(&self, log: &mut [u16], need: &Need) {
        let (quick, others) = self.quick_and_others();
        if let Some(quick) = quick {
            quick.reserve(log, need);
        }
        if !others.is_empty() {
            hold_in_each(others, log, need);
        }
    }

    /// [`Plan::has_room`], [`Plan::reserve`] and [`Plan::stamp`] at once, for a request that starts as it is granted.
    /// `None` says no more than that the short way was none.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn book(&self, log: &mut [u16], need: &Need, tick: Tick, days: Days) -> Option<Booked> {
        match &self.short {
            Short::Requests(quick) if need.requests == 1 => {
                quick.book_one(log, tick, days).map(|tick| Booked { stamp: Stamp { tick, days }, room: u64::MAX })
            }
            Short::Tokens(quick) if need.requests == 1 && need.output_tokens == 0 => quick
                .book_one(log, need.input_tokens, tick, days)
                .map(|(tick, room)| Booked { stamp: Stamp { tick, days }, room }),
            _ => self.book_in_each(log, *need, tick, days),
        }
    }

    #[inline(never)]
    fn book_in_each(&self, log: &mut [u16], need: Need, tick: Tick, days: Days) -> Option<Booked> {
        self.turn_to(log, days);
        if !fits_in_all(self.windows(), log, &need, days) {
            return None;
        }
        let seen = log::seen(log);
        let moment = slide::moment(tick).max(seen);
        log::see(log, moment);
        let began = Began { moment, places: days.places() };
        for window in self.windows() {
            let (words, amount) = (&mut log[window.range()], need.of(window.limit.unit));
            with_form!(&window.form, form => {
                form.purge(words, seen, moment);
                form.add(words, amount, &began);
            });
        }
        let room =
            if self.most_input() == u64::MAX { u64::MAX } else { self.headroom(log, Unit::InputTokens, tick, days) };
        Some(Booked { stamp: Stamp { tick: slide::tick(moment), days }, room })
    }

    /// [`Plan::has_room`] and [`Plan::reserve`] at once, for a request that starts later; whether there was room.
    #[inline(never)]
    pub(crate) fn book_later(&self, log: &mut [u16], need: Need, days: Days) -> bool {
        if let Short::Requests(quick) = &self.short
            && need.requests == 1
            && quick.hold_one(log, days)
        {
            return true;
        }
        let room = self.has_room(log, &need, days);
        if room {
            self.reserve(log, &need);
        }
        room
    }

    /// The request starts: what was provisional counts from now. The lease keeps the answer.
    #[inline]
    pub(crate) fn stamp(&self, log: &mut [u16], need: &Need, at: &At) -> Stamp {
        self.start(log, need, at.tick, at.day.days)
    }

    /// The same where the day's end does not matter.
    #[inline]
    pub(crate) fn start(&self, log: &mut [u16], need: &Need, tick: Tick, days: Days) -> Stamp {
        if let Short::Requests(quick) = &self.short
            && need.requests == 1
            && let Some(tick) = quick.start_one(log, tick, days)
        {
            return Stamp { tick, days };
        }
        self.start_in_each(log, need, tick, days)
    }

    /// The long way of [`Plan::start`].
    #[inline(never)]
    pub(super) fn start_in_each(&self, log: &mut [u16], need: &Need, tick: Tick, days: Days) -> Stamp {
        self.turn_to(log, days);
        let seen = log::seen(log);
        let moment = slide::moment(tick).max(seen);
        log::see(log, moment);
        let began = Began { moment, places: days.places() };
        let (quick, others) = self.quick_and_others();
        if let Some(quick) = quick {
            quick.start(log, need, seen, &began);
        }
        if !others.is_empty() {
            start_in_each(others, log, need, seen, &began);
        }
        Stamp { tick: slide::tick(moment), days }
    }

    /// The request starts only now, and not when it was stamped before: its place moves here. Where its old place has
    /// left already it is counted anew, whatever stands there since.
    pub(crate) fn restamp(&self, log: &mut [u16], need: &Need, earlier: Stamp, at: &At) -> Stamp {
        let now = self.advance(log, at);
        let from = Began { moment: slide::moment(earlier.tick), places: 0 };
        let to = Began { moment: now, places: 0 };
        for window in self.windows() {
            let (words, amount) = (&mut log[window.range()], need.of(window.limit.unit));
            with_form!(&window.form, form => form.shift(words, amount, &from, &to));
        }
        Stamp { tick: slide::tick(now), days: self.count_days(log, need, earlier.days, at) }
    }

    /// The request ended (or is still under way) now: it also counts on the date of this moment, if that is another.
    /// `need` is what it is known to need by now.
    pub(crate) fn spans_midnight(&self, log: &mut [u16], need: &Need, stamp: Stamp, at: &At) -> Stamp {
        if stamp.days.covers(at.day.days) {
            return stamp;
        }
        self.turn_to(log, at.day.days);
        Stamp { days: self.count_days(log, need, stamp.days, at), ..stamp }
    }

    /// The request never left: what it took, provisionally (no stamp) or not, is given back.
    pub(crate) fn refund(&self, log: &mut [u16], need: &Need, stamp: Option<Stamp>, at: &At) {
        let now = self.advance(log, at);
        let began = stamp.map(|stamp| self.began(log, stamp));
        for window in self.windows() {
            let (words, amount) = (&mut log[window.range()], need.of(window.limit.unit));
            with_form!(&window.form, form => match &began {
                None => form.unhold(words, amount),
                Some(began) => form.remove(words, amount, began, now),
            });
        }
    }

    /// The answer says how much of `unit` (tokens, images) it really was. Goes on to [`Unit::Tokens`] where `unit` is
    /// one of its parts.
    pub(crate) fn correct(&self, log: &mut [u16], unit: Unit, stamp: Option<Stamp>, amounts: Correction, at: &At) {
        let Correction { reserved, actual } = amounts;
        if reserved == actual {
            return;
        }
        let now = self.advance(log, at);
        let began = stamp.map(|stamp| self.began(log, stamp));
        let (more, less) = (actual.saturating_sub(reserved), reserved.saturating_sub(actual));
        for window in self.windows().iter().filter(|window| counts(window.limit.unit, unit)) {
            let words = &mut log[window.range()];
            with_form!(&window.form, form => match &began {
                None if more > 0 => form.hold(words, more),
                None => form.unhold(words, less),
                Some(began) if more > 0 => form.raise(words, more, began, now),
                Some(began) => form.remove(words, less, began, now),
            });
        }
    }

    #[inline(never)]
    fn room_at(&self, log: &mut [u16], need: &Need, at: &At) -> Result<(), Full> {
        let now = self.advance(log, at);
        let full = self.windows().iter().filter(|window| !window.fits(log, window.room_for(need), at.day.days));
        let opens =
            full.map(|window| Full { limit: window.limit, opens: window.opens(log, window.room_for(need), now, at) });
        opens.reduce(|last, full| if full.opens.is_after(last.opens, at) { full } else { last }).map_or(Ok(()), Err)
    }

    fn began(&self, log: &[u16], stamp: Stamp) -> Began {
        Began { moment: slide::moment(stamp.tick), places: log::places(log, self.kept, stamp.days) }
    }

    /// Counts `need` on those dates of `at`, which the log stands at, on which it was not counted yet.
    fn count_days(&self, log: &mut [u16], need: &Need, counted: Days, at: &At) -> Days {
        let places = log::places(log, self.kept, at.day.days) & !log::places(log, self.kept, counted);
        if places != 0 {
            for window in self.windows() {
                let (words, amount) = (&mut log[window.range()], need.of(window.limit.unit));
                with_form!(&window.form, form => form.also_on(words, amount, places));
            }
        }
        counted.and(at.day.days)
    }
}

// Out of line, so that the short way stays short.

#[inline(never)]
fn fits_in_all(windows: &[Window], log: &[u16], need: &Need, days: Days) -> bool {
    windows.iter().all(|window| window.fits(log, window.room_for(need), days))
}

#[inline(never)]
fn hold_in_each(windows: &[Window], log: &mut [u16], need: &Need) {
    for window in windows {
        window.hold(log, need.of(window.limit.unit));
    }
}

#[inline(never)]
fn start_in_each(windows: &[Window], log: &mut [u16], need: &Need, seen: u64, began: &Began) {
    for window in windows {
        let (words, amount) = (&mut log[window.range()], need.of(window.limit.unit));
        with_form!(&window.form, form => {
            form.purge(words, seen, began.moment);
            form.unhold(words, amount);
            form.add(words, amount, began);
        });
    }
}
