//! Keys that a gateway left out, since their secret cannot be had where it runs: it says so to commands, which have another
//! environment.

use std::sync::{Arc, Mutex, PoisonError};

use tower_keypool::{KeyId, KeyPool};

/// So many are told at most, every few seconds.
const MOST: usize = 4096;

/// Those of one database. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Shut(Arc<Mutex<Keys>>);

/// By hash and name.
type Keys = Arc<[(String, String)]>;

impl Shut {
    /// It is these from now on.
    pub(super) fn are(&self, keys: Vec<(String, String)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = keys.into();
    }

    /// Their hashes, without those that this pool has from elsewhere.
    pub(super) fn told(&self, pool: &KeyPool) -> Vec<String> {
        let keys = Keys::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let out = keys.iter().filter(|(_, id)| pool.affinity_to(&KeyId::from(&**id), None).is_none());
        out.map(|(hash, _)| hash.clone()).take(MOST).collect()
    }
}
