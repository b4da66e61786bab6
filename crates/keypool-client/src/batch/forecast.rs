//! When so many tasks are done, by what is known of each owner: when it comes back, its minute and its day.

use std::time::Duration;

const MINUTE: f64 = 60.0;
const DAY: f64 = 86_400.0;
/// Nobody waits for longer.
const YEARS: f64 = 10.0 * 366.0 * DAY;

/// What one owner may carry of one model. Times are seconds from now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) per_minute: Option<u64>,
    /// How many of its minute are not used now.
    pub(super) free: u64,
    pub(super) per_day: Option<u64>,
    /// Of today's.
    pub(super) left: u64,
    /// When the first of its keys comes back.
    pub(super) back: f64,
    /// Keys that may carry it by and by.
    pub(super) keys: usize,
}

/// What all of them may.
#[derive(Clone, Debug, Default)]
pub(super) struct Forecast {
    pub(super) shares: Vec<Share>,
    /// When the day ends.
    pub(super) day_ends: f64,
    /// Requests a second of each key by its slots.
    pub(super) per_key: Option<f64>,
    /// And of all of them.
    pub(super) by_slots: Option<f64>,
    /// Since the last request began.
    pub(super) quiet: f64,
}

/// What one owner is expected to carry at the most, besides its limits.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Requests a second; without end where nothing says.
    most: f64,
    /// Since the last request began.
    quiet: f64,
}

impl Share {
    /// Whether nothing is known of how fast it goes.
    pub(super) fn has_no_end(&self) -> bool {
        self.per_minute.is_none() && self.keys > 0
    }

    /// Requests a second by its slots; without end where there are none.
    fn by_slots(&self, per_key: Option<f64>) -> f64 {
        per_key.map_or(f64::INFINITY, |key| key * self.keys as f64)
    }

    /// Requests a second by its minute; without end where nothing says.
    fn by_minute(&self) -> f64 {
        self.per_minute.map_or(f64::INFINITY, |minute| minute as f64 / MINUTE)
    }

    /// Whether it goes on within its minute.
    fn is_here(&self) -> bool {
        self.back <= MINUTE
    }

    /// How many its minute allows until then: what is free goes at once and again each minute; what is used comes free as long
    /// after it was as a minute lasts, the last of it by when nothing has begun for a minute.
    fn within_minutes(&self, minute: f64, then: f64, quiet: f64) -> f64 {
        if then < self.back {
            return 0.0;
        }
        let minutes = ((then - self.back) / MINUTE).floor();
        // Who comes back from a rest has all of its minute.
        let free = if self.is_here() { (self.free as f64).min(minute) } else { minute };
        let over = (MINUTE - quiet - self.back).max(0.0);
        let part = if over > 0.0 { ((then - self.back - minutes * MINUTE) / over).min(1.0) } else { 1.0 };
        free * (minutes + 1.0) + (minute - free) * (minutes + part)
    }

    /// How many it has carried by then.
    fn by(&self, then: f64, pace: Pace, day_ends: f64) -> f64 {
        let rate = pace.most.min(self.by_minute());
        let made = |seconds: f64| if seconds > 0.0 { rate * seconds } else { 0.0 };
        let until = |then: f64| {
            let by_minute = self.per_minute.map(|minute| self.within_minutes(minute as f64, then, pace.quiet));
            let by_pace = if then > self.back { pace.most * (then - self.back) } else { 0.0 };
            by_minute.map_or(by_pace, |by_minute| by_minute.min(by_pace))
        };
        let Some(per_day) = self.per_day.map(|day| day as f64) else { return until(then) };
        let today = until(then.min(day_ends)).min(self.left as f64);
        if then <= day_ends {
            return today;
        }
        // Days from the end of this one; it may be away for the first of them.
        let (then, from) = (then - day_ends, (self.back - day_ends).max(0.0));
        let (last, first) = ((then / DAY).floor(), (from / DAY).floor());
        let of_day = |begin: f64, end: f64| made(end - begin).min(per_day);
        let rest = |day: f64| of_day(if day > first { 0.0 } else { from - first * DAY }, then - last * DAY);
        today
            + match last - first {
                days if days < 0.0 => 0.0,
                0.0 => rest(last),
                days => of_day(from - first * DAY, DAY) + (days - 1.0) * of_day(0.0, DAY) + rest(last),
            }
    }
}

