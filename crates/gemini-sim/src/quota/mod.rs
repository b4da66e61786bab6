//! The quotas of every project and model, taken together or not at all.

mod day;
mod name;
mod window;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::Limits;
use day::{Calendar, DayCount};
use window::Window;

pub(crate) use name::{Axis, Family, quota_name};

const MINUTE: Duration = Duration::from_secs(60);

/// What a request takes from a quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
}

/// A limit that a request would have exceeded, and when it would fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Violation {
    pub(crate) axis: Axis,
    pub(crate) limit: u64,
    pub(crate) wait: Duration,
}

/// All counts. Knows nothing of keys: quotas belong to projects.
#[derive(Debug)]
pub(crate) struct Ledger {
    calendar: Calendar,
    lanes: HashMap<usize, HashMap<String, Lane>>,
}

#[derive(Debug)]
struct Lane {
    minute_requests: Window,
    minute_tokens: Window,
    day_requests: DayCount,
    day_tokens: DayCount,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { calendar: Calendar::pacific(), lanes: HashMap::new() }
    }

    /// Books `charge` when it fits everywhere, else names every limit in the
    /// way and books nothing.
    pub(crate) fn charge(
        &mut self,
        (now, wall): (Duration, Timestamp),
        (project, model): (usize, &str),
        limits: Limits,
        charge: Charge,
    ) -> Result<(), Vec<Violation>> {
        let (date, midnight) = self.calendar.locate(wall);
        let lanes = self.lanes.entry(project).or_default();
        if !lanes.contains_key(model) {
            lanes.insert(model.to_owned(), Lane::new());
        }
        let lane = lanes.get_mut(model).expect("inserted above");

        let violations = lane.violations(now, (date, midnight), limits, charge);
        if !violations.is_empty() {
            return Err(violations);
        }
        // Unlimited lanes keep no entries: a bench of an hour stays small.
        if limits.rpm.is_some() {
            lane.minute_requests.book(now, charge.requests);
        }
        if limits.tpm.is_some() {
            lane.minute_tokens.book(now, charge.tokens);
        }
        lane.day_requests.book(date, charge.requests);
        lane.day_tokens.book(date, charge.tokens);
        Ok(())
    }
}

// === impl Lane ===

impl Lane {
    fn new() -> Self {
        Self {
            minute_requests: Window::new(MINUTE),
            minute_tokens: Window::new(MINUTE),
            day_requests: DayCount::default(),
            day_tokens: DayCount::default(),
        }
    }

    fn violations(
        &mut self,
        now: Duration,
        (date, midnight): (jiff::civil::Date, Duration),
        limits: Limits,
        Charge { requests, tokens }: Charge,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut minute = |axis, window: &mut Window, amount, limit: Option<u64>| {
            let Some(limit) = limit else { return };
            let wait = window.wait(now, amount, limit);
            if !wait.is_zero() {
                found.push(Violation { axis, limit, wait });
            }
        };
        minute(Axis::TokensPerMinute, &mut self.minute_tokens, tokens, limits.tpm);
        minute(Axis::RequestsPerMinute, &mut self.minute_requests, requests, limits.rpm);
        let mut day = |axis, count: &DayCount, amount, limit: Option<u64>| {
            let Some(limit) = limit else { return };
            if count.used(date) + amount > limit {
                let wait = midnight;
                found.push(Violation { axis, limit, wait });
            }
        };
        day(Axis::RequestsPerDay, &self.day_requests, requests, limits.rpd);
        day(Axis::TokensPerDay, &self.day_tokens, tokens, limits.tpd);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    /// Every booking ever made: the slow truth.
    struct Naive(Vec<(Duration, Timestamp, Charge)>);

    impl Naive {
        fn fits(&self, (now, wall): (Duration, Timestamp), limits: Limits, charge: Charge) -> bool {
            let zone = TimeZone::get("America/Los_Angeles").unwrap();
            let date = |wall: Timestamp| wall.to_zoned(zone.clone()).date();
            let sum = |daily: bool, of: fn(&Charge) -> u64| -> u64 {
                let counts = |(at, then, _): &&(Duration, Timestamp, Charge)| {
                    if daily { date(*then) == date(wall) } else { *at + MINUTE > now }
                };
                self.0.iter().filter(counts).map(|(.., c)| of(c)).sum::<u64>() + of(&charge)
            };
            let under = |limit: Option<u64>, used: u64| limit.is_none_or(|limit| used <= limit);
            under(limits.rpm, sum(false, |c| c.requests))
                && under(limits.tpm, sum(false, |c| c.tokens))
                && under(limits.rpd, sum(true, |c| c.requests))
                && under(limits.tpd, sum(true, |c| c.tokens))
        }
    }

    #[test]
    fn the_ledger_agrees_with_the_slow_truth() {
        let start: Timestamp = "2026-11-01T05:00:00Z".parse().unwrap();
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let limits = Limits::none().rpm(6).tpm(400).rpd(60).tpd(3_000);
            let (mut ledger, mut naive) = (Ledger::new(), Naive(Vec::new()));
            let (mut now, mut accepted) = (Duration::ZERO, 0);
            for _ in 0..400 {
                // Bursts and pauses, over two midnights and a clock change.
                now += match rng.u32(0..20) {
                    0 => Duration::from_secs(rng.u64(0..10_000)),
                    1..5 => Duration::from_millis(rng.u64(0..60_000)),
                    5..8 => MINUTE,
                    _ => Duration::from_millis(rng.u64(0..2_000)),
                };
                let charge = Charge { requests: rng.u64(1..4), tokens: rng.u64(0..200) };
                let at = (now, start + jiff::SignedDuration::try_from(now).unwrap());
                let expected = naive.fits(at, limits, charge);
                let found = ledger.charge(at, (0, "m"), limits, charge);
                assert_eq!(found.is_ok(), expected, "seed {seed} at {now:?}");
                match found {
                    Ok(()) => {
                        accepted += 1;
                        naive.0.push((at.0, at.1, charge));
                    }
                    Err(violations) => {
                        let waits = violations.iter().map(|violation| violation.wait);
                        assert!(waits.min().unwrap() > Duration::ZERO);
                    }
                }
            }
            assert!(accepted > 30, "seed {seed}: {accepted}");
        }
    }
}
