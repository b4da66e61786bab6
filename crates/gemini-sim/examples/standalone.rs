//! The simulator on a port, for clients in any language. Ctrl-C ends it and prints the report as JSON.
//!
//! `cargo run -p gemini-sim --example standalone -- --port 8081 --project free:10:k1,k2 --project tier1:100:k3`

use std::time::Duration;

use clap::Parser;
use gemini_sim::{GeminiSim, Limits, Project, Tier};

/// A simulated Gemini API on a port of 127.0.0.1.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 8081)]
    port: u16,
    /// The tier is free, tier1, tier2 or tier3; RPM 0 is no limit. May be given several times.
    #[arg(long = "project", value_name = "TIER:RPM:KEY,KEY", value_parser = project)]
    projects: Vec<(Tier, u64, Vec<String>)>,
    /// Requests that each project may send in a day.
    #[arg(long)]
    rpd: Option<u64>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Chunks of a stream.
    #[arg(long, default_value_t = 5)]
    chunks: usize,
    /// Takes every model's name.
    #[arg(long)]
    any_model: bool,
}

fn project(text: &str) -> Result<(Tier, u64, Vec<String>), &'static str> {
    let [tier, rpm, keys] = text.splitn(3, ':').collect::<Vec<_>>()[..] else { return Err("not TIER:RPM:KEY,KEY") };
    let tier = match tier {
        "free" => Tier::Free,
        "tier1" => Tier::Tier1,
        "tier2" => Tier::Tier2,
        "tier3" => Tier::Tier3,
        _ => return Err("the tier is free, tier1, tier2 or tier3"),
    };
    let rpm = rpm.parse().map_err(|_| "RPM is no number")?;
    Ok((tier, rpm, keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let mut sim = GeminiSim::builder().port(options.port).seed(options.seed).chunks(options.chunks);
    sim = sim.latency(Duration::from_millis(options.latency_ms));
    if options.any_model {
        sim = sim.any_model();
    }
    for (number, (tier, rpm, keys)) in (100_000_000_001_u64..).zip(options.projects) {
        let limits = if rpm == 0 { Limits::none() } else { Limits::none().rpm(rpm) };
        let limits = options.rpd.map_or(limits, |rpd| limits.rpd(rpd));
        let project = Project::new(number.to_string()).tier(tier).limits(limits);
        sim = sim.project(keys.into_iter().fold(project, Project::key));
    }
    let sim = sim.start().await?;
    println!("listening on {}", sim.url());
    tokio::signal::ctrl_c().await?;
    println!("{:#}", sim.shutdown().await.report().to_json());
    Ok(())
}
