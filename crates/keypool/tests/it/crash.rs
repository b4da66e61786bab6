//! The program is killed with `kill -9`.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use gemini_sim::{GeminiSim, Latency};
use serde_json::Value;

use crate::support::{GENERATE, Gateway, hello, key, program, sim};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_contains_each_request_of_a_killed_gateway() {
    let sim = sim(2).await;
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("keys.db").display().to_string();
    for round in 1..=5 {
        let mut gateway = Gateway::start(&sim.url(), 2, &["--db", &database]);
        let load = futures_util::future::join_all((0..8).map(async |_| {
            loop {
                assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
            }
        }));
        let kill = async {
            gateway.eventually(async || sim.report().total.accepted >= round * 50).await;
            gateway.signal("KILL");
        };
        tokio::select! {
            _ = load => unreachable!("each client sends without an end"),
            () = kill => {}
        }
        gateway.wait();
        let usage = program(folder.path()).args(["usage", "--days", "2", "--json", "--db", &database]).output();
        let usage: Value = serde_json::from_slice(&usage.expect("output").stdout).expect("JSON");
        let rows = usage.as_array().expect("rows").iter();
        let counted: u64 = rows.map(|row| row["requests"].as_u64().expect("a number")).sum();
        let accepted = sim.report().total.accepted;
        assert!(counted >= accepted, "round {round}: {counted} of {accepted} requests are counted: {usage}");
    }
}

const TASKS: usize = 800;

fn batch(folder: &Path, url: &str, output: &str) -> Child {
    program(folder)
        .args(["batch", "in.txt", "-o", output, "--no-progress", "--concurrency", "4", "--upstream", url])
        .args(["--db", "keys.db", "--keys", "keys.txt"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Returns the complete lines by id.
fn results(path: &Path) -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut found = BTreeMap::new();
    for line in whole.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let before = found.insert(value["id"].as_u64().expect("an id"), line.to_owned());
        assert_eq!(before, None, "duplicate result");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_a_killed_batch_are_neither_lost_nor_duplicated() {
    let latency = Latency::Uniform(Duration::from_millis(5), Duration::from_millis(60));
    let builder = (0..4).fold(GeminiSim::builder().latency(latency), |builder, n| builder.key(key(n).as_str()));
    let sim = builder.start().await.expect("a free port");
    for name in ["out.jsonl", "out.json"] {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path();
        let write = |name: &str, lines: Vec<String>| std::fs::write(folder.join(name), lines.join("\n"));
        write("in.txt", (0..TASKS).map(|n| format!("task {n}")).collect()).expect("written");
        write("keys.txt", (0..4).map(key).collect()).expect("written");
        let journal = folder.join(if name.ends_with('l') { "out.jsonl" } else { "out.json.journal" });
        let mut before = BTreeMap::new();
        for kill in 0..20 {
            let mut run = batch(folder, &sim.url(), name);
            // Kill the process somewhere between two results.
            while results(&journal).len() < before.len() + 1 + kill * 7 % 16 {
                assert!(run.try_wait().expect("a child process").is_none(), "{name}: the run ended after {kill} kills");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            tokio::time::sleep(Duration::from_micros(kill as u64 * 1_733 % 5_000)).await;
            run.kill().expect("it runs");
            run.wait().expect("it ended");
            let after = results(&journal);
            for (id, line) in &before {
                assert_eq!(after.get(id), Some(line), "{name}: the result of {id} is unchanged");
            }
            before = after;
        }
        assert!(batch(folder, &sim.url(), name).wait().expect("it ends").success());
        let text = std::fs::read_to_string(folder.join(name)).expect("results");
        let all: Vec<Value> = if name.ends_with('l') {
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        } else {
            serde_json::from_str(&text).expect("JSON")
        };
        let mut ids: Vec<u64> = all.iter().map(|result| result["id"].as_u64().expect("an id")).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(0..TASKS as u64), "{name}: each result appears once");
        assert!(all.iter().all(|result| result["success"] == true));
        for (id, line) in before {
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert!(all.contains(&line), "{name}: the result of {id} is unchanged");
        }
    }
}
