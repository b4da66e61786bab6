//! An exact sliding window: the plainest thing that can be right.

use std::collections::VecDeque;
use std::time::Duration;

/// Every booking of the last `span`, one entry each. A booking made at `t`
/// counts in `[t, t + span)`.
#[derive(Debug)]
pub(crate) struct Window {
    span: Duration,
    booked: VecDeque<(Duration, u64)>,
    sum: u64,
}

impl Window {
    pub(crate) fn new(span: Duration) -> Self {
        Self { span, booked: VecDeque::new(), sum: 0 }
    }

    fn expire(&mut self, now: Duration) {
        while let Some(&(at, amount)) = self.booked.front() {
            if at + self.span > now {
                break;
            }
            self.booked.pop_front();
            self.sum -= amount;
        }
    }

    /// How much the last `span` holds.
    pub(crate) fn used(&mut self, now: Duration) -> u64 {
        self.expire(now);
        self.sum
    }

    pub(crate) fn book(&mut self, now: Duration, amount: u64) {
        self.expire(now);
        if amount > 0 {
            self.booked.push_back((now, amount));
            self.sum += amount;
        }
    }

    /// How long until `amount` more fits under `limit`: zero when it does now,
    /// the whole span when it never will.
    pub(crate) fn wait(&mut self, now: Duration, amount: u64, limit: u64) -> Duration {
        let mut held = self.used(now);
        if amount > limit {
            return self.span;
        }
        for &(at, booked) in &self.booked {
            if held + amount <= limit {
                break;
            }
            held -= booked;
            if held + amount <= limit {
                return (at + self.span).saturating_sub(now);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_booking_leaves_after_exactly_one_span() {
        let mut window = Window::new(MINUTE);
        window.book(at(10.0), 1);
        assert_eq!(window.used(at(69.999_999)), 1);
        assert_eq!(window.used(at(70.0)), 0);
    }

    #[test]
    fn the_wait_names_the_booking_that_must_leave() {
        let mut window = Window::new(MINUTE);
        window.book(at(0.0), 3);
        window.book(at(5.0), 4);
        window.book(at(9.0), 3);
        assert_eq!(window.wait(at(10.0), 3, 10), at(50.0));
        assert_eq!(window.wait(at(10.0), 4, 10), at(55.0));
        assert_eq!(window.wait(at(10.0), 10, 10), at(59.0));
        assert_eq!(window.wait(at(10.0), 1, 11), Duration::ZERO);
        assert_eq!(window.wait(at(10.0), 11, 10), MINUTE);
    }

    #[test]
    fn no_alignment_of_the_minute_ever_holds_more_than_the_limit() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut window = Window::new(MINUTE);
        let (mut now, mut accepted) = (Duration::ZERO, Vec::new());
        for _ in 0..5_000 {
            now += Duration::from_millis(rng.u64(0..9_000));
            if window.wait(now, 1, 10).is_zero() {
                window.book(now, 1);
                accepted.push(now);
            }
        }
        for (i, start) in accepted.iter().enumerate() {
            let inside = accepted[i..].iter().take_while(|t| **t < *start + MINUTE);
            assert!(inside.count() <= 10);
        }
        assert!(accepted.len() > 2_000, "the window must not be a dam");
    }
}
