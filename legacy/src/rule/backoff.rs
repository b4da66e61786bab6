//! How long to pause before the next attempt.

use std::time::Duration;

/// How long to pause before each retry of a provider's fault.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::Backoff;
///
/// let patient = Backoff::exponential().first(Duration::from_secs(2)).cap(Duration::from_secs(60));
/// let steady = Backoff::fixed(Duration::from_secs(1));
/// # let _ = (patient, steady);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    factor: f64,
    cap: Duration,
    jitter: bool,
}

impl Backoff {
    /// 1.0 s, doubling, at most 30 s; full jitter: each pause is drawn evenly from zero to that.
    pub fn exponential() -> Self {
        Self { first: Duration::from_secs(1), factor: 2.0, cap: Duration::from_secs(30), jitter: true }
    }

    /// 1.0 s each time, without jitter: [`Backoff::fixed`] for those who have no figure of their own.
    pub fn every_second() -> Self {
        Self::fixed(Duration::from_secs(1))
    }

    /// The same pause each time, without jitter; [`Backoff::every_second`] where nothing speaks for another.
    pub fn fixed(pause: Duration) -> Self {
        Self { first: pause, factor: 1.0, cap: pause, jitter: false }
    }

    /// The first pause (its upper end, with jitter).
    #[must_use]
    pub fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// What each pause is multiplied by for the next; at least 1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = if factor.is_finite() { factor.max(1.0) } else { 1.0 };
        self
    }

    /// No pause is longer.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Whether each pause is drawn evenly from zero to its length.
    #[must_use]
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// The longest pause there is.
    pub(crate) fn longest(&self) -> Duration {
        self.cap
    }

    /// The pause before retry number `n`, counted from 0.
    pub(super) fn pause(&self, n: u32, random: &mut fastrand::Rng) -> Duration {
        let seconds = self.first.as_secs_f64() * self.factor.powf(f64::from(n));
        let full = Duration::try_from_secs_f64(seconds).unwrap_or(self.cap).min(self.cap);
        if self.jitter { full.mul_f64(random.f64()) } else { full }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let backoff = Backoff::exponential().jitter(false);
        let mut random = fastrand::Rng::with_seed(7);
        let pauses: Vec<u64> = (0..7).map(|n| backoff.pause(n, &mut random).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.pause(u32::MAX, &mut random).as_secs(), 30);
    }

    #[test]
    fn a_fixed_pause_stays_and_is_a_second_by_default() {
        let mut random = fastrand::Rng::with_seed(7);
        for (backoff, millis) in [(Backoff::every_second(), 1_000), (Backoff::fixed(Duration::from_millis(40)), 40)] {
            assert!((0..7).all(|n| backoff.pause(n, &mut random) == Duration::from_millis(millis)));
        }
    }

    #[test]
    fn jitter_fills_the_whole_pause_and_repeats_with_its_seed() {
        let backoff = Backoff::fixed(Duration::from_secs(10)).jitter(true);
        let draw = || {
            let mut random = fastrand::Rng::with_seed(3);
            (0..200).map(|_| backoff.pause(0, &mut random)).collect::<Vec<_>>()
        };
        let drawn = draw();
        assert_eq!(drawn, draw());
        assert!(drawn.iter().any(|pause| pause.as_secs() < 1) && drawn.iter().any(|pause| pause.as_secs() >= 9));
        assert!(drawn.iter().all(|pause| pause.as_secs() < 10));
    }
}
