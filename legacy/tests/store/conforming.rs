//! The stores that come with the crate do what every store must.

use std::{collections::BTreeMap, sync::Mutex};

use tower_keypool::store::{MemoryStore, conformance};

#[tokio::test]
async fn memory_conforms() {
    let stores = Mutex::new(BTreeMap::<String, MemoryStore>::new());
    conformance::check(|name| {
        let store = stores.lock().unwrap().entry(name.to_owned()).or_default().clone();
        async move { store }
    })
    .await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check(|name| {
        let store = tower_keypool::store::Sqlite::open(folder.path().join(format!("{name}.db"))).unwrap();
        async move { store }
    })
    .await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_that_is_shared_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check_shared(|name| {
        let path = folder.path().join(format!("{name}.db"));
        let store = tower_keypool::store::Sqlite::open(path).and_then(tower_keypool::store::Sqlite::share).unwrap();
        async move { store }
    })
    .await;
}
