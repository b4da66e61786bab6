//! Calendar days of a time zone, and the amount used on each.

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{error::Error, time::Tick};

/// How long after midnight a request counts for both days (30 s), since the provider's clock may differ from ours.
pub const MIDNIGHT_GUARD: Duration = Duration::from_millis(GUARD_MS as u64);

const GUARD_MS: i64 = 30_000;

/// How long before midnight a request counts for both days, since it may reach the provider after midnight.
const EARLY_MS: i64 = 1_000;

/// Maximum time between two readings of the wall clock.
const REREAD: Duration = Duration::from_secs(60);

/// The latest supported time, in the year 9987. Later times count as this one.
const LAST_MS: i64 = 253_000_000_000_000;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// A calendar day of a time zone.
///
/// ```
/// use tower_keypool::store::Day;
///
/// // A Pacific day starts at 8:00 UTC in winter.
/// let day = Day::at("America/Los_Angeles", 1_767_225_600_000)?;
/// assert_eq!((day.date, day.starts_ms), (20_453, 1_767_168_000_000));
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The date, in days since 1970-01-01.
    pub date: i32,
    /// The start of the day, in milliseconds since the Unix epoch.
    pub starts_ms: i64,
    /// The start of the next day, in milliseconds since the Unix epoch.
    pub ends_ms: i64,
}

impl Day {
    /// Returns the day of an IANA time zone at a time in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// A configuration error if no zone has this name.
    pub fn at(zone: &str, unix_ms: i64) -> Result<Self, Error> {
        Ok(Zone::new(zone)?.day(unix_ms))
    }
}

/// An IANA time zone with its current day, cached.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    rules: TimeZone,
    today: Today,
    /// When `today` must be computed again.
    expires: Tick,
}

/// The current day of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Today {
    /// The date, in days since 1970-01-01.
    pub(crate) date: i32,
    /// Whether midnight is so near that requests count for the previous day, too.
    pub(crate) in_guard: bool,
    /// When the guard of this day ends.
    pub(crate) guard_ends: Tick,
    /// When the guard after the next midnight ends: today's limits have room again then.
    pub(crate) ends: Tick,
}

impl Zone {
    /// # Errors
    ///
    /// A configuration error if no zone has this name.
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let rules = TimeZone::get(name)
            .map_err(|error| Error::config(format!("there is no time zone \"{name}\"")).with_source(error))?;
        let today = Today { date: 0, in_guard: false, guard_ends: Tick::ZERO, ends: Tick::ZERO };
        Ok(Self { rules, today, expires: Tick::ZERO })
    }

    /// Returns the day at `now`. The wall clock (milliseconds since the Unix epoch) is read at most every 60 s, and
    /// when the day or the guard ends.
    #[inline]
    pub(crate) fn today(&mut self, now: Tick, wall_ms: impl FnOnce() -> i64) -> Today {
        if now >= self.expires {
            self.read(now, wall_ms());
        }
        self.today
    }

    fn read(&mut self, now: Tick, wall_ms: i64) {
        let wall_ms = wall_ms.clamp(0, LAST_MS);
        let Day { date, starts_ms, ends_ms } = self.day(wall_ms + EARLY_MS);
        let tick = |at_ms: i64| now.plus(Duration::from_millis(u64::try_from(at_ms - wall_ms).unwrap_or(0)));
        let in_guard = wall_ms < starts_ms + GUARD_MS;
        self.today = Today { date, in_guard, guard_ends: tick(starts_ms + GUARD_MS), ends: tick(ends_ms + GUARD_MS) };
        let changes = if in_guard { self.today.guard_ends } else { tick(ends_ms - EARLY_MS) };
        self.expires = changes.min(now.plus(REREAD));
    }

    fn day(&self, unix_ms: i64) -> Day {
        let moment = Timestamp::from_millisecond(unix_ms.clamp(0, LAST_MS)).expect("a moment between 1970 and 9987");
        let date = moment.to_zoned(self.rules.clone()).date();
        let starts_ms = self.midnight(date);
        let ends_ms = self.midnight(date.tomorrow().expect("a date before 9988 has a next one"));
        Day { date: days_since_epoch(date), starts_ms, ends_ms }
    }

    /// Returns the first moment of a date, even if daylight saving skips midnight.
    fn midnight(&self, date: Date) -> i64 {
        let midnight = self.rules.to_ambiguous_zoned(date.to_datetime(jiff::civil::Time::midnight()));
        midnight.compatible().expect("a date between 1970 and 9988").timestamp().as_millisecond()
    }
}

