//! Counts outlive a change of limits, and owners who turn out to be one share theirs.

use super::{
    Span, Unit,
    log::{self, HEAD},
    need::{At, Need},
    plan::{Form, Plan, Window},
    starts::Starts,
};

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
        let now = old.advance(&mut old_log, at).max(super::slide::moment(at.tick));
        log::see(new_log, now);
        if old.words() > 0 {
            new_log[..HEAD].copy_from_slice(&old_log[..HEAD]);
        }
        new.advance(new_log, at);
        for window in new.windows() {
            let unit = window.limit.unit;
            let source = old
                .windows()
                .iter()
                .filter(|source| source.limit.unit == unit && !matches!(source.form, Form::Closed))
                .min_by_key(|source| source.fitness(window.limit.span));
            match source {
                Some(source) => source.carry(&old_log, window, new_log, now, at),
                None => window.hold(&mut new_log[window.range()], held.of(unit)),
            }
        }
    }

    /// Adds what `from` counts to `into`: two owners turned out to be one, with one quota. Both logs are of this plan.
    pub(crate) fn merge(&self, from: &[u16], into: &mut [u16], at: &At) {
        if self.words() == 0 {
            return;
        }
        let mut from = from.to_vec();
        let now = self.advance(&mut from, at).max(self.advance(into, at));
        let at = At { tick: super::slide::tick(now), day: at.day };
        self.advance(&mut from, &at);
        self.advance(into, &at);
        for window in self.windows() {
            let mut moments = window.moments(&from, now);
            moments.extend(window.moments(into, now));
            moments.sort_unstable();
            let held = window.held(&from[window.range()]) + window.held(&into[window.range()]);
            let dates = window.dates(&from);
            if !matches!(window.form, Form::Day(_)) {
                into[window.range()].fill(0);
            }
            window.lay(&moments, &mut into[window.range()], now);
            window.add_dates(&dates, into);
            window.unhold(&mut into[window.range()], u64::MAX);
            window.hold(&mut into[window.range()], held);
        }
    }
}

impl Window {
    /// How little it tells about a window of `span`: zero is the same.
    fn fitness(&self, span: Span) -> (u8, u128) {
        match (self.limit.span, span) {
            (Span::Day, Span::Day) => (0, 0),
            (Span::Sliding(own), Span::Sliding(span)) if own >= span => (0, (own - span).as_nanos()),
            (Span::Sliding(own), Span::Sliding(span)) => (1, (span - own).as_nanos()),
            // The longest tells most of a day.
            (Span::Sliding(own), Span::Day) => (2, u128::MAX - own.as_nanos()),
            (Span::Day, Span::Sliding(_)) => (2, 0),
        }
    }

    /// Lays own counts into another plan's window of the same unit.
    fn carry(&self, old_log: &[u16], window: &Self, new_log: &mut [u16], now: u64, at: &At) {
        let days = at.day.days;
        match (&self.form, &window.form) {
            (Form::Day(_), Form::Day(_)) => window.add_dates(&self.dates(old_log), new_log),
            (Form::Day(_), _) => {
                let used: u64 = self.dates(old_log).iter().filter(|(date, _)| days.contains(*date)).map(|d| d.1).sum();
                window.lay(&[(now, used)], &mut new_log[window.range()], now);
            }
            (_, Form::Day(_)) => {
                let used = self.moments(old_log, now).iter().map(|moment| moment.1).sum();
                window.add_dates(&days.iter().map(|date| (date, used)).collect::<Vec<_>>(), new_log);
            }
            _ => {
                window.lay(&self.moments(old_log, now), &mut new_log[window.range()], now);
            }
        }
        window.hold(&mut new_log[window.range()], self.held(&old_log[self.range()]));
    }

    /// The moments of a sliding window and how much started there at the latest, oldest first.
    fn moments(&self, log: &[u16], now: u64) -> Vec<(u64, u64)> {
        let words = &log[self.range()];
        match &self.form {
            Form::Starts(starts) => starts.moments(words, now).map(|moment| (moment, 1)).collect(),
            Form::Amounts(amounts) => amounts.moments(words, now).collect(),
            Form::Day(_) | Form::Closed => Vec::new(),
        }
    }

    /// Counts what has not left this window yet.
    fn lay(&self, moments: &[(u64, u64)], words: &mut [u16], now: u64) {
        for (moment, amount) in moments {
            match &self.form {
                Form::Starts(starts) if !starts.slide.has_left(*moment, now) => starts.push(words, *amount, *moment),
                Form::Amounts(amounts) if !amounts.slide.has_left(*moment, now) => {
                    amounts.push(words, *amount, *moment);
                }
                _ => {}
            }
        }
    }

    /// The counts of a day's window.
    fn dates(&self, log: &[u16]) -> Vec<(u16, u64)> {
        let Form::Day(day) = &self.form else { return Vec::new() };
        let counts = log::dates(log).into_iter().enumerate();
        counts
            .map(|(place, date)| (date, day.count(&log[self.range()], place)))
            .filter(|(date, _)| *date != 0)
            .collect()
    }

    fn add_dates(&self, dates: &[(u16, u64)], log: &mut [u16]) {
        let Form::Day(day) = &self.form else { return };
        for (date, count) in dates {
            if let Some(place) = log::place_for(log, *date) {
                day.add(&mut log[self.range()], place, *count);
            }
        }
    }

    fn held(&self, words: &[u16]) -> u64 {
        match &self.form {
            Form::Starts(_) => Starts::held(words),
            Form::Amounts(amounts) => amounts.held(words),
            Form::Day(day) => day.held(words),
            Form::Closed => 0,
        }
    }
}
