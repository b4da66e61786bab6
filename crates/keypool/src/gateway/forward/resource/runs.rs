//! Files that a tenant uploads one after the other, or at the same moment. They had better lie in one project, since a
//! request may name several of them, and no key sees what lies in two.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time};
use tower_keypool::{Affinity, Clock};

use crate::gateway::unix_time::unix_ms;

/// A run to which nothing was added for so long has ended.
const QUIET: i64 = 60_000;
/// So many are a run: who uploads many, and asks about each by itself, is to have the limits of all projects.
const MOST: u32 = 16;
/// So long those that are begun at the same moment wait until it is known where the first of them lies.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where tenants' last files lie.
#[derive(Debug, Default)]
pub(super) struct Runs {
    all: Mutex<HashMap<Arc<str>, Run>>,
    known: Notify,
}

#[derive(Debug)]
struct Run {
    /// `None`: its first file is being begun.
    way: Option<Affinity>,
    files: u32,
    until: i64,
}

/// What a file that is begun finds.
enum Place {
    /// It is the first of a run.
    First,
    /// The first of them is not there yet.
    Awaited,
    At(Affinity),
}

impl Runs {
    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, Run>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a file that is begun now had better lie; `None`: anywhere.
    pub(super) async fn next(&self, tenant: &Arc<str>, clock: &Clock) -> Option<Affinity> {
        let found = async {
            loop {
                let mut known = std::pin::pin!(self.known.notified());
                known.as_mut().enable();
                match self.take_place(tenant, unix_ms(clock)) {
                    Place::First => return None,
                    Place::At(way) => return Some(way),
                    Place::Awaited => known.await,
                }
            }
        };
        time::timeout(PATIENCE, found).await.ok().flatten()
    }

    fn take_place(&self, tenant: &Arc<str>, now: i64) -> Place {
        let mut all = self.all();
        let run = all.get_mut(tenant).filter(|run| run.files < MOST && now < run.until);
        let Some(run) = run else {
            let until = now.saturating_add(PATIENCE.as_millis() as i64);
            all.insert(Arc::clone(tenant), Run { way: None, files: 1, until });
            return Place::First;
        };
        let place = match &run.way {
            None => return Place::Awaited,
            Some(Affinity::MustOwner(owner)) => Place::At(Affinity::RatherOwner(Arc::clone(owner))),
            Some(Affinity::MustKey(key)) => Place::At(Affinity::RatherKey(key.clone())),
            Some(_) => return Place::First,
        };
        run.files += 1;
        place
    }

    /// A file was begun: it will lie there.
    pub(super) fn began(&self, tenant: &Arc<str>, way: Affinity, now: i64) {
        let until = now.saturating_add(QUIET);
        let mut all = self.all();
        match all.get_mut(tenant) {
            Some(run) if run.way.as_ref().is_none_or(|known| *known == way) => {
                (run.way, run.until) = (Some(way), until);
            }
            _ => drop(all.insert(Arc::clone(tenant), Run { way: Some(way), files: 1, until })),
        }
        drop(all);
        self.known.notify_waiters();
    }

    /// A file was not begun after all: another one may be the first.
    pub(super) fn failed(&self, tenant: &str) {
        let mut all = self.all();
        if all.get(tenant).is_some_and(|run| run.way.is_none()) {
            all.remove(tenant);
        }
        drop(all);
        self.known.notify_waiters();
    }

    /// A part of a file came that lies there: who sends large ones takes a while for each.
    pub(super) fn went_on(&self, tenant: &str, way: &Affinity, now: i64) {
        if let Some(run) = self.all().get_mut(tenant).filter(|run| run.way.as_ref() == Some(way)) {
            run.until = now.saturating_add(QUIET);
        }
    }

    /// What lies there was asked about: the next file may lie anywhere.
    pub(super) fn end(&self, tenant: &str, way: &Affinity) {
        let mut all = self.all();
        if all.get(tenant).is_some_and(|run| run.way.as_ref() == Some(way)) {
            all.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Affinity {
        Affinity::MustOwner(name.into())
    }

    impl Runs {
        /// Where it goes, `first` of a run or not known yet.
        fn place(&self, tenant: &Arc<str>, now: i64) -> String {
            match self.take_place(tenant, now) {
                Place::First => "first".to_owned(),
                Place::Awaited => "?".to_owned(),
                Place::At(Affinity::RatherOwner(owner)) => owner.to_string(),
                Place::At(_) => "a key".to_owned(),
            }
        }
    }

    #[test]
    fn a_run_ends_by_itself_by_its_length_and_when_it_is_asked_about() {
        let (runs, alice, bob) = (Runs::default(), Arc::<str>::from("alice"), Arc::<str>::from("bob"));
        assert_eq!(
            (runs.place(&alice, 0), runs.place(&alice, 0), runs.place(&bob, 0)),
            ("first".into(), "?".into(), "first".into())
        );
        runs.began(&alice, owner("p"), 0);
        assert_eq!(runs.place(&alice, QUIET - 1), "p");
        runs.went_on("alice", &owner("p"), QUIET);
        assert_eq!((runs.place(&alice, QUIET), runs.place(&bob, QUIET)), ("p".into(), "first".into()));
        for _ in 3..MOST {
            assert_eq!(runs.place(&alice, QUIET), "p");
        }
        assert_eq!(runs.place(&alice, QUIET), "first");
        runs.began(&alice, owner("q"), QUIET);
        runs.end("alice", &owner("p"));
        assert_eq!(runs.place(&alice, QUIET), "q");
        runs.end("alice", &owner("q"));
        assert_eq!(runs.place(&alice, QUIET), "first");
        runs.failed("alice");
        assert_eq!((runs.place(&alice, QUIET), runs.place(&alice, QUIET)), ("first".into(), "?".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_first_one_that_fails_is_the_first_and_nobody_waits_for_long() {
        let (runs, alice, clock) = (Runs::default(), Arc::<str>::from("alice"), Clock::system());
        assert_eq!(runs.next(&alice, &clock).await, None);
        let failing = async { runs.failed("alice") };
        assert_eq!(tokio::join!(runs.next(&alice, &clock), failing).0, None);
        #[expect(clippy::disallowed_methods, reason = "paused")]
        let begun = time::Instant::now();
        assert_eq!(runs.next(&alice, &clock).await, None);
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
        let beginning = async { runs.began(&alice, owner("p"), unix_ms(&clock)) };
        assert_eq!(tokio::join!(runs.next(&alice, &clock), beginning).0, Some(Affinity::RatherOwner("p".into())));
    }
}
