//! What a store costs a request: `measure STORE KEYS CALLERS SECONDS` prints the median latency of a reservation, the processor
//! time a request, and how long the pool took from its opening to its first key.
//!
//! STORE is `memory`, `grants` (one that grants everything at once), `sqlite:PATH` or a `redis://` address. `measure fill sqlite:PATH KEYS` counts a request for each key.

#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use keypool_store::{RedisStore, SqliteOptions, SqliteStore, redis::RedisOptions};
use tower_keypool::{
    BoxError, Gemini, Key, KeyPool, KeyPoolBuilder, KeyRequest, Limits, Outcome,
    store::{Changes, Granted, Record, ReserveRequest, Reserved, ReservedAt, Store, StoreFuture},
};

const MODEL: &str = "gemini-2.5-flash";

fn builder(keys: usize) -> KeyPoolBuilder {
    let keys = (0..keys).map(|n| Key::new(format!("AIza-not-a-real-key-{n:06}")).named(format!("key-{n}").as_str()));
    KeyPool::builder(Gemini::new())
        .keys(keys)
        .limits(MODEL, Limits::new().per_minute(10_000).per_day(10_000_000).tokens_per_minute(1_000_000_000))
}

/// A store that grants everything at once: what is left is what asking costs.
struct Grants;

impl Store for Grants {
    fn load(&self) -> StoreFuture<'_, Changes> {
        Box::pin(std::future::ready(Ok(Changes::default())))
    }

    fn reserve(&self, _request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let granted = Granted { candidate: 0, at: ReservedAt::default(), usable_for: Duration::MAX };
        Box::pin(std::future::ready(Ok(Reserved { granted: Some(granted), opens_in: Vec::new() })))
    }

    fn record(&self, _records: Vec<Record>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn changes(&self, _since: u64) -> StoreFuture<'_, Changes> {
        Box::pin(std::future::ready(Ok(Changes::default())))
    }
}

async fn open(store: &str, keys: usize) -> Result<KeyPool, BoxError> {
    let builder = builder(keys).wait(Duration::from_secs(10));
    Ok(match store.strip_prefix("sqlite:") {
        _ if store == "memory" => builder.build()?,
        _ if store == "grants" => builder.store(Grants).open().await?,
        Some(path) => builder.store(SqliteStore::open(path, SqliteOptions::new())?).open().await?,
        None => builder.store(RedisStore::connect(RedisOptions::new(store)).await?).open().await?,
    })
}

/// The processor time of this process.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // In hundredths of a second: user and system time are fields 14 and 15 of proc(5), 11 and 12 after the name.
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let text = |at: usize| args.get(at).map_or("", String::as_str);
    if text(0) == "fill" {
        let keys: usize = text(2).parse()?;
        let pool = open(text(1), keys).await?;
        for from in (0..keys).step_by(1_000) {
            let leases = (from..keys.min(from + 1_000)).map(|n| {
                let key = tower_keypool::Affinity::RequireKey(format!("key-{n}").as_str().into());
                pool.acquire(KeyRequest::model(MODEL).affinity(key))
            });
            for lease in futures_util::future::join_all(leases).await {
                drop(lease?);
            }
        }
        pool.shutdown().await;
        return Ok(());
    }
    let (store, keys, callers, seconds) = (text(0), text(1).parse()?, text(2).parse()?, text(3).parse::<u64>()?);
    let opening = Instant::now();
    let pool = open(store, keys).await?;
    drop(pool.acquire(MODEL).await?);
    let opened = opening.elapsed();

    let latencies = Arc::new(Mutex::new(Vec::new()));
    let (start, before) = (Instant::now(), processor_time());
    let ends = start + Duration::from_secs(seconds);
    let callers: Vec<_> = (0..callers)
        .map(|_: usize| {
            let (pool, latencies) = (pool.clone(), Arc::clone(&latencies));
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while Instant::now() < ends {
                    let asked = Instant::now();
                    let lease = pool.acquire(KeyRequest::model(MODEL).input_tokens(1_000)).await?;
                    mine.push(asked.elapsed());
                    lease.report_usage(tower_keypool::Usage::new(900, 100));
                    lease.report(&Outcome::Success);
                    // The request itself takes a while, and not each as long.
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(2..=18))).await;
                }
                latencies.lock().expect("nobody panics").extend(mine);
                Ok::<_, tower_keypool::Error>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let used = processor_time().saturating_sub(before);
    let mut latencies = std::mem::take(&mut *latencies.lock().expect("nobody panics"));
    latencies.sort_unstable();
    let requests = latencies.len();
    println!(
        "{}",
        serde_json::json!({
            "requests": requests,
            "median_ms": latencies[requests / 2].as_secs_f64() * 1_000.0,
            "p99_ms": latencies[requests * 99 / 100].as_secs_f64() * 1_000.0,
            "cpu_us": used.as_secs_f64() * 1e6 / requests as f64,
            "opened_ms": opened.as_secs_f64() * 1_000.0,
        })
    );
    Ok(())
}
