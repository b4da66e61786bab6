//! A process that others take for dead, and that lives: somebody put a copy of its file in that one's place, which nobody has
//! locked.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Sqlite, gap::noting, runtime};
use crate::{
    store::{Batch, Notes, Store, UsageRecord},
    time::{Clock, ManualClock},
};

fn use_of(number: u64, requests: i64) -> Arc<Batch> {
    let [day, key, lane] = ["2026-06-15", "hash", "flash"].map(Arc::from);
    let usage = vec![UsageRecord { day, key, lane, requests, ..UsageRecord::default() }];
    Arc::new(Batch { notes: Some(Notes { number, units: Vec::new() }), usage, ..Batch::default() })
}

async fn used(store: &Sqlite) -> i64 {
    let used = Store::usage(store, "2026-06-15", "2026-06-15").await.expect("read");
    used.iter().map(|record| record.requests).sum()
}

/// As who restores a folder does it.
fn put_a_copy_in_the_place_of_its_lock(folder: &Path) {
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|file| file.path());
    let lock = files.into_iter().find(|path| path.to_string_lossy().contains(".run-")).expect("its lock");
    fs::copy(&lock, folder.join("copy")).expect("copied");
    fs::rename(folder.join("copy"), lock).expect("put there");
}

#[test]
fn one_that_is_taken_for_dead_stops_at_once_and_comes_back() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut one = noting(&path, &clock, 1);
        assert_eq!(one.renews(&clock, 10).await.len(), 2);
        Store::write(&one.board, use_of(1, 5)).await.expect("noted");
        put_a_copy_in_the_place_of_its_lock(folder.path());
        let mut two = noting(&path, &clock, 2);
        clock.advance(Duration::from_secs(3));
        assert_eq!(two.renews(&clock, 10).await.len(), 2, "its units are taken");
        assert_eq!(one.holder.held().count(), 2, "of which it knows nothing yet");
        one.renews(&clock, 10).await;
        assert_eq!(one.holder.held().count(), 0, "whatever is left of its lease");

        Store::write(&one.board, use_of(2, 3)).await.expect("noted");
        one.renews(&clock, 10).await;
        assert_eq!(used(two.board.database()).await, 5 + 3, "what it noted since");
        Store::write(&one.board, use_of(3, 4)).await.expect("noted");
        assert_eq!(used(two.board.database()).await, 5 + 3 + 4);
        for _ in 0..4 {
            clock.advance(Duration::from_millis(2_500));
            two.renews(&clock, 0).await;
            one.renews(&clock, 10).await;
        }
        assert_eq!(one.holder.held().count(), 2, "it takes part as anybody does");
        assert_eq!(used(two.board.database()).await, 5 + 3 + 4);
        drop((one, two));
        let alone = Sqlite::open(&path).expect("a database");
        alone.load().await.expect("loaded");
        assert_eq!(used(&alone).await, 5 + 3 + 4);
    });
}

#[test]
fn who_ended_or_died_is_not_counted() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(Clock::system().wall());
        let mut one = noting(&path, &clock, 1);
        one.renews(&clock, 10).await;
        let processes = async || Sqlite::inspect(&path).expect("there").contents().await.expect("read").processes;
        assert_eq!(processes().await, 1);
        let by_hand = rusqlite::Connection::open(&path).expect("a database");
        let change = |what: &str| by_hand.execute(&format!("UPDATE board_holders SET {what}"), []).expect("changed");
        change("record = json_set(record, '$.ended', json('true'))");
        assert_eq!(processes().await, 0, "it ended");
        change("record = json_remove(record, '$.ended'), until = 1");
        assert_eq!(processes().await, 0, "it died");
    });
}
