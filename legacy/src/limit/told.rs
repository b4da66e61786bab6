//! What a log counts, in a form that another process understands: times are told relative to the moment of telling.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Limit, Span, Unit,
    carry::{distance, sort_dates},
    form::{Began, Form},
    need::At,
    plan::Plan,
    slide,
    window::{Window, with_form},
    zone::Days,
};
use crate::time::Tick;

/// What one limit's window counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whose window.
    pub limit: Limit,
    /// Of a sliding window: when (in milliseconds, before the moment of telling negative) how much began, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moments: Vec<(i64, u64)>,
    /// Of a day: how much on which date, in days since 1970-01-01 plus one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<(u16, u64)>,
}

impl Told {
    /// The same in about so many moments at most: what began soon after something else is told with it, as begun when the
    /// last of them did. So a place seems taken for longer than it is, by up to such a part of the window.
    pub(crate) fn bundle(&mut self, most: u32) {
        let Span::Sliding(span) = self.limit.span else { return };
        if self.moments.len() <= most as usize {
            return;
        }
        let apart = (span / most).as_millis() as i64;
        let mut first = i64::MIN;
        self.moments.dedup_by(|next, last| {
            if first == i64::MIN {
                first = last.0;
            }
            if next.0 - first >= apart {
                first = next.0;
                return false;
            }
            *last = (next.0, last.1.saturating_add(next.1));
            true
        });
    }
}

/// What is told seems to have begun later than it did, by the way that it took and as clocks drift. Where that makes it
/// seem that a place was still taken, it may have been free and taken again.
const SURELY: Duration = Duration::from_secs(2);

/// What is not known of a log that somebody else kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Until this tick every place may have been used that is not known to be.
    pub(crate) starts: Option<Tick>,
    /// These dates may be used up.
    pub(crate) dates: Option<Days>,
}

impl Plan {
    /// What the log counts, as of `at`. Provisional places begin at `at`: they do so at the earliest.
    pub(crate) fn tell(&self, log: &mut [u16], at: &At) -> Vec<Told> {
        let now = self.advance(log, at);
        let ago = |moment: u64| {
            let nanos = at.tick.nanos().saturating_sub(slide::tick(moment + 1).nanos());
            -((nanos / 1_000_000) as i64)
        };
        let tell = |window: &Window| {
            let mut told = Told { limit: window.limit, moments: Vec::new(), dates: Vec::new() };
            let held = window.held(log);
            if window.is_day() {
                told.dates = window.dates(log);
                for (date, count) in &mut told.dates {
                    *count += if at.day.days.contains(*date) { held } else { 0 };
                }
            } else {
                for (moment, amount) in window.moments(log, now).into_iter().chain([(now, held)]) {
                    match told.moments.last_mut() {
                        Some(last) if last.0 == ago(moment) => last.1 += amount,
                        _ if amount > 0 => told.moments.push((ago(moment), amount)),
                        _ => {}
                    }
                }
            }
            told
        };
        self.windows().iter().map(tell).collect()
    }

    /// Begins the log with what somebody told at `at`. A window of which nothing was told takes its counts from the one
    /// of the same unit that tells most, as [`Plan::migrate`] does.
    pub(crate) fn hear(&self, told: &[Told], unknown: Unknown, log: &mut [u16], at: &At) {
        log.fill(0);
        let now = self.advance(log, at);
        for window in self.windows() {
            let same_unit = told.iter().filter(|told| told.limit.unit == window.limit.unit);
            let source = same_unit.min_by_key(|told| distance(told.limit.span, window.limit.span));
            if window.is_day() {
                window.hear_dates(source, unknown.dates, log, at);
            } else {
                window.hear_moments(source, unknown.starts, log, now, at);
            }
        }
    }

    /// What is counted of days is this, whoever counted it; nothing becomes of sliding windows.
    pub(crate) fn hear_days(&self, days: &[Told], log: &mut [u16], at: &At) {
        self.advance(log, at);
        for window in self.windows().iter().filter(|window| window.is_day()) {
            let source = days.iter().find(|told| told.limit.unit == window.limit.unit);
            log[window.range()].fill(0);
            window.hear_dates(source, None, log, at);
        }
    }

    /// The same, but of sliding windows only what has begun. What is provisional may begin later than it would be told to,
    /// should whoever tells it be gone by then.
    pub(crate) fn tell_begun(&self, log: &[u16], at: &At) -> Vec<Told> {
        let mut log = log.to_vec();
        for window in self.windows().iter().filter(|window| !window.is_day()) {
            window.unhold(&mut log, u64::MAX);
        }
        self.tell(&mut log, at)
    }

