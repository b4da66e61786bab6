//! Delays.

use std::time::Duration;

use fastrand::Rng;

/// A distribution of delays, drawn from the simulator's seeded generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Latency {
    /// A constant delay.
    Fixed(Duration),
    /// A uniform delay from the first value (inclusive) to the second (exclusive).
    Uniform(Duration, Duration),
}

impl Latency {
    pub(crate) fn draw(self, rng: &mut Rng) -> Duration {
        match self {
            Self::Fixed(delay) => delay,
            Self::Uniform(from, to) if from < to => from + to.saturating_sub(from).mul_f64(rng.f64()),
            Self::Uniform(from, _) => from,
        }
    }
}

impl From<Duration> for Latency {
    fn from(delay: Duration) -> Self {
        Self::Fixed(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_within_their_distribution() {
        let mut rng = Rng::with_seed(1);
        let (low, high) = (Duration::from_millis(10), Duration::from_millis(30));
        for _ in 0..1_000 {
            let drawn = Latency::Uniform(low, high).draw(&mut rng);
            assert!(low <= drawn && drawn < high);
        }
        assert_eq!(Latency::Uniform(high, low).draw(&mut rng), high);
    }
}
