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
        Box::pin(std::future::ready(Ok(Reserved { granted: Some(granted), opens: Vec::new() })))
    }

    fn record(&self, _records: Vec<Record>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn changes(&self, _since: u64) -> StoreFuture<'_, Changes> {
        Box::pin(std::future::ready(Ok(Changes::default())))
    }
}


struct Slot(std::sync::Mutex<(Option<Reserved>, Option<std::task::Waker>)>);
struct Fut(Arc<Slot>);
impl Future for Fut {
    type Output = Result<Reserved, tower_keypool::Error>;
    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let mut slot = self.0.0.lock().unwrap();
        if let Some(done) = slot.0.take() { return std::task::Poll::Ready(Ok(done)); }
        slot.1 = Some(cx.waker().clone());
        std::task::Poll::Pending
    }
}
fn granted() -> Reserved {
    Reserved { granted: Some(Granted { candidate: 0, at: ReservedAt::default(), usable_for: Duration::MAX }), opens: Vec::new() }
}
fn gather() -> Duration { Duration::from_micros(std::env::var("GATHER_US").map_or(1800, |us| us.parse().unwrap())) }
enum How {
    Channel(std::sync::mpsc::Sender<(ReserveRequest, tokio::sync::oneshot::Sender<Reserved>)>),
    Slots(Arc<(Mutex<Vec<(ReserveRequest, Arc<Slot>)>>, std::sync::Condvar)>),
    Task(Arc<Mutex<Vec<(ReserveRequest, Arc<Slot>)>>>),
    BlockTask(Arc<Mutex<Vec<(ReserveRequest, Arc<Slot>)>>>),
}
fn new_channel() -> How {
    let (s, r) = std::sync::mpsc::channel::<(ReserveRequest, tokio::sync::oneshot::Sender<Reserved>)>();
    std::thread::spawn(move || while let Ok(first) = r.recv() {
        let mut batch = vec![first];
        while let Ok(x) = r.try_recv() { batch.push(x); }
        let mut answers = Vec::with_capacity(batch.len());
        for (q, a) in batch { drop(q); answers.push(a); }
        for a in answers { let _ = a.send(granted()); }
        std::thread::sleep(gather());
    });
    How::Channel(s)
}
fn new_slots() -> How {
    let s = Arc::new((Mutex::new(Vec::<(ReserveRequest, Arc<Slot>)>::new()), std::sync::Condvar::new()));
    let t = Arc::clone(&s);
    std::thread::spawn(move || { let mut batch = Vec::new(); loop {
        let mut l = t.0.lock().unwrap();
        while l.is_empty() { l = t.1.wait(l).unwrap(); }
        std::mem::swap(&mut *l, &mut batch);
        drop(l);
        for (q, a) in batch.drain(..) { drop(q); let mut l = a.0.lock().unwrap(); l.0 = Some(granted()); let w = l.1.take(); drop(l); if let Some(w) = w { w.wake() } }
        std::thread::sleep(gather());
    }});
    How::Slots(s)
}
struct HandOver(How);
impl Store for HandOver {
    fn load(&self) -> StoreFuture<'_, Changes> {
        Box::pin(std::future::ready(Ok(Changes::default())))
    }
    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        match &self.0 {
            How::Channel(s) => {
                let (a, b) = tokio::sync::oneshot::channel();
                s.send((request, a)).unwrap();
                Box::pin(async move { Ok(b.await.unwrap()) })
            }
            How::Slots(s) => {
                let slot = Arc::new(Slot(Mutex::new((None, None))));
                let mut l = s.0.lock().unwrap();
                l.push((request, Arc::clone(&slot)));
                let wake = l.len() == 1;
                drop(l);
                if wake { s.1.notify_one(); }
                Box::pin(Fut(slot))
            }
            How::Task(s) => {
                let slot = Arc::new(Slot(Mutex::new((None, None))));
                let mut l = s.lock().unwrap();
                l.push((request, Arc::clone(&slot)));
                let first = l.len() == 1;
                drop(l);
                if first { let s = Arc::clone(s); tokio::spawn(async move {
                    tokio::time::sleep(gather()).await;
                    let batch = std::mem::take(&mut *s.lock().unwrap());
                    for (q, a) in batch { drop(q); let mut l = a.0.lock().unwrap(); l.0 = Some(granted()); let w = l.1.take(); drop(l); if let Some(w) = w { w.wake() } }
                }); }
                Box::pin(Fut(slot))
            }
            How::BlockTask(s) => {
                let slot = Arc::new(Slot(Mutex::new((None, None))));
                let mut l = s.lock().unwrap();
                l.push((request, Arc::clone(&slot)));
                let first = l.len() == 1;
                drop(l);
                if first { let s = Arc::clone(s); tokio::spawn(async move {
                    tokio::time::sleep(gather()).await;
                    tokio::task::spawn_blocking(move || {
                    let batch = std::mem::take(&mut *s.lock().unwrap());
                    for (q, a) in batch { drop(q); let mut l = a.0.lock().unwrap(); l.0 = Some(granted()); let w = l.1.take(); drop(l); if let Some(w) = w { w.wake() } }
                    }).await.unwrap();
                }); }
                Box::pin(Fut(slot))
            }
        }
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
        _ if store == "channel" => builder.store(HandOver(new_channel())).open().await?,
        _ if store == "slots" => builder.store(HandOver(new_slots())).open().await?,
        _ if store == "task" => builder.store(HandOver(How::Task(Arc::default()))).open().await?,
        _ if store == "blocktask" => builder.store(HandOver(How::BlockTask(Arc::default()))).open().await?,
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
                    lease.used(tower_keypool::Usage::new(900, 100));
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
