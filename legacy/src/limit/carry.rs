//! Counts outlive a change of limits, and owners who turn out to be one share theirs.

use std::time::Duration;

use super::{
    Limit, Span, Unit,
    form::Form,
    log::{self, HEAD},
    need::{At, Need},
    plan::Plan,
    slide,
    window::{Window, with_form},
    zone::Days,
};
use crate::time::Tick;

/// Into how many pieces what was not seen is cut.
const PIECES: u64 = 64;

impl Plan {
    /// Carries what `old_log` counts into `new_log` (which it clears first). A new window takes its counts from the
    /// old one of the same unit that tells most: its own span, else the next longer, else a shorter one, else the
    /// other kind. Where the times are not known (a day's count for a minute) all of it counts from now.
    ///
    /// `held` is what leases of this owner and lane hold provisionally, for units that no old window counted.
    pub(crate) fn migrate(old: &Self, old_log: &[u16], new: &Self, new_log: &mut [u16], held: &Need, at: &At) {
        new_log.fill(0);
        if new.words() == 0 {
            return;
        }
        let mut old_log = old_log.to_vec();
        let now = old.advance(&mut old_log, at).max(slide::moment(at.tick));
        log::see(new_log, now);
        if old.words() > 0 {
            new_log[..HEAD].copy_from_slice(&old_log[..HEAD]);
            for date in log::dates(&old_log, old.kept).filter(|date| *date != 0) {
                log::place_for(new_log, new.kept, date);
            }
        }
        new.advance(new_log, at);
        for window in new.windows() {
            let unit = window.limit.unit;
            let source = old
                .windows()
                .iter()
                .filter(|source| source.limit.unit == unit)
                .min_by_key(|source| distance(source.limit.span, window.limit.span));
            match source {
                Some(source) => source.carry(&old_log, window, new_log, now, at),
                None => window.hold(new_log, held.of(unit)),
            }
        }
    }

    /// What is under way counts from now on in windows of units that `old` counted in none.
    pub(crate) fn count_under_way(&self, old: &Self, log: &mut [u16], need: &Need, at: &At) {
        let counted = |unit| old.windows().iter().any(|held| held.limit.unit == unit);
        let now = self.advance(log, at);
        for window in self.windows().iter().filter(|window| !counted(window.limit.unit)) {
            let amount = need.of(window.limit.unit);
            if window.is_day() {
                let Days { first, last } = at.day.days;
                let dates = [(first, amount), (last, amount)];
                window.add_dates(&dates[usize::from(first == last)..], log);
            } else {
                window.lay(&[(now, amount)], log, now);
            }
        }
    }

    /// The sliding window of `limit` was full when an answer said so, `last` ago. What is missing began as `began` says, as far
    /// as that goes, and the rest of it evenly before, the first of it `first` ago: the provider, which may count in another way,
    /// is believed as to when that leaves. What would have begun before the clock did is left out.
    pub(crate) fn fill_up(
        &self,
        log: &mut [u16],
        limit: Limit,
        [first, last]: [Duration; 2],
        began: &[(Tick, u32)],
        at: &At,
    ) {
        let now = self.advance(log, at);
        let [first, last] = [first, last].map(|ago| slide::moment(Tick::ZERO.plus(ago)));
        let long = first.saturating_sub(last);
        let mut began: Vec<(u64, u64)> =
            began.iter().map(|(began, amount)| (slide::moment(*began).min(now), u64::from(*amount))).collect();
        began.sort_unstable();
        for window in self.windows().iter().filter(|window| window.limit == limit && !window.is_day()) {
            let mut missing = window.most().saturating_sub(window.used(log, at.day.days));
            let mut more: Vec<(u64, u64)> = Vec::new();
            // The latest: what came before them has left, or the window would hold more.
            for (moment, amount) in began.iter().rev() {
                let amount = missing.min(*amount);
                missing -= amount;
                more.push((*moment, amount));
            }
            let pieces = missing.min(PIECES);
            more.extend((0..pieces).filter_map(|n| {
                // In so many even pieces, however much it is.
                let amount = missing / pieces + u64::from(n < missing % pieces);
                Some((now.checked_sub(last + long * (pieces - n) / pieces)?, amount))
            }));
            more.retain(|(_, amount)| *amount > 0);
            more.sort_unstable();
            if let Some((moment, amount)) = more.first_mut()
                && *moment > now.saturating_sub(first)
            {
                *amount -= 1;
                more.push((now.saturating_sub(first), 1));
            }
            let mut moments = window.moments(log, now);
            moments.extend(more.into_iter().filter(|(_, amount)| *amount > 0));
            moments.sort_unstable();
            let held = window.held(log);
            log[window.range()].fill(0);
            window.lay(&moments, log, now);
            window.hold(log, held);
        }
    }

    /// Counts what began then, in any order, in the sliding windows of requests.
    pub(crate) fn count_starts(&self, log: &mut [u16], began: &[(Tick, u32)], at: &At) {
        let now = self.advance(log, at);
        let sliding = |window: &&Window| window.limit.unit == Unit::Requests && !window.is_day();
        for window in self.windows().iter().filter(sliding) {
            let mut moments = window.moments(log, now);
            moments.extend(began.iter().map(|(began, amount)| (slide::moment(*began).min(now), u64::from(*amount))));
            moments.sort_unstable();
            let held = window.held(log);
            log[window.range()].fill(0);
            window.lay(&moments, log, now);
            window.hold(log, held);
        }
    }

