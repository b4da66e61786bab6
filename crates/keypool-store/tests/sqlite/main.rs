//! The SQLite store, over real files and real processes.
#![cfg(feature = "sqlite")]

mod bad_files;
mod keys;
mod pool;
mod processes;
mod store;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use keypool_store::{SqliteOptions, SqliteStore};
use tower_keypool::{
    KeyId, Limits,
    store::{Amounts, Candidate, Record, ReserveRequest, Reserved, Store},
};

/// 2026-06-15, noon in UTC.
const NOON: i64 = 1_781_524_800_000;

/// A clock that the test moves.
#[derive(Clone)]
struct Time(Arc<AtomicI64>);

impl Time {
    fn new(unix_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(unix_ms)))
    }

    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn advance(&self, duration: Duration) {
        self.0.fetch_add(duration.as_millis() as i64, Ordering::SeqCst);
    }

    fn options(&self) -> SqliteOptions {
        let time = self.clone();
        SqliteOptions::new().with_time(Arc::new(move || time.now()))
    }

    fn open(&self, path: &Path) -> SqliteStore {
        SqliteStore::open(path, self.options()).unwrap()
    }
}

fn candidate(project: &str, limits: &Limits) -> Candidate {
    Candidate {
        key: KeyId::new(format!("key-{project}")),
        project: project.into(),
        model: "model".into(),
        limits: limits.iter().copied().collect(),
        zone: "America/Los_Angeles".into(),
    }
}

fn one_request() -> Amounts {
    Amounts { requests: 1, ..Amounts::default() }
}

async fn reserve(store: &SqliteStore, project: &str, limits: &Limits) -> Reserved {
    let request = ReserveRequest { candidates: vec![candidate(project, limits)], cost: one_request() };
    store.reserve(request).await.unwrap()
}

/// Returns the number of requests counted in windows of 60 s.
fn starts(records: &[Record]) -> u64 {
    let counted = records.iter().map(|record| match record {
        Record::Starts { span, starts, .. } if span.as_secs() == 60 => {
            starts.iter().map(|(_, used)| used.requests).sum()
        }
        _ => 0,
    });
    counted.sum()
}

/// Returns the number of requests counted in days.
fn days(records: &[Record]) -> u64 {
    let counted = records.iter().map(|record| match record {
        Record::Day { used, .. } => used.requests,
        _ => 0,
    });
    counted.sum()
}
