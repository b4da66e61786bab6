//! A lease that was taken in front of the request that it is for.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::Lease;
use crate::time::Tick;

/// The lease that the retry policy took for the next attempt, to be taken once by the layer below.
#[derive(Default)]
pub(crate) struct Prepared {
    lease: Mutex<Option<Lease>>,
    /// Until when the request may wait for another, should somebody else need this one sooner.
    until: Tick,
    given_back: AtomicBool,
}

impl Prepared {
    pub(crate) fn or_until(until: Tick) -> Self {
        Self { until, ..Self::default() }
    }

    pub(crate) fn put(&self, lease: Lease) {
        *self.lock() = Some(lease);
    }

    pub(crate) fn take(&self) -> Option<Lease> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lease back where somebody waits for a key. Whether it is here no more.
    pub(crate) fn yield_to_waiters(&self) -> bool {
        let mut held = self.lock();
        let Some(lease) = &*held else { return true };
        if lease.granted().pool.state().waiters.is_empty() {
            return false;
        }
        let lease = held.take();
        self.given_back.store(true, Ordering::Relaxed);
        drop(held);
        drop(lease);
        true
    }

    /// How long the request may wait for another lease, where this one was given back.
    pub(crate) fn wait_again(&self, now: Tick) -> Option<Duration> {
        self.given_back.load(Ordering::Relaxed).then(|| self.until.since(now))
    }
}
