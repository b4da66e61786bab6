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

struct Wish {
    builder: Builder,
    projects: Vec<Project>,
    limits: Vec<Limits>,
    rpd: Option<u64>,
}

fn number<T: std::str::FromStr>(flag: &str, text: Option<String>) -> Result<T, String> {
    let text = text.ok_or_else(|| format!("{flag} needs a number"))?;
    text.parse().map_err(|_| format!("{flag}: {text} is no number"))
}

fn project(index: usize, text: &str) -> Result<(Project, Limits), String> {
    let mut fields = text.splitn(3, ':');
    let (Some(tier), Some(rpm), Some(keys)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("--project wants TIER:RPM:KEY,KEY".to_owned());
    };
    let tier = match tier {
        "free" => Tier::Free,
        "tier1" => Tier::Tier1,
        "tier2" => Tier::Tier2,
        "tier3" => Tier::Tier3,
        other => return Err(format!("{other} is no tier: free, tier1, tier2 or tier3")),
    };
    let limits = match number("RPM", Some(rpm.to_owned()))? {
        0 => Limits::none(),
        rpm => Limits::none().rpm(rpm),
    };
    let mut project = Project::new(format!("projects/{}", 100_000_000_001 + index)).tier(tier);
    for key in keys.split(',').filter(|key| !key.is_empty()) {
        project = project.key(key);
    }
    Ok((project, limits))
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Builder, String> {
    let mut wish =
        Wish { builder: GeminiSim::builder().port(8081), projects: Vec::new(), limits: Vec::new(), rpd: None };
    while let Some(flag) = arguments.next() {
        let builder = wish.builder;
        wish.builder = match flag.as_str() {
            "--port" => builder.port(number(&flag, arguments.next())?),
            "--seed" => builder.seed(number(&flag, arguments.next())?),
            "--chunks" => builder.chunks(number(&flag, arguments.next())?),
            "--latency-ms" => builder.latency(Duration::from_millis(number(&flag, arguments.next())?)),
            "--any-model" => builder.any_model(),
            "--fast" => builder.fast(),
            "--rpd" => {
                wish.rpd = Some(number(&flag, arguments.next())?);
                builder
            }
            "--project" => {
                let text = arguments.next().ok_or("--project wants a value")?;
                let (project, limits) = project(wish.projects.len(), &text)?;
                wish.projects.push(project);
                wish.limits.push(limits);
                builder
            }
            other => return Err(format!("{other} is not known")),
        };
    }
    let mut builder = wish.builder;
    for (project, limits) in wish.projects.into_iter().zip(wish.limits) {
        let limits = wish.rpd.map_or(limits, |rpd| limits.rpd(rpd));
        builder = builder.project(project.limits(limits));
    }
    Ok(builder)
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
