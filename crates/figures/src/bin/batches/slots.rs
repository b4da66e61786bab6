//! Slots over sockets: ten times as fast as people have them.

use std::time::Duration;

use figures::picks;
use gemini_sim::{GeminiSim, Project};
use keypool_client::{Client, batch::Batch};
use serde_json::{Value, json};
use tower_keypool::{Gemini, KeyPool};

const KEYS: usize = 12;
const SLOTS: usize = 4;
const TASKS: usize = 400;
/// 12 s, and the model's 2 s.
const INTERVAL: f64 = 1.2;
const LATENCY: Duration = Duration::from_millis(200);

/// Good answers a second against what the slots allow.
pub(crate) async fn run() -> anyhow::Result<Value> {
    let sim = (0..KEYS).fold(GeminiSim::builder().latency(LATENCY), |builder, n| {
        builder.project(Project::new(format!("projects/{}", 1000 + n)).key(&*picks::secret(n)))
    });
    let sim = sim.start().await?;
    let pool = KeyPool::builder(Gemini::at(&sim.url())?).keys(picks::keys(KEYS)).build()?;
    let batch = Batch::new(Client::new(&pool)).workers_per_key(SLOTS).rate_limit_per_slot(INTERVAL);
    let (_, statistics) = batch.run((0..TASKS).map(|n| format!("task {n}"))).finish().await;
    let possible = (KEYS * SLOTS) as f64 / INTERVAL;
    let rate = statistics.ok as f64 / statistics.seconds;
    Ok(json!({
        "share": rate / possible,
        "a second": rate / 10.0,
        "ok": statistics.ok,
        "arrivals": sim.report().total.arrivals,
    }))
}
