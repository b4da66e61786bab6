//! Days of the provider's zone.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

static PACIFIC: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::get("America/Los_Angeles").expect("the time zone database is compiled in"));

/// The date in Los Angeles, and the time until its midnight.
pub(super) fn pacific_day(wall: Timestamp) -> (Date, Duration) {
    let zoned = wall.to_zoned(PACIFIC.clone());
    let midnight = zoned.tomorrow().and_then(|day| day.start_of_day());
    let left = midnight.map_or(SignedDuration::from_hours(24), |midnight| midnight.timestamp().duration_since(wall));
    (zoned.date(), left.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

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
