//! `chaos KEYPOOL SECONDS`: `keypool serve` at half of what its keys allow, with everything going wrong around it: slow,
//! broken, refused and repeated answers, keys echoed in them, clients that read slowly or leave, keys that come and go.
//! Prints as JSON what became of it.

mod callers;
mod gateway;
mod weather;

use std::{path::PathBuf, sync::Arc, time::Duration};

use figures::args::Args;
use gemini_sim::{GeminiSim, Limits, Project};
use serde_json::{Value, json};

use callers::{Callers, Came};
use gateway::Gateway;
use weather::Weather;

/// Keys, each of a project of its own, and what each may start in a minute: 100 requests a second together.
const KEYS: usize = 40;
const A_MINUTE: u64 = 150;
/// Requests a second that are asked for: half.
const RATE: f64 = 50.0;
/// What every secret begins with, and nothing else does: where this stands, one has leaked.
pub(crate) const MARK: &str = "AIzaSyCHAOS";

fn secret(n: usize) -> String {
    format!("{MARK}-not-a-real-key-{n:012}")
}

fn main() -> anyhow::Result<()> {
    let args = Args::of_process();
    let (program, seconds) = (PathBuf::from(args.name()), args.number(1, 300));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = std::env::temp_dir().join(format!("keypool-chaos-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let told = runtime.block_on(run(program, seconds, folder.clone()));
    std::fs::remove_dir_all(&folder)?;
    println!("{}", told?);
    Ok(())
}

async fn run(program: PathBuf, seconds: usize, folder: PathBuf) -> anyhow::Result<Value> {
    let mut sim = GeminiSim::builder();
    for n in 0..KEYS {
        let project = Project::new(format!("{}", 100_000_000_000 + n));
        sim = sim.project(project.limits(Limits::none().rpm(A_MINUTE)).key(secret(n).as_str()));
    }
    let sim = sim.chunk_latency(Duration::from_millis(2)).build();
    let weather = Arc::new(Weather::new(sim.service()));
    let upstream = weather::serve(Arc::clone(&weather)).await?;
    let keys: Vec<String> = (0..KEYS).map(|n| format!("{} id=n{n} rpm={A_MINUTE}", secret(n))).collect();
    let mut gateway = Gateway::start(&program, &folder, &keys, &format!("http://{upstream}"))?;
    let callers = Callers::new(gateway.address.clone());
    let watched = gateway.watch(keys);
    let came = callers.ask(RATE, Duration::from_secs(seconds as u64)).await;
    let watched = watched.end().await?;
    let in_flight = gateway.in_flight().await?;
    let logged = gateway.end()?;

    let count = |kind: fn(&Came) -> bool| came.iter().filter(|(_, came)| kind(came)).count();
    let unexplained: Vec<String> = came
        .iter()
        .filter(|(tag, came)| !weather.explains(*tag, came))
        .map(|(tag, came)| format!("{came:?} after {:?}", weather.met(*tag)))
        .collect();
    Ok(json!({
        "asked": came.len(),
        "good": count(|came| *came == Came::Good),
        "left": count(|came| *came == Came::Left),
        "failed": count(|came| !matches!(came, Came::Good | Came::Left)),
        "faults": weather.faults(),
        "unexplained": unexplained.len(),
        "examples": unexplained.iter().take(5).collect::<Vec<_>>(),
        "leaked slots": in_flight,
        "secrets": callers.leaks() + watched.leaks + logged.leaks,
        "reloads": watched.reloads,
        "log lines": logged.lines,
        "resident MiB": watched.resident,
        "grown MiB": watched.grown,
        "over limit": sim.report().total.over_limit,
    }))
}
