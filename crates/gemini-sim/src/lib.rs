//! A strict simulator of the Gemini API's quotas, errors and streams.
//!
//! It knows projects, their keys, tiers and limits; it authenticates, checks,
//! counts and answers as the real thing does, with the real thing's words; it
//! fails as a script tells it to; and it reports what arrived, what was
//! accepted and what came over a limit. It is used in two ways:
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
//! # What it answers
//!
//! Under `/v1`, `/v1beta` and `/v1alpha`: `generateContent`,
//! `streamGenerateContent` (events with `alt=sse`, else one JSON list),
//! `countTokens`, `embedContent`, `batchEmbedContents`, `models`, uploads
//! (resumable, raw and multipart), `files` and `cachedContents`; under
//! `/v1beta/openai` with a Bearer key: `chat/completions`, `embeddings` and
//! `models`; over HTTP the Live API's WebSocket.
//!
//! A request passes the path, the credentials, its own shape, the model, what
//! it refers to, and the quotas, in this order; the first that objects answers.
//! Nothing is charged before all agree. A minute is an exact sliding window, a
//! day ends at midnight in Los Angeles, and a batch of embeddings costs one
//! request an item. The last 429 to a free project about its day names a delay
//! of less than a minute, as the real one does.
//!
//! Tokens are counted so that everyone can: one for every four characters
//! begun ([`tokens_of_text`]), 258 for an inline or uploaded medium.
//!
//! # What it is not
//!
//! It does not think: answers are canned words, an echo, or a text you give
//! ([`AnswerText`]). Bytes of uploads are counted and not kept. Batches, tuned
//! models, interactions, images of `:predict` and videos are not simulated.
//! Where the real behaviour is not on record it takes the stricter reading,
//! and a comment says so.
//!
//! Everything random comes from one seed ([`Builder::seed`]): the same requests
//! at the same times get the same answers.

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
