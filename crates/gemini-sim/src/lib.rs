//! A strict simulator of the Gemini API's quotas, errors and streams.
//!
//! It simulates projects with keys, tiers and limits. It authenticates, validates and counts requests as the real API
//! does, and responds with the same messages. A script can make it fail. It reports how many requests arrived, were
//! accepted, and exceeded a limit. It is used in two ways:
//!
//! - **over HTTP** on loopback, HTTP/1.1 and h2c: [`Builder::start`], then
//!   [`GeminiSim::url`];
//! - **in process**, as a [`tower_service::Service`] for requests with any
//!   body, on tokio's clock: [`Builder::build`], then [`GeminiSim::service`].
//!   See [`guide`] for tests under paused time.
//!
//! ```
//! use gemini_sim::{GeminiSim, Limits, Project};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let sim = GeminiSim::builder()
//!     .project(
//!         Project::new("projects/123456789012")
//!             .limits(Limits::none().rpm(10).rpd(250))
//!             .key("AIzaSy-one")
//!             .key("AIzaSy-two"),
//!     )
//!     .start()
//!     .await?;
//! let base = sim.url(); // point a client here
//! assert!(base.starts_with("http://127.0.0.1:"));
//! assert_eq!(sim.report().total.over_limit, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Endpoints
//!
//! Under `/v1`, `/v1beta` and `/v1alpha`: `generateContent`,
//! `streamGenerateContent` (events with `alt=sse`, else one JSON list),
//! `countTokens`, `embedContent`, `batchEmbedContents`, `models`, uploads
//! (resumable, raw and multipart), `files` and `cachedContents`; under
//! `/v1beta/openai` with a Bearer key: `chat/completions`, `embeddings` and
//! `models`; over HTTP the Live API's WebSocket.
//!
//! A request is checked in this order: path, credentials, body, model, referenced files and caches, quotas. The first
//! check that fails determines the response. Quotas are charged only if all checks pass. A minute is an exact sliding
//! window, a day ends at midnight in Los Angeles, and a batch of embeddings costs one request per item. A 429 for the
//! daily requests of a free project has a delay of less than a minute, as with the real API.
//!
//! Tokens are counted by a simple rule: one for every four characters, rounded up ([`tokens_of_text`]), and 258 for an
//! inline or uploaded medium.
//!
//! # Limitations
//!
//! It has no model: answers are fixed words, an echo, or a text that you set ([`AnswerText`]). Bytes of uploads are
//! counted and not kept. Batches, tuned models, interactions, images of `:predict` and videos are not simulated. If the
//! real behaviour is not documented, the simulator is strict, and a comment says so.
//!
//! All randomness comes from one seed ([`Builder::seed`]): the same requests at the same times get the same responses.

mod answer;
mod api;
mod body;
mod builder;
mod check;
mod clock;
mod fault;
pub mod guide;
mod latency;
mod log;
mod model;
mod project;
mod proto;
mod quota;
mod refusal;
mod report;
mod server;
mod service;
mod sim;
mod simulator;
mod tokens;

pub use answer::AnswerText;
pub use body::{SimBody, SimError};
pub use builder::Builder;
pub use fault::{Canned, Fault, Finish, Rule};
pub use latency::Latency;
pub use log::{Arrival, Log};
pub use model::Model;
pub use project::{Key, Limits, Project, Tier};
pub use refusal::Refusal;
pub use report::{KeyReport, ProjectReport, Report, Tally};
pub use service::{ResponseFuture, SimService};
pub use sim::GeminiSim;
pub use tokens::tokens_of_text;
