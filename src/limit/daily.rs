//! Calendar days of a zone, and what was used on each.

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{error::Error, time::Tick};

/// How long after midnight a request counts for both days, 30 s: the provider's clock need not agree with ours.
pub const MIDNIGHT_GUARD: Duration = Duration::from_millis(GUARD_MS as u64);

const GUARD_MS: i64 = 30_000;

/// For how long the wall clock is not read again.
const REREAD: Duration = Duration::from_secs(60);

/// The last moment that is told from later ones, in the year 9987.
const LAST_MS: i64 = 253_000_000_000_000;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// A calendar day of a zone.
///
/// ```
/// use tower_keypool::store::Day;
///
/// // A Pacific day begins at 8:00 UTC in winter.
/// let day = Day::at("America/Los_Angeles", 1_767_225_600_000)?;
/// assert_eq!((day.date, day.starts_ms), (20_453, 1_767_168_000_000));
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// In days since 1970-01-01.
    pub date: i32,
    /// Its first moment, in milliseconds since the Unix epoch.
    pub starts_ms: i64,
    /// The first moment of the next day.
    pub ends_ms: i64,
}

impl Day {
    /// The day of an IANA zone at a moment, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// A configuration error if no zone has this name.
    pub fn at(zone: &str, unix_ms: i64) -> Result<Self, Error> {
        Ok(Zone::new(zone)?.day(unix_ms))
    }
}

/// An IANA time zone, which remembers what day it is there.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    rules: TimeZone,
    today: Today,
    /// When `today` must be found out again.
    expires: Tick,
}

/// A day of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Today {
    /// In days since 1970-01-01.
    pub(crate) date: i32,
    /// While the guard after midnight lasts a request counts for the day before, too.
    pub(crate) in_guard: bool,
    /// When that guard ends.
    pub(crate) guard_ends: Tick,
    /// When the guard after the next midnight ends: what is used up today comes back then.
    pub(crate) ends: Tick,
}

impl Zone {
    /// # Errors
    ///
    /// A configuration error where no zone has this name.
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let rules = TimeZone::get(name)
            .map_err(|error| Error::config(format!("there is no time zone \"{name}\"")).with_source(error))?;
        let today = Today { date: 0, in_guard: false, guard_ends: Tick::ZERO, ends: Tick::ZERO };
        Ok(Self { rules, today, expires: Tick::ZERO })
    }

    /// The day at `now`. The wall clock (milliseconds since the Unix epoch) is read each 60 s at most, and where the day
    /// or the guard ends.
    #[inline]
    pub(crate) fn today(&mut self, now: Tick, wall_ms: impl FnOnce() -> i64) -> Today {
        if now >= self.expires {
            self.read(now, wall_ms());
        }
        self.today
    }

    fn read(&mut self, now: Tick, wall_ms: i64) {
        let wall_ms = wall_ms.clamp(0, LAST_MS);
        let Day { date, starts_ms, ends_ms } = self.day(wall_ms);
        let tick = |at_ms: i64| now.plus(Duration::from_millis(u64::try_from(at_ms - wall_ms).unwrap_or(0)));
        let in_guard = wall_ms < starts_ms + GUARD_MS;
        self.today = Today { date, in_guard, guard_ends: tick(starts_ms + GUARD_MS), ends: tick(ends_ms + GUARD_MS) };
        let changes = if in_guard { self.today.guard_ends } else { tick(ends_ms) };
        self.expires = changes.min(now.plus(REREAD));
    }

    fn day(&self, unix_ms: i64) -> Day {
        let moment = Timestamp::from_millisecond(unix_ms.clamp(0, LAST_MS)).expect("a moment between 1970 and 9987");
        let date = moment.to_zoned(self.rules.clone()).date();
        let starts_ms = self.midnight(date);
        let ends_ms = self.midnight(date.tomorrow().expect("a date before 9988 has a next one"));
        Day { date: days_since_epoch(date), starts_ms, ends_ms }
    }

    /// The first moment of a date, also where daylight saving skips midnight.
    fn midnight(&self, date: Date) -> i64 {
        let midnight = self.rules.to_ambiguous_zoned(date.to_datetime(jiff::civil::Time::midnight()));
        midnight.compatible().expect("a date between 1970 and 9988").timestamp().as_millisecond()
    }
}

fn days_since_epoch(date: Date) -> i32 {
    (date.duration_since(EPOCH).as_hours() / 24) as i32
}

impl Today {
    /// The days that a request counts for.
    fn dates(self) -> impl Iterator<Item = i32> {
        std::iter::once(self.date).chain(self.in_guard.then_some(self.date - 1))
    }
}

