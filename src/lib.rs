//! Many API keys for LLM providers, used as if they were one key that never runs dry.
//!
//! A [`KeyPool`] knows which key can serve a request now. Small tower layers put that key into each outgoing request, read what
//! comes back, cool down the key that failed and send the request again over another.
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
//! // Any HTTP client that is a tower service; this one answers by itself.
//! let http_client = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async move {
//!     assert_eq!(request.uri().host(), Some("generativelanguage.googleapis.com"));
//!     assert_eq!(request.headers()["x-goog-api-key"], "AIza-not-a-real-key-001");
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("{}"))))
//! });
//! let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http_client);
//!
//! let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Full::default())?;
//! let answer = client.oneshot(request).await?;
//! let attempts = answer.extensions().get::<Attempts>().expect("the layers leave it on every answer");
//! assert_eq!(attempts.last().map(|attempt| attempt.project()), Some("a"));
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # }).unwrap();
//! ```
//!
//! # Layers
//!
//! | layer | what it does |
//! |---|---|
//! | [`KeyPoolLayer`] | all that a client needs, composed of the next four |
//! | [`ReplayLayer`] | collects the body, so that the request can be sent again |
//! | [`RetryPolicy`] | decides for tower's own `Retry` whether a request is sent again |
//! | [`KeyRotationLayer`] | waits for a key and puts it into the request |
//! | [`CooldownLayer`] | classifies the answer and reports it to the pool |
//! | [`ModelFallbackLayer`] | asks for the next model of a list when one cannot be served |
//! | [`ErrorIntoResponseLayer`] | turns the layers' errors into answers, for hosts whose error is `Infallible`, such as axum |
//! | [`RedactLayer`] | masks the request's key in good answers, too |
//! | `ReqwestService` (feature `reqwest`) | reqwest as the client at the bottom |
//!
//! Piece by piece, with a timeout for each attempt:
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
//! A timeout above the retry bounds the whole request; below [`CooldownLayer`] it bounds one attempt, which is then sent over another
//! key. A timeout between [`KeyRotationLayer`] and [`CooldownLayer`] hides the outcome from the pool.
//!
//! # Without layers
//!
//! For an SDK that brings its own HTTP client, [`KeyPool::run`] calls a closure with a key until one serves. [`KeyPool::acquire`]
//! gives a [`Lease`], to which the outcome is reported by hand.
//!
//! # Modules
//!
//! The root re-exports the common types. The modules have the rest: the services, futures and bodies of the layers, the
//! views of a [`Snapshot`](pool::Snapshot), what a [`Provider`] is asked, and what a [`Store`](store::Store) is told.
//!
//! # Time
//!
//! The library asks a [`Clock`] for the time and sleeps by tokio's timers: under a paused runtime windows, cooldowns and midnights
//! pass at once. Only waiting needs a tokio runtime.
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
pub use pool::{
    Affinity, Attempts, Event, KeyChange, KeyPool, KeyPoolBuilder, KeyRequest, Lease, Strategy, Unavailable,
};
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

/// The Rust of README.md and docs/library.md, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/library.md")]
mod readme {}