    /// Whether some place is provisional.
    pub(crate) fn is_pending(&self, log: &[u16]) -> bool {
        self.windows().iter().any(|window| window.held(log) > 0)
    }

    /// How much of a unit begins at the latest at `began` is one more than was told: a correction from elsewhere.
    pub(crate) fn hear_more(&self, limit: Limit, amount: u64, began: Tick, log: &mut [u16], at: &At) {
        let now = self.advance(log, at);
        let began = Began { moment: slide::moment(began).min(now), places: at.day.days.places() };
        for window in self.windows().iter().filter(|window| window.limit.unit == limit.unit) {
            if limit.unit == Unit::Requests && !window.is_day() {
                window.insert(log, amount, began.moment, now);
                continue;
            }
            with_form!(&window.form, form => form.raise(&mut log[window.range()], amount, &began, now));
        }
    }
}

impl Window {
    /// More requests began at `began`. Of more than there may be those that leave last are kept.
    fn insert(&self, log: &mut [u16], amount: u64, began: u64, now: u64) {
        let mut moments = self.moments(log, now);
        moments.push((began, amount));
        moments.sort_unstable();
        let mut room = self.most();
        for then in moments.iter_mut().rev() {
            then.1 = then.1.min(room);
            room -= then.1;
        }
        moments.retain(|then| then.1 > 0);
        let held = self.held(log);
        log[self.range()].fill(0);
        self.lay(&moments, log, now);
        self.hold(log, held);
    }

    fn hear_dates(&self, source: Option<&Told>, unknown: Option<Days>, log: &mut [u16], at: &At) {
        let days = at.day.days;
        let mut dates = source.map_or_else(Vec::new, |source| source.dates.clone());
        if let Some(source) = source.filter(|source| source.limit.span != Span::Day) {
            let used = source.moments.iter().map(|moment| moment.1).sum();
            dates = (days.first..=days.last).map(|date| (date, used)).collect();
        }
        sort_dates(&mut dates, days);
        if let Some(unknown) = unknown {
            for date in (unknown.first..=unknown.last).filter(|date| days.contains(*date)) {
                let known: u64 = dates.iter().filter(|held| held.0 == date).map(|held| held.1).sum();
                dates.push((date, self.most().saturating_sub(known)));
            }
        }
        self.add_dates(&dates, log);
    }

    fn hear_moments(&self, source: Option<&Told>, unknown: Option<Tick>, log: &mut [u16], now: u64, at: &At) {
        let mut moments: Vec<(u64, u64)> = Vec::new();
        if let Some(source) = source {
            let heard = |(ago, amount): &(i64, u64)| {
                let millis = Duration::from_millis(ago.min(&0).unsigned_abs());
                (slide::moment(at.tick.minus(millis)), *amount)
            };
            moments.extend(source.moments.iter().map(heard));
            if source.limit.span == Span::Day {
                let today = source.dates.iter().filter(|(date, _)| at.day.days.contains(*date)).map(|date| date.1);
                moments.push((now, today.max().unwrap_or(0)));
            }
        }
        if let Some(end) = unknown {
            let surely = slide::moment(end.plus(SURELY));
            let end = slide::moment(end).min(now);
            let known: u64 = moments.iter().filter(|then| self.counts_at(then.0, surely)).map(|then| then.1).sum();
            moments.push((end, self.most().saturating_sub(known)));
        }
        moments.sort_unstable();
        moments.retain(|then| then.1 > 0);
        self.lay(&moments, log, now);
    }

    /// Whether what began at `then` is still in the window at `now`.
    fn counts_at(&self, then: u64, now: u64) -> bool {
        with_form!(&self.form, form => form.counts_at(then, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_moments_count_as_much_and_no_less_long() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let mut moments: Vec<(i64, u64)> =
                (0..random.usize(..200)).map(|_| (-random.i64(0..60_000), random.u64(1..4))).collect();
            moments.sort_unstable();
            let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 500 };
            let told = Told { limit, moments, dates: Vec::new() };
            let mut bundled = told.clone();
            bundled.bundle(24);
            assert!(bundled.moments.len() <= told.moments.len().min(25), "{bundled:?}");
            assert!(bundled.moments.is_sorted());
            let since = |told: &Told, then| told.moments.iter().filter(|at| at.0 > then).map(|at| at.1).sum::<u64>();
            for then in (-61_000..0).step_by(331) {
                let (exact, counted) = (since(&told, then), since(&bundled, then));
                assert!(exact <= counted && counted <= since(&told, then - 2_500), "{told:?} {bundled:?} {then}");
            }
        }
    }
}
