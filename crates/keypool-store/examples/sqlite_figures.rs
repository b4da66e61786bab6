//! What a reservation in SQLite costs: `cargo run --release -p keypool-store --example sqlite_figures -- [KEYS]`.
#![expect(clippy::disallowed_methods, reason = "this measures time")]

use std::{sync::Arc, time::Instant};

use keypool_store::{SqliteOptions, SqliteStore};
use tower_keypool::{
    KeyId, Limits,
    store::{Amounts, Candidate, ReserveRequest, Store},
};

const CALLERS: usize = 64;
const REQUESTS: usize = 3_000;

fn candidate(key: usize, limits: &Limits) -> Candidate {
    Candidate {
        key: KeyId::new(format!("k-{key:012}")),
        project: format!("project-{key}").into(),
        model: "gemini-2.5-flash".into(),
        limits: limits.iter().copied().collect(),
        zone: "America/Los_Angeles".into(),
    }
}

/// Seconds of CPU that this process used, user and system; on Linux.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

async fn measure(store: &SqliteStore, candidates: &Arc<Vec<Candidate>>, callers: usize, requests: usize, what: &str) {
    let (began, cpu_began) = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, candidates) = (store.clone(), Arc::clone(candidates));
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(requests);
                for _ in 0..requests {
                    let candidates = vec![candidates[fastrand::usize(..candidates.len())].clone()];
                    let cost = Amounts { requests: 1, input_tokens: 1_000, ..Amounts::default() };
                    let asked = Instant::now();
                    let reserved = store.reserve(ReserveRequest { candidates, cost }).await.unwrap();
                    assert!(reserved.granted.is_some());
                    latencies.push(asked.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    latencies.sort_unstable();
    let (took, used, all) = (began.elapsed(), cpu() - cpu_began, latencies.len());
    println!(
        "{what}: {callers} callers, {:.0}/s, CPU {:.1} µs each, p50 {:?}, p99 {:?}, most {:?}",
        all as f64 / took.as_secs_f64(),
        used * 1e6 / all as f64,
        latencies[all / 2],
        latencies[all * 99 / 100],
        latencies[all - 1]
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let keys: usize = std::env::args().nth(1).map_or(10, |keys| keys.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    let limits = Limits::new().per_minute(1_000_000).tokens_per_minute(1_000_000_000).per_day(1_000_000_000);
    let candidates: Arc<Vec<_>> = Arc::new((0..keys).map(|key| candidate(key, &limits)).collect());
    let began = Instant::now();
    let cost = Amounts { requests: 1, ..Amounts::default() };
    let all =
        candidates.iter().map(|candidate| store.reserve(ReserveRequest { candidates: vec![candidate.clone()], cost }));
    for reserved in all.collect::<Vec<_>>() {
        reserved.await.unwrap();
    }
    println!("{keys} keys used once each: {:?}, {} bytes", began.elapsed(), store.size().unwrap());
    for _ in 0..2 {
        measure(&store, &candidates, 1, 5_000, "one at a time").await;
        measure(&store, &candidates, CALLERS, REQUESTS, "many").await;
    }
    drop(store);
    let began = Instant::now();
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    let opened = began.elapsed();
    let loaded = store.load().await.unwrap();
    println!(
        "open {opened:?}, with load {:?}: {} records, {} bytes",
        began.elapsed(),
        loaded.records.len(),
        store.size().unwrap()
    );
}
