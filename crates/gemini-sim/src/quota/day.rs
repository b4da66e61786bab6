//! Days of the provider's zone, counted by date.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Which Pacific day an instant belongs to, and when that day ends. The last
/// answer is kept: most requests fall on the same day as the one before.
#[derive(Debug)]
pub(crate) struct PacificCalendar {
    zone: TimeZone,
    known: Option<(Timestamp, Timestamp, Date)>,
}

impl PacificCalendar {
    pub(crate) fn new() -> Self {
        Self { zone: TimeZone::get("America/Los_Angeles").expect("the time zone database is compiled in"), known: None }
    }

    /// The date of `wall` and the time left until its midnight.
    pub(crate) fn locate(&mut self, wall: Timestamp) -> (Date, Duration) {
        let (_, end, date) = match self.known {
            Some(day @ (start, end, _)) if start <= wall && wall < end => day,
            _ => {
                let day = self.compute(wall);
                self.known = Some(day);
                day
            }
        };
        (date, end.duration_since(wall).unsigned_abs())
    }

    fn compute(&self, wall: Timestamp) -> (Timestamp, Timestamp, Date) {
        let zoned = wall.to_zoned(self.zone.clone());
        let start = zoned.start_of_day().map_or(wall, |day| day.timestamp());
        let end = zoned.tomorrow().and_then(|day| day.start_of_day()).map_or_else(
            |_| wall.saturating_add(SignedDuration::from_hours(24)).unwrap_or(wall),
            |day| day.timestamp(),
        );
        (start, end, zoned.date())
    }
}

/// Counts of the dates that were met last, so that a clock that jumps back
/// finds its day again.
#[derive(Debug, Default)]
pub(crate) struct DailyCount {
    days: Vec<(Date, u64)>,
}

impl DailyCount {
    const KEPT: usize = 4;

    pub(crate) fn used(&self, date: Date) -> u64 {
        self.days.iter().find(|(day, _)| *day == date).map_or(0, |(_, used)| *used)
    }

    pub(crate) fn add(&mut self, date: Date, amount: u64) {
        let used = self.used(date);
        self.days.retain(|(day, _)| *day != date);
        self.days.push((date, used + amount));
        if self.days.len() > Self::KEPT {
            self.days.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(wall: &str) -> (String, u64) {
        let (date, left) = PacificCalendar::new().locate(wall.parse().unwrap());
        (date.to_string(), left.as_secs())
    }

    #[test]
    fn midnight_is_pacific_in_winter_and_in_summer() {
        assert_eq!(left("2026-01-15T07:59:59Z"), ("2026-01-14".into(), 1));
        assert_eq!(left("2026-01-15T08:00:00Z"), ("2026-01-15".into(), 86_400));
        assert_eq!(left("2026-07-15T06:59:59Z"), ("2026-07-14".into(), 1));
        assert_eq!(left("2026-07-15T07:00:00Z"), ("2026-07-15".into(), 86_400));
    }

    #[test]
    fn days_of_a_clock_change_have_23_and_25_hours() {
        assert_eq!(left("2026-03-08T08:00:00Z"), ("2026-03-08".into(), 23 * 3_600));
        assert_eq!(left("2026-11-01T07:00:00Z"), ("2026-11-01".into(), 25 * 3_600));
    }

    #[test]
    fn a_clock_that_jumps_back_finds_its_day_again() {
        let mut count = DailyCount::default();
        let monday = jiff::civil::date(2026, 11, 16);
        count.add(monday, 3);
        count.add(monday.tomorrow().unwrap(), 1);
        count.add(monday, 2);
        assert_eq!(count.used(monday), 5);
        assert_eq!(count.used(monday.tomorrow().unwrap()), 1);
    }

    #[test]
    fn a_clock_that_jumps_back_by_many_days_counts_there_too() {
        let mut count = DailyCount::default();
        let monday = jiff::civil::date(2026, 11, 16);
        for day in monday.series(jiff::Span::new().days(1)).take(10) {
            count.add(day, 1);
        }
        let long_ago = jiff::civil::date(2026, 1, 1);
        count.add(long_ago, 1);
        count.add(long_ago, 1);
        assert_eq!(count.used(long_ago), 2);
    }
}