fn days_since_epoch(date: Date) -> i32 {
    (date.duration_since(EPOCH).as_hours() / 24) as i32
}

impl Today {
    /// Returns the dates that a request counts for.
    fn dates(self) -> impl Iterator<Item = i32> {
        std::iter::once(self.date).chain(self.in_guard.then_some(self.date - 1))
    }
}

/// The amounts used on the two latest dates with any usage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DailyCount {
    dates: [i32; 2],
    amounts: [u64; 2],
}

impl Default for DailyCount {
    fn default() -> Self {
        Self { dates: [i32::MIN; 2], amounts: [0; 2] }
    }
}

impl DailyCount {
    /// Returns the amount used today; during the guard, the larger amount of the two days.
    #[inline]
    pub(crate) fn used(&self, today: Today) -> u64 {
        let before = if today.in_guard { self.of(today.date - 1) } else { 0 };
        before.max(self.of(today.date))
    }

    /// Returns when `amount` fits under `limit`: [`Tick::ZERO`] if it already does, [`Tick::NEVER`] if it exceeds it.
    pub(crate) fn opens_at(&self, today: Today, amount: u64, limit: u64) -> Tick {
        if amount > limit {
            Tick::NEVER
        } else if self.of(today.date).saturating_add(amount) > limit {
            today.ends
        } else if self.used(today).saturating_add(amount) > limit {
            today.guard_ends
        } else {
            Tick::ZERO
        }
    }

    /// Counts an amount for the day, and during the guard for the previous day, too.
    #[inline]
    pub(crate) fn add(&mut self, today: Today, amount: u64) {
        today.dates().for_each(|date| self.count(date, amount));
    }

    /// Adds an amount that was counted elsewhere for a date, unless two later ones are held.
    pub(crate) fn add_to(&mut self, date: i32, amount: u64) {
        if self.dates.iter().any(|held| *held <= date) {
            self.count(date, amount);
        }
    }

    fn count(&mut self, date: i32, amount: u64) {
        let at = self.place(date).unwrap_or_else(|| {
            let older = usize::from(self.dates[0] >= self.dates[1]);
            (self.dates[older], self.amounts[older]) = (date, 0);
            older
        });
        self.amounts[at] = self.amounts[at].saturating_add(amount);
    }

    /// Removes an amount that was added on `today`, the day of the request's start.
    pub(crate) fn remove(&mut self, today: Today, amount: u64) {
        for date in today.dates() {
            if let Some(at) = self.place(date) {
                self.amounts[at] = self.amounts[at].saturating_sub(amount);
            }
        }
    }

