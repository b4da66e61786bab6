//! A file that does not know what was used before: begun in the place of a broken one, or a copy put back.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Party, Sqlite, runtime, units};
use crate::{
    limit::{Limits, Span},
    share::{Granted, Holder, Noted, Spent, Started},
    store::{Batch, Notes, Store},
    time::ManualClock,
};

fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000))
}

fn party(path: &Path, clock: &ManualClock, name: &str) -> Party {
    Party::limited(path, clock, (name, &Limits::new().per_minute(5).per_day(8)), false)
}

/// The same with a large day; it notes what it starts, as processes do.
pub(super) fn noting(path: &Path, clock: &ManualClock, seed: u64) -> Party {
    let limits = Limits::new().per_minute(5).per_day(1_000);
    let mut party = Party::limited(path, clock, ("", &limits), false);
    party.holder = Holder::new(party.board.holder().clone(), party.board.settings(), units(&limits), seed);
    party
}

/// A file that somebody works on, whose process is gone, and who worked on it.
async fn used(folder: &Path, clock: &ManualClock) -> PathBuf {
    let path = folder.join("keypool.db");
    let mut one = party(&path, clock, "one");
    assert_eq!(one.renews(clock, 10).await.len(), 2);
    drop(one);
    // Its thread puts the journal into the file.
    while folder.join("keypool.db-wal").exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    path
}

/// What is granted within so many seconds.
async fn within(party: &mut Party, clock: &ManualClock, seconds: u64) -> Vec<Granted> {
    let mut granted = Vec::new();
    for _ in 0..=seconds / 2 {
        if party.holder.due() <= clock.clock().now().tick {
            granted.extend(party.renews(clock, 10).await);
        }
        clock.advance(Duration::from_secs(2));
    }
    granted
}

/// What a unit counts of days.
fn days(unit: &Granted) -> Vec<(u16, u64)> {
    let days = unit.counts.iter().filter(|told| told.limit.span == Span::Day).flat_map(|told| &told.dates);
    days.copied().collect()
}

/// What is granted once a lease is over, and nothing before.
async fn after_a_lease(party: &mut Party, clock: &ManualClock) -> Vec<Granted> {
    assert!(within(party, clock, 8).await.is_empty(), "for a lease it is only heard who holds what");
    within(party, clock, 80).await
}

#[test]
fn begun_in_the_place_of_a_broken_one_it_counts_days_as_used() {
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
        clock.advance(Duration::from_secs(3 * 86_400));
        let mut three = party(&path, &clock, "three");
        assert_eq!(three.renews(&clock, 10).await.len(), 2, "it is a file like any from then on");
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
        let is_full = |unit: &Granted| unit.days_unknown.is_some() || days(unit).iter().all(|day| day.1 >= 8);
        assert!(granted.iter().all(is_full), "{granted:?}");
        // The file that was copied goes on as it was.
        let mut three = party(&path, &clock, "three");
        let granted = within(&mut three, &clock, 2).await;
        assert!(granted.len() == 2 && granted.iter().all(|unit| unit.days_unknown.is_none()), "{granted:?}");
    });
}

/// Keys were added, and nobody served them yet: no day of theirs is used up.
#[test]
fn of_a_copy_of_a_file_that_was_never_served_nothing_is_used() {
    runtime().block_on(async {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
        let (path, copy) = (folder.path().join("keypool.db"), folder.path().join("copy.db"));
        let made = Sqlite::open(&path).expect("a database");
        made.edit_keys(|_| ()).await.expect("a command looked at its keys");
        made.backup(&copy).await.expect("a copy");
        drop(made);
        let mut one = party(&copy, &clock, "one");
        Store::load(&one.board).await.expect("loaded");
        let granted = within(&mut one, &clock, 2).await;
        assert!(granted.len() == 2 && granted.iter().all(|unit| unit.days_unknown.is_none()), "{granted:?}");
    });
}

/// What those who worked on it noted before it was copied is known, and since then no more than the minutes allowed was used.
#[test]
fn of_a_copy_that_is_put_back_what_is_known_of_a_day_holds() {
    runtime().block_on(async {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), clock());
        let (path, copy) = (folder.path().join("keypool.db"), folder.path().join("copy.db"));
        let mut one = noting(&path, &clock, 1);
        let units = one.renews(&clock, 10).await.into_iter().map(|granted| {
            let started = Some(Started { spent: Spent { requests: 3, ..Spent::default() }, dates: (20_620, 20_620) });
            let ahead = Spent { requests: 1, ..Spent::default() };
            Noted { unit: granted.unit, fence: granted.fence, counts: Vec::new(), started, ahead }
        });
        let notes = Some(Notes { number: 1, units: units.collect() });
        Store::write(&one.board, Batch { notes, ..Batch::default() }.into()).await.expect("noted");
        one.board.database().backup(&copy).await.expect("a copy");
        clock.advance(Duration::from_secs(25));
        let mut two = noting(&copy, &clock, 2);
        let granted = after_a_lease(&mut two, &clock).await;
        assert_eq!(granted.len(), 2);
        for unit in granted {
            assert!(unit.unknown.is_some() && unit.days_unknown.is_none(), "{unit:?}");
            // It may have started one more than it said, on either date, and what two minutes allow.
            assert_eq!(days(&unit), [(20_620, 3 + 1 + 10), (20_621, 1 + 10)], "{unit:?}");
        }
    });
}
