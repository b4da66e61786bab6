//! What accounts' lists showed of late: whose it is, as long as this process runs. Nobody owns it by that: what a tenant was
//! given stays the tenant's.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tower_keypool::{Affinity, KeyId, KeyPool};

use super::{By, Resources};
use crate::gateway::forward::{page::Made, place::Place};

/// So many items are known, and so many pages.
const MOST: usize = 20_000;
const PAGES: usize = 1_000;

/// Items by the names that they are kept as.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    items: Latest<(Arc<By>, Made)>,
    /// Where every account's list goes on behind the last item of a page.
    places: Latest<Arc<Places>>,
}

/// By the tags of their accounts.
pub(in crate::gateway::forward) type Places = BTreeMap<String, Place>;

/// What came last: of all that is known the older half goes where there is too much.
#[derive(Debug)]
struct Latest<T> {
    young: HashMap<String, T>,
    old: HashMap<String, T>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T> Latest<T> {
    fn get(&self, name: &str) -> Option<&T> {
        self.young.get(name).or_else(|| self.old.get(name))
    }

    fn keep(&mut self, name: String, what: T, most: usize) {
        if self.young.len() >= most / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(name, what);
    }
}

impl Shown {
    fn all(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has those of these that were shown.
    pub(super) fn holders(&self, names: &[String]) -> Vec<Arc<By>> {
        let all = self.all();
        names.iter().filter_map(|name| Some(Arc::clone(&all.items.get(name)?.0))).collect()
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
            all.items.keep(name, (Arc::clone(&by), made), MOST);
        }
    }

    /// What leads to whoever has what was shown, and when that was made.
    pub(in crate::gateway::forward) fn shown(&self, name: &str, pool: Option<&KeyPool>) -> Option<(Affinity, Made)> {
        let (by, made) = self.0.shown.all().items.get(name).cloned()?;
        Some((by.leads_in(pool)?, made))
    }

    /// A page ended at what is called so in its list.
    pub(in crate::gateway::forward) fn page_ended(&self, at: String, places: Places) {
        self.0.shown.all().places.keep(at, Arc::new(places), PAGES);
    }

    /// Where every account's list goes on from there, as it did when the page was told.
    pub(in crate::gateway::forward) fn goes_on(&self, at: &str) -> Option<Arc<Places>> {
        self.0.shown.all().places.get(at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_last_is_known_longest() {
        let mut latest = Latest::default();
        for n in 0..100 {
            latest.keep(n.to_string(), n, 10);
            let known = (0..100).filter(|n| latest.get(&n.to_string()).is_some()).count();
            assert!(known <= 10 && (known > 5 || known == n + 1), "{known} after {n}");
            assert!((n.saturating_sub(5)..=n).all(|n| latest.get(&n.to_string()) == Some(&n)), "after {n}");
        }
    }
}
