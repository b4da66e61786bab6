//! Files that a tenant uploads one after the other, or at the same moment. They had better lie in one project, since a
//! request may name several of them, and no key sees what lies in two. So had all that is made at a provider of another dialect.

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
/// The same within a session that the client named.
const QUIET_IN_SESSION: i64 = 60 * 60_000;
/// So many are a run, besides those that waited for its first one and those of a burst: who uploads many, and asks about each
/// by itself, is to have the limits of all projects. In a session there may be any number.
const MOST: u32 = 16;
/// Whoever comes so soon after one of the run's came at the same moment, and lies with it.
const BURST: i64 = 2_000;
/// So long those that are begun at the same moment wait until it is known where the first of them lies. Then one of them
/// is the first, and the others wait once more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose files are a run: a tenant's, or those of one of its sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    pub(super) tenant: Arc<str>,
    pub(super) session: Option<u64>,
}

impl Whose {
    fn until(&self, now: i64) -> i64 {
        now.saturating_add(if self.session.is_some() { QUIET_IN_SESSION } else { QUIET })
    }
}

/// Where tenants' last files lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Mutex<HashMap<Whose, Run>>,
    known: Notify,
}

#[derive(Debug)]
struct Run {
    /// `None`: its first file is being begun.
    way: Option<Affinity>,
    files: u32,
    /// Until then whoever comes lies with the others, however many they are.
    burst: i64,
    until: i64,
    /// Until then calls of a model had better go there, too.
    firm: i64,
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
    whose: Whose,
    claimed: Arc<()>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = self.runs.all();
        if all.get(&self.whose).is_some_and(|run| run.way.is_none() && Arc::ptr_eq(&run.claimed, &self.claimed)) {
            all.remove(&self.whose);
            drop(all);
            self.runs.0.known.notify_waiters();
        }
    }
}

