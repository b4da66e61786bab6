//! How much memory the kept bodies of all requests may take together.

use super::sync::{AtomicUsize, Ordering};

/// A count shared by all requests of a layer. Exact: what was taken is what is given back.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// Takes that many bytes, or none of them when they do not fit.
    #[must_use]
    pub(super) fn take(&self, bytes: usize) -> bool {
        // Relaxed: a number that guards no other memory.
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.checked_add(bytes).is_some_and(|after| after <= self.limit);
        if !fits {
            self.give(bytes);
        }
        fits
    }

    /// Takes what is held already, whether it fits or not.
    pub(super) fn force(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_up_to_the_limit_and_not_a_byte_more() {
        let budget = Budget::new(10);
        assert!(budget.take(7));
        assert!(!budget.take(4));
        assert!(budget.take(3));
        assert_eq!(budget.used(), 10);
        budget.give(10);
        assert_eq!(budget.used(), 0);
        assert!(!budget.take(usize::MAX));
        assert_eq!(budget.used(), 0);
    }
}
