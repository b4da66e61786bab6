//! An exact sliding window.

use std::collections::VecDeque;
use std::time::Duration;

const SPAN: Duration = Duration::from_secs(60);

/// Every entry of the last minute. An entry made at `t` counts in `[t, t + 60 s)`.
#[derive(Debug, Default)]
pub(super) struct SlidingWindow {
    entries: VecDeque<(Duration, u64)>,
    sum: u64,
}

impl SlidingWindow {
    pub(super) fn add(&mut self, now: Duration, amount: u64) {
        self.expire(now);
        if amount > 0 {
            self.entries.push_back((now, amount));
            self.sum += amount;
        }
    }

    /// How long until `amount` more fits under `limit`: zero when it does now, the whole minute when it never will.
    pub(super) fn wait(&mut self, now: Duration, amount: u64, limit: u64) -> Duration {
        self.expire(now);
        if amount > limit {
            return SPAN;
        }
        let mut used = self.sum;
        for &(at, entry) in &self.entries {
            if used + amount <= limit {
                break;
            }
            used -= entry;
            if used + amount <= limit {
                return (at + SPAN).saturating_sub(now);
            }
        }
        Duration::ZERO
    }

    fn expire(&mut self, now: Duration) {
        while let Some(&(at, amount)) = self.entries.front() {
            if at + SPAN > now {
                break;
            }
            self.entries.pop_front();
            self.sum -= amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Against the definition: at no instant does a span of a minute hold more than the limit, and nothing that would
    /// fit waits.
    #[test]
    fn no_span_holds_more_than_the_limit() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let limit = rng.u64(1..9);
            let (mut window, mut taken, mut now) = (SlidingWindow::default(), Vec::new(), Duration::ZERO);
            for _ in 0..200 {
                now += SECOND.mul_f64(rng.f64() * 40.0);
                let amount = rng.u64(1..4);
                let used: u64 = taken.iter().filter(|(at, _)| *at + SPAN > now).map(|(_, amount)| amount).sum();
                let fits = used + amount <= limit;
                assert_eq!(window.wait(now, amount, limit).is_zero(), fits);
                if fits {
                    window.add(now, amount);
                    taken.push((now, amount));
                }
            }
        }
    }

    #[test]
    fn it_tells_when_there_is_room() {
        let mut window = SlidingWindow::default();
        window.add(SECOND, 2);
        window.add(SECOND * 10, 1);
        assert_eq!(window.wait(SECOND * 20, 1, 3), SECOND * 41);
        assert_eq!(window.wait(SECOND * 20, 3, 3), SECOND * 50);
        assert_eq!(window.wait(SECOND * 20, 4, 3), SECOND * 60, "it never fits");
        assert_eq!(window.wait(SECOND * 61, 2, 3), Duration::ZERO);
    }
}