    /// Returns the amounts by date.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (i32, u64)> {
        self.dates.into_iter().zip(self.amounts).filter(|(_, amount)| *amount > 0)
    }

    #[inline]
    fn of(&self, date: i32) -> u64 {
        self.place(date).map_or(0, |at| self.amounts[at])
    }

    #[inline]
    fn place(&self, date: i32) -> Option<usize> {
        self.dates.iter().position(|held| *held == date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 172_800_000;
    const HOUR: i64 = 3_600_000;

    fn wall(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// Returns the date, `in_guard`, and `ends` in milliseconds from then, for a new zone at a wall-clock time.
    fn today(zone: &str, wall_ms: i64) -> (Date, bool, i64) {
        let today = Zone::new(zone).unwrap().today(Tick::from_millis(START), || wall_ms);
        let date = EPOCH.checked_add(jiff::Span::new().days(today.date)).unwrap();
        (date, today.in_guard, (today.ends.millis() - START) as i64)
    }

    #[test]
    fn days_of_23_and_25_hours_end_at_midnight() {
        let zone = "America/Los_Angeles";
        let spring = wall("2026-03-08T08:00:00Z");
        assert_eq!(today(zone, spring), (jiff::civil::date(2026, 3, 8), true, 23 * HOUR + GUARD_MS));
        let early = spring + 23 * HOUR - EARLY_MS;
        assert_eq!(today(zone, early - 1), (jiff::civil::date(2026, 3, 8), false, 1 + EARLY_MS + GUARD_MS));
        assert_eq!(today(zone, early).0, jiff::civil::date(2026, 3, 9));
        let autumn = wall("2026-11-01T07:00:00Z");
        assert_eq!(today(zone, autumn), (jiff::civil::date(2026, 11, 1), true, 25 * HOUR + GUARD_MS));
        assert_eq!(today(zone, autumn - EARLY_MS - 1).0, jiff::civil::date(2026, 10, 31));
        assert_eq!(today(zone, autumn + 25 * HOUR - EARLY_MS - 1).0, jiff::civil::date(2026, 11, 1));
    }

    #[test]
    fn a_day_may_start_at_one_o_clock() {
        // On 2026-09-06 Chile's clocks go from midnight to one.
        let start = wall("2026-09-06T04:00:00Z");
        let before = (jiff::civil::date(2026, 9, 5), false, 1 + EARLY_MS + GUARD_MS);
        assert_eq!(today("America/Santiago", start - EARLY_MS - 1), before);
        assert_eq!(today("America/Santiago", start), (jiff::civil::date(2026, 9, 6), true, 23 * HOUR + GUARD_MS));
    }

    #[test]
    fn the_wall_clock_is_read_each_minute_and_when_the_day_or_the_guard_ends() {
        let mut zone = Zone::new("UTC").unwrap();
        let midnight = wall("2026-06-02T00:00:00Z");
        let mut reads = Vec::new();
        for millis in 0..150_000 {
            let at = midnight - 70_000 + millis;
            let today = zone.today(Tick::from_millis(START + millis as u64), || {
                reads.push(millis);
                at
            });
            assert_eq!(today.in_guard, (midnight - EARLY_MS..midnight + GUARD_MS).contains(&at));
            assert_eq!(i64::from(today.date), (at + EARLY_MS).div_euclid(24 * HOUR));
        }
        assert_eq!(reads, [0, 60_000, 69_000, 100_000]);
    }

    #[test]
    fn an_out_of_range_clock_is_clamped_and_an_unknown_zone_is_an_error() {
        assert_eq!(today("UTC", i64::MIN).0, EPOCH);
        assert_eq!(today("UTC", i64::MAX).0.year(), 9987);
        assert_eq!(Zone::new("Mars/Olympus").unwrap_err().to_string(), "there is no time zone \"Mars/Olympus\"");
    }

    #[test]
    fn two_dates_are_kept() {
        let day = |date, in_guard| Today { date, in_guard, guard_ends: Tick::ZERO, ends: Tick::NEVER };
        let mut count = DailyCount::default();
        count.add(day(7, false), 5);
        count.add(day(8, true), 2);
        assert_eq!(count.used(day(8, true)), 7);
        assert_eq!(count.used(day(8, false)), 2);
        count.remove(day(7, false), 9);
        assert_eq!(count.used(day(8, true)), 2);
        count.add(day(9, false), 1);
        count.add_to(7, 4);
        assert_eq!(count.entries().collect::<Vec<_>>(), [(8, 2), (9, 1)]);
        // If the clock is set back, the requests count nevertheless.
        count.add(day(3, false), 6);
        assert_eq!(count.used(day(3, false)), 6);
    }
}