impl Runs {
    fn all(&self) -> MutexGuard<'_, HashMap<Whose, Run>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a file that is begun now had better lie; `None`: anywhere. The first of a run has a claim to it.
    pub(super) async fn next(&self, whose: &Whose, clock: &Clock) -> (Option<Affinity>, Option<Claim>) {
        let mut waited = false;
        for _ in 0..2 {
            let found = async {
                loop {
                    let mut known = std::pin::pin!(self.0.known.notified());
                    known.as_mut().enable();
                    match self.take_place(whose, waited, (unix_ms(clock), MOST), || None) {
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

    /// The same where nobody waits for the first of a run: that goes where `first` says, and up to `most` follow it.
    pub(super) fn next_at_once(
        &self,
        whose: &Whose,
        (now, most): (i64, u32),
        first: impl FnOnce() -> Option<Affinity>,
    ) -> Option<Affinity> {
        match self.take_place(whose, false, (now, most), first) {
            Place::At(way) => Some(way),
            Place::First(_) | Place::Awaited => None,
        }
    }

    fn take_place(
        &self,
        whose: &Whose,
        waited: bool,
        (now, most): (i64, u32),
        first: impl FnOnce() -> Option<Affinity>,
    ) -> Place {
        let mut all = self.all();
        let has_room = |run: &Run| whose.session.is_some() || run.files < most;
        let run = all.get_mut(whose).filter(|run| (waited || has_room(run) || now < run.burst) && now < run.until);
        let Some(run) = run else {
            all.retain(|_, run| now < run.until);
            let way = first();
            let until = match way {
                None => now.saturating_add(PATIENCE.as_millis() as i64),
                Some(_) => whose.until(now),
            };
            let claimed = Arc::default();
            let place = way.as_ref().map(rather);
            let burst = if way.is_some() { now.saturating_add(BURST) } else { now };
            all.insert(whose.clone(), Run { way, files: 1, burst, until, firm: until, claimed: Arc::clone(&claimed) });
            if let Some(way) = place {
                return Place::At(way);
            }
            return Place::First(Claim { runs: self.clone(), whose: whose.clone(), claimed });
        };
        let way = match &run.way {
            None => return Place::Awaited,
            Some(way) => rather(way),
        };
        if !waited && run.files < most {
            (run.files, run.burst) = (run.files + 1, now.saturating_add(BURST));
        }
        Place::At(way)
    }

    /// A file was begun: it will lie there.
    pub(super) fn began(&self, whose: &Whose, way: Affinity, now: i64) {
        let until = whose.until(now);
        let mut all = self.all();
        match all.get_mut(whose) {
            Some(run) if run.way.as_ref().is_none_or(|known| *known == way) => {
                (run.way, run.until, run.firm) = (Some(way), until, until);
            }
            _ => {
                let run = Run { way: Some(way), files: 1, burst: now, until, firm: until, claimed: Arc::default() };
                all.insert(whose.clone(), run);
            }
        }
        drop(all);
        self.0.known.notify_waiters();
    }

    /// Where a call of a model had better go whose answer is kept: where things were made of late, since the next call may
    /// name both.
    pub(super) fn firm(&self, whose: &Whose, now: i64) -> Option<Affinity> {
        let all = self.all();
        all.get(whose).filter(|run| now < run.firm).and_then(|run| run.way.as_ref()).map(rather)
    }

    /// A call was answered there: what is made next had better lie there, too, unless other things were made elsewhere of
    /// late and the call did not name what lies there. No call follows another one by it: they are to have the limits of all.
    pub(super) fn answered(&self, whose: &Whose, way: Affinity, now: i64, named: bool) {
        let until = whose.until(now);
        let mut all = self.all();
        match all.get_mut(whose).filter(|run| now < run.until) {
            Some(run) if now < run.firm && !named => {}
            Some(run) => {
                (run.way, run.until) = (Some(way), until);
                // Who goes on with what lies there adds to it, however many were added before.
                run.files = if named { 0 } else { run.files };
            }
            None => {
                all.retain(|_, run| now < run.until);
                let run = Run { way: Some(way), files: 0, burst: now, until, firm: now, claimed: Arc::default() };
                all.insert(whose.clone(), run);
            }
        }
    }

    /// A part of a file came that lies there: who sends large ones takes a while for each.
    pub(super) fn went_on(&self, tenant: &str, way: &Affinity, now: i64) {
        for (whose, run) in &mut *self.all() {
            if *whose.tenant == *tenant && run.way.as_ref() == Some(way) {
                run.until = whose.until(now);
            }
        }
    }

    /// What lies there was asked about: the next file may lie anywhere, but for those of a session.
    pub(super) fn end(&self, tenant: &Arc<str>, way: &Affinity) {
        self.end_if(tenant, |run| run.way.as_ref() == Some(way));
    }

    /// Files that lie in several projects were asked about: those that are uploaded anew are a run of their own.
    pub(super) fn renew(&self, tenant: &Arc<str>) {
        self.end_if(tenant, |run| run.way.is_some());
    }

    fn end_if(&self, tenant: &Arc<str>, ended: impl Fn(&Run) -> bool) {
        let whose = Whose { tenant: Arc::clone(tenant), session: None };
        let mut all = self.all();
        if all.get(&whose).is_some_and(ended) {
            all.remove(&whose);
        }
    }
}

/// Where that leads, if it can be had.
fn rather(way: &Affinity) -> Affinity {
    match way {
        Affinity::MustOwner(owner) => Affinity::RatherOwner(Arc::clone(owner)),
        Affinity::MustKey(key) => Affinity::RatherKey(key.clone()),
        way => way.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tower_keypool::ManualClock;

    use super::*;

    fn plain(tenant: &str) -> Whose {
        Whose { tenant: tenant.into(), session: None }
    }

    fn owner(name: &str) -> Affinity {
        Affinity::MustOwner(name.into())
    }

    fn rather(name: &str) -> Affinity {
        Affinity::RatherOwner(name.into())
    }

    impl Runs {
        /// Where it goes; `first` of a run, whose claim is kept, or not known yet.
        fn place(&self, whose: &Whose, now: i64) -> String {
            match self.take_place(whose, false, (now, MOST), || None) {
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
        let (runs, alice, bob) = (Runs::default(), plain("alice"), plain("bob"));
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
        assert_eq!(runs.place(&alice, QUIET + BURST), "first");
        runs.began(&alice, owner("q"), QUIET);
        runs.end(&alice.tenant, &owner("p"));
        assert_eq!(runs.place(&alice, QUIET), "q");
        runs.end(&alice.tenant, &owner("q"));
        assert_eq!(runs.place(&alice, QUIET), "first");
    }

    #[test]
    fn a_burst_lies_together_however_many_they_are() {
        let (runs, alice) = (Runs::default(), plain("alice"));
        assert_eq!(runs.place(&alice, 0), "first");
        runs.began(&alice, owner("p"), 0);
        for _ in 0..3 * MOST {
            assert_eq!(runs.place(&alice, BURST - 1), "p");
        }
        assert_eq!(runs.place(&alice, 2 * BURST - 2), "p");
        assert_eq!(runs.place(&alice, 2 * BURST), "first");
    }

    #[test]
    fn files_of_a_session_lie_together_for_long_also_after_some_were_asked_about() {
        let (runs, alice) = (Runs::default(), plain("alice"));
        let session = Whose { session: Some(7), ..alice.clone() };
        assert_eq!((runs.place(&session, 0), runs.place(&session, 0)), ("first".into(), "?".into()));
        assert_eq!(runs.place(&alice, 0), "first");
        runs.began(&session, owner("p"), 0);
        runs.began(&alice, owner("q"), 0);
        runs.end(&alice.tenant, &owner("p"));
        runs.renew(&alice.tenant);
        for nth in 0..2 * i64::from(MOST) {
            assert_eq!(runs.place(&session, nth * QUIET), "p");
        }
        assert_eq!(runs.place(&session, QUIET_IN_SESSION), "first");
    }

    #[test]
    fn a_call_is_followed_by_what_is_made_and_follows_that() {
        let (runs, alice) = (Runs::default(), plain("alice"));
        let next = |now| runs.next_at_once(&alice, (now, 10_000), || Some(owner("first")));
        runs.answered(&alice, owner("p"), 0, false);
        runs.answered(&alice, owner("q"), 0, false);
        assert_eq!((runs.firm(&alice, 0), next(0)), (None, Some(rather("q"))), "calls follow no call");
        runs.began(&alice, owner("q"), 0);
        assert_eq!(runs.firm(&alice, 1), Some(rather("q")));
        runs.answered(&alice, owner("p"), 1, false);
        assert_eq!(next(1), Some(rather("q")));
        // It named what lies there.
        runs.answered(&alice, owner("p"), 1, true);
        assert_eq!((runs.firm(&alice, 1), next(1)), (Some(rather("p")), Some(rather("p"))));
        assert_eq!((runs.firm(&alice, QUIET), next(QUIET)), (None, Some(rather("p"))));
        assert_eq!(next(2 * QUIET), Some(rather("first")));
    }

    #[test]
    fn a_run_of_many_is_one() {
        let (runs, alice) = (Runs::default(), plain("alice"));
        let mut nth = 0;
        let mut next = |now| {
            runs.next_at_once(&alice, (now, 100), || {
                nth += 1;
                Some(owner(&nth.to_string()))
            })
        };
        for now in 0..100 {
            assert_eq!(next(now * (BURST + 1) / 8), Some(rather("1")), "{now}");
        }
        assert_eq!(next(QUIET - 1), Some(rather("2")));
    }

    #[test]
    fn what_is_uploaded_anew_is_a_run_of_its_own() {
        let (runs, alice) = (Runs::default(), plain("alice"));
        runs.began(&alice, owner("p"), 0);
        assert_eq!(runs.place(&alice, 0), "p");
        runs.renew(&alice.tenant);
        assert_eq!((runs.place(&alice, 0), runs.place(&alice, 0)), ("first".into(), "?".into()));
        // That is not known to lie anywhere yet.
        runs.renew(&alice.tenant);
        assert_eq!(runs.place(&alice, 0), "?");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_first_one_that_is_given_up_is_the_first() {
        let (runs, alice, clock) = (Runs::default(), plain("alice"), Clock::system());
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
        let (runs, alice, clock) = (Runs::default(), plain("alice"), Clock::system());
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
        let (runs, alice, time) = (Runs::default(), plain("alice"), ManualClock::at(SystemTime::UNIX_EPOCH));
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
        let (runs, alice, clock) = (Runs::default(), plain("alice"), Clock::system());
        let _stuck = runs.next(&alice, &clock).await;
        #[expect(clippy::disallowed_methods, reason = "paused")]
        let begun = time::Instant::now();
        assert_eq!(runs.next(&alice, &clock).await.0, None);
        assert_eq!(begun.elapsed(), 2 * PATIENCE);
    }
}
