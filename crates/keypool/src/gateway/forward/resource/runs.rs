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
/// So many are a run, besides those that waited for its first one: who uploads many, and asks about each by itself, is to
/// have the limits of all projects.
const MOST: u32 = 16;
/// So long those that are begun at the same moment wait until it is known where the first of them lies. Then one of them
/// is the first, and the others wait once more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where tenants' last files lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Mutex<HashMap<Arc<str>, Run>>,
    known: Notify,
}

#[derive(Debug)]
struct Run {
    /// `None`: its first file is being begun.
    way: Option<Affinity>,
    files: u32,
    until: i64,
    /// Whose first file it is.
    claimed: Arc<()>,
}

/// What a file that is begun finds.
#[derive(Debug)]
enum Place {
    /// It is the first of a run.
    First(Claim),
    /// The first of them is not there yet.
    Awaited,
    At(Affinity),
}

/// The first file of a run is being begun. Once this is gone without that, another one may be the first.
#[derive(Debug)]
pub(super) struct Claim {
    runs: Runs,
    tenant: Arc<str>,
    claimed: Arc<()>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = self.runs.all();
        if all.get(&self.tenant).is_some_and(|run| run.way.is_none() && Arc::ptr_eq(&run.claimed, &self.claimed)) {
            all.remove(&self.tenant);
            drop(all);
            self.runs.0.known.notify_waiters();
        }
    }
}

impl Runs {
    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, Run>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a file that is begun now had better lie; `None`: anywhere. The first of a run has a claim to it.
    pub(super) async fn next(&self, tenant: &Arc<str>, clock: &Clock) -> (Option<Affinity>, Option<Claim>) {
        let mut waited = false;
        for _ in 0..2 {
            let found = async {
                loop {
                    let mut known = std::pin::pin!(self.0.known.notified());
                    known.as_mut().enable();
                    match self.take_place(tenant, waited, unix_ms(clock)) {
                        Place::First(claim) => return (None, Some(claim)),
                        Place::At(way) => return (Some(way), None),
                        Place::Awaited => known.await,
                    }
                    waited = true;
                }
            };
            if let Ok(found) = time::timeout(PATIENCE, found).await {
                return found;
            }
        }
        (None, None)
    }

    fn take_place(&self, tenant: &Arc<str>, waited: bool, now: i64) -> Place {
        let mut all = self.all();
        let run = all.get_mut(tenant).filter(|run| (waited || run.files < MOST) && now < run.until);
        let Some(run) = run else {
            let until = now.saturating_add(PATIENCE.as_millis() as i64);
            let claimed = Arc::default();
            all.insert(Arc::clone(tenant), Run { way: None, files: 1, until, claimed: Arc::clone(&claimed) });
            return Place::First(Claim { runs: self.clone(), tenant: Arc::clone(tenant), claimed });
        };
        let way = match &run.way {
            None => return Place::Awaited,
            Some(Affinity::MustOwner(owner)) => Affinity::RatherOwner(Arc::clone(owner)),
            Some(Affinity::MustKey(key)) => Affinity::RatherKey(key.clone()),
            Some(way) => way.clone(),
        };
        if !waited {
            run.files += 1;
        }
        Place::At(way)
    }

    /// A file was begun: it will lie there.
    pub(super) fn began(&self, tenant: &Arc<str>, way: Affinity, now: i64) {
        let until = now.saturating_add(QUIET);
        let mut all = self.all();
        match all.get_mut(tenant) {
            Some(run) if run.way.as_ref().is_none_or(|known| *known == way) => {
                (run.way, run.until) = (Some(way), until);
            }
            _ => {
                let run = Run { way: Some(way), files: 1, until, claimed: Arc::default() };
                all.insert(Arc::clone(tenant), run);
            }
        }
        drop(all);
        self.0.known.notify_waiters();
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
    use std::time::SystemTime;

    use tower_keypool::ManualClock;

    use super::*;

    fn owner(name: &str) -> Affinity {
        Affinity::MustOwner(name.into())
    }

    fn rather(name: &str) -> Affinity {
        Affinity::RatherOwner(name.into())
    }

    impl Runs {
        /// Where it goes; `first` of a run, whose claim is kept, or not known yet.
        fn place(&self, tenant: &Arc<str>, now: i64) -> String {
            match self.take_place(tenant, false, now) {
                Place::First(claim) => {
                    std::mem::forget(claim);
                    "first".to_owned()
                }
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
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_first_one_that_is_given_up_is_the_first() {
        let (runs, alice, clock) = (Runs::default(), Arc::<str>::from("alice"), Clock::system());
        let (_, first) = runs.next(&alice, &clock).await;
        assert!(first.is_some());
        let gone = async { drop(first) };
        let ((way, second), ()) = tokio::join!(runs.next(&alice, &clock), gone);
        assert_eq!(way, None);
        let beginning = async { runs.began(&alice, owner("p"), unix_ms(&clock)) };
        assert_eq!(tokio::join!(runs.next(&alice, &clock), beginning).0.0, Some(rather("p")));
        drop(second);
        assert_eq!(runs.next(&alice, &clock).await.0, Some(rather("p")));
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_wait_for_a_slow_first_one_follow_it() {
        let (runs, alice, clock) = (Runs::default(), Arc::<str>::from("alice"), Clock::system());
        let _first = runs.next(&alice, &clock).await;
        let all = futures_util::future::join_all((0..3 * MOST).map(|_| runs.next(&alice, &clock)));
        let beginning = async {
            time::sleep(PATIENCE / 2).await;
            runs.began(&alice, owner("p"), unix_ms(&clock));
        };
        for (way, claim) in tokio::join!(all, beginning).0 {
            assert_eq!((way, claim.is_some()), (Some(rather("p")), false));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_one_that_never_begins_is_followed_by_one_and_all_others_wait_for_that() {
        let (runs, alice, time) = (Runs::default(), Arc::<str>::from("alice"), ManualClock::at(SystemTime::UNIX_EPOCH));
        let clock = time.clock();
        let (_, stuck) = runs.next(&alice, &clock).await;
        let waiting = || async {
            let found = runs.next(&alice, &clock).await;
            if found.1.is_some() {
                runs.began(&alice, owner("q"), unix_ms(&clock));
            }
            found
        };
        let passing = async { time.advance(PATIENCE) };
        let (found, ()) = tokio::join!(futures_util::future::join_all([waiting(), waiting(), waiting()]), passing);
        assert_eq!(found.iter().filter(|(way, claim)| way.is_none() && claim.is_some()).count(), 1, "{found:?}");
        assert_eq!(found.iter().filter(|(way, _)| *way == Some(rather("q"))).count(), 2, "{found:?}");
        drop(stuck);
        assert_eq!(runs.next(&alice, &clock).await.0, Some(rather("q")));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let (runs, alice, clock) = (Runs::default(), Arc::<str>::from("alice"), Clock::system());
        let _stuck = runs.next(&alice, &clock).await;
        #[expect(clippy::disallowed_methods, reason = "paused")]
        let begun = time::Instant::now();
        assert_eq!(runs.next(&alice, &clock).await.0, None);
        assert_eq!(begun.elapsed(), 2 * PATIENCE);
    }
}
