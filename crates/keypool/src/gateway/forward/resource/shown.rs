//! What accounts' lists showed of late: whose it is, as long as this process runs. Nobody owns it by that: what a tenant was
//! given stays the tenant's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tower_keypool::{Affinity, KeyId, KeyPool};

use super::{By, Resources};
use crate::gateway::forward::page::Made;

/// So many items are known.
const MOST: usize = 20_000;

/// Items by the names that they are kept as.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<HashMap<String, (Arc<By>, Made)>>);

impl Shown {
    fn all(&self) -> MutexGuard<'_, HashMap<String, (Arc<By>, Made)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has those of these that were shown.
    pub(super) fn holders(&self, names: &[String]) -> Vec<Arc<By>> {
        let all = self.all();
        if all.is_empty() {
            return Vec::new();
        }
        names.iter().filter_map(|name| Some(Arc::clone(&all.get(name)?.0))).collect()
    }
}

impl By {
    /// This key, and whose it is.
    pub(super) fn key(pool: Option<&KeyPool>, key: &KeyId) -> Self {
        let owner = match pool.and_then(|pool| pool.affinity_to(key, None)) {
            Some(Affinity::MustOwner(owner)) => Some(owner.to_string()),
            _ => None,
        };
        Self { key: key.to_string(), owner }
    }
}

impl Resources {
    /// A list that came over this key showed these.
    pub(in crate::gateway::forward) fn was_shown(
        &self,
        items: impl Iterator<Item = (String, Made)>,
        (pool, key): (Option<&KeyPool>, &KeyId),
    ) {
        let by = Arc::new(By::key(pool, key));
        let mut all = self.0.shown.all();
        for (name, made) in items {
            if all.len() >= MOST {
                all.clear();
            }
            all.insert(name, (Arc::clone(&by), made));
        }
    }

    /// What leads to whoever has what was shown, and when that was made.
    pub(in crate::gateway::forward) fn shown(&self, name: &str, pool: Option<&KeyPool>) -> Option<(Affinity, Made)> {
        let (by, made) = self.0.shown.all().get(name).cloned()?;
        Some((by.leads_in(pool)?, made))
    }
}
