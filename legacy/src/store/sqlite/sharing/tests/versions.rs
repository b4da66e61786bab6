//! This version and the next share a file.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;
use serde_json::json;

use super::super::super::{migrate::ADDS, tests::bring_forward};
use crate::{
    Demand, Gemini, Key, KeyPool, Limits, Sharing, SharingState, Verdict,
    share::{Board, Renewal, Reply, Settings, VERSION},
    store::{Batch, Image, ImportRecord, SharedSqlite, Sqlite, Store, StoreError, UsageRecord},
};

const LEASE: Duration = Duration::from_millis(1_500);
const FLASH: &str = "gemini-2.5-flash";

/// A process of the next version: it says more in every part of its message, and hears more.
#[derive(Clone)]
struct Next(SharedSqlite, Arc<AtomicBool>);

impl Next {
    /// Once it is gone nothing that it says arrives.
    async fn is_there(&self) {
        if self.1.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

impl Board for Next {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, tower::BoxError> {
        self.is_there().await;
        let mut said = serde_json::to_value(renewal)?;
        said["version"] = json!(VERSION + 1);
        said["mood"] = json!("fine");
        for part in ["held", "returned"] {
            for held in said[part].as_array_mut().into_iter().flatten() {
                held["colour"] = json!("red");
            }
        }
        let reply = self.0.renew(&serde_json::from_value(said)?).await?;
        let mut heard = serde_json::to_value(reply)?;
        (heard["version"], heard["weather"]) = (json!(VERSION + 1), json!("rain"));
        Ok(serde_json::from_value(heard)?)
    }
}

impl Store for Next {
    async fn load(&self) -> Result<Image, StoreError> {
        Store::load(&self.0).await
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        self.is_there().await;
        Store::write(&self.0, batch).await
    }

    fn takes_started(&self) -> bool {
        true
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        Store::usage(&self.0, from, to).await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        Store::imports(&self.0).await
    }
}

fn settings(of: &SharedSqlite) -> Settings {
    let usual = of.settings();
    Settings { draws: usual.draws, noting: usual.noting, ..Settings::for_lease(LEASE) }
}

async fn open<S: Store + Board + Clone + 'static>(one: &SharedSqlite, as_one: S) -> KeyPool {
    let key = |n: usize| Key::new(format!("AIza-not-a-real-key-{n:05}")).owner(format!("project-{n}"));
    let builder = KeyPool::builder(Gemini::new()).keys((0..4).map(key)).limits(FLASH, Limits::new().per_minute(5));
    let sharing = Sharing::new(one.holder().clone()).settings(settings(one));
    builder.open_shared(as_one.clone(), as_one, sharing).await.expect("a pool")
}

/// How many of so many requests start.
async fn starts(pool: &KeyPool, requests: usize, wait: Duration) -> usize {
    let mut started = 0;
    for _ in 0..requests {
        let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(wait)).await else { continue };
        if lease.started() {
            lease.settle(&Verdict::SUCCESS);
            started += 1;
        }
    }
    started
}

#[test]
fn this_version_and_the_next_share_a_file_and_exceed_nothing() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let share = || Sqlite::open(&path).and_then(Sqlite::share).expect("shared");
        let (this, next) = (share(), share());
        let one = open(&next, Next(next.clone(), Arc::default())).await;
        let two = open(&this, this.clone()).await;
        let wait = Duration::from_secs(2);
        let mut started = starts(&one, 5, wait).await + starts(&two, 5, wait).await;
        assert_eq!(started, 10, "each has some");
        // The next version goes: what it said of its units stays with them, through this version's hands.
        one.shutdown().await;
        started += starts(&two, 12, Duration::from_millis(300)).await;
        assert!((19..=20).contains(&started), "{started} of the 20 that four owners have");
        let by_hand = Connection::open(&path).expect("the file");
        let count = |sql: &str| by_hand.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read");
        assert!(count("SELECT count(*) FROM board_units WHERE record LIKE '%\"colour\":\"red\"%'") > 0);
        assert!(count("SELECT count(*) FROM board_holders WHERE record LIKE '%\"mood\":\"fine\"%'") <= 1);
        two.shutdown().await;
    });
}

