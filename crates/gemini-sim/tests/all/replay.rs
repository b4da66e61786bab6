//! The same seed and the same requests at the same times yield the same responses.

use std::time::Duration;

use gemini_sim::{Fault, GeminiSim, Latency, Limits, Project, Refusal, Rule};

use crate::client::{advance, ask};

/// Runs ten minutes of requests with random faults, and returns a list of what happened.
async fn run(seed: u64) -> Vec<String> {
    let ms = Duration::from_millis;
    let mut builder = GeminiSim::builder()
        .seed(seed)
        .wall("2026-11-20T07:30:00Z".parse().unwrap())
        .path_jitter(ms(200))
        .latency(Latency::Uniform(ms(1), ms(600)))
        .script([
            Rule::new(Fault::Refuse(Refusal::Overloaded)).probability(0.1),
            Rule::new(Fault::HeadLatency(Latency::Uniform(ms(1), ms(50)))).probability(0.3),
        ]);
    for project in ["1", "2", "3"] {
        let limits = Limits::none().rpm(10).rpd(300);
        builder = builder.project(Project::new(project).limits(limits).key(project));
    }
    let sim = builder.build();
    let mut seen = Vec::new();
    for turn in 0..600 {
        let answer = ask(&sim, ["1", "2", "3"][turn % 3]).await;
        seen.push(format!("{:?} {} {}", sim.elapsed(), answer.status, answer.text()));
        advance(1.0).await;
    }
    seen.push(sim.report().to_json().to_string());
    seen
}

#[tokio::test(start_paused = true)]
async fn run_is_reproducible_by_its_seed() {
    let (one, again, other) = (run(1).await, run(1).await, run(2).await);
    assert!(one == again, "the same seed must give the same run");
    assert!(one != other, "another seed must give another run");
}
