//! What a request does to the windows, from its grant to its end: room, reserve, stamp, restamp, refund, correct.

use super::{
    Unit,
    headroom::counts,
    log,
    need::{At, Full, Need, Stamp},
    plan::Plan,
    slide,
    starts::Starts,
    window::Form,
    zone::Days,
};

impl Plan {
    /// Whether there is room for `need` in all windows now.
    ///
    /// # Errors
    /// The limit that opens last of those that are full, and when.
    #[inline]
    pub(crate) fn room(&self, log: &mut [u16], need: &Need, at: &At) -> Result<(), Full> {
        self.turn_to(log, at.day.days);
        // What has left already is let go only where it matters.
        if self.all_fit(log, need, at) { Ok(()) } else { self.room_at(log, need, at) }
    }

    #[inline]
    fn all_fit(&self, log: &[u16], need: &Need, at: &At) -> bool {
        self.windows().iter().all(|window| {
            let wanted = need.room_of(window.limit.unit);
            wanted == 0 || window.fits(&log[window.range()], wanted, at)
        })
    }

    #[inline(never)]
    fn room_at(&self, log: &mut [u16], need: &Need, at: &At) -> Result<(), Full> {
        let now = self.advance(log, at);
        if self.all_fit(log, need, at) { Ok(()) } else { Err(self.full(log, need, now, at)) }
    }

    /// Takes room for `need`. Its place is provisional, and does not leave, until it is stamped or refunded.
    #[inline]
    pub(crate) fn reserve(&self, log: &mut [u16], need: &Need) {
        for window in self.windows() {
            window.hold(&mut log[window.range()], need.of(window.limit.unit));
        }
    }

    /// The request starts: what was provisional counts from now. The lease keeps the answer.
    #[inline]
    pub(crate) fn stamp(&self, log: &mut [u16], need: &Need, at: &At) -> Stamp {
        let now = self.advance(log, at);
        for window in self.windows() {
            let amount = need.of(window.limit.unit);
            let words = &mut log[window.range()];
            match &window.form {
                Form::Starts(starts) => {
                    Starts::unhold(words, amount);
                    starts.push(words, amount, now);
                }
                Form::Amounts(amounts) => {
                    amounts.unhold(words, amount);
                    amounts.push(words, amount, now);
                }
                Form::Day(day) => {
                    day.unhold(words, amount);
                    day.add(words, 0, amount);
                    if at.day.days.first != at.day.days.last {
                        day.add(words, 1, amount);
                    }
                }
                Form::Closed => {}
            }
        }
        Stamp { tick: slide::tick(now), days: at.day.days }
    }

    /// The request starts only now, and not when it was stamped before: its place moves here. Where its old place has
    /// left already it is counted anew, whatever stands there since.
    pub(crate) fn restamp(&self, log: &mut [u16], need: &Need, earlier: Stamp, at: &At) -> Stamp {
        let now = self.advance(log, at);
        let then = slide::moment(earlier.tick);
        for window in self.windows() {
            let amount = need.of(window.limit.unit);
            let words = &mut log[window.range()];
            match &window.form {
                Form::Starts(starts) => {
                    starts.remove(words, amount, then, now);
                    starts.push(words, amount, now);
                }
                Form::Amounts(amounts) => {
                    amounts.remove(words, amount, then, now);
                    amounts.push(words, amount, now);
                }
                Form::Day(_) | Form::Closed => {}
            }
        }
        Stamp { tick: slide::tick(now), days: self.count_days(log, need, earlier.days, at) }
    }

    /// The request ended (or is still under way) now: it also counts on the date of this moment, if that is another.
    /// `need` is what it is known to need by now.
    pub(crate) fn spans_midnight(&self, log: &mut [u16], need: &Need, stamp: Stamp, at: &At) -> Stamp {
        if stamp.days.contains(at.day.days.first) && stamp.days.contains(at.day.days.last) {
            return stamp;
        }
        self.advance(log, at);
        Stamp { days: self.count_days(log, need, stamp.days, at), ..stamp }
    }

    /// The request never left: what it took, provisionally (no stamp) or not, is given back.
    pub(crate) fn refund(&self, log: &mut [u16], need: &Need, stamp: Option<Stamp>, at: &At) {
        let now = self.advance(log, at);
        for window in self.windows() {
            let amount = need.of(window.limit.unit);
            match stamp {
                None => window.unhold(&mut log[window.range()], amount),
                Some(stamp) => window.give_back(log, amount, stamp, now),
            }
        }
    }

    /// The answer says how much of `unit` (tokens, images) it really was. Goes on to [`Unit::Tokens`] where `unit` is
    /// one of its parts.
    pub(crate) fn correct(&self, log: &mut [u16], unit: Unit, stamp: Option<Stamp>, amounts: Correction, at: &At) {
        let now = self.advance(log, at);
        let Correction { reserved, actual } = amounts;
        for window in self.windows().iter().filter(|window| counts(window.limit.unit, unit)) {
            match stamp {
                None if actual >= reserved => window.hold(&mut log[window.range()], actual - reserved),
                None => window.unhold(&mut log[window.range()], reserved - actual),
                Some(stamp) if actual >= reserved => window.raise(log, actual - reserved, stamp, now),
                Some(stamp) => window.give_back(log, reserved - actual, stamp, now),
            }
        }
    }

    #[cold]
    fn full(&self, log: &[u16], need: &Need, now: u64, at: &At) -> Full {
        let mut last: Option<Full> = None;
        for window in self.windows() {
            let (words, wanted) = (&log[window.range()], need.room_of(window.limit.unit));
            if wanted > 0 && !window.fits(words, wanted, at) {
                let opens = window.opens(words, wanted, now, at);
                if last.is_none_or(|last| opens.is_after(last.opens, at)) {
                    last = Some(Full { limit: window.limit, opens });
                }
            }
        }
        last.expect("a window was found full just now")
    }

    /// Counts `need` on those dates of `at` on which it was not counted yet.
    fn count_days(&self, log: &mut [u16], need: &Need, counted: Days, at: &At) -> Days {
        let new = at.day.days.iter().filter(|date| !counted.contains(*date));
        for place in new.filter_map(|date| log::place_of(log, date)).collect::<Vec<_>>() {
            for window in self.windows() {
                if let Form::Day(day) = &window.form {
                    day.add(&mut log[window.range()], place, need.of(window.limit.unit));
                }
            }
        }
        counted.and(at.day.days)
    }
}

/// What was reserved and what it really was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correction {
    pub(crate) reserved: u64,
    pub(crate) actual: u64,
}
