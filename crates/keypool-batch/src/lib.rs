//! A client for LLM providers with many keys, and a batch engine that writes exactly one result for each task.
//!
//! [`Client`] sends one [`Prompt`] with a key of a [`KeyPool`](tower_keypool::KeyPool) and returns one [`Answer`].
//! [`Batch`] reads tasks, sends them at the rate that the keys allow, and writes one result for each to a file that
//! survives a crash.
//!
//! ```no_run
//! use keypool_batch::{Batch, Client, Input, Output, OutputOptions};
//! use tower_keypool::{Gemini, Key, KeyPool};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = ["AIza-not-a-real-key-001", "AIza-not-a-real-key-002"].map(Key::free);
//! let pool = KeyPool::builder(Gemini::new()).keys(keys).build()?;
//! let input = Input::open("prompts.jsonl")?;
//! let output = Output::file("answers.jsonl", &OutputOptions::default())?;
//! let summary = Batch::new(&Client::new(&pool), "gemini-2.5-flash").run(input, output).await?;
//! println!("{summary}");
//! # Ok(())
//! # }
//! ```
//!
//! [`json::find`] extracts JSON from the text of a model.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod batch;
pub mod client;
pub mod json;
mod raw;
mod time;

pub use batch::{
    Batch, BatchError, Control, ErrorLog, Input, InputFormat, Output, OutputError, OutputOptions, Progress, Run,
    RunOutcome, Summary, Task, TaskError, TaskId, TaskResult,
};
pub use client::{
    Answer, AnswerStream, Client, ClientBuilder, Error, ErrorKind, Finish, Prompt, PromptOptions, UnavailableCause,
    Usage,
};
pub use time::time_left;
