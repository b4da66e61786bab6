//! `keypool batch` is killed at random moments, again and again on one output.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use figures::picks;
use gemini_sim::{GeminiSim, Project};
use serde_json::{Value, json};

const KEYS: usize = 8;
/// Under way at a time.
const AT_ONCE: usize = 16;
/// So many tasks that no round comes to their end.
const A_ROUND: usize = 300;

/// What was lost, done twice or asked for nothing.
pub(crate) async fn run(program: &Path, rounds: usize) -> anyhow::Result<Value> {
    let folder = std::env::temp_dir().join(format!("keypool-batch-kills-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let told = kill_often(program, rounds, &folder).await;
    std::fs::remove_dir_all(&folder)?;
    told
}

async fn kill_often(program: &Path, rounds: usize, folder: &Path) -> anyhow::Result<Value> {
    let tasks = rounds * A_ROUND;
    let builder = GeminiSim::builder().latency(Duration::from_millis(20)).log_capacity(0);
    let sim = (0..KEYS).fold(builder, |builder, n| {
        builder.project(Project::new(format!("projects/{}", 1000 + n)).key(&*picks::secret(n)))
    });
    let sim = sim.start().await?;
    let (mut keys, mut lines) = (String::new(), String::new());
    (0..KEYS).try_for_each(|n| writeln!(keys, "{}", picks::secret(n)))?;
    (0..tasks).try_for_each(|n| writeln!(lines, "task {n}"))?;
    std::fs::write(folder.join("keys.txt"), keys)?;
    std::fs::write(folder.join("tasks.txt"), lines)?;
    let output = folder.join("answers.jsonl");
    let (mut lost, mut twice, mut before, mut over) = (0, 0, BTreeMap::new(), 0);
    let mut kills = 0;
    for _ in 0..rounds {
        let mut child = start(program, folder, &sim.url())?;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(60..700))).await;
        if child.try_wait()?.is_none() {
            child.kill()?;
            kills += 1;
        }
        child.wait()?;
        let now = done(&output)?;
        lost += before.keys().filter(|index| !now.contains_key(*index)).count();
        twice += now.values().filter(|count| **count > 1).count();
        before = now;
        over = over.max(sim.report().total.arrivals.saturating_sub(before.len() as u64 + (kills * AT_ONCE) as u64));
    }
    let mut last = start(program, folder, &sim.url())?;
    let status = tokio::task::spawn_blocking(move || last.wait()).await??;
    ensure!(status.success(), "the last one ended with {status}");
    let all = done(&output)?;
    twice += all.values().filter(|count| **count > 1).count();
    let arrivals = sim.report().total.arrivals as usize;
    Ok(json!({
        "kills": kills,
        "tasks": tasks,
        "missing": tasks - all.len(),
        "lost": lost,
        "twice": twice,
        "wasted": arrivals - tasks,
        "under way": kills * AT_ONCE,
        "wasted beyond": over,
    }))
}

fn start(program: &Path, folder: &Path, upstream: &str) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.args(["batch", "tasks.txt", "-o", "answers.jsonl", "--keys", "keys.txt", "--upstream", upstream]);
    command.args(["--db", "none", "--no-progress", "--concurrency", &AT_ONCE.to_string()]);
    command.current_dir(folder).env_clear().env("HOME", folder);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// How often each task stands in the output; a torn line at its end is none.
fn done(path: &Path) -> anyhow::Result<BTreeMap<u64, usize>> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let mut counts = BTreeMap::new();
    for line in bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let result: Value = serde_json::from_slice(line).context("a whole line that is no JSON")?;
        *counts.entry(result["index"].as_u64().context("an index")?).or_default() += 1;
    }
    Ok(counts)
}
