//! Pools over the SQLite store.

use std::{path::Path, time::Duration};

use keypool_store::{SqliteOptions, SqliteStore};
use tower_keypool::{ErrorKind, Gemini, Key, KeyPool, Limits, Outcome};

const MODEL: &str = "gemini-2.5-flash";

async fn open(path: &Path) -> KeyPool {
    KeyPool::builder(Gemini::new())
        .keys(["a", "b"].map(|id| Key::new(format!("AIza-not-a-real-key-{id}")).named(id).project(id)))
        .limits(MODEL, Limits::new().per_minute(2))
        .store(SqliteStore::open(path, SqliteOptions::new()).unwrap())
        .open()
        .await
        .unwrap()
}

/// Returns the key that served a request, or `None` if no key was available.
async fn served(pool: &KeyPool) -> Option<String> {
    match pool.acquire(MODEL).await {
        Ok(lease) => {
            lease.report(&Outcome::Success);
            Some(lease.key().to_string())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            None
        }
    }
}

#[tokio::test]
async fn limits_are_shared_and_survive_a_restart_with_disabled_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let (one, other) = (open(&path).await, open(&path).await);
    one.disable(&"a".into(), "leaked").unwrap();
    // Changes are written and read every 250 ms.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(served(&one).await.as_deref(), Some("b"));
    assert_eq!(served(&other).await.as_deref(), Some("b"));
    assert_eq!((served(&one).await, served(&other).await), (None, None));
    drop((one, other));
    let pool = open(&path).await;
    assert_eq!(served(&pool).await, None);
    pool.enable(&"a".into()).unwrap();
    assert_eq!(served(&pool).await.as_deref(), Some("a"));
}
