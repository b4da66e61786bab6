//! Whether requests may be sent here.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tower_keypool::{KeyPool, Tick};

use super::store::{Standing, StoreHealth};

/// Anybody may ask, as often as they like: a pool whose keys are all out is looked through once in this time.
const FRESH: Duration = Duration::from_secs(1);

/// Why requests had better go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unready {
    NoKeys,
    StoreLost,
    Ending,
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKeys => "every key is disabled",
            Self::StoreLost => "the store is lost",
            Self::Ending => "the gateway is ending",
        })
    }
}

#[derive(Debug)]
pub(super) struct Readiness {
    pool: KeyPool,
    store: StoreHealth,
    /// When no key was found enabled.
    barren: Mutex<Option<Tick>>,
    ending: AtomicBool,
}

impl Readiness {
    pub(super) fn new(pool: KeyPool, store: StoreHealth) -> Self {
        Self { pool, store, barren: Mutex::default(), ending: AtomicBool::default() }
    }

    /// From now on it says no.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the store answers or is in its grace, and some key is not disabled; keys that all rest will do. The
    /// configuration was loaded, or there would be no pool.
    pub(super) fn check(&self) -> Result<(), Unready> {
        if self.ending.load(Ordering::Relaxed) {
            return Err(Unready::Ending);
        }
        if self.store.standing() == Standing::Lost {
            return Err(Unready::StoreLost);
        }
        let mut barren = self.barren.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.pool.clock().tick();
        if barren.is_some_and(|at| now.since(at) < FRESH) {
            return Err(Unready::NoKeys);
        }
        let enabled = self.pool.has_enabled_key();
        *barren = (!enabled).then_some(now);
        if enabled { Ok(()) } else { Err(Unready::NoKeys) }
    }
}