    /// Adds what `from` counts to `into`: two owners turned out to be one, with one quota. Both logs are of this plan.
    pub(crate) fn merge(&self, from: &[u16], into: &mut [u16], at: &At) {
        self.sum(from, into, at, true);
    }

    /// The same, but for what `from` holds provisionally: whoever holds it goes on to do so there.
    pub(crate) fn add(&self, from: &[u16], into: &mut [u16], at: &At) {
        self.sum(from, into, at, false);
    }

    fn sum(&self, from: &[u16], into: &mut [u16], at: &At, holds: bool) {
        if self.words() == 0 {
            return;
        }
        let mut from = from.to_vec();
        let now = self.advance(&mut from, at).max(self.advance(into, at));
        let at = At { tick: slide::tick(now), day: at.day };
        self.advance(&mut from, &at);
        self.advance(into, &at);
        for window in self.windows() {
            let mut moments = window.moments(&from, now);
            moments.extend(window.moments(into, now));
            moments.sort_unstable();
            let held = window.held(into) + if holds { window.held(&from) } else { 0 };
            if window.is_day() {
                window.add_dates(&window.dates(&from), into);
            } else {
                into[window.range()].fill(0);
                window.lay(&moments, into, now);
            }
            window.unhold(into, u64::MAX);
            window.hold(into, held);
        }
    }
}

impl Plan {
    /// Begins a log with what one of the same limits counts whose plan keeps fewer dates.
    pub(crate) fn widen(&self, old: &Self, old_log: &[u16], log: &mut [u16]) {
        if self.words() == 0 {
            return;
        }
        log[..HEAD].copy_from_slice(&old_log[..HEAD]);
        // What a day's window has more stands behind what it had.
        for (window, old) in self.windows().iter().zip(old.windows()) {
            log[window.range()][..old.range().len()].copy_from_slice(&old_log[old.range()]);
        }
    }
}

impl Window {
    /// Lays own counts into another plan's window of the same unit.
    fn carry(&self, old_log: &[u16], window: &Self, new_log: &mut [u16], now: u64, at: &At) {
        let days = at.day.days;
        match (self.is_day(), window.is_day()) {
            (true, true) => window.add_dates(&self.dates(old_log), new_log),
            (true, false) => {
                let used = self.dates(old_log).iter().filter(|(date, _)| days.contains(*date)).map(|date| date.1).sum();
                window.lay(&[(now, used)], new_log, now);
            }
            (false, true) => {
                let used = self.moments(old_log, now).iter().map(|moment| moment.1).sum();
                window.add_dates(&[(days.first, used)], new_log);
                if days.first != days.last {
                    window.add_dates(&[(days.last, used)], new_log);
                }
            }
            (false, false) => window.lay(&self.moments(old_log, now), new_log, now),
        }
        window.hold(new_log, self.held(old_log));
    }

    /// The moments of a sliding window and how much began there at the latest, oldest first.
    pub(super) fn moments(&self, log: &[u16], now: u64) -> Vec<(u64, u64)> {
        with_form!(&self.form, form => form.moments(&log[self.range()], now))
    }

    pub(super) fn lay(&self, moments: &[(u64, u64)], log: &mut [u16], now: u64) {
        with_form!(&self.form, form => form.lay(&mut log[self.range()], moments, now));
    }

    pub(super) fn held(&self, log: &[u16]) -> u64 {
        with_form!(&self.form, form => form.held(&log[self.range()]))
    }

    /// The counts of a day's window.
    pub(super) fn dates(&self, log: &[u16]) -> Vec<(u16, u64)> {
        let count = |place| with_form!(&self.form, form => form.on_date(&log[self.range()], place));
        let dates = log::dates(log, self.kept).enumerate();
        dates.filter(|(_, date)| *date != 0).map(|(place, date)| (date, count(place))).collect()
    }

    pub(super) fn add_dates(&self, dates: &[(u16, u64)], log: &mut [u16]) {
        for (date, count) in dates {
            if let Some(place) = log::place_for(log, self.kept, *date) {
                with_form!(&self.form, form => form.also_on(&mut log[self.range()], *count, 1 << place));
            }
        }
    }
}

/// Puts those of `days` first, then the latest: there is room for few.
pub(super) fn sort_dates(dates: &mut [(u16, u64)], days: Days) {
    dates.sort_unstable_by_key(|(date, _)| std::cmp::Reverse((days.contains(*date), *date)));
}

/// How little a window of `own` tells about one of `span`: zero is the same.
pub(super) fn distance(own: Span, span: Span) -> (u8, u128) {
    match (own, span) {
        (Span::Day, Span::Day) => (0, 0),
        (Span::Sliding(own), Span::Sliding(span)) if own >= span => (0, own.abs_diff(span).as_nanos()),
        (Span::Sliding(own), Span::Sliding(span)) => (1, own.abs_diff(span).as_nanos()),
        // The longest tells most of a day.
        (Span::Sliding(own), Span::Day) => (2, u128::MAX - own.as_nanos()),
        (Span::Day, Span::Sliding(_)) => (2, 0),
    }
}