/// What was used on each of the two latest dates that anything was counted for.
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
    /// What counts today; while the guard lasts, the larger count of the two days.
    #[inline]
    pub(crate) fn used(&self, today: Today) -> u64 {
        let before = if today.in_guard { self.of(today.date - 1) } else { 0 };
        before.max(self.of(today.date))
    }

    /// When `amount` fits under `limit`: [`Tick::ZERO`] if it does already, [`Tick::NEVER`] if it is more than the limit.
    pub(crate) fn opens(&self, today: Today, amount: u64, limit: u64) -> Tick {
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

    /// Counts an amount for the day, and for the day before while the guard lasts.
    #[inline]
    pub(crate) fn add(&mut self, today: Today, amount: u64) {
        today.dates().for_each(|date| self.add_to(date, amount));
    }

    /// Counts an amount for one date.
    pub(crate) fn add_to(&mut self, date: i32, amount: u64) {
        let at = self.place(date).unwrap_or_else(|| {
            let older = usize::from(self.dates[0] >= self.dates[1]);
            (self.dates[older], self.amounts[older]) = (date, 0);
            older
        });
        self.amounts[at] = self.amounts[at].saturating_add(amount);
    }

    /// Takes back an amount that was added on `today`, the day of the start.
    pub(crate) fn remove(&mut self, today: Today, amount: u64) {
        for date in today.dates() {
            if let Some(at) = self.place(date) {
                self.amounts[at] = self.amounts[at].saturating_sub(amount);
            }
        }
    }

    /// What was counted for each date.
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

    /// The day at a moment, by a zone that has read no clock before; with `ends` in milliseconds from then.
    fn today(zone: &str, wall_ms: i64) -> (Date, bool, i64) {
        let today = Zone::new(zone).unwrap().today(Tick::from_millis(START), || wall_ms);
        let date = EPOCH.checked_add(jiff::Span::new().days(today.date)).unwrap();
        (date, today.in_guard, (today.ends.millis() - START) as i64)
    }

    #[test]
    fn a_day_of_23_hours_and_one_of_25() {
        let zone = "America/Los_Angeles";
        let spring = wall("2026-03-08T08:00:00Z");
        assert_eq!(today(zone, spring), (jiff::civil::date(2026, 3, 8), true, 23 * HOUR + GUARD_MS));
        assert_eq!(today(zone, spring + 23 * HOUR - 1), (jiff::civil::date(2026, 3, 8), false, 1 + GUARD_MS));
        assert_eq!(today(zone, spring + 23 * HOUR).0, jiff::civil::date(2026, 3, 9));
        let autumn = wall("2026-11-01T07:00:00Z");
        assert_eq!(today(zone, autumn), (jiff::civil::date(2026, 11, 1), true, 25 * HOUR + GUARD_MS));
        assert_eq!(today(zone, autumn - 1).0, jiff::civil::date(2026, 10, 31));
        assert_eq!(today(zone, autumn + 25 * HOUR - 1).0, jiff::civil::date(2026, 11, 1));
    }

    #[test]
    fn a_day_may_begin_at_one_o_clock() {
        // On 2026-09-06 Chile's clocks go from midnight to one.
        let start = wall("2026-09-06T04:00:00Z");
        assert_eq!(today("America/Santiago", start - 1), (jiff::civil::date(2026, 9, 5), false, 1 + GUARD_MS));
        assert_eq!(today("America/Santiago", start), (jiff::civil::date(2026, 9, 6), true, 23 * HOUR + GUARD_MS));
    }

    #[test]
    fn the_wall_clock_is_read_each_minute_and_where_the_day_or_the_guard_ends() {
        let mut zone = Zone::new("UTC").unwrap();
        let midnight = wall("2026-06-02T00:00:00Z");
        let mut reads = Vec::new();
        for millis in 0..150_000 {
            let at = midnight - 70_000 + millis;
            let today = zone.today(Tick::from_millis(START + millis as u64), || {
                reads.push(millis);
                at
            });
            assert_eq!(today.in_guard, (midnight..midnight + GUARD_MS).contains(&at));
            assert_eq!(i64::from(today.date), at.div_euclid(24 * HOUR));
        }
        assert_eq!(reads, [0, 60_000, 70_000, 100_000]);
    }

    #[test]
    fn a_clock_out_of_range_is_some_day_and_an_unknown_zone_an_error() {
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
        assert_eq!(count.entries().collect::<Vec<_>>(), [(8, 2), (9, 1)]);
    }
}