/// What a process of another version noted cannot be read: when it dies all that it held counts as used, and nobody else is
/// held up.
#[test]
fn a_note_of_another_version_is_taken_for_the_worst() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let share = || Sqlite::open(&path).and_then(Sqlite::share).expect("shared");
        let (this, next) = (share(), share());
        let two = open(&this, this.clone()).await;
        let gone = Arc::new(AtomicBool::new(false));
        let one = open(&next, Next(next.clone(), Arc::clone(&gone))).await;
        let wait = Duration::from_secs(2);
        assert_eq!(starts(&one, 3, wait).await, 3);
        one.flush().await.expect("written");
        let by_hand = Connection::open(&path).expect("the file");
        by_hand.busy_timeout(wait).expect("set");
        let count = "SELECT count(*) FROM board_units WHERE json_extract(record, '$.holder') = ?1";
        let held: i64 = by_hand.query_row(count, [next.holder().as_str()], |row| row.get(0)).expect("read");
        assert!(held > 0);
        // It writes in a way of its own, and is killed.
        gone.store(true, Ordering::Relaxed);
        let note = "INSERT OR REPLACE INTO board_notes VALUES (?1, 1000000, 0, x'ff00', x'ff00')";
        by_hand.execute(note, [next.holder().as_str()]).expect("noted");
        tokio::time::sleep(LEASE * 2).await;
        assert_eq!(two.sharing().expect("it shares").state, SharingState::Connected, "nobody is held up");
        let started = starts(&two, 20, Duration::from_millis(300)).await;
        let free = 4 - usize::try_from(held).expect("few");
        assert!(started <= 5 * free, "{started} though {held} of 4 owners may be used up");
        drop(one);
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn tables_that_the_next_version_adds_under_a_process_are_nothing_to_it() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let share = || Sqlite::open(&path).and_then(Sqlite::share).expect("shared");
        let this = share();
        let one = open(&this, this.clone()).await;
        let wait = Duration::from_secs(2);
        let mut started = starts(&one, 5, wait).await;
        bring_forward(&path, &format!("{ADDS}\nCREATE TABLE moods (mood TEXT NOT NULL) STRICT;"));
        started += starts(&one, 5, wait).await;
        one.flush().await.expect("it writes");
        // Another process of this version comes after that.
        let late = share();
        let two = open(&late, late.clone()).await;
        started += starts(&two, 20, Duration::from_millis(300)).await;
        // One more than there are; each that is refused waits.
        started += starts(&one, 21_usize.saturating_sub(started), wait).await;
        assert_eq!(one.sharing().expect("it shares").state, SharingState::Connected);
        assert!((15..=20).contains(&started), "{started} of the 20 that four owners have");
        one.shutdown().await;
        two.shutdown().await;
    });
}

#[test]
fn a_process_whose_file_the_next_version_changes_stops_and_says_so() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let this = Sqlite::open(&path).and_then(Sqlite::share).expect("shared");
        let one = open(&this, this.clone()).await;
        assert_eq!(starts(&one, 3, Duration::from_secs(2)).await, 3);
        one.flush().await.expect("written");
        bring_forward(&path, "ALTER TABLE board_units RENAME TO units; DROP TABLE board_notes;");
        let by_hand = Connection::open(&path).expect("the file");
        by_hand.busy_timeout(Duration::from_secs(5)).expect("set");
        let held = || {
            let units = "SELECT group_concat(unit || record || version) FROM units";
            let units: String = by_hand.query_row(units, [], |row| row.get(0)).expect("read");
            let head: String = by_hand.query_row("SELECT head FROM board", [], |row| row.get(0)).expect("read");
            (units, head)
        };
        let before = held();
        // What is held goes on until the lease ends, within what was noted.
        starts(&one, 1, Duration::ZERO).await;
        let error = one.flush().await.expect_err("nothing is written").to_string();
        assert!(error.contains("newer version"), "{error}");
        tokio::time::sleep(LEASE * 2).await;
        assert_eq!(one.sharing().expect("it shares").state, SharingState::FailClosed);
        assert_eq!(starts(&one, 3, Duration::from_millis(50)).await, 0);
        assert_eq!(before, held(), "nothing was touched");
        let aside = std::fs::read_dir(folder.path()).expect("the folder").filter_map(Result::ok);
        let aside = aside.filter(|entry| entry.file_name().to_string_lossy().contains("corrupt"));
        assert_eq!(aside.count(), 0, "it takes the file for no broken one");
    });
}
