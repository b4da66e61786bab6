//! Whether requests may be sent here.

use std::{
    collections::BTreeMap,
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
    /// Pools of other providers, by name.
    beside: Mutex<BTreeMap<String, KeyPool>>,
    /// What pools had no key that is not disabled, and when that was found.
    barren: Mutex<Option<(Tick, Vec<String>)>>,
    ending: AtomicBool,
}

impl Readiness {
    pub(super) fn new(pool: KeyPool, store: StoreHealth) -> Self {
        Self { pool, store, beside: Mutex::default(), barren: Mutex::default(), ending: AtomicBool::default() }
    }

    /// From now on it says no.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// These pools, too, from now on.
    pub(super) fn stand_beside(&self, pools: &BTreeMap<String, KeyPool>) {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).clone_from(pools);
        *self.barren.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the store answers or is in its grace, and some key of some pool is not disabled; keys that all rest will
    /// do. The configuration was loaded, or there would be no pool. The pools that have no such key, where another has.
    pub(super) fn check(&self) -> Result<Vec<String>, Unready> {
        if self.ending.load(Ordering::Relaxed) {
            return Err(Unready::Ending);
        }
        if self.store.standing() == Standing::Lost {
            return Err(Unready::StoreLost);
        }
        let mut barren = self.barren.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.pool.clock().tick();
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        if barren.as_ref().is_none_or(|(at, _)| now.since(*at) >= FRESH) {
            let pools = std::iter::once((OWN, &self.pool)).chain(beside.iter().map(|(name, pool)| (&**name, pool)));
            let found: Vec<String> =
                pools.filter(|(_, pool)| !pool.has_enabled_key()).map(|(name, _)| name.to_owned()).collect();
            *barren = (!found.is_empty()).then_some((now, found));
        }
        match &*barren {
            Some((_, found)) if found.len() == 1 + beside.len() => Err(Unready::NoKeys),
            Some((_, found)) => Ok(found.clone()),
            None => Ok(Vec::new()),
        }
    }
}

/// What the gateway's own pool is called.
const OWN: &str = "main";
