//! How long things take.

use std::time::Duration;

use fastrand::Rng;

/// A distribution of delays, drawn from the simulator's seeded generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Latency {
    /// No delay.
    #[default]
    None,
    /// Always the same.
    Fixed(Duration),
    /// Anything from the first (inclusive) to the second (exclusive).
    Uniform(Duration, Duration),
    /// Exponential with this mean, cut at 20 times the mean.
    Exponential(Duration),
}

impl Latency {
    pub(crate) fn draw(self, rng: &mut Rng) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Fixed(delay) => delay,
            Self::Uniform(from, to) if from < to => from + to.saturating_sub(from).mul_f64(rng.f64()),
            Self::Uniform(from, _) => from,
            Self::Exponential(mean) => {
                let factor = -(1.0 - rng.f64()).ln();
                mean.mul_f64(factor.clamp(0.0, 20.0))
            }
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
    fn draws_keep_to_their_distribution() {
        let mut rng = Rng::with_seed(1);
        let (low, high) = (Duration::from_millis(10), Duration::from_millis(30));
        for _ in 0..1_000 {
            let drawn = Latency::Uniform(low, high).draw(&mut rng);
            assert!(low <= drawn && drawn < high);
        }
        let sum: Duration = (0..10_000).map(|_| Latency::Exponential(high).draw(&mut rng)).sum();
        let mean = sum / 10_000;
        assert!(low * 2 < mean && mean < high * 2, "{mean:?}");
        assert_eq!(Latency::Uniform(high, low).draw(&mut rng), high);
    }
}
