//! Files that a tenant uploads one after the other. They had better lie in one project, since a request may name several of
//! them, and no key sees what lies in two.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tower_keypool::Affinity;

/// A run to which nothing was added for so long has ended.
const QUIET: i64 = 60_000;
/// So many are a run: who uploads many, and asks about each by itself, is to have the limits of all projects.
const MOST: u32 = 16;

/// Where tenants' last files lie.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<HashMap<Arc<str>, Run>>);

#[derive(Debug)]
struct Run {
    way: Affinity,
    files: u32,
    until: i64,
}

impl Runs {
    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the next file had better lie.
    pub(super) fn next(&self, tenant: &str, now: i64) -> Option<Affinity> {
        let all = self.all();
        let run = all.get(tenant).filter(|run| run.files < MOST && now < run.until)?;
        match &run.way {
            Affinity::MustOwner(owner) => Some(Affinity::RatherOwner(Arc::clone(owner))),
            Affinity::MustKey(key) => Some(Affinity::RatherKey(key.clone())),
            _ => None,
        }
    }

    /// A file lies there now.
    pub(super) fn add(&self, tenant: &Arc<str>, way: Affinity, now: i64) {
        let mut all = self.all();
        let run = all.get(tenant).filter(|run| run.way == way && run.files < MOST && now < run.until);
        let files = run.map_or(0, |run| run.files) + 1;
        all.insert(Arc::clone(tenant), Run { way, files, until: now.saturating_add(QUIET) });
    }

    /// What lies there was asked about: the next file may lie anywhere.
    pub(super) fn end(&self, tenant: &str, way: &Affinity) {
        let mut all = self.all();
        if all.get(tenant).is_some_and(|run| run.way == *way) {
            all.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_by_itself_by_its_length_and_when_it_is_asked_about() {
        let (runs, alice) = (Runs::default(), Arc::<str>::from("alice"));
        let owner = |name: &str| Affinity::MustOwner(name.into());
        assert_eq!(runs.next("alice", 0), None);
        runs.add(&alice, owner("p"), 0);
        assert_eq!(runs.next("alice", QUIET - 1), Some(Affinity::RatherOwner("p".into())));
        assert_eq!((runs.next("alice", QUIET), runs.next("bob", 0)), (None, None));
        for _ in 1..MOST {
            assert!(runs.next("alice", 1).is_some());
            runs.add(&alice, owner("p"), 1);
        }
        assert_eq!(runs.next("alice", 1), None);
        runs.add(&alice, owner("q"), 2);
        runs.end("alice", &owner("p"));
        assert!(runs.next("alice", 3).is_some());
        runs.end("alice", &owner("q"));
        assert_eq!(runs.next("alice", 3), None);
    }
}
