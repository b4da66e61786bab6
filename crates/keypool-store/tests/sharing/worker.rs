//! A process that shares keys through a store: it sends requests at a fixed rate and prints their results.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use keypool_store::{RedisStore, SqliteOptions, SqliteStore, redis::RedisOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{
    BoxError, ErrorKind, Gemini, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, Limits,
    store::{Changes, Record, ReserveRequest, Reserved, Store, StoreFuture},
};

const MODEL: &str = "gemini-2.5-flash";

/// Results of the requests.
#[derive(Default)]
struct Counts {
    served: AtomicU64,
    unavailable: AtomicU64,
    store: AtomicU64,
    other: AtomicU64,
    /// Granted reservations, and those among them for the first candidate (below).
    granted: AtomicU64,
    first: AtomicU64,
}

/// A store whose grants are counted.
struct Counted<S>(S, Arc<Counts>);

impl<S: Store> Store for Counted<S> {
    fn load(&self) -> StoreFuture<'_, Changes> {
        self.0.load()
    }

    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let (reserving, counts) = (self.0.reserve(request), Arc::clone(&self.1));
        Box::pin(async move {
            let reserved = reserving.await?;
            if let Some(granted) = &reserved.granted {
                counts.granted.fetch_add(1, Ordering::Relaxed);
                counts.first.fetch_add(u64::from(granted.candidate == 0), Ordering::Relaxed);
            }
            Ok(reserved)
        })
    }

    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()> {
        self.0.record(records)
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        self.0.changes(since)
    }
}

struct Options {
    store: String,
    base: String,
    keys: usize,
    per_minute: u64,
    rate: f64,
    seconds: f64,
}

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options =
            Self { store: String::new(), base: String::new(), keys: 1, per_minute: 10, rate: 1.0, seconds: 10.0 };
        let mut args = args;
        while let (Some(name), Some(value)) = (args.next(), args.next()) {
            match name.as_str() {
                "--store" => options.store = value,
                "--base" => options.base = value,
                "--keys" => options.keys = value.parse()?,
                "--per-minute" => options.per_minute = value.parse()?,
                "--rate" => options.rate = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                other => return Err(format!("unknown option {other}").into()),
            }
        }
        Ok(options)
    }
}

async fn open(builder: KeyPoolBuilder, store: &str, counts: &Arc<Counts>) -> Result<KeyPool, BoxError> {
    let counts = Arc::clone(counts);
    Ok(match store.strip_prefix("sqlite:") {
        Some(path) => builder.store(Counted(SqliteStore::open(path, SqliteOptions::new())?, counts)).open().await?,
        None => builder.store(Counted(RedisStore::connect(RedisOptions::new(store)).await?, counts)).open().await?,
    })
}

/// Sends requests as the arguments say, and prints the counters.
pub(crate) async fn work(args: impl Iterator<Item = String>) -> Result<(), BoxError> {
    let options = Options::parse(args)?;
    let keys =
        (0..options.keys).map(|n| Key::new(format!("AIza-not-a-real-key-{n:03}")).named(format!("key-{n}").as_str()));
    let builder = KeyPool::builder(Gemini::at(&options.base)?)
        .keys(keys)
        .limits(MODEL, Limits::new().per_minute(options.per_minute))
        .wait(Duration::from_secs(5));
    let counts = Arc::new(Counts::default());
    let pool = open(builder, &options.store, &counts).await?;
    println!("ready");
    // A line on standard input starts all processes at the same time.
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;

    let client = ServiceBuilder::new()
        .layer(KeyPoolLayer::new(&pool))
        .service(Client::builder(TokioExecutor::new()).build_http());
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / options.rate));
    let mut sent = Vec::new();
    for _ in 0..(options.rate * options.seconds) as u64 {
        tick.tick().await;
        let (mut client, counts) = (client.clone(), Arc::clone(&counts));
        sent.push(tokio::spawn(async move {
            let body = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;
            let request = Request::post(format!("/v1beta/models/{MODEL}:generateContent"))
                .header("content-type", "application/json")
                .body(Full::<bytes::Bytes>::from(body))?;
            let counter = match client.ready().await?.call(request).await {
                Ok(answer) => {
                    let good = answer.status().is_success();
                    answer.into_body().collect().await?;
                    if good { &counts.served } else { &counts.other }
                }
                Err(error) => match error.kind() {
                    ErrorKind::Unavailable => &counts.unavailable,
                    ErrorKind::Store => &counts.store,
                    _ => {
                        eprintln!("{error}");
                        &counts.other
                    }
                },
            };
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, BoxError>(())
        }));
    }
    for request in sent {
        request.await??;
    }
    pool.shutdown().await;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{}",
        serde_json::json!({
            "served": get(&counts.served),
            "unavailable": get(&counts.unavailable),
            "store": get(&counts.store),
            "other": get(&counts.other),
            "granted": get(&counts.granted),
            "first": get(&counts.first),
        })
    );
    Ok(())
}
