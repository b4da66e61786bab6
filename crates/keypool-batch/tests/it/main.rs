//! The client and the batch engine over the simulator.

mod bench;
mod client;
mod faults;
mod input;
mod json;
mod modes;
mod output;
mod results;
mod waiting;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use gemini_sim::{Builder, GeminiSim, Project};
use keypool_batch::{Batch, Client, Input, Output, OutputOptions, Summary, Task};
use serde_json::Value;
use tower_keypool::{Clock, Gemini, Key, KeyPool, KeyPoolBuilder};

pub(crate) const MODEL: &str = "gemini-2.5-flash";

pub(crate) fn secret(n: usize) -> String {
    format!("AIzaSy-not-a-real-key-{n:017}")
}

/// Noon of 2026-11-20 in UTC, which is four in the morning for the provider.
pub(crate) fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_176_000)
}

/// Adds `keys` keys to a simulator, each in its own project with these limits.
pub(crate) fn keyed(builder: Builder, keys: usize, limits: gemini_sim::Limits) -> Builder {
    (0..keys).fold(builder, |builder, n| {
        builder.project(Project::new(format!("projects/{}", 1000 + n)).limits(limits).key(&*secret(n)))
    })
}

/// Builds a pool with the same keys, named `k0` and so on.
pub(crate) fn pool(base: &str, keys: usize) -> KeyPoolBuilder {
    KeyPool::builder(Gemini::at(base).unwrap()).keys((0..keys).map(|n| Key::new(secret(n)).named(&*format!("k{n}"))))
}

/// Builds a client over a simulator in process, on tokio's clock.
pub(crate) fn paused(builder: Builder, keys: usize) -> (GeminiSim, Client) {
    paused_with(builder, keys, gemini_sim::Limits::none(), |pool| pool)
}

pub(crate) fn paused_with(
    builder: Builder,
    keys: usize,
    limits: gemini_sim::Limits,
    pool_of: impl FnOnce(KeyPoolBuilder) -> KeyPoolBuilder,
) -> (GeminiSim, Client) {
    let sim = keyed(builder.wall(wall().try_into().unwrap()), keys, limits).build();
    let pool = pool("http://gemini-sim.invalid", keys).clock(Clock::starting_at(wall()));
    let client = Client::builder(&pool_of(pool).build().unwrap()).service(sim.service());
    (sim, client)
}

pub(crate) fn tasks(count: usize) -> Input {
    Input::tasks((0..count).map(|n| Task::new(&*format!("task {n}"))))
}

/// Runs tasks into a file, with the default options of a batch.
pub(crate) async fn run_to(client: &Client, input: Input, path: &Path, options: OutputOptions) -> Summary {
    let output = Output::file(path, &options).unwrap();
    Batch::new(client, MODEL).run(input, output).await.unwrap()
}

/// Runs a batch and returns its results in the order of the input.
pub(crate) async fn results_of(batch: Batch, input: Input) -> (Summary, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let output = Output::file(&path, &OutputOptions { ordered: true, ..OutputOptions::default() }).unwrap();
    let summary = batch.run(input, output).await.unwrap();
    (summary, lines(&path))
}

/// Reads the results from a file.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|end| end == "json") {
        return serde_json::from_str(&text).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
