//! Keys that are no good, and a provider that has bad days.

use std::time::Duration;

use gemini_sim::{Fault, GeminiSim, Key as SimKey, Project, Refusal, Rule};
use serde_json::{Value, json};
use tower_keypool::Key;

use super::stage::{self, Served};

/// Of each 20 keys three are suspended and three invalid from the start.
pub async fn failover(keys: usize, requests: usize, seed: u64) -> Value {
    let fault = |n: usize| match n % 20 {
        0..3 => Some(Refusal::ConsumerSuspended),
        3..6 => Some(Refusal::ApiKeyInvalid),
        _ => None,
    };
    let sim = stage::simulator(
        (0..keys).fold(GeminiSim::builder(), |builder, n| {
            let key = SimKey::new(stage::secret(n));
            let key = match fault(n) {
                Some(refusal) => key.refused(refusal),
                None => key,
            };
            builder.project(Project::new(format!("projects/{}", 1000 + n)).key(key))
        }),
        seed,
    );
    let pool = stage::pool().keys((0..keys).map(|n| Key::new(stage::secret(n)))).build().expect("a pool");
    // Long enough for the confirmation that an invalid key is asked for.
    let apart = Duration::from_secs(200) / requests as u32;
    let served = stage::offer(&sim, &pool, requests, apart, Duration::from_secs(5)).await;
    let report = sim.report();
    let most = |wanted: &Refusal| {
        let tried = report.keys.iter().enumerate().filter(|(n, _)| fault(*n).as_ref() == Some(wanted));
        tried.map(|(_, key)| key.tally.arrivals).max().unwrap_or(0)
    };
    json!({
        "success": Served::read(&served.good) as f64 / requests as f64,
        "tries of a suspended key": most(&Refusal::ConsumerSuspended),
        "tries of an invalid key": most(&Refusal::ApiKeyInvalid),
    })
}

/// One request in twenty meets a 429, one in twenty a 5xx.
pub async fn amplification(keys: usize, requests: usize, seed: u64) -> Value {
    let faults = [
        Rule::new(Fault::Refuse(Refusal::QuotaHelpOnly)).probability(0.05),
        Rule::new(Fault::Refuse(Refusal::Internal)).probability(0.05),
    ];
    let builder = GeminiSim::builder().script(faults.to_vec());
    let sim = stage::simulator(
        (0..keys).fold(builder, |builder, n| {
            builder.project(Project::new(format!("projects/{}", 1000 + n)).key(stage::secret(n)))
        }),
        seed,
    );
    let pool = stage::pool().keys((0..keys).map(|n| Key::new(stage::secret(n)))).build().expect("a pool");
    let served = stage::offer(&sim, &pool, requests, Duration::from_millis(50), Duration::from_secs(5)).await;
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