impl Forecast {
    /// When so many tasks are done. `pace`: good answers a second so far, while any request was under way. `None` where nobody
    /// knows.
    pub(super) fn done_in(&self, tasks: u64, pace: Option<f64>) -> Option<Duration> {
        let paces = self.paces(pace.filter(|pace| *pace > 0.0));
        let pairs = || self.shares.iter().zip(&paces);
        let by = |then: f64| {
            let of_each =
                |(share, most): (&Share, &f64)| share.by(then, Pace { most: *most, quiet: self.quiet }, self.day_ends);
            pairs().map(of_each).sum::<f64>()
        };
        // A hair less, for what sums of fractions lose.
        let wanted = tasks as f64 - 1e-6;
        let (mut early, mut late) = (0.0, 1.0);
        while by(late) < wanted {
            (early, late) = (late, late * 2.0);
            if late > YEARS {
                return None;
            }
        }
        while late - early > 0.01_f64.max(late * 1e-6) {
            let middle = f64::midpoint(early, late);
            if by(middle) < wanted { early = middle } else { late = middle }
        }
        let first_back = self.shares.iter().map(|share| share.back).fold(f64::INFINITY, f64::min);
        let by_slots =
            self.by_slots.map(|slots| tasks as f64 / slots + if first_back > MINUTE { first_back } else { 0.0 });
        let done = by_slots.map_or(late, |by_slots| late.max(by_slots));
        // What takes no time at all is what nobody knows.
        (done > 0.02).then(|| Duration::try_from_secs_f64(done).ok()).flatten()
    }

