//! Storage for the stores under test.

// Each test binary uses only a part of this module.
#![allow(dead_code)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use keypool_store::{
    SqliteOptions, SqliteStore,
    conformance::{Storage, Time},
    redis::{RedisOptions, RedisStore},
};
use redis_fixture::RedisServer;
use tempfile::TempDir;
use tower_keypool::store::Store;

/// 2026-01-15, noon in Los Angeles.
pub(crate) const START_MS: i64 = 1_768_507_200_000;

/// A namespace on a Redis server.
pub(crate) struct Redis {
    server: Arc<RedisServer>,
    namespace: String,
    time: Time,
}

impl Redis {
    /// Creates a namespace on a server, with a clock that starts at this time.
    pub(crate) async fn on(server: &Arc<RedisServer>, start_ms: i64) -> Self {
        static NAMESPACES: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("test-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let storage = Self { server: Arc::clone(server), namespace, time: Time::starting_at(start_ms) };
        // A new namespace first waits for clients that may remember grants.
        storage.open().await.load().await.expect("loaded");
        storage.time.advance(Duration::from_secs(2));
        storage
    }
}

impl Storage for Redis {
    async fn open(&self) -> Arc<dyn Store> {
        let options = RedisOptions::new(self.server.url()).namespace(&self.namespace).with_time(self.time.source());
        Arc::new(RedisStore::connect(options).await.expect("connected"))
    }

    fn time(&self) -> &Time {
        &self.time
    }
}

/// A database file in its own folder.
pub(crate) struct Sqlite {
    folder: TempDir,
    time: Time,
}

impl Sqlite {
    /// Creates a file, with a clock that starts at this time.
    pub(crate) fn at(start_ms: i64) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), time: Time::starting_at(start_ms) }
    }
}

impl Storage for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        let options = SqliteOptions::new().with_time(self.time.source());
        Arc::new(SqliteStore::open(self.folder.path().join("keys.db"), options).expect("opened"))
    }

    fn time(&self) -> &Time {
        &self.time
    }
}
