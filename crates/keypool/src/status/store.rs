//! How the store stands: told by whoever keeps it, read by readiness and metrics.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// Whether the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// It answers, or there is none to reach: counts are in memory.
    Reachable,
    /// It does not, and what was agreed with it still holds: requests are served.
    Grace,
    /// It does not, and has not for too long.
    Lost,
}

/// The one place where a store says how it stands. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StoreHealth(Arc<AtomicU8>);

impl StoreHealth {
    /// Says so from now on.
    pub fn set(&self, standing: Standing) {
        self.0.store(standing as u8, Ordering::Relaxed);
    }

    /// What was said last; reachable at first.
    pub fn standing(&self) -> Standing {
        match self.0.load(Ordering::Relaxed) {
            0 => Standing::Reachable,
            1 => Standing::Grace,
            _ => Standing::Lost,
        }
    }
}
