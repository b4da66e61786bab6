//! Whose midnight ends a day.

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    log::Dates,
    visits::{Look, Visits},
};
use crate::time::{Now, Tick};

/// After midnight, how long a moment belongs to both days: the provider's clock need not agree with ours.
pub(crate) const MIDNIGHT_GUARD: Duration = Duration::from_secs(30);

/// The last moment whose date surely has 16 bits (in the year 2149): later ones are taken for it.
const LAST_MS: i64 = 65_500 * 86_400_000;

/// The dates that a moment, or a request, belongs to: `first..=last`, each in days since 1970-01-01 plus one.
/// Zero is no date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Days {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl Days {
    pub(super) fn contains(self, date: u16) -> bool {
        (self.first..=self.last).contains(&date)
    }

    /// The places of a log's dates that these have when the log stands at them: bit `n` for place `n`.
    #[inline]
    pub(super) fn places(self) -> u16 {
        if self.first == self.last { 0b1 } else { 0b11 }
    }

    /// Whether all dates of `others` are among these.
    pub(crate) fn covers(self, others: Self) -> bool {
        self.contains(others.first) && self.contains(others.last)
    }

    /// Whether there is no date between them.
    pub(crate) fn touch(self, later: Self) -> bool {
        later.first <= self.last.saturating_add(1) && self.first <= later.last.saturating_add(1)
    }

    /// Both. Where there is a gap between them (a wall clock that jumped) only `later`: a date on which nothing was
    /// counted must not be among them.
    pub(crate) fn and(self, later: Self) -> Self {
        if self.touch(later) {
            Self { first: self.first.min(later.first), last: self.last.max(later.last) }
        } else {
            later
        }
    }
}

/// A moment's place in the calendar of a [`Zone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayAt {
    pub(crate) wall_ms: i64,
    /// One date; in the guard after midnight two.
    pub(crate) days: Days,
    /// When the guard of this day ends: from then on it alone counts.
    pub(crate) opens_ms: i64,
    /// The same of the next day.
    pub(crate) next_ms: i64,
}

/// A time zone, with today at hand: asking the same day again costs two comparisons, and no division.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    rules: TimeZone,
    guard_ms: i64,
    date: u16,
    start_ms: i64,
    end_ms: i64,
    seen: Seen,
    /// The dates that [`Zone::turn`] told last.
    told: Days,
    visits: Visits,
}

/// The dates seen last, and for which ticks they hold as long as the wall clock is so far ahead.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    days: Days,
    ahead_ms: i64,
    from: u64,
    length: u64,
}

impl Zone {
    /// `guard`: how long after midnight both days count, [`MIDNIGHT_GUARD`] unless set.
    pub(crate) fn new(zone: TimeZone, guard: Duration) -> Self {
        let guard_ms = i64::try_from(guard.as_millis()).unwrap_or(i64::MAX).min(3_600_000);
        Self {
            rules: zone,
            guard_ms,
            date: 0,
            start_ms: 0,
            end_ms: 0,
            seen: Seen::default(),
            told: Days::default(),
            visits: Visits::default(),
        }
    }

