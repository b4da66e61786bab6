//! Which dates the wall clock was on of late, and which of them logs have places for.
//!
//! A log keeps the counts of the dates that it was on last. One is forgotten only when its day is over wherever it was,
//! whatever the wall clock says: a day has 25 hours at the most, so what was started on a date counts nowhere 26 hours
//! after the clock left it. A clock that walks is on three dates within them. One that jumps may be on any number: where
//! logs have no place for another, it shares the count of the one before it until it is over, too.

use std::time::Duration;

use super::{log::Dates, zone::Days};
use crate::time::Tick;

/// So long after the clock has left a date nothing counts that was started on it.
const OVER: Duration = Duration::from_secs(26 * 3600);

#[derive(Clone, Copy, Debug)]
struct Visit {
    date: u16,
    /// Itself, or the date whose count it shares.
    counts_on: u16,
    left: Tick,
}

impl Visit {
    fn is_own(&self) -> bool {
        self.date == self.counts_on
    }
}

#[derive(Clone, Debug)]
pub(super) struct Visits {
    kept: Dates,
    /// What the clock shows, and the dates that this counts on.
    shown: Days,
    counted: Days,
    dates: Vec<Visit>,
}

impl Default for Visits {
    fn default() -> Self {
        Self { kept: Dates::Few, shown: Days::default(), counted: Days::default(), dates: Vec::new() }
    }
}

impl Visits {
    /// The dates that count while the clock shows `days`.
    #[inline]
    pub(super) fn see(&mut self, days: Days, tick: Tick) -> Days {
        if days != self.shown {
            self.go(days, tick);
        }
        self.counted
    }

    /// Whether some date shares another's count, or the next would when the clock walks on to it in `until`.
    pub(super) fn are_crowded(&self, tick: Tick, until: Duration) -> bool {
        let next = self.shown.last.saturating_add(1);
        let counts = |visit: &&Visit| self.shown.contains(visit.date) || tick.since(visit.left) + until < OVER;
        self.dates.iter().any(|visit| !visit.is_own())
            || self.dates.iter().all(|visit| visit.date != next)
                && self.dates.iter().filter(counts).count() >= self.kept.places()
    }

    /// Logs keep so many dates from now on, no fewer than before.
    pub(super) fn keep(&mut self, kept: Dates) {
        self.kept = kept;
        self.dates.retain(Visit::is_own);
        self.shown = Days::default();
    }

    #[cold]
    fn go(&mut self, days: Days, tick: Tick) {
        let (shown, counted) = (self.shown, self.counted);
        for visit in &mut self.dates {
            if shown.contains(visit.date) || counted.contains(visit.date) {
                visit.left = tick;
            }
        }
        self.dates.retain(|visit| tick.since(visit.left) < OVER);
        self.shown = days;
        let last = self.enter(days.last, tick);
        let first = self.enter(days.first, tick);
        // What a guard after midnight adds is left out where it would count elsewhere.
        self.counted = if first == days.first && last == days.last { days } else { Days { first: last, last } };
    }

    /// Which date counts on this one.
    fn enter(&mut self, date: u16, tick: Tick) -> u16 {
        if let Some(known) = self.dates.iter().find(|visit| visit.date == date) {
            return known.counts_on;
        }
        let own = self.dates.iter().filter(|visit| visit.is_own()).count();
        let counts_on = if own < self.kept.places() { date } else { self.counted.last };
        self.dates.push(Visit { date, counts_on, left: tick });
        counts_on
    }
}
