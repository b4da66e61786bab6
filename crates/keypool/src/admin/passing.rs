//! Keys that administrators gave a pool without a database: no configuration says what they are, and a pool tells nobody
//! its secrets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tower_keypool::config::KeySpec;

/// Those that were given since the configuration was read last.
#[derive(Default)]
pub(super) struct Passing(Mutex<Vec<Given>>);

struct Given {
    pool: String,
    id: String,
    spec: KeySpec,
}

impl Passing {
    fn held(&self) -> MutexGuard<'_, Vec<Given>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pool has this key from now on, under this name.
    pub(super) fn give(&self, pool: &str, id: &str, spec: KeySpec) {
        let mut held = self.held();
        held.retain(|given| (&*given.pool, &*given.id) != (pool, id));
        held.push(Given { pool: pool.to_owned(), id: id.to_owned(), spec });
    }

    /// The key of a pool that has this name.
    pub(super) fn named(&self, pool: &str, id: &str) -> Option<KeySpec> {
        let held = self.held();
        held.iter().find(|given| (&*given.pool, &*given.id) == (pool, id)).map(|given| given.spec.clone())
    }

    /// The configuration was read again: they are gone.
    pub(super) fn clear(&self) {
        self.held().clear();
    }
}
