//! A file that does not know what was used before: begun in the place of a broken one, or a copy put back.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Party, Sqlite, runtime};
use crate::{limit::Limits, share::Granted, store::Store, time::ManualClock};

fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000))
}

fn party(path: &Path, clock: &ManualClock, name: &str) -> Party {
    Party::limited(path, clock, (name, &Limits::new().per_minute(5).per_day(8)), false)
}

/// A file that somebody works on, whose process is gone, and who worked on it.
async fn used(folder: &Path, clock: &ManualClock) -> PathBuf {
    let path = folder.join("keypool.db");
    let mut one = party(&path, clock, "one");
    assert_eq!(one.renews(clock, 10).await.len(), 2);
    path
}

/// What is granted once the time of a lease is over, and nothing before.
async fn after_a_lease(party: &mut Party, clock: &ManualClock) -> Vec<Granted> {
    assert!(party.renews(clock, 10).await.is_empty(), "for a lease it is only heard who holds what");
    let mut granted = Vec::new();
    for _ in 0..4 {
        clock.advance(Duration::from_millis(2_501));
        granted.extend(party.renews(clock, 10).await);
    }
    granted
}

#[test]
fn begun_in_the_place_of_a_broken_one_it_counts_days_as_used_and_waits_for_minutes() {
    runtime().block_on(async {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
        let path = used(folder.path(), &clock).await;
        fs::write(&path, [0x5a; 9_000]).expect("broken");
        // Whoever opens it first may be gone before he works on it.
        let opened = Sqlite::open(&path).expect("begun anew");
        assert!(opened.set_aside().is_some());
        drop(opened);
        let mut two = party(&path, &clock, "two");
        let image = Store::load(&two.board).await.expect("loaded");
        assert!(image.units.is_empty());
        let granted = after_a_lease(&mut two, &clock).await;
        assert_eq!(granted.len(), 2);
        assert!(granted.iter().all(|unit| unit.unknown.is_some() && unit.days_unknown.is_some()), "{granted:?}");
    });
}

#[test]
fn who_is_gone_between_setting_it_aside_and_beginning_anew_leaves_word_of_it() {
    runtime().block_on(async {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
        let path = used(folder.path(), &clock).await;
        super::super::super::file::set_aside(&path, super::super::super::file::CORRUPT).expect("set aside");
        let mut two = party(&path, &clock, "two");
        let granted = after_a_lease(&mut two, &clock).await;
        assert!(granted.len() == 2 && granted.iter().all(|unit| unit.days_unknown.is_some()), "{granted:?}");
        // Said once.
        drop(two);
        let mut three = party(&path, &clock, "three");
        clock.advance(Duration::from_secs(3 * 86_400));
        assert!(!three.renews(&clock, 10).await.is_empty(), "it is a file like any from then on");
    });
}

#[test]
fn a_copy_that_is_put_back_has_lost_what_happened_since() {
    runtime().block_on(async {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
        let path = used(folder.path(), &clock).await;
        let (copy, live) = (folder.path().join("copy.db"), Sqlite::open(&path).expect("a database"));
        live.backup(&copy).await.expect("a copy");
        drop(live);
        // Whoever only reads it changes nothing.
        let before = fs::read(&copy).expect("read");
        for looked_at in [Sqlite::read(&copy), Sqlite::inspect(&copy)] {
            assert_eq!(looked_at.expect("opened").check().await.expect("looked through"), [""; 0]);
        }
        assert!(fs::read(&copy).expect("read") == before);
        clock.advance(Duration::from_secs(25));
        let mut two = party(&copy, &clock, "two");
        Store::load(&two.board).await.expect("loaded");
        let granted = after_a_lease(&mut two, &clock).await;
        assert_eq!(granted.len(), 2);
        assert!(granted.iter().all(|unit| unit.unknown.is_some()), "{granted:?}");
        drop(two);
        // The file that was copied goes on as it was.
        let mut three = party(&path, &clock, "three");
        clock.advance(Duration::from_secs(60));
        assert_eq!(three.renews(&clock, 10).await.len(), 2);
    });
}
