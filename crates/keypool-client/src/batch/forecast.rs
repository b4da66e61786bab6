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
}

impl Share {
    /// Requests a second while it may; without end where nothing says.
    fn rate(&self, per_key: Option<f64>) -> f64 {
        let by_minute = self.per_minute.map_or(f64::INFINITY, |minute| minute as f64 / MINUTE);
        per_key.map_or(by_minute, |key| by_minute.min(key * self.keys as f64))
    }

    /// Whether it goes on within its minute.
    fn is_here(&self) -> bool {
        self.back <= MINUTE
    }

    /// How many it has carried by then, at so many a second.
    fn by(&self, then: f64, rate: f64, day_ends: f64) -> f64 {
        // Who comes back from a rest has all of its minute.
        let from = if self.back > MINUTE && self.per_minute.is_some() { self.back - MINUTE } else { self.back };
        let made = |seconds: f64| if seconds > 0.0 { rate * seconds } else { 0.0 };
        if then <= self.back && self.back > MINUTE {
            return 0.0;
        }
        let Some(per_day) = self.per_day.map(|day| day as f64) else { return made(then - from) };
        let today = made(then.min(day_ends) - from).min(self.left as f64);
        if then <= day_ends {
            return today;
        }
        // Days from the end of this one; it may be away for the first of them.
        let (then, from) = (then - day_ends, (from - day_ends).max(0.0));
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
        let rates = self.rates(pace.filter(|pace| *pace > 0.0));
        let pairs = || self.shares.iter().zip(&rates);
        let by = |then: f64| pairs().map(|(share, rate)| share.by(then, *rate, self.day_ends)).sum::<f64>();
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

    /// Requests a second of each share: what its limits allow, or less where it was less so far.
    fn rates(&self, pace: Option<f64>) -> Vec<f64> {
        let mut rates: Vec<f64> = self.shares.iter().map(|share| share.rate(self.per_key)).collect();
        let any_here = self.shares.iter().any(Share::is_here);
        let counts = |share: &Share| !any_here || share.is_here();
        let Some(pace) = pace else { return rates };
        let (number, allowed) = self
            .shares
            .iter()
            .zip(&rates)
            .filter(|(share, _)| counts(share))
            .fold((0.0, 0.0), |(number, sum), (_, rate)| (number + 1.0, sum + rate));
        for rate in &mut rates {
            // Where nothing limits them all have a like part of it.
            *rate = if rate.is_finite() && allowed.is_finite() {
                *rate * (pace / allowed.max(1e-9)).min(1.0)
            } else {
                rate.min(pace / number)
            };
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(shares: &[Share]) -> Forecast {
        Forecast { shares: shares.to_vec(), day_ends: 7_200.0, per_key: None, by_slots: None }
    }

    fn seconds(forecast: &Forecast, tasks: u64, pace: Option<f64>) -> u64 {
        forecast.done_in(tasks, pace).unwrap().as_secs_f64().round() as u64
    }

    const SIXTY: Share = Share { per_minute: Some(60), per_day: None, left: 0, back: 0.0, keys: 1 };

    #[test]
    fn who_rests_carries_nothing_until_then() {
        let away = Share { back: 3_600.0, ..SIXTY };
        assert_eq!(seconds(&forecast(&[SIXTY, SIXTY]), 7_200, None), 3_600);
        // One carries 3,600 in that hour; then both share what is left, and one has a minute of its own at once.
        assert_eq!(seconds(&forecast(&[SIXTY, away]), 7_200, None), 3_600 + (3_600 - 60) / 2);
        assert_eq!(seconds(&forecast(&[away, away]), 100, None), 3_600);
        // A minute that is full is no rest.
        assert_eq!(seconds(&forecast(&[Share { back: 30.0, ..SIXTY }]), 60, None), 90);
        let unlimited = Share { per_minute: None, ..away };
        assert_eq!(seconds(&forecast(&[unlimited]), 1_000_000, None), 3_600, "at least that is known");
        assert_eq!(forecast(&[Share { per_minute: None, ..SIXTY }]).done_in(7, None), None);
        assert_eq!(forecast(&[]).done_in(7, None), None);
    }

    #[test]
    fn a_day_allows_so_many() {
        let day = Share { per_day: Some(100), left: 40, ..SIXTY };
        assert_eq!(seconds(&forecast(&[day]), 40, None), 40);
        assert_eq!(seconds(&forecast(&[day]), 41, None), 7_201);
        assert_eq!(seconds(&forecast(&[day]), 141, None), 7_200 + 86_400 + 1);
        assert_eq!(seconds(&forecast(&[day]), 340, None), 7_200 + 2 * 86_400 + 100);
        // Away until tomorrow, and for three days.
        let away = |back: f64| Share { back, left: 0, ..day };
        assert_eq!(seconds(&forecast(&[away(7_200.0)]), 100, None), 7_200 + 100);
        assert_eq!(seconds(&forecast(&[away(7_200.0 + 2.5 * 86_400.0)]), 150, None), 7_200 + 3 * 86_400 + 50);
        assert_eq!(seconds(&forecast(&[day, SIXTY]), 1_000, None), 960, "the other one goes on");
        let none = Share { per_day: Some(0), left: 0, ..SIXTY };
        assert_eq!(forecast(&[none]).done_in(1, None), None, "never");
    }

    #[test]
    fn what_was_measured_is_no_more_than_the_limits_allow() {
        assert_eq!(seconds(&forecast(&[SIXTY, SIXTY]), 7_200, Some(50.0)), 3_600);
        assert_eq!(seconds(&forecast(&[SIXTY, SIXTY]), 7_200, Some(1.0)), 7_200, "whatever holds it up");
        let unlimited = Share { per_minute: None, ..SIXTY };
        assert_eq!(seconds(&forecast(&[unlimited, unlimited]), 1_000, Some(10.0)), 100);
        let away = Share { back: 600.0, ..unlimited };
        assert_eq!(seconds(&forecast(&[unlimited, away]), 9_000, Some(10.0)), 750);
        let slots = Forecast { per_key: Some(0.25), by_slots: Some(0.5), ..forecast(&[SIXTY, SIXTY]) };
        assert_eq!(seconds(&slots, 100, None), 200);
    }
}
