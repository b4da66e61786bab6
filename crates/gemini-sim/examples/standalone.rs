//! `cargo run -p gemini-sim --example standalone -- --port 8081 --project free:10:k1,k2 --project tier1:100:k3`
//!
//! The simulator on a port, for clients in any language. Each `--project` is
//! `TIER:RPM:KEY,KEY,…` with the tier `free`, `tier1`, `tier2` or `tier3`, and
//! `RPM` 0 for no limit. Other flags: `--rpd N` (of every project), `--seed N`,
//! `--latency-ms N`, `--chunks N`, `--any-model`, `--fast`. Ctrl-C ends it and
//! prints the report as JSON.

use std::process::ExitCode;
use std::time::Duration;

use gemini_sim::{Builder, GeminiSim, Limits, Project, Tier};

const USAGE: &str = "usage: standalone [--port N] [--project TIER:RPM:KEY,KEY]... [--rpd N] \
[--seed N] [--latency-ms N] [--chunks N] [--any-model] [--fast]";

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag}: {text:?} is no number"))
}

/// `TIER:RPM:KEY,KEY,...`
fn project(index: usize, text: &str) -> Result<(Project, Limits), String> {
    let [tier, rpm, keys] = text.splitn(3, ':').collect::<Vec<_>>()[..] else {
        return Err("--project wants TIER:RPM:KEY,KEY".to_owned());
    };
    let tier = match tier {
        "free" => Tier::Free,
        "tier1" => Tier::Tier1,
        "tier2" => Tier::Tier2,
        "tier3" => Tier::Tier3,
        other => return Err(format!("{other} is no tier: free, tier1, tier2 or tier3")),
    };
    let rpm = number("RPM", rpm)?;
    let limits = if rpm == 0 { Limits::none() } else { Limits::none().rpm(rpm) };
    let project = Project::new(format!("projects/{}", 100_000_000_001 + index)).tier(tier);
    Ok((keys.split(',').filter(|key| !key.is_empty()).fold(project, Project::key), limits))
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Builder, String> {
    let (mut builder, mut projects, mut rpd) = (GeminiSim::builder().port(8081), Vec::new(), None);
    while let Some(flag) = arguments.next() {
        builder = match flag.as_str() {
            "--any-model" => builder.any_model(),
            "--fast" => builder.fast(),
            _ => {
                let value = arguments.next().ok_or_else(|| format!("{flag} wants a value"))?;
                match flag.as_str() {
                    "--port" => builder = builder.port(number(&flag, &value)?),
                    "--seed" => builder = builder.seed(number(&flag, &value)?),
                    "--chunks" => builder = builder.chunks(number(&flag, &value)?),
                    "--latency-ms" => builder = builder.latency(Duration::from_millis(number(&flag, &value)?)),
                    "--rpd" => rpd = Some(number(&flag, &value)?),
                    "--project" => projects.push(project(projects.len(), &value)?),
                    other => return Err(format!("{other} is not known")),
                }
                builder
            }
        };
    }
    Ok(projects.into_iter().fold(builder, |builder, (project, limits)| {
        builder.project(project.limits(rpd.map_or(limits, |rpd| limits.rpd(rpd))))
    }))
}

#[tokio::main]
async fn main() -> ExitCode {
    let builder = match read(std::env::args().skip(1)) {
        Ok(builder) => builder,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let sim = match builder.start().await {
        Ok(sim) => sim,
        Err(error) => {
            eprintln!("the port cannot be had: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("listening on {}", sim.url());
    let stopped = tokio::signal::ctrl_c().await;
    let report = sim.shutdown().await.report();
    println!("{:#}", report.to_json());
    if stopped.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
