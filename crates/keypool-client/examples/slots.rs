//! `cargo run -p keypool-client --example slots`: worker slots with every option there is, a file of results, and a look at
//! the run while it goes.

use std::time::Duration;

use gemini_sim::{GeminiSim, Project, Refusal};
use keypool_client::{
    Client,
    batch::{Batch, Ended, Output, OutputOptions, Prices, Task},
};
use tower_keypool::{Gemini, Key, KeyPool, Models};

fn secret(n: usize) -> String {
    format!("AIzaSy-not-a-real-key-{n:09}")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = GeminiSim::builder().latency(Duration::from_millis(50));
    let builder = (0..4).fold(builder, |sim, n| sim.project(Project::new(format!("projects/{n}")).key(&*secret(n))));
    let provider = builder.start().await?;
    provider.refuse_key(3, Some(Refusal::ConsumerSuspended));
    let pool = KeyPool::builder(Gemini::at(&provider.url())?).keys((0..4).map(|n| Key::new(secret(n)))).build()?;
    let client = Client::builder(&pool)
        .model("gemini-2.5-pro")
        .fallback(Models::new().for_all(["gemini-2.5-pro", "gemini-2.5-flash"]))
        .build();

    let path = std::env::temp_dir().join(format!("answers-{}.jsonl", std::process::id()));
    let output = Output::open(&path, &OutputOptions { retry_failed: true, ordered: true })?;
    let tasks = (0..40).map(|n| Task::prompt(format!("task {n}")).id(format!("t-{n}")).field("chapter", n / 10));
    let batch = Batch::new(client)
        // Usually 4 and 12.0; here all goes faster.
        .workers_per_key(4)
        .rate_limit_per_slot(0.2)
        .system("Answer in one sentence.")
        .temperature(0.7)
        .max_retries(3)
        .retry_invalid(false)
        .max_wait(Duration::from_secs(3_600))
        .timeout(Duration::from_secs(60))
        .prices(Prices { input: 1.25, output: 10.0 })
        .on_fault(|fault| eprintln!("slot {} key {:?} task {}: {}", fault.slot, fault.key, fault.task, fault.code))
        .expecting(40)
        .output(output);
    println!("{}", batch.plan().tell(40));
    let run = batch.run(tasks);
    let watch = run.watch();
    let watching = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            println!("{}", watch.statistics().line());
        }
    });
    let (ended, statistics) = run.finish().await;
    watching.abort();
    println!("{statistics}");
    assert!(matches!(ended, Ended::Done) && statistics.ok == 40);
    std::fs::remove_file(path)?;
    Ok(())
}
