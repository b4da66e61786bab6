//! `cargo run -p keypool-client --example simple`: a few prompts, answered once each, against a simulator.

use gemini_sim::{GeminiSim, Limits as SimLimits, Project};
use keypool_client::{Client, batch::Batch};
use tower_keypool::{Gemini, Key, KeyPool, Limits};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let project = Project::new("projects/1").limits(SimLimits::none().rpm(60)).key("AIzaSy-not-a-real-key-000000001");
    let provider = GeminiSim::builder().project(project).start().await?;
    let pool = KeyPool::builder(Gemini::at(&provider.url())?)
        .key(Key::new("AIzaSy-not-a-real-key-000000001"))
        .limits("gemini-2.5-flash", Limits::new().per_minute(60))
        .build()?;

    let mut run = Batch::new(Client::new(&pool)).run(["What is a key?", "What is a lock?", "What is a door?"]);
    while let Some(result) = run.next().await {
        println!("{}: {}", result.id, result.text.as_deref().unwrap_or("-"));
    }
    println!("{}", run.statistics());
    assert_eq!(run.statistics().ok, 3);
    Ok(())
}
