//! The pace of a slot: so long from start to start.

use std::time::Duration;

/// When a slot may start next. Starts lie on a grid, so that being a little late now and then makes it no slower; who is
/// late by more begins a new grid, so that nothing is made up for in a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// Since the run began.
    next: Duration,
}

impl Pace {
    /// The n-th of `slots`: they begin one after the other within a quarter of the interval.
    pub(crate) fn new(interval: Duration, n: usize, slots: usize) -> Self {
        Self { interval, next: interval / 4 * n as u32 / slots.max(1) as u32 }
    }

    /// The same of one that joins then.
    pub(crate) fn beginning(self, now: Duration) -> Self {
        Self { next: self.next + now, ..self }
    }

    /// How long it still has to wait.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// It starts now.
    pub(crate) fn started(&mut self, now: Duration) {
        let late = now.saturating_sub(self.next);
        self.next = if late > self.interval / 20 { now + self.interval } else { self.next + self.interval };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_little_late_is_made_up_for_and_much_is_not() {
        let mut pace = Pace::new(S(12), 0, 48);
        for round in 0..100 {
            let now = S(12 * round) + Duration::from_millis(7);
            assert!(pace.left(now).is_zero(), "no drift");
            pace.started(now);
        }
        pace.started(S(1_300));
        assert_eq!(pace.left(S(1_300)), S(12), "one that was away for long starts no burst");
    }

    #[test]
    fn slots_begin_apart() {
        let first = Pace::new(S(12), 1, 48).left(S(0));
        assert_eq!((Pace::new(S(12), 0, 48).left(S(0)), first), (S(0), Duration::from_micros(62_500)));
        assert!(Pace::new(S(12), 47, 48).left(S(0)) < S(3));
    }
}