    /// The dates that a moment belongs to.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn dates(&mut self, now: Now) -> Days {
        let seen = &self.seen;
        if now.ahead_ms != seen.ahead_ms || now.tick.nanos().wrapping_sub(seen.from) >= seen.length {
            self.see(now);
        }
        self.seen.days
    }

    /// Whether the dates are others than when this was asked last.
    #[inline]
    pub(crate) fn turn(&mut self, now: Now) -> bool {
        let days = self.dates(now);
        std::mem::replace(&mut self.told, days) != days
    }

    /// When those that were asked for last end, in nanoseconds.
    pub(crate) fn turns_at(&self) -> u64 {
        self.seen.from.saturating_add(self.seen.length)
    }

    #[cold]
    fn see(&mut self, now: Now) {
        let days = self.days(now.wall_ms());
        let counted = self.counted(days, now.tick, now.wall_ms());
        let opens_ms = self.start_ms + self.guard_ms;
        let (from, to) =
            if days.first == days.last { (opens_ms, self.end_ms) } else { (self.start_ms, opens_ms.min(self.end_ms)) };
        let nanos =
            |wall_ms: i64| u64::try_from(wall_ms.saturating_sub(now.ahead_ms)).unwrap_or(0).saturating_mul(1_000_000);
        let from = nanos(from);
        self.seen = Seen { days: counted, ahead_ms: now.ahead_ms, from, length: nanos(to).saturating_sub(from) };
    }

    /// The wall clock was set.
    pub(crate) fn was_set(&mut self, now: Now) {
        let days = self.days(now.wall_ms());
        self.counted(days, now.tick, now.wall_ms());
        self.visits.stay(now.ahead_ms);
    }

    /// Whether the clock was on more dates of late than logs have places for, or will have been when it walks on.
    pub(crate) fn is_crowded(&self, now: Now) -> bool {
        let until = u64::try_from(self.end_ms.saturating_sub(now.wall_ms())).unwrap_or(0);
        self.visits.are_crowded(now.tick, Duration::from_millis(until))
    }

    /// Logs keep so many dates from now on.
    pub(crate) fn keep(&mut self, kept: Dates) {
        self.visits.keep(kept);
        self.seen = Seen::default();
    }

    /// The dates that `wall_ms` (milliseconds since the Unix epoch) belongs to by the calendar.
    #[inline]
    pub(crate) fn days(&mut self, wall_ms: i64) -> Days {
        if wall_ms < self.start_ms || wall_ms >= self.end_ms {
            self.turn_to(wall_ms);
        }
        let guarded = wall_ms < self.start_ms + self.guard_ms;
        Days { first: if guarded { self.date.saturating_sub(1).max(1) } else { self.date }, last: self.date }
    }

    /// The calendar's view of `wall_ms`, which the wall clock shows at `tick`.
    #[inline]
    pub(crate) fn at(&mut self, tick: Tick, wall_ms: i64) -> DayAt {
        let days = self.days(wall_ms);
        DayAt {
            wall_ms,
            days: self.counted(days, tick, wall_ms),
            opens_ms: self.start_ms + self.guard_ms,
            next_ms: self.end_ms.saturating_add(self.guard_ms),
        }
    }

    /// The dates that count while the clock shows `days`, as it does now.
    #[inline]
    fn counted(&mut self, days: Days, tick: Tick, wall_ms: i64) -> Days {
        match self.visits.at(days) {
            Some(counted) => counted,
            None => self.go(days, tick, wall_ms),
        }
    }

    #[cold]
    fn go(&mut self, days: Days, tick: Tick, wall_ms: i64) -> Days {
        let (opens_ms, next_ms) = (self.start_ms + self.guard_ms, self.end_ms.saturating_add(self.guard_ms));
        let ahead_ms = wall_ms.saturating_sub(tick.millis() as i64);
        self.visits.go(Look { days, tick, ahead_ms, opens_ms, next_ms })
    }

    /// When the day after that of `wall_ms` opens: its midnight and the guard. A day's quota that an answer calls used
    /// up comes back then, `wall_ms` being the *start* of the request.
    pub(crate) fn next_midnight(&self, wall_ms: i64) -> i64 {
        self.day_of(wall_ms).2.saturating_add(self.guard_ms)
    }

    /// How long the guard still lasts then: zero where both days do not count.
    pub(crate) fn guard_left(&self, wall_ms: i64) -> Duration {
        let opens_ms = self.day_of(wall_ms).1.saturating_add(self.guard_ms);
        Duration::from_millis(u64::try_from(opens_ms.saturating_sub(wall_ms)).unwrap_or(0))
    }

    /// Whether a midnight, before or after, is within `distance`: then it is unclear of which day an answer speaks.
    pub(crate) fn near_midnight(&self, wall_ms: i64, distance: Duration) -> bool {
        let distance = i64::try_from(distance.as_millis()).unwrap_or(i64::MAX);
        let (_, start_ms, end_ms) = self.day_of(wall_ms);
        wall_ms.saturating_sub(start_ms) < distance || end_ms.saturating_sub(wall_ms) <= distance
    }

    #[cold]
    fn turn_to(&mut self, wall_ms: i64) {
        (self.date, self.start_ms, self.end_ms) = self.day_of(wall_ms);
    }

    /// The date, its first millisecond, and that of the next.
    fn day_of(&self, wall_ms: i64) -> (u16, i64, i64) {
        if (self.start_ms..self.end_ms).contains(&wall_ms) {
            return (self.date, self.start_ms, self.end_ms);
        }
        let within = Timestamp::from_millisecond(wall_ms.clamp(0, LAST_MS)).expect("1970 to 2149 is within range");
        let date = within.to_zoned(self.rules.clone()).date();
        let tomorrow = date.tomorrow().expect("1970 to 2149 is within range");
        // Beyond the range the first and the last day go on for ever.
        let start_ms = if wall_ms < 0 { i64::MIN / 2 } else { self.midnight(date) };
        let end_ms = if wall_ms > LAST_MS { i64::MAX / 2 } else { self.midnight(tomorrow) };
        (number(date), start_ms, end_ms)
    }

    /// Where daylight saving skips midnight, the first moment of the date.
    fn midnight(&self, date: Date) -> i64 {
        let start = self.rules.to_ambiguous_zoned(date.to_datetime(jiff::civil::Time::midnight()));
        start.compatible().expect("1970 to 2149 is within range").timestamp().as_millisecond()
    }
}

/// A date by its number, as `2026-06-15`.
pub(crate) fn date_text(number: u16) -> String {
    let first = Date::constant(1970, 1, 1);
    first.checked_add(jiff::Span::new().days(i32::from(number) - 1)).unwrap_or(first).to_string()
}

/// The number of a date that [`date_text`] wrote.
pub(crate) fn date_number(text: &str) -> Option<u16> {
    text.parse().ok().map(number)
}

fn number(date: Date) -> u16 {
    let days = date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
    u16::try_from(days + 1).unwrap_or(if days < 0 { 1 } else { u16::MAX }).max(1)
}
