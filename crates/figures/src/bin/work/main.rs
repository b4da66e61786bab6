//! Workloads whose instructions callgrind counts: `work NAME ITERATIONS [PARAMETERS]`.
//!
//! `scripts/figures` runs each with two iteration counts and divides the difference, so that start-up costs nothing.

use std::time::Duration;

use tower_keypool::{Demand, Key, KeyPool, Limits, ManualClock, Verdict};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| args.get(at).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (name, iterations) = (args.first().map_or("", String::as_str), number(1, 1000));
    match name {
        "pick" => pick(iterations, number(2, 1000), number(3, 1), number(4, 0)),
        "tokens" => tokens(iterations, number(2, 1000)),
        _ => {
            eprintln!("work pick|tokens ITERATIONS …");
            std::process::exit(2);
        }
    }
}

mod plain;

fn keys(count: usize) -> impl Iterator<Item = Key> {
    (0..count).map(|n| Key::new(format!("AIza-not-a-real-key-{n:08}")).max_concurrent(8))
}

/// pick + settle, least loaded; `resting` percent of the keys rest.
fn pick(iterations: usize, count: usize, lanes: usize, resting: usize) {
    let time = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
    let mut builder = KeyPool::builder(plain::Plain::new()).keys(keys(count)).clock(time.clock());
    let models: Vec<String> = (0..lanes).map(|n| format!("gemini-2.5-flash-{n}")).collect();
    for model in &models {
        builder = builder.limits(model.clone(), Limits::new().per_minute(15).per_day(250));
    }
    let pool = builder.build().expect("a pool");
    let demands: Vec<Demand> = models.iter().map(|model| Demand::new(model.as_str())).collect();
    let rest = Verdict::new(tower_keypool::VerdictKind::RateLimited)
        .scope(tower_keypool::Scope::Key)
        .until(tower_keypool::Until::Lifted);
    for _ in 0..count * resting / 100 {
        let lease = pool.try_acquire(demands[0].clone()).expect("a ready key");
        lease.judge(&rest);
    }
    // 70 % of what 1,000 keys may start, so that windows open and close as in real use.
    let serving = (count - count * resting / 100).max(1);
    let step = Duration::from_secs_f64(60.0 / (serving as f64 * 15.0 * 0.7));
    let mut none = 0;
    for n in 0..iterations {
        time.advance(step);
        match pool.try_acquire(demands[n % lanes].clone()) {
            Ok(lease) => lease.judge(&Verdict::SUCCESS),
            Err(_) => none += 1,
        }
        if n % (serving * 200 * lanes) == serving * 200 * lanes - 1 {
            time.advance(Duration::from_secs(2 * 86_400));
        }
    }
    assert!(none * 100 <= iterations, "{none} of {iterations} demands found no key");
}

/// Mixed demands of 1k to 200k tokens, nine of ten owners token-full.
fn tokens(iterations: usize, count: usize) {
    let time = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
    let model = "gemini-2.5-flash";
    let limits = Limits::new().per_minute(15).per_day(100_000).tokens_per_minute(250_000);
    let full = count * 9 / 10;
    let keys = keys(count).enumerate().map(|(n, key)| {
        if n < full {
            key.limits(model, limits.clone().tokens_per_day(250_000))
        } else {
            key.limits(model, limits.clone())
        }
    });
    let pool = KeyPool::builder(plain::Plain::new()).keys(keys).clock(time.clock()).build().expect("a pool");
    let demand = |tokens: u64| Demand::new(model).tokens(tokens);
    for _ in 0..count {
        let lease = pool.try_acquire(demand(250_000)).expect("room for 250,000 tokens");
        lease.judge(&Verdict::SUCCESS);
    }
    time.advance(Duration::from_secs(61));
    let sizes = [1_000u64, 200_000, 5_000, 50_000, 1_000, 20_000, 2_000, 100_000, 1_000, 10_000];
    let demands: Vec<Demand> = sizes.iter().map(|size| demand(*size)).collect();
    let mean = sizes.iter().sum::<u64>() as f64 / sizes.len() as f64;
    // Half of what those with room may take.
    let step = Duration::from_secs_f64(60.0 * mean / ((count - full) as f64 * 250_000.0 * 0.5));
    let mut none = 0;
    for n in 0..iterations {
        time.advance(step);
        match pool.try_acquire(demands[n % demands.len()].clone()) {
            Ok(lease) => lease.judge(&Verdict::SUCCESS),
            Err(_) => none += 1,
        }
    }
    assert!(none * 100 <= iterations, "{none} of {iterations} demands found no key");
}
