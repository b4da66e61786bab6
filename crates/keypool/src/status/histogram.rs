//! A histogram of atomics: a value costs two additions and takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often values were at most so large. Values are whole numbers of a small unit.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Upper bounds, rising; above the last there is one bucket more.
    bounds: &'static [u64],
    /// How many of the small unit make one of what is shown.
    scale: f64,
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64], scale: f64) -> Self {
        let buckets = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, scale, buckets, sum: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Sum and count of the values, and how many fell in each bucket (not in those before it), by its upper bound.
    pub(super) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.scale).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum.load(Ordering::Relaxed) as f64 / self.scale, count, buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&[10, 20], 10.0);
        for value in [0, 10, 11, 20, 21, 1000] {
            histogram.observe(value);
        }
        let (sum, count, buckets) = histogram.read();
        assert!((sum - 106.2).abs() < 1e-9, "{sum}");
        assert_eq!((count, buckets), (6, vec![(1.0, 2), (2.0, 2), (f64::INFINITY, 2)]));
    }
}
