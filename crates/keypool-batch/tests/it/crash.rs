//! A real process is killed with `kill -9` at random points.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use gemini_sim::{GeminiSim, Latency, Limits};
use serde_json::Value;

use crate::{keyed, secret};

const TASKS: usize = 400;

/// Builds the crate's example, which `cargo test --test it` does not build, and returns its path.
fn example() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "keypool-batch", "--example", "batch"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().with_file_name("examples").join("batch")
}

fn start(example: &Path, url: &str, input: &Path, output: &Path) -> Child {
    Command::new(example)
        .args([input, output])
        .args((0..4).map(secret))
        .env("GEMINI_URL", url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns the complete lines by id.
fn results(path: &Path) -> BTreeMap<u64, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut found = BTreeMap::new();
    for line in whole.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let before = found.insert(value["id"].as_u64().unwrap(), line.to_owned());
        assert_eq!(before, None, "duplicate result");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_neither_lost_nor_duplicated_when_the_process_is_killed() {
    let latency = Latency::Uniform(Duration::from_millis(5), Duration::from_millis(60));
    let sim = keyed(GeminiSim::builder().latency(latency), 4, Limits::none()).start().await.unwrap();
    let example = example();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.txt");
    fs::write(&input, (0..TASKS).map(|n| format!("task {n}")).collect::<Vec<_>>().join("\n")).unwrap();
    for name in ["out.jsonl", "out.json"] {
        let output = folder.path().join(name);
        let journal = if name.ends_with('l') { output.clone() } else { folder.path().join("out.json.journal") };
        let mut random = fastrand::Rng::with_seed(7);
        let mut before = BTreeMap::new();
        let mut kills = 0;
        while kills < 20 {
            let mut run = start(&example, &sim.url(), &input, &output);
            let results_of_this_run = before.len() + random.usize(1..TASKS / 20);
            // Kill the process somewhere between two results.
            while results(&journal).len() < results_of_this_run && run.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            tokio::time::sleep(Duration::from_micros(random.u64(0..5_000))).await;
            if run.try_wait().unwrap().is_some() {
                break;
            }
            run.kill().unwrap();
            run.wait().unwrap();
            kills += 1;
            let after = results(&journal);
            for (id, line) in &before {
                assert_eq!(after.get(id), Some(line), "{name}: the result of {id} is unchanged");
            }
            before = after;
        }
        assert!(kills >= 10, "{name}: the run ended after {kills} kills");
        assert!(start(&example, &sim.url(), &input, &output).wait().unwrap().success());
        let text = fs::read_to_string(&output).unwrap();
        let all: Vec<Value> = if name.ends_with('l') {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        } else {
            serde_json::from_str(&text).unwrap()
        };
        let mut ids: Vec<u64> = all.iter().map(|result| result["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(0..TASKS as u64), "{name}: each result appears once");
        assert!(all.iter().all(|result| result["success"] == true));
        for (id, line) in before {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert!(all.contains(&line), "{name}: the result of {id} is unchanged");
        }
    }
}
