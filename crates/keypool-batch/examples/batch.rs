//! Many prompts over many keys: `cargo run -p keypool-batch --example batch -- prompts.txt answers.jsonl KEY [KEY ...]`
//!
//! `GEMINI_URL` names another address than Google's, such as that of a simulator.

use std::{env, error::Error, time::Duration};

use keypool_batch::{Batch, Client, Input, Output, OutputOptions, PromptOptions};
use tower_keypool::{Gemini, Key, KeyPool};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output, keys @ ..] = &*arguments else {
        return Err("usage: batch INPUT OUTPUT KEY [KEY ...]".into());
    };
    let gemini = match env::var("GEMINI_URL") {
        Ok(url) => Gemini::at(&url)?,
        Err(_) => Gemini::new(),
    };
    let pool = KeyPool::builder(gemini).keys(keys.iter().map(|key| Key::new(&**key))).build()?;
    let run = Batch::new(&Client::new(&pool), "gemini-2.5-flash")
        .options(PromptOptions::new().max_output_tokens(1_000))
        .start(Input::open(input)?, Output::file(output, &OutputOptions::default())?)?;

    // The first Ctrl-C lets the answers that are on their way arrive, the second ends at once.
    let control = run.control();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            control.stop();
            if tokio::signal::ctrl_c().await.is_ok() {
                control.abort();
            }
        }
    });
    while tokio::time::timeout(Duration::from_secs(2), run.ended()).await.is_err() {
        eprintln!("{}", run.progress());
    }
    println!("{}", run.finish().await?);
    Ok(())
}
