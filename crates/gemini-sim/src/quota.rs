//! The quotas of each project and model. All limits of a request are charged, or none.

use std::collections::{HashMap, VecDeque};
use std::sync::LazyLock;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::{Limits, Tier};

/// The amount that a request takes from a quota.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charge {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
}

/// A limit that a request would exceed, and the time until it fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Violation {
    pub(crate) unit: Unit,
    pub(crate) limit: u64,
    pub(crate) wait: Duration,
}

/// All quotas. They belong to projects and not to keys.
#[derive(Debug, Default)]
pub(crate) struct Quotas(HashMap<(usize, String), Quota>);

/// The counts of one project and model.
#[derive(Debug, Default)]
struct Quota {
    minute_requests: SlidingWindow,
    minute_tokens: SlidingWindow,
    day: Date,
    /// The amount used on this day.
    used: Charge,
}

impl Quotas {
    /// Counts `charge` if it fits all limits. Otherwise returns all limits that it would exceed, and counts nothing.
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
        // Without a limit, no entries are kept, so that a long benchmark does not use much memory.
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

const SPAN: Duration = Duration::from_secs(60);

/// The entries of the last minute. An entry at time `t` counts in `[t, t + 60 s)`.
#[derive(Debug, Default)]
struct SlidingWindow {
    entries: VecDeque<(Duration, u64)>,
    sum: u64,
}

impl SlidingWindow {
    fn add(&mut self, now: Duration, amount: u64) {
        self.expire(now);
        if amount > 0 {
            self.entries.push_back((now, amount));
            self.sum += amount;
        }
    }

    /// Returns the time until `amount` more fits within `limit`: zero if it fits now, the whole minute if it never
    /// fits.
    fn wait(&mut self, now: Duration, amount: u64, limit: u64) -> Duration {
        self.expire(now);
        if amount > limit {
            return SPAN;
        }
        let mut used = self.sum;
        for &(at, entry) in &self.entries {
            if used + amount <= limit {
                break;
            }
            used -= entry;
            if used + amount <= limit {
                return (at + SPAN).saturating_sub(now);
            }
        }
        Duration::ZERO
    }

    fn expire(&mut self, now: Duration) {
        while let Some(&(at, amount)) = self.entries.front() {
            if at + SPAN > now {
                break;
            }
            self.entries.pop_front();
            self.sum -= amount;
        }
    }
}

static PACIFIC: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::get("America/Los_Angeles").expect("the time zone database is compiled in"));

/// Returns the date in Los Angeles and the time until midnight there.
fn pacific_day(wall: Timestamp) -> (Date, Duration) {
    let zoned = wall.to_zoned(PACIFIC.clone());
    let midnight = zoned.tomorrow().and_then(|day| day.start_of_day());
    let left = midnight.map_or(SignedDuration::from_hours(24), |midnight| midnight.timestamp().duration_since(wall));
    (zoned.date(), left.unsigned_abs())
}

/// The unit and the period of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
    TokensPerDay,
}

/// Returns the id of a quota and its metric, without the service's name, as they appear in errors. The names of free
/// projects and of paid `GenerateContent` are documented; those of paid embeddings and of tier 3 are derived from them.
pub(crate) fn quota_names(unit: Unit, tier: Tier, embeds: bool) -> (String, String) {
    let is_requests = matches!(unit, Unit::RequestsPerMinute | Unit::RequestsPerDay);
    let is_minute = matches!(unit, Unit::RequestsPerMinute | Unit::TokensPerMinute);
    let period = if is_minute { "Minute" } else { "Day" };
    let (free, tier_metric, tier_suffix) = match tier {
        Tier::Free => ("-FreeTier", "free_tier", ""),
        Tier::Tier1 => ("", "paid_tier", ""),
        Tier::Tier2 => ("", "paid_tier_2", "-PaidTier2"),
        Tier::Tier3 => ("", "paid_tier_3", "-PaidTier3"),
    };
    match (embeds, is_requests) {
        (true, _) => {
            let (counted, metric) =
                if is_requests { ("Requests", "requests") } else { ("InputTokens", "input_token_count") };
            let tier = if tier == Tier::Free { "free" } else { "paid" };
            (
                format!("EmbedContent{counted}Per{period}PerProjectPerModel{free}"),
                format!("embed_content_{tier}_tier_{metric}"),
            )
        }
        (false, true) => {
            let metric = match (tier, is_minute) {
                (Tier::Free, _) => "generate_content_free_tier_requests",
                (_, true) => "generate_requests_per_model",
                (_, false) => "generate_requests_per_model_per_day",
            };
            (format!("GenerateRequestsPer{period}PerProjectPerModel{free}"), metric.to_owned())
        }
        (false, false) => {
            let has_own_name = tier != Tier::Free && is_minute;
            let (paid, suffix) = if has_own_name { ("PaidTier", tier_suffix) } else { ("", free) };
            (
                format!("GenerateContent{paid}InputTokensPerModelPer{period}{suffix}"),
                format!("generate_content_{tier_metric}_input_token_count"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Compares with the definition: a minute never contains more than the limit, and an amount that fits does not
    /// wait.
    #[test]
    fn no_minute_exceeds_the_limit() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let limit = rng.u64(1..9);
            let (mut window, mut taken, mut now) = (SlidingWindow::default(), Vec::new(), Duration::ZERO);
            for _ in 0..200 {
                now += SECOND.mul_f64(rng.f64() * 40.0);
                let amount = rng.u64(1..4);
                let used: u64 = taken.iter().filter(|(at, _)| *at + SPAN > now).map(|(_, amount)| amount).sum();
                let fits = used + amount <= limit;
                assert_eq!(window.wait(now, amount, limit).is_zero(), fits);
                if fits {
                    window.add(now, amount);
                    taken.push((now, amount));
                }
            }
        }
    }

    #[test]
    fn wait_is_the_time_until_an_amount_fits() {
        let mut window = SlidingWindow::default();
        window.add(SECOND, 2);
        window.add(SECOND * 10, 1);
        assert_eq!(window.wait(SECOND * 20, 1, 3), SECOND * 41);
        assert_eq!(window.wait(SECOND * 20, 3, 3), SECOND * 50);
        assert_eq!(window.wait(SECOND * 20, 4, 3), SECOND * 60, "it never fits");
        assert_eq!(window.wait(SECOND * 61, 2, 3), Duration::ZERO);
    }

    fn day(wall: &str) -> (String, u64) {
        let (date, left) = pacific_day(wall.parse().unwrap());
        (date.to_string(), left.as_secs())
    }

    #[test]
    fn midnight_is_pacific_in_winter_and_in_summer() {
        assert_eq!(day("2026-01-15T07:59:59Z"), ("2026-01-14".into(), 1));
        assert_eq!(day("2026-01-15T08:00:00Z"), ("2026-01-15".into(), 86_400));
        assert_eq!(day("2026-07-15T06:59:59Z"), ("2026-07-14".into(), 1));
        assert_eq!(day("2026-07-15T07:00:00Z"), ("2026-07-15".into(), 86_400));
    }

    #[test]
    fn days_of_a_clock_change_have_23_and_25_hours() {
        assert_eq!(day("2026-03-08T08:00:00Z"), ("2026-03-08".into(), 23 * 3_600));
        assert_eq!(day("2026-11-01T07:00:00Z"), ("2026-11-01".into(), 25 * 3_600));
    }
}
