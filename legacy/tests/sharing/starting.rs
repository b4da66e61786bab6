//! One process on a database: it must not notice that it could share.

use std::time::{Duration, Instant};

use tower_keypool::{
    Demand, KeyPool, Limits, Sharing, Verdict,
    store::{Sqlite, Store},
};

use crate::host::{FLASH, builder};

/// A busy machine may take so long: it is not judged here how long it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Not in virtual time: what a machine does is measured. `--nocapture` shows it.
#[expect(clippy::disallowed_methods, reason = "it is measured how long it takes")]
fn clock() -> Instant {
    Instant::now()
}

async fn open(path: &std::path::Path, keys: usize) -> KeyPool {
    let store = Sqlite::open(path).and_then(Sqlite::share).expect("a database");
    let sharing = Sharing::new(store.holder().clone()).settings(store.settings());
    let pool = builder(keys).limits(FLASH, Limits::new().per_minute(10).per_day(250));
    pool.open_shared(store.clone(), store, sharing).await.expect("a pool")
}

#[test]
fn five_thousand_keys_in_a_database_and_the_first_lease() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("one");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        for life in 0..3 {
            let begun = clock();
            let pool = open(&path, 5_000).await;
            let opened = begun.elapsed();
            let lease = pool.acquire(Demand::new(FLASH).wait(PATIENCE)).await.expect("a key");
            let leased = begun.elapsed();
            lease.settle(&Verdict::SUCCESS);
            eprintln!("life {life}: opened after {opened:?}, the first lease after {leased:?}");
            pool.flush().await.expect("written");
            pool.shutdown().await;
        }
        let used = Sqlite::inspect(&path).expect("the database").usage("0000-01-01", "9999-12-31").await.expect("read");
        assert_eq!(used.iter().map(|used| used.requests).sum::<i64>(), 3, "each life's one request");
    });
}
