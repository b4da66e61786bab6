//! The quotas of every project and model, charged together or not at all.

mod day;
mod name;
mod window;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::Limits;
use day::{DailyCount, PacificCalendar};
use window::SlidingWindow;

pub(crate) use name::{QuotaName, Unit};

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
    pub(crate) unit: Unit,
    pub(crate) limit: u64,
    pub(crate) wait: Duration,
}

/// All counts. Knows nothing of keys: quotas belong to projects.
#[derive(Debug)]
pub(crate) struct Quotas {
    calendar: PacificCalendar,
    by_project: HashMap<usize, HashMap<String, Quota>>,
}

/// The counts of one project and model.
#[derive(Debug)]
struct Quota {
    minute_requests: SlidingWindow,
    minute_tokens: SlidingWindow,
    day_requests: DailyCount,
    day_tokens: DailyCount,
}

impl Quotas {
    pub(crate) fn new() -> Self {
        Self { calendar: PacificCalendar::new(), by_project: HashMap::new() }
    }

    /// Counts `charge` when it fits every limit, else names all limits that it would exceed and counts nothing.
    pub(crate) fn charge(
        &mut self,
        (now, wall): (Duration, Timestamp),
        (project, model): (usize, &str),
        limits: Limits,
        charge: Charge,
    ) -> Result<(), Vec<Violation>> {
        let (date, until_midnight) = self.calendar.locate(wall);
        let models = self.by_project.entry(project).or_default();
        if !models.contains_key(model) {
            models.insert(model.to_owned(), Quota::new());
        }
        let quota = models.get_mut(model).expect("inserted above");
        let violations = quota.violations(now, (date, until_midnight), limits, charge);
        if !violations.is_empty() {
            return Err(violations);
        }
        // Without a limit no entries are kept: a bench of an hour stays small.
        if limits.rpm.is_some() {
            quota.minute_requests.add(now, charge.requests);
        }
        if limits.tpm.is_some() {
            quota.minute_tokens.add(now, charge.tokens);
        }
        quota.day_requests.add(date, charge.requests);
        quota.day_tokens.add(date, charge.tokens);
        Ok(())
    }
}

impl Quota {
    fn new() -> Self {
        Self {
            minute_requests: SlidingWindow::new(MINUTE),
            minute_tokens: SlidingWindow::new(MINUTE),
            day_requests: DailyCount::default(),
            day_tokens: DailyCount::default(),
        }
    }

    fn violations(
        &mut self,
        now: Duration,
        (date, until_midnight): (Date, Duration),
        limits: Limits,
        Charge { requests, tokens }: Charge,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut check = |unit, limit: Option<u64>, wait: &mut dyn FnMut(u64) -> Duration| {
            if let Some(limit) = limit {
                let wait = wait(limit);
                if !wait.is_zero() {
                    found.push(Violation { unit, limit, wait });
                }
            }
        };
        let day = |count: &DailyCount, amount: u64, limit: u64| {
            if count.used(date) + amount > limit { until_midnight } else { Duration::ZERO }
        };
        check(Unit::TokensPerMinute, limits.tpm, &mut |limit| self.minute_tokens.wait(now, tokens, limit));
        check(Unit::RequestsPerMinute, limits.rpm, &mut |limit| self.minute_requests.wait(now, requests, limit));
        check(Unit::RequestsPerDay, limits.rpd, &mut |limit| day(&self.day_requests, requests, limit));
        check(Unit::TokensPerDay, limits.tpd, &mut |limit| day(&self.day_tokens, tokens, limit));
        found
    }
}
