//! Which dates the wall clock was on of late, and which of them logs have places for.
//!
//! A log keeps the counts of the dates that it was on last. One is forgotten only when its day is over wherever it was,
//! whatever the wall clock says: a day has 25 hours at the most, so what was started on a date counts nowhere 26 hours
//! after the clock left it. A clock that walks leaves a date at its end, whenever somebody looks next, and is on three
//! dates within them. One that jumps may be on any number: where logs have no place for another, it shares the count of
//! the one before it until it is over, too.

use std::time::Duration;

use super::{log::Dates, zone::Days};
use crate::time::Tick;

/// So long after the clock has left a date nothing counts that was started on it.
const OVER: Duration = Duration::from_secs(26 * 3600);

/// A clock that was set by no more walked all the same: `OVER` is an hour more than a day has.
const STEP_MS: u64 = 600_000;

/// No day is shorter.
const SHORTEST: Duration = Duration::from_secs(23 * 3600);

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

/// A look at the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) days: Days,
    pub(super) tick: Tick,
    /// How far the wall clock is ahead of `tick`.
    pub(super) ahead_ms: i64,
    /// When it shows the later of `days` alone, and when no longer.
    pub(super) opens_ms: i64,
    pub(super) next_ms: i64,
}

impl Look {
    /// When the clock is on one of its dates no longer, if it walks.
    fn leaves(&self, date: u16) -> Tick {
        let is_first = date == self.days.first && self.days.first != self.days.last;
        let end_ms = if is_first { self.opens_ms } else { self.next_ms };
        let end_ms = u64::try_from(end_ms.saturating_sub(self.ahead_ms)).unwrap_or(0);
        Tick::from_nanos(end_ms.saturating_mul(1_000_000))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Visits {
    kept: Dates,
    /// The first look at what the clock shows, and the dates that this counts on.
    shown: Look,
    counted: Days,
    dates: Vec<Visit>,
}

impl Default for Visits {
    fn default() -> Self {
        let shown = Look { days: Days::default(), tick: Tick::ZERO, ahead_ms: 0, opens_ms: 0, next_ms: 0 };
        Self { kept: Dates::Few, shown, counted: Days::default(), dates: Vec::new() }
    }
}

impl Visits {
    /// The dates that count while the clock shows `days`; `None`: it has to [`Visits::go`] there.
    #[inline]
    pub(super) fn at(&self, days: Days) -> Option<Days> {
        (days == self.shown.days).then_some(self.counted)
    }

    /// Whether some date shares another's count, or one would that the clock walks on to: the next, in `until`, or the
    /// one after it. When a third begins, all that it was on by now is over.
    pub(super) fn are_crowded(&self, tick: Tick, until: Duration) -> bool {
        let shown = self.shown.days;
        let left = |visit: &Visit| if shown.contains(visit.date) { Duration::ZERO } else { tick.since(visit.left) };
        let are_too_many = |walked: u16, until: Duration| {
            let ahead = shown.last..=shown.last.saturating_add(walked);
            let others = self.dates.iter().filter(|visit| !ahead.contains(&visit.date) && left(visit) + until < OVER);
            others.count() + 1 + usize::from(walked) > self.kept.places()
        };
        self.dates.iter().any(|visit| !visit.is_own()) || are_too_many(1, until) || are_too_many(2, until + SHORTEST)
    }

    /// Logs keep so many dates from now on, no fewer than before.
    pub(super) fn keep(&mut self, kept: Dates) {
        self.kept = kept;
        self.leave(Tick::NEVER, true);
        self.dates.retain(Visit::is_own);
        self.shown.days = Days::default();
    }

    /// The clock was set, and shows what it showed.
    pub(super) fn stay(&mut self, ahead_ms: i64) {
        self.shown.ahead_ms = ahead_ms;
    }

    /// The clock is on other dates, which begin to count.
    #[cold]
    pub(super) fn go(&mut self, look: Look) -> Days {
        let walked = look.ahead_ms.abs_diff(self.shown.ahead_ms) <= STEP_MS;
        self.shown.ahead_ms = look.ahead_ms;
        self.leave(look.tick, walked);
        self.dates.retain(|visit| look.tick.since(visit.left) < OVER);
        self.shown = look;
        let days = look.days;
        let last = self.enter(days.last, look.tick);
        let first = self.enter(days.first, look.tick);
        // What a guard after midnight adds is left out where it would count elsewhere.
        self.counted = if first == days.first && last == days.last { days } else { Days { first: last, last } };
        self.counted
    }

    /// The dates shown are left at `tick`, or were before when they ended.
    fn leave(&mut self, tick: Tick, walked: bool) {
        let (shown, counted) = (self.shown, self.counted);
        for visit in &mut self.dates {
            if shown.days.contains(visit.date) || counted.contains(visit.date) {
                let left = if walked { shown.leaves(visit.date).min(tick) } else { tick };
                visit.left = visit.left.max(left);
            }
        }
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
