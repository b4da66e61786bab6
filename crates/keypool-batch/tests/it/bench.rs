//! The share of the allowed rate that a batch uses.

use std::time::Duration;

use gemini_sim::{GeminiSim, Latency, Limits};
use keypool_batch::{Batch, Client, Output};

use crate::{MODEL, keyed, paused_with, pool, tasks};

const KEYS: usize = 48;

fn sink() -> Output {
    Output::writer(std::io::sink())
}

/// Each of 48 keys allows 10 requests a minute: 5 windows of 60 s, and then a sixth burst.
#[tokio::test(start_paused = true)]
async fn known_limits_of_48_keys_are_used_to_99_percent_and_not_exceeded() {
    let latency = Latency::Uniform(Duration::from_millis(500), Duration::from_secs(3));
    let limits = tower_keypool::Limits::new().per_minute(10);
    let builder = GeminiSim::builder().latency(latency);
    let (sim, client) = paused_with(builder, KEYS, Limits::none().rpm(10), |pool| pool.limits(MODEL, limits));
    let summary = Batch::new(&client, MODEL).run(tasks(KEYS * 10 * 6), sink()).await.unwrap();
    assert_eq!((summary.ok, summary.key_faults, sim.report().total.over_limit), (2_880, 0, 0), "{summary}");
    let last = sim.log().iter().map(|arrival| arrival.at).max().unwrap();
    let share = 300.0 / last.as_secs_f64();
    println!("{:.2} % of the rate: the last of 2880 requests went out after {last:?} of 300 s", 100.0 * share);
    assert!(share >= 0.99, "{share}");
}

/// The pool learns the limits from refusals.
#[tokio::test(start_paused = true)]
async fn unknown_limits_of_48_keys_are_used_to_90_percent() {
    let latency = Latency::Uniform(Duration::from_millis(500), Duration::from_secs(3));
    let (sim, client) = paused_with(GeminiSim::builder().latency(latency), KEYS, Limits::none().rpm(10), |pool| pool);
    let summary = Batch::new(&client, MODEL).run(tasks(KEYS * 10 * 6), sink()).await.unwrap();
    assert_eq!((summary.ok, summary.failed), (2_880, 0), "{summary}");
    let last = sim.log().iter().map(|arrival| arrival.at).max().unwrap();
    let share = 300.0 / last.as_secs_f64();
    println!("{:.2} % of the rate: {last:?} of 300 s; {summary}", 100.0 * share);
    assert!(share >= 0.9, "{share}");
}

#[tokio::test(start_paused = true)]
async fn slots_use_48_keys_to_99_percent() {
    let (sim, client) =
        paused_with(GeminiSim::builder().latency(Duration::from_millis(400)), KEYS, Limits::none(), |p| p);
    let batch = Batch::new(&client, MODEL).slots(1, Duration::from_millis(500));
    let summary = batch.run(tasks(KEYS * 101), sink()).await.unwrap();
    let last = sim.log().iter().map(|arrival| arrival.at).max().unwrap();
    let share = 50.0 / last.as_secs_f64();
    println!("{:.2} % of the rate: {last:?} of 50 s; {summary}", 100.0 * share);
    assert!(share >= 0.99, "{share}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 20 s in real time and depends on the machine; run with --release --ignored --nocapture"]
async fn slots_over_real_sockets_use_99_percent_of_the_rate() {
    let sim = keyed(GeminiSim::builder().latency(Duration::from_millis(400)), KEYS, Limits::none());
    let sim = sim.start().await.unwrap();
    let client = Client::new(&pool(&sim.url(), KEYS).build().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let output = Output::file(folder.path().join("out.jsonl"), &keypool_batch::OutputOptions::default()).unwrap();
    let batch = Batch::new(&client, MODEL).slots(1, Duration::from_secs(2));
    let summary = batch.run(tasks(KEYS * 11), output).await.unwrap();
    // For each key, the time from its first to its last request spans 10 intervals.
    let log = sim.log();
    let mut spans = std::collections::BTreeMap::new();
    for arrival in log.iter() {
        let span = spans.entry(arrival.key).or_insert((arrival.at, arrival.at));
        *span = (span.0.min(arrival.at), span.1.max(arrival.at));
    }
    let took: f64 = spans.values().map(|(first, last)| last.saturating_sub(*first).as_secs_f64()).sum();
    let share = (KEYS * 20) as f64 / took;
    println!("{:.2} % of the rate: {:.3} s of 20 s for a slot; {summary}", 100.0 * share, took / KEYS as f64);
    assert!(share >= 0.99, "{share}");
}
