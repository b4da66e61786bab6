//! Uses many API keys of an LLM provider as if they were one key with the quota of all.
//!
//! A [`KeyPool`] knows which key can serve a request now. Small tower layers put that key into each outgoing request,
//! read the response, cool down a key that failed and retry the request with another key.
//!
//! ```
//! use std::convert::Infallible;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keypool::{Attempts, Gemini, Key, KeyPool, KeyPoolLayer, Limits, ReplayBody};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let pool = KeyPool::builder(Gemini::new())
//!     .key(Key::free("AIza-not-a-real-key-001").project("a"))
//!     .key(Key::paid("AIza-not-a-real-key-002").max_concurrent(8))
//!     .limits("gemini-2.5-flash", Limits::new().per_minute(10).per_day(250).tokens_per_minute(250_000))
//!     .build()?;
//!
//! // Any HTTP client that is a tower service. This one returns a fixed response.
//! let http_client = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async move {
//!     assert_eq!(request.uri().host(), Some("generativelanguage.googleapis.com"));
//!     assert_eq!(request.headers()["x-goog-api-key"], "AIza-not-a-real-key-001");
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("{}"))))
//! });
//! let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http_client);
//!
//! let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Full::default())?;
//! let response = client.oneshot(request).await?;
//! let attempts = response.extensions().get::<Attempts>().expect("the layers add it to every response");
//! assert_eq!(attempts.last().map(|attempt| attempt.project()), Some("a"));
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # }).unwrap();
//! ```
//!
//! # Layers
//!
//! The rows are in the order of a stack, outermost first:
//!
//! | layer | purpose |
//! |---|---|
//! | [`ErrorIntoResponseLayer`] | turns errors into responses, for hosts such as axum whose error is `Infallible` |
//! | [`RedactLayer`] | masks the request's key in successful responses, too |
//! | [`KeyPoolLayer`] | the complete stack, composed of the next five |
//! | [`ReplayLayer`] | collects the request body so that the request can be retried |
//! | [`ModelFallbackLayer`] | retries with the next model of a list when a model cannot serve |
//! | [`RetryPolicy`] | decides whether tower's `Retry` sends a request again |
//! | [`KeyRotationLayer`] | waits for a key and puts it into the request |
//! | [`CooldownLayer`] | classifies the response and reports the outcome to the pool |
//! | `ReqwestService` (feature `reqwest`) | uses reqwest as the innermost client |
//!
//! The same stack built layer by layer, with a timeout for each attempt:
//!
//! ```
//! # use std::{convert::Infallible, time::Duration};
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{ServiceBuilder, service_fn};
//! # use tower_keypool::*;
//! # fn stack(pool: KeyPool) {
//! # let http_client = service_fn(|_: Request<ReplayBody<Full<Bytes>>>| async {
//! #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(ReplayLayer::up_to(32 << 20))
//!     .retry(RetryPolicy::new(&pool))
//!     .layer(KeyRotationLayer::new(&pool))
//!     .layer(CooldownLayer::new(&pool))
//!     .timeout(Duration::from_secs(120))
//!     .service(http_client);
//! # tower::Service::call(&mut client.clone(), Request::new(Full::default()));
//! # }
//! ```
//!
//! A timeout above the retry bounds the whole request. A timeout below [`CooldownLayer`] bounds one attempt, which is
//! then retried with another key.
//!
//! # Without layers
//!
//! For an SDK that brings its own HTTP client, [`KeyPool::run`] calls a closure with one key after another until a call
//! succeeds. [`KeyPool::acquire`] returns a [`Lease`], on which the caller reports the outcome.
//!
//! # Observing
//!
//! [`KeyPool::events`], [`KeyPool::stats`] and [`KeyPool::snapshot`] show what happens. The same events are logged with
//! `tracing`; all targets start with `tower_keypool`. The feature `metrics` adds a collector for Prometheus.
//!
//! # Modules
//!
//! The crate root re-exports the common types. The modules contain the rest: the services, futures and bodies of the
//! layers, the views of a [`Snapshot`](pool::Snapshot), and the types that [`Provider`] and [`Store`](store::Store)
//! implementations need.
//!
//! # Time
//!
//! The library reads the time from a [`Clock`] and sleeps with tokio's timers. Under a paused runtime, waits for windows,
//! cooldowns and midnights end immediately. A [`ManualClock`] is for tests without a runtime. The layers need a tokio
//! runtime with timers enabled: for waits, for pauses before a retry, and while the start of a response is read.
//! [`KeyPool::try_acquire`] needs none.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

#[macro_use]
mod macros;

mod body;
pub mod classify;
#[cfg(feature = "config")]
pub mod config;
pub mod cooldown;
mod error;
pub mod fallback;
pub mod into_response;
mod json;
mod key;
pub mod limit;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod pool;
pub mod provider;
pub mod redact;
pub mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;
pub mod retry;
pub mod rotation;
pub mod run;
mod secret;
pub mod stack;
pub mod store;
mod time;

pub use classify::{ErrorClass, Failure, Outcome, Rule, Scope, Usage};
pub use cooldown::CooldownLayer;
pub use error::{BoxError, Error, ErrorKind};
pub use fallback::ModelFallbackLayer;
pub use into_response::ErrorIntoResponseLayer;
pub use key::{Key, KeyId, Tier};
pub use limit::{Limit, Limits, Span, Unit};
pub use pool::{Affinity, Attempts, Event, KeyPool, KeyPoolBuilder, KeyRequest, Lease, Strategy, Unavailable};
pub use provider::{Anthropic, ApiKeyHeader, Base, Gemini, OpenAi, Provider};
pub use redact::RedactLayer;
pub use replay::{ReplayBody, ReplayLayer};
#[cfg(feature = "reqwest")]
pub use reqwest::ReqwestService;
pub use retry::RetryPolicy;
pub use rotation::KeyRotationLayer;
pub use secret::Secret;
pub use stack::KeyPoolLayer;
pub use time::{Clock, ManualClock};

/// Compiles the Rust code blocks of README.md and docs/library.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/library.md")]
mod readme {}
