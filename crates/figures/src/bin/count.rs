//! Allocations and bytes: `count picks | walks | memory KEYS LANES | copies`. Prints one JSON object.

use allocation_counter::measure;
use figures::{
    args::Args,
    bodies,
    picks::{self, Picks},
    walks::{Asker, Traffic, Walk},
};
use serde_json::{Value, json};

fn main() {
    let args = Args::of_process();
    let counted = match args.name() {
        "picks" => json!({ "1 lane": picks(1), "10 lanes": picks(10) }),
        "walks" => walks(),
        "memory" => memory(args.number(1, 100_000), args.number(2, 1)),
        "copies" => copies(),
        _ => {
            eprintln!("count picks | walks | memory KEYS LANES | copies");
            std::process::exit(2);
        }
    };
    println!("{counted}");
}

/// Allocations a pick, in steady state.
fn picks(lanes: usize) -> f64 {
    const PICKS: u32 = 10_000;
    let mut picks = Picks::new(1000, lanes, 0);
    for _ in 0..50_000 {
        picks.pick();
    }
    let counted = measure(|| (0..PICKS).for_each(|_| picks.pick()));
    counted.count_total as f64 / f64::from(PICKS)
}

/// Allocations a request, by walk and traffic.
fn walks() -> Value {
    const REQUESTS: u32 = 1_000;
    let mut all = serde_json::Map::new();
    for traffic in ["plain", "sdk"] {
        for name in ["bare", "rotated", "retried", "pooled"] {
            let sent = Traffic::named(traffic);
            let (mut walk, asker) = (Walk::named(name, sent, 1000), Asker::new(sent));
            (0..5_000).for_each(|_| walk.send(&asker));
            let counted = measure(|| (0..REQUESTS).for_each(|_| walk.send(&asker)));
            all.insert(format!("{name} {traffic}"), json!(counted.count_total as f64 / f64::from(REQUESTS)));
        }
    }
    Value::Object(all)
}

/// Bytes a key beyond its secret: as allocated, as the process grew, and as the pool says itself.
fn memory(keys: usize, lanes: usize) -> Value {
    let secrets = keys * picks::secret(0).len();
    let before = resident();
    let mut pool = None;
    let counted = measure(|| {
        let mut made = Picks::new(keys, lanes, 0);
        // Each key serves in each lane, and more.
        (0..keys * lanes + keys / 2).for_each(|_| made.pick());
        pool = Some(made);
    });
    let grown = resident().saturating_sub(before);
    let told = pool.as_ref().map_or(0, |made| made.pool.snapshot().total_memory_bytes);
    let each = |bytes: usize| bytes.saturating_sub(secrets) as f64 / keys as f64;
    json!({
        "allocated": each(usize::try_from(counted.bytes_current).unwrap_or(0)),
        "resident": each(grown),
        "snapshot": each(told),
    })
}

/// Bytes copied by three attempts, by the size of the body.
fn copies() -> Value {
    let mut all = serde_json::Map::new();
    for size in [1 << 10, 64 << 10, 1 << 20, 20 << 20] {
        all.insert(size.to_string(), json!(bodies::copied(size)));
    }
    Value::Object(all)
}

/// What the process has in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<usize>().ok()).unwrap_or(0) * 1024
}
