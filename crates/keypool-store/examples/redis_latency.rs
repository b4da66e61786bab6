//! How long a reservation takes on a Redis server: `cargo run --release -p keypool-store --example redis_latency`.
//!
//! It starts a redis-server, and measures the median at 64 callers, and by the server's own count the time of a script with 1 and
//! with 8 candidates.

use std::time::Duration;

use keypool_store::redis::{RedisOptions, RedisStore};
use redis_fixture::RedisServer;
use tower_keypool::{
    KeyId, Limits,
    store::{Amounts, Candidate, ReserveRequest, Store},
};

const CALLERS: usize = 64;
const KEYS: usize = 100;

fn candidate(project: usize, limits: &Limits) -> Candidate {
    Candidate {
        key: KeyId::from(format!("key-{project}").as_str()),
        project: format!("project-{project}").into(),
        model: "gemini-2.5-flash".into(),
        limits: limits.iter().copied().collect(),
        zone: "America/Los_Angeles".into(),
    }
}

fn request(first: usize, candidates: usize, limits: &Limits) -> ReserveRequest {
    let candidates = (0..candidates).map(|at| candidate(first + at, limits)).collect();
    ReserveRequest { candidates, cost: Amounts { requests: 1, input_tokens: 1_000, output_tokens: 0, images: 0 } }
}

/// Calls and microseconds of scripts since the last call.
fn script_micros(server: &RedisServer) -> f64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let line = stats.text().lines().find(|line| line.starts_with("cmdstat_evalsha:")).expect("a script ran");
    let field = line.split(',').find_map(|field| field.strip_prefix("usec_per_call=")).expect("its time");
    let micros = field.parse().expect("a number");
    server.command(&["CONFIG", "RESETSTAT"]);
    micros
}

#[expect(clippy::disallowed_methods, reason = "this measures real time")]
#[tokio::main]
async fn main() {
    let server = RedisServer::start().expect("redis-server is installed");
    let store = RedisStore::connect(RedisOptions::new(server.url())).await.expect("connected");
    store.load().await.expect("loaded");
    let roomy = Limits::new().per_minute(1_000_000).per_day(100_000_000).tokens_per_minute(100_000_000_000);

    for candidates in [1, 8] {
        server.command(&["CONFIG", "RESETSTAT"]);
        let started = std::time::Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (store, limits) = (store.clone(), roomy.clone());
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    for at in 0..1_000 {
                        let request = request((caller + at) % KEYS, candidates, &limits);
                        let start = std::time::Instant::now();
                        store.reserve(request).await.expect("an answer").granted.expect("room");
                        times.push(start.elapsed());
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.await.expect("no panic"));
        }
        let rate = times.len() as f64 / started.elapsed().as_secs_f64();
        times.sort_unstable();
        let of = |percent: usize| times[times.len() * percent / 100];
        println!(
            "{CALLERS} callers, {candidates} candidates: p50 {:?}, p99 {:?}, {rate:.0} a second, {} us a script",
            of(50),
            of(99),
            script_micros(&server)
        );
    }

    let one_by_one = async |first: usize, candidates: usize, limits: &Limits| {
        server.command(&["CONFIG", "RESETSTAT"]);
        for _ in 0..2_000 {
            store.reserve(request(first, candidates, limits)).await.expect("an answer");
        }
        script_micros(&server)
    };
    // A free key: 15 requests, then it is full.
    let small = Limits::new().per_minute(15).per_day(1_000).tokens_per_minute(1_000_000);
    for candidate in 1_000..1_008 {
        for _ in 0..15 {
            store.reserve(request(candidate, 1, &small)).await.expect("an answer");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let large = small.clone().per_minute(1_000_000).per_day(1_000_000).tokens_per_minute(100_000_000);
    println!("1 candidate with room: {} us", one_by_one(2_000, 1, &large).await);
    println!("8 candidates, the first has room: {} us", one_by_one(3_000, 8, &large).await);
    println!("1 candidate, full: {} us", one_by_one(1_000, 1, &small).await);
    println!("8 candidates, all full: {} us", one_by_one(1_000, 8, &small).await);
}
