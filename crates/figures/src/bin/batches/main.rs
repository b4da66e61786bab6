//! What is measured of the batch engine:
//!
//! - `batches slots`: 12 keys × 4 slots over sockets, ten times as fast as people have it.
//! - `batches kills KEYPOOL ROUNDS`: `keypool batch` is killed at random moments, and goes on.
//! - `batches bare ADDRESS REQUESTS`: a bare loop of hyper-util's client; `batches run ADDRESS TASKS`: the engine.
//! - `batches json`: what becomes of broken JSON.
//!
//! Each prints one JSON object.

mod kills;
mod load;
mod slots;

use figures::args::Args;
use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    let args = Args::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let told = match args.name() {
        "slots" => runtime.block_on(slots::run())?,
        "kills" => runtime.block_on(kills::run(args.text(1).as_ref(), args.number(2, 20)))?,
        "bare" => runtime.block_on(load::bare(args.text(1), args.number(2, 100_000)))?,
        // Where a service would look at the results: among its tasks.
        "run" => {
            let (address, tasks) = (args.text(1).to_owned(), args.number(2, 1_000_000));
            runtime.block_on(runtime.spawn(async move { load::engine(&address, tasks).await }))??
        }
        "json" => corpus()?,
        _ => anyhow::bail!("batches slots | kills | bare | run | json"),
    };
    println!("{told}");
    Ok(())
}

/// Shares of the two halves of the corpus that come out as they should.
fn corpus() -> anyhow::Result<Value> {
    let broken: Vec<Value> = serde_json::from_str(include_str!("../../../../keypool-client/tests/corpus/broken.json"))?;
    let valid: Vec<String> = serde_json::from_str(include_str!("../../../../keypool-client/tests/corpus/valid.json"))?;
    let found = |text: &str| keypool_client::json::find(text).ok();
    let meant = |case: &&Value| {
        found(case["text"].as_str().unwrap_or_default()).is_some_and(|found| found.value == case["value"])
    };
    let untouched = |text: &&String| {
        let value = serde_json::from_str::<Value>(text).ok();
        found(text).is_some_and(|found| Some(found.value) == value && found.how == keypool_client::json::How::AsItIs)
    };
    Ok(json!({
        "repaired": broken.iter().filter(meant).count() as f64 / broken.len() as f64,
        "untouched": valid.iter().filter(untouched).count() as f64 / valid.len() as f64,
        "broken": broken.len(),
        "valid": valid.len(),
    }))
}
