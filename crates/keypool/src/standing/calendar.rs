//! Which day it is where the provider counts days.

use std::time::UNIX_EPOCH;

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use tower_keypool::Clock;

/// A calendar in the provider's zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    now: Timestamp,
}

impl Calendar {
    /// That of this zone, or of UTC where nobody knows it.
    pub(super) fn of(zone: &str) -> Self {
        let now = Timestamp::from_millisecond(now_ms());
        Self { zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC), now: now.unwrap_or(Timestamp::UNIX_EPOCH) }
    }

    /// That of UTC.
    pub fn utc() -> Self {
        Self::of("UTC")
    }

    /// The same moment in another zone, if there is one of that name.
    pub(super) fn elsewhere(&self, zone: &str) -> Option<Self> {
        Some(Self { zone: TimeZone::get(zone).ok()?, now: self.now })
    }

    /// When today ends, in Unix milliseconds.
    pub(super) fn midnight_ms(&self) -> i64 {
        let tomorrow = self.date().tomorrow().and_then(|date| date.to_zoned(self.zone.clone()));
        tomorrow.map_or(i64::MAX, |midnight| midnight.timestamp().as_millisecond())
    }

    /// The same at this moment.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { now: Timestamp::from_millisecond(now_ms()).unwrap_or(self.now), zone: self.zone.clone() }
    }

    /// In Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now.as_millisecond()
    }

    /// Today: `2026-06-15`.
    pub fn today(&self) -> String {
        self.date().to_string()
    }

    /// The date of a moment, in Unix milliseconds: `2026-06-15`.
    pub(super) fn date_of(&self, wall_ms: i64) -> String {
        let then = Timestamp::from_millisecond(wall_ms).unwrap_or(self.now);
        then.to_zoned(self.zone.clone()).date().to_string()
    }

    fn date(&self) -> Date {
        self.now.to_zoned(self.zone.clone()).date()
    }

    /// A date, `today` or `yesterday`.
    pub fn day(&self, text: &str) -> Option<String> {
        match text {
            "today" => Some(self.today()),
            "yesterday" => self.date().checked_sub(1.day()).ok().map(|date| date.to_string()),
            date => date.parse::<Date>().ok().map(|date| date.to_string()),
        }
    }
}

/// Now, in Unix milliseconds.
pub fn now_ms() -> i64 {
    let wall = Clock::system().wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Calendar {
        pub(in crate::standing) fn at(now: &str, zone: &str) -> Self {
            Self { zone: TimeZone::get(zone).unwrap(), now: now.parse().unwrap() }
        }
    }

    #[test]
    fn days_are_the_providers() {
        let calendar = Calendar::at("2026-06-16T05:00:00Z", "America/Los_Angeles");
        assert_eq!(calendar.today(), "2026-06-15");
        assert_eq!(calendar.day("yesterday").as_deref(), Some("2026-06-14"));
        assert_eq!(calendar.day("2026-02-28").as_deref(), Some("2026-02-28"));
        assert_eq!(calendar.day("2026-02-30"), None);
        assert_eq!(calendar.day("tomorrow"), None);
        assert_eq!(calendar.midnight_ms() - calendar.now_ms(), 2 * 3_600_000);
        let tokyo = calendar.elsewhere("Asia/Tokyo").unwrap();
        assert_eq!((tokyo.today(), tokyo.midnight_ms() - tokyo.now_ms()), ("2026-06-16".into(), 10 * 3_600_000));
        assert!(calendar.elsewhere("Mars/Olympus_Mons").is_none());
    }
}