    /// Requests a second of each share at the most, by its slots and by how it went so far.
    fn paces(&self, pace: Option<f64>) -> Vec<f64> {
        let by_slots = |share: &Share| share.by_slots(self.per_key);
        let Some(pace) = pace else { return self.shares.iter().map(by_slots).collect() };
        let any_here = self.shares.iter().any(Share::is_here);
        let rate = |share: &Share| share.by_minute().min(by_slots(share));
        let counted = self.shares.iter().filter(|share| !any_here || share.is_here());
        let (number, allowed) = counted.fold((0.0, 0.0), |(number, sum), share| (number + 1.0, sum + rate(share)));
        let part = |share: &Share| {
            // Where nothing limits them all have a like part of it.
            let whole = rate(share).is_finite() && f64::is_finite(allowed);
            if whole { rate(share) * pace / allowed.max(1e-9) } else { pace / number }
        };
        self.shares.iter().map(|share| by_slots(share).min(part(share))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(shares: &[Share]) -> Forecast {
        Forecast { shares: shares.to_vec(), day_ends: 7_200.0, per_key: None, by_slots: None, quiet: 0.0 }
    }

    fn seconds(forecast: &Forecast, tasks: u64, pace: Option<f64>) -> u64 {
        forecast.done_in(tasks, pace).unwrap().as_secs_f64().round() as u64
    }

    const SIXTY: Share = Share { per_minute: Some(60), free: 60, per_day: None, left: 0, back: 0.0, keys: 1 };
    /// Used as evenly as can be.
    const EVEN: Share = Share { free: 0, ..SIXTY };

    #[test]
    fn a_minute_goes_out_at_once_and_so_does_the_next_one() {
        assert_eq!(forecast(&[SIXTY, SIXTY]).done_in(120, None), None, "as long as their answers take");
        assert_eq!(seconds(&forecast(&[SIXTY, SIXTY]), 121, None), 60);
        assert_eq!(seconds(&forecast(&[SIXTY, SIXTY]), 240, None), 60);
        assert_eq!(seconds(&forecast(&[SIXTY, SIXTY]), 600, None), 240);
        // All of it went out 20 s ago.
        let bursts = Forecast { quiet: 20.0, ..forecast(&[Share { back: 40.0, ..EVEN }]) };
        assert_eq!(seconds(&bursts, 60, None), 40);
        assert_eq!(seconds(&bursts, 180, None), 160);
        // Half of it 20 s ago, and nothing since.
        let half = Forecast { quiet: 20.0, ..forecast(&[Share { free: 30, ..SIXTY }]) };
        assert_eq!(seconds(&half, 60, None), 40);
        assert_eq!(seconds(&half, 90, None), 60);
    }

    #[test]
    fn who_rests_carries_nothing_until_then() {
        let away = Share { back: 3_600.0, ..EVEN };
        assert_eq!(seconds(&forecast(&[EVEN, EVEN]), 7_200, None), 3_600);
        // One carries 3,600 in that hour; then both share what is left, and one has a minute of its own at once.
        assert_eq!(seconds(&forecast(&[EVEN, away]), 7_200, None), 3_600 + 29 * 60 + 60);
        assert_eq!(seconds(&forecast(&[away, away]), 120, None), 3_600);
        // A minute that is full is no rest.
        assert_eq!(seconds(&forecast(&[Share { back: 30.0, ..EVEN }]), 60, None), 60);
        let unlimited = Share { per_minute: None, ..away };
        assert_eq!(seconds(&forecast(&[unlimited]), 1_000_000, None), 3_600, "at least that is known");
        assert_eq!(forecast(&[Share { per_minute: None, ..SIXTY }]).done_in(7, None), None);
        assert_eq!(forecast(&[]).done_in(7, None), None);
    }

    #[test]
    fn a_day_allows_so_many() {
        let day = Share { per_day: Some(100), left: 40, ..EVEN };
        assert_eq!(seconds(&forecast(&[day]), 40, None), 40);
        assert_eq!(seconds(&forecast(&[day]), 41, None), 7_201);
        assert_eq!(seconds(&forecast(&[day]), 141, None), 7_200 + 86_400 + 1);
        assert_eq!(seconds(&forecast(&[day]), 340, None), 7_200 + 2 * 86_400 + 100);
        // Away until tomorrow, and for three days.
        let away = |back: f64| Share { back, left: 0, ..day };
        assert_eq!(seconds(&forecast(&[away(7_200.0)]), 100, None), 7_200 + 100);
        assert_eq!(seconds(&forecast(&[away(7_200.0 + 2.5 * 86_400.0)]), 150, None), 7_200 + 3 * 86_400 + 50);
        assert_eq!(seconds(&forecast(&[day, EVEN]), 1_000, None), 960, "the other one goes on");
        let none = Share { per_day: Some(0), left: 0, ..EVEN };
        assert_eq!(forecast(&[none]).done_in(1, None), None, "never");
    }

    #[test]
    fn what_was_measured_is_no_more_than_the_limits_allow() {
        assert_eq!(seconds(&forecast(&[EVEN, EVEN]), 7_200, Some(50.0)), 3_600);
        assert_eq!(seconds(&forecast(&[SIXTY, SIXTY]), 7_200, Some(1.0)), 7_200, "whatever holds it up");
        let unlimited = Share { per_minute: None, ..EVEN };
        assert_eq!(seconds(&forecast(&[unlimited, unlimited]), 1_000, Some(10.0)), 100);
        let away = Share { back: 600.0, ..unlimited };
        assert_eq!(seconds(&forecast(&[unlimited, away]), 9_000, Some(10.0)), 750);
        let slots = Forecast { per_key: Some(0.25), by_slots: Some(0.5), ..forecast(&[SIXTY, SIXTY]) };
        assert_eq!(seconds(&slots, 100, None), 200);
    }
}
