//! Keys that are no good, and a provider that has bad days.

use std::time::Duration;

use gemini_sim::{Fault, GeminiSim, Key as SimKey, Project, Refusal, Rule};
use serde_json::{Value, json};
use tower_keypool::Key;

use crate::scene::{self, Served};

/// Of 1,000 keys 150 are suspended and 150 invalid from the start.
pub async fn failover() -> Value {
    const KEYS: usize = 1000;
    const REQUESTS: usize = 10_000;
    let fault = |n: usize| match n % 20 {
        0..3 => Some(Refusal::ConsumerSuspended),
        3..6 => Some(Refusal::ApiKeyInvalid),
        _ => None,
    };
    let sim = scene::simulator((0..KEYS).fold(GeminiSim::builder(), |builder, n| {
        let key = SimKey::new(scene::secret(n));
        let key = match fault(n) {
            Some(refusal) => key.refused(refusal),
            None => key,
        };
        builder.project(Project::new(format!("projects/{}", 1000 + n)).key(key))
    }));
    let pool = scene::pool().keys((0..KEYS).map(|n| Key::new(scene::secret(n)))).build().expect("a pool");
    let served = scene::offer(&sim, &pool, REQUESTS, Duration::from_millis(20), Duration::from_secs(5)).await;
    let report = sim.report();
    let most = |wanted: &Refusal| {
        let tried = report.keys.iter().enumerate().filter(|(n, _)| fault(*n).as_ref() == Some(wanted));
        tried.map(|(_, key)| key.tally.arrivals).max().unwrap_or(0)
    };
    json!({
        "success": Served::read(&served.good) as f64 / REQUESTS as f64,
        "tries of a suspended key": most(&Refusal::ConsumerSuspended),
        "tries of an invalid key": most(&Refusal::ApiKeyInvalid),
    })
}

/// One request in twenty meets a 429, one in twenty a 5xx.
pub async fn amplification(quick: bool) -> Value {
    const KEYS: usize = 200;
    let requests = if quick { 20_000 } else { 100_000 };
    let faults = [
        Rule::new(Fault::Refuse(Refusal::QuotaHelpOnly)).probability(0.05),
        Rule::new(Fault::Refuse(Refusal::Internal)).probability(0.05),
    ];
    let builder = GeminiSim::builder().script(faults.to_vec());
    let sim = scene::simulator((0..KEYS).fold(builder, |builder, n| {
        builder.project(Project::new(format!("projects/{}", 1000 + n)).key(scene::secret(n)))
    }));
    let pool = scene::pool().keys((0..KEYS).map(|n| Key::new(scene::secret(n)))).build().expect("a pool");
    let served = scene::offer(&sim, &pool, requests, Duration::from_millis(50), Duration::from_secs(5)).await;
    let log = sim.log();
    let with = |status: std::ops::Range<u16>| log.iter().filter(|arrival| status.contains(&arrival.status)).count();
    let (good, limited, failed) = (with(200..300), with(429..430), with(500..600));
    // A request whose last answer was bad ended with that.
    let ended_bad = Served::read(&served.bad);
    json!({
        "calls a request": log.len() as f64 / requests as f64,
        "unexplained calls": log.len().abs_diff(requests + limited + failed - ended_bad)
            + good.abs_diff(Served::read(&served.good)),
        "success": Served::read(&served.good) as f64 / requests as f64,
        "refused": Served::read(&served.refused),
    })
}
