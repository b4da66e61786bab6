//! A file of SQLite's, and the journal beside it.

use std::{any::Any, fs};

use tower_keypool::{Gemini, KeyPool, Limits, Sharing, store::Sqlite};

use crate::support::{FLASH, key};

/// Whoever opens a file reads all of the journal beside it before anything else.
#[tokio::test]
async fn a_usual_end_leaves_no_journal_to_be_read_again() {
    for shared in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        let journal = || fs::metadata(folder.path().join("keypool.db-wal")).map_or(0, |journal| journal.len());
        let store = Sqlite::open(&path).unwrap();
        let keys = KeyPool::builder(Gemini::new()).keys((0..3).map(key)).limits(FLASH, Limits::new().per_minute(10));
        let (pool, _held): (_, Box<dyn Any>) = if shared {
            let store = store.share().unwrap();
            let sharing = Sharing::new(store.holder().clone()).settings(store.settings());
            (keys.open_shared(store.clone(), store.clone(), sharing).await.unwrap(), Box::new(store))
        } else {
            (keys.open(store.clone()).await.unwrap(), Box::new(store))
        };
        drop(pool.acquire(FLASH).await.unwrap());
        pool.flush().await.unwrap();
        assert!(journal() > 0, "shared: {shared}");
        pool.shutdown().await;
        assert_eq!(journal(), 0, "shared: {shared}");
    }
}
