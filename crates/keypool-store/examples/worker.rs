//! One of several processes that share keys through a store: it sends requests at a rate and prints what became of them.
//!
//! `cargo run --example worker -- --store sqlite:/tmp/keys.db --base http://127.0.0.1:8080 --keys 20 --per-minute 10 --rate 5 --seconds 60`

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
use tower_keypool::{BoxError, ErrorKind, Gemini, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, Limits};

const MODEL: &str = "gemini-2.5-flash";

/// What became of the requests.
#[derive(Default)]
struct Counts {
    served: AtomicU64,
    unavailable: AtomicU64,
    store: AtomicU64,
    other: AtomicU64,
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
    fn parse() -> Result<Self, BoxError> {
        let mut options =
            Self { store: String::new(), base: String::new(), keys: 1, per_minute: 10, rate: 1.0, seconds: 10.0 };
        let mut args = std::env::args().skip(1);
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

async fn open(builder: KeyPoolBuilder, store: &str) -> Result<KeyPool, BoxError> {
    Ok(match store.strip_prefix("sqlite:") {
        Some(path) => builder.store(SqliteStore::open(path, SqliteOptions::new())?).open().await?,
        None => builder.store(RedisStore::connect(RedisOptions::new(store)).await?).open().await?,
    })
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let options = Options::parse()?;
    let keys =
        (0..options.keys).map(|n| Key::new(format!("AIza-not-a-real-key-{n:03}")).named(format!("key-{n}").as_str()));
    let builder = KeyPool::builder(Gemini::at(&options.base)?)
        .keys(keys)
        .limits(MODEL, Limits::new().per_minute(options.per_minute))
        .wait(Duration::from_secs(5));
    let pool = open(builder, &options.store).await?;
    println!("ready");
    // The start is the same for all processes: a line on the standard input.
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;

    let client = ServiceBuilder::new()
        .layer(KeyPoolLayer::new(&pool))
        .service(Client::builder(TokioExecutor::new()).build_http());
    let counts = Arc::new(Counts::default());
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
        })
    );
    Ok(())
}
