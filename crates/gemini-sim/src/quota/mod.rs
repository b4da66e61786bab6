//! The quotas of every project and model, charged together or not at all.

mod day;
mod name;
mod window;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::Limits;
use day::pacific_day;
use window::SlidingWindow;

pub(crate) use name::{QuotaName, Unit};

/// What a request takes from a quota.
#[derive(Clone, Copy, Debug, Default)]
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

/// All quotas. Knows nothing of keys: quotas belong to projects.
#[derive(Debug, Default)]
pub(crate) struct Quotas(HashMap<(usize, String), Quota>);

/// The counts of one project and model.
#[derive(Debug, Default)]
struct Quota {
    minute_requests: SlidingWindow,
    minute_tokens: SlidingWindow,
    day: Date,
    /// Of this day.
    used: Charge,
}

impl Quotas {
    /// Counts `charge` when it fits every limit, else names all limits that it would exceed and counts nothing.
    pub(crate) fn charge(
        &mut self,
        (now, wall): (Duration, Timestamp),
        (project, model): (usize, &str),
        limits: Limits,
        charge: Charge,
    ) -> Result<(), Vec<Violation>> {
        let quota = self.0.entry((project, model.to_owned())).or_default();
        let (date, until_midnight) = pacific_day(wall);
        if quota.day != date {
            (quota.day, quota.used) = (date, Charge::default());
        }
        let used =
            Charge { requests: quota.used.requests + charge.requests, tokens: quota.used.tokens + charge.tokens };
        let day_wait = |used: u64, limit: u64| if used > limit { until_midnight } else { Duration::ZERO };
        let mut violations = Vec::new();
        let mut check = |unit, limit: Option<u64>, wait: &mut dyn FnMut(u64) -> Duration| {
            let wait = limit.map(|limit| (limit, wait(limit))).filter(|(_, wait)| !wait.is_zero());
            violations.extend(wait.map(|(limit, wait)| Violation { unit, limit, wait }));
        };
        check(Unit::TokensPerMinute, limits.tpm, &mut |limit| quota.minute_tokens.wait(now, charge.tokens, limit));
        check(Unit::RequestsPerMinute, limits.rpm, &mut |limit| {
            quota.minute_requests.wait(now, charge.requests, limit)
        });
        check(Unit::RequestsPerDay, limits.rpd, &mut |limit| day_wait(used.requests, limit));
        check(Unit::TokensPerDay, limits.tpd, &mut |limit| day_wait(used.tokens, limit));
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
        quota.used = used;
        Ok(())
    }
}
