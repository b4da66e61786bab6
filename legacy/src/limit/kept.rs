//! What a log counts, in a form that can be kept elsewhere and outlives the process.

use std::time::Duration;

use super::{
    Limit, Limits, Span,
    carry::sort_dates,
    need::{At, Need},
    plan::Plan,
    slide,
};
use crate::time::Tick;

/// What one window counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) limit: Limit,
    /// When it began at the latest and how much, oldest first; none of a day.
    pub(crate) moments: Vec<(Tick, u64)>,
    /// Provisional: it has not begun, or nobody said so yet.
    pub(crate) held: u64,
    /// Counts by date, of a day; dates as [`Days`](super::zone::Days) numbers them.
    pub(crate) dates: Vec<(u16, u64)>,
}

impl Plan {
    /// What each window counts at `at`.
    pub(crate) fn keep(&self, log: &mut [u16], at: &At) -> Vec<Kept> {
        if self.words() == 0 {
            return Vec::new();
        }
        let now = self.advance(log, at);
        let keep = |window: &super::window::Window| Kept {
            limit: window.limit,
            moments: window.moments(log, now).into_iter().map(|(then, amount)| (slide::tick(then), amount)).collect(),
            held: window.held(log),
            dates: if window.is_day() { window.dates(log) } else { Vec::new() },
        };
        self.windows().iter().map(keep).collect()
    }

    /// Whether something in `log` was granted, and nobody has said yet that it began.
    pub(crate) fn holds_any(&self, log: &[u16]) -> bool {
        self.windows().iter().any(|window| window.held(log) > 0)
    }

    /// Adds what was kept to `log`, whatever limits held then. What was provisional counts from now, and so does what
    /// is said to have begun later than that.
    pub(crate) fn recall(&self, log: &mut [u16], kept: &[Kept], guard: Duration, at: &At) {
        if self.words() == 0 || kept.is_empty() {
            return;
        }
        if log.iter().all(|word| *word == 0) && self.limits().eq(kept.iter().map(|kept| kept.limit)) {
            return self.lay_kept(log, kept, at);
        }
        let limits = kept.iter().fold(Limits::new(), |limits, kept| limits.with(kept.limit));
        let old = Self::compile_for(&limits, guard, self.kept);
        let mut old_log = vec![0; old.words()];
        old.lay_kept(&mut old_log, kept, at);
        let mut carried = vec![0; self.words()];
        Self::migrate(&old, &old_log, self, &mut carried, &Need::default(), at);
        self.merge(&carried, log, at);
    }

    /// Lays into an empty log what was kept under these very limits.
    fn lay_kept(&self, log: &mut [u16], kept: &[Kept], at: &At) {
        let now = self.advance(log, at);
        for window in self.windows() {
            let same = |kept: &&Kept| (kept.limit.unit, kept.limit.span) == (window.limit.unit, window.limit.span);
            let Some(kept) = kept.iter().find(same) else { continue };
            if window.limit.span == Span::Day {
                let mut dates = kept.dates.clone();
                add(&mut dates, at.day.days.last, kept.held);
                sort_dates(&mut dates, at.day.days);
                window.add_dates(&dates, log);
            } else {
                let moment = |(then, amount): &(Tick, u64)| (slide::moment(*then).min(now), *amount);
                let mut moments: Vec<(u64, u64)> = kept.moments.iter().map(moment).collect();
                moments.push((now, kept.held));
                moments.sort_unstable();
                window.lay(&moments, log, now);
            }
        }
    }
}

/// Counts so much more on a date.
pub(crate) fn add(dates: &mut Vec<(u16, u64)>, date: u16, amount: u64) {
    match dates.iter_mut().find(|(held, _)| *held == date) {
        Some((_, count)) => *count += amount,
        None => dates.push((date, amount)),
    }
}
