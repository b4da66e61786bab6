//! A histogram of atomics: a value costs two additions and takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Who adds to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// One thread alone: it needs no locked instruction, which costs as much as ten others.
    Alone,
    /// Any thread.
    Any,
}

impl Writer {
    /// Adds, around the end of the numbers where need be: -1 is `u64::MAX`.
    #[inline]
    pub(super) fn add(self, number: &AtomicU64, more: u64) {
        match self {
            Self::Alone => number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed),
            Self::Any => {
                number.fetch_add(more, Ordering::Relaxed);
            }
        }
    }
}

/// Upper bounds of buckets, rising, and how many of the small unit that values come in make one of what is shown. Above
/// the last bound there is one bucket more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) bounds: &'static [u64],
    pub(super) one: f64,
}

/// How often values fell into each bucket.
#[derive(Debug)]
pub(super) struct Histogram<const BUCKETS: usize> {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

/// What several histograms of one scale hold together.
#[derive(Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Values in each bucket, not those in the buckets before it, by its upper bound.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    #[inline]
    pub(super) fn observe(&self, value: u64, scale: Scale, writer: Writer) {
        let place = scale.bounds.iter().position(|bound| value <= *bound).unwrap_or(BUCKETS - 1);
        writer.add(&self.buckets[place], 1);
        writer.add(&self.sum, value);
    }
}

impl Scale {
    pub(super) fn read<'a, const BUCKETS: usize>(
        self,
        histograms: impl Iterator<Item = &'a Histogram<BUCKETS>>,
    ) -> Reading {
        let (mut sum, mut counts) = (0u64, [0; BUCKETS]);
        for histogram in histograms {
            sum = sum.wrapping_add(histogram.sum.load(Ordering::Relaxed));
            for (count, bucket) in counts.iter_mut().zip(&histogram.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
        }
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.one).chain([f64::INFINITY]);
        Reading { sum: sum as f64 / self.one, count: counts.iter().sum(), buckets: bounds.zip(counts).collect() }
    }
}

#[cfg(test)]
impl<const BUCKETS: usize> Histogram<BUCKETS> {
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_in_the_first_bucket_that_holds_it() {
        let scale = Scale { bounds: &[10, 20], one: 10.0 };
        let (one, other) = (Histogram::<3>::default(), Histogram::<3>::default());
        for value in [0, 10, 11, 20] {
            one.observe(value, scale, Writer::Any);
        }
        for value in [21, 1000] {
            other.observe(value, scale, Writer::Alone);
        }
        let Reading { sum, count, buckets } = scale.read([&one, &other].into_iter());
        assert!((sum - 106.2).abs() < 1e-9, "{sum}");
        assert_eq!((count, buckets), (6, vec![(1.0, 2), (2.0, 2), (f64::INFINITY, 2)]));
    }
}
