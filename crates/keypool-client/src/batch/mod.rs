//! The batch engine: every task answered exactly once, as fast as the keys allow.
//!
//! ```no_run
//! # async fn run(client: keypool_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use keypool_client::batch::{Batch, Output};
//!
//! let output = Output::open("answers.jsonl", &Default::default())?;
//! let mut run = Batch::new(client).max_retries(3).output(output).run(["What is a key?", "What is a lock?"]);
//! while let Some(result) = run.next().await {
//!     println!("{}: {}", result.id, result.text.unwrap_or_default());
//! }
//! println!("{}", run.statistics());
//! # Ok(())
//! # }
//! ```
//!
//! A task waits at the *desk* until a *worker* takes it. A worker takes a key, sends the task with it, and looks at the
//! answer: a fault of the key puts the task back at once and is never counted; a fault of the task counts; what is done
//! goes to the *output*, one writer, and from there to whoever listens.

mod answered;
mod astray;
mod attempt;
mod away;
mod builder;
mod busy;
mod costs;
mod crew;
mod desk;
mod dialect;
mod drought;
mod events;
mod faults;
mod feeder;
mod forecast;
mod gemini_usage;
mod given_up;
pub mod input;
mod json_check;
mod limited;
mod line;
mod output;
mod owned;
mod pace;
mod part;
mod pile;
mod plan;
mod quoted;
mod request;
mod rests;
mod result;
mod run;
mod seen;
mod shared;
mod statistics;
mod task;
mod tray;
mod turned_away;
mod unmet;
mod work;
mod worker;
mod writer;
mod written;

pub use builder::Batch;
pub use costs::Prices;
pub use events::{Fault, FaultKind};
pub use json_check::{InvalidSchema, JsonCheck};
pub use output::{Done, Output, OutputError, OutputOptions};
pub use plan::Plan;
pub use result::{TaskError, TaskResult};
pub use run::{Ended, Run, Watch};
pub use statistics::{Resting, Statistics, Unreachable};
pub use task::{Id, InvalidTask, Task, WrittenNumber};
pub use written::Json;
