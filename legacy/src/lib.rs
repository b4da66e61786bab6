//! Many API keys for LLM providers, used as if they were one key that never runs dry.
//!
//! A [`KeyPool`] knows which key may carry a request now; small tower layers put that key on each outgoing request, judge
//! what comes back, rest whom it concerns, and send again what another key may answer.
//!
//! ```
//! use std::convert::Infallible;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keypool::{Gemini, Key, KeyPool, KeyPoolLayer, Limits, ReplayBody, ServedBy};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let pool = KeyPool::builder(Gemini::new())
//!     .key(Key::free("AIza-not-a-real-key-001").owner("project-a"))
//!     .key(Key::paid("AIza-not-a-real-key-002").max_concurrent(8))
//!     .limits("gemini-2.5-flash", Limits::new().per_minute(10).per_day(250))
//!     .build()?;
//!
//! // Any tower HTTP client that is generic in its body; here one that answers by itself.
//! let http_client = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async move {
//!     assert!(request.headers().contains_key("x-goog-api-key"));
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("{}"))))
//! });
//! let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http_client);
//!
//! let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Full::default())?;
//! let answer = client.oneshot(request).await?;
//! let served = answer.extensions().get::<ServedBy>().expect("the layers leave it on every answer");
//! assert_eq!((served.attempts(), served.used_model()), (1, Some("gemini-2.5-flash")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # The layers
//!
//! | layer | what it does | what it asks of the body and the service below |
//! |---|---|---|
//! | [`ReplayLayer`] | keeps the body for another attempt, finds the model in it | `B: http_body::Body + Unpin + Send + 'static`, `B::Error: Into<BoxError>`; below: a `Clone` service over `Request<ReplayBody<B>>` |
//! | [`ModelFallbackLayer`] | the model is out → the next of its list | `B: TryClone + http_body::Body`; a `Clone` service |
//! | [`RetryPolicy`] | decides for tower's own [`Retry`](tower::retry::Retry) | `B: TryClone` (`Full`, `Empty`, [`ReplayBody`]) |
//! | [`KeyRotationLayer`] | takes a key, strips the caller's, injects it | any `B: 'static`; a `Clone` service; answers whose body is a `Body` |
//! | [`CooldownLayer`] | judges the answer, rests whom it concerns | any `B`; answers whose body is a `Body` with `Error: Into<BoxError>` |
//! | [`KeyPoolLayer`] | all of them, as one named type | as `ReplayLayer`; a `Clone` client generic in its body |
//! | `ReqwestService` (feature `reqwest`) | the client at the bottom | `B: http_body::Body<Data = Bytes> + Send + Sync + 'static`, `B::Error: Into<BoxError>` |
//!
//! Errors of the service below are `Into<BoxError>`; ours is [`Error`]. Everything is `Send` when the service and the
//! bodies are. `KeyRotationLayer`, `CooldownLayer` and `RetryPolicy` keep the body type, so that a client with a
//! cloneable body needs no `ReplayLayer`.
//!
//! A client whose type names a [`BoxError`] (`BoxCloneSyncService<_, _, BoxError>`, answers in a `BoxBody<Bytes, BoxError>`) meets a
//! limit of rustc: a future that waits on a stack over it cannot be spawned. The error is "implementation of `From` is not general
//! enough", as under any layer of tower's with these bounds. Box the whole stack, with its answers' bodies, or name another error there.
//!
//! # Piece by piece
//!
//! ```
//! # use std::convert::Infallible;
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{Service, ServiceBuilder, service_fn};
//! # use tower_keypool::{CooldownLayer, KeyPool, KeyRotationLayer, ReplayBody, ReplayLayer, RetryPolicy};
//! # fn serves(_: &impl Service<Request<Full<Bytes>>>) {}
//! # fn stack(pool: KeyPool) {
//! # let http_client = service_fn(async |_: Request<ReplayBody<Full<Bytes>>>| {
//! #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(ReplayLayer::default().pool(&pool))
//!     .retry(RetryPolicy::new(&pool))
//!     .layer(KeyRotationLayer::new(&pool))
//!     .layer(CooldownLayer::new(&pool))
//!     .service(http_client);
//! # serves(&client);
//! # }
//! ```
//!
//! Give [`ReplayLayer`] the pool: it then finds the model where that stands in the body, and a request counts from when the
//! connection takes it. Without the pool, and with any other body, it counts from when the service below is called. That
//! service may let requests stand (a `Buffer`, a client that connects first). They then go out later than they count, and the
//! provider may see more of them within a window than its limit.
//!
//! # Where `timeout` belongs
//!
//! - *Inside* the retry a `tower::timeout` bounds an attempt. Its place is below [`KeyRotationLayer`]: the last retry then goes out
//!   with a key that was not tried yet, and the error names the keys.
//! - Between [`RetryPolicy`] and [`KeyRotationLayer`] it loses what the layer below knows of the attempt: the attempt is repeated
//!   with whatever key is next, and stands in no [`ServedBy`].
//! - *Outside* of the retry it bounds the whole request.
//!
//! Either way a timed-out attempt is no fault of its key. It counts against the key's limits, since it may have reached the
//! provider, and rests nobody.
//!
//! # Time
//!
//! The library asks its [`Clock`] for the time and sleeps by tokio's timers: under a paused runtime windows, rests and
//! midnights pass at once.
//!
//! Only waiting needs tokio's runtime, with its timers enabled; without one it panics. What waits is [`KeyPool::acquire`], a retry,
//! [`KeyPool::shutdown`], and [`CooldownLayer`] for the rest of an error or the first event of a stream.
//!
//! A [`ManualClock`] moves no timer: whoever waits on one sleeps by the runtime all the same. Where something waits, give the pool
//! [`Clock::tokio_from`].

mod as_response;
mod body_error;
#[cfg(feature = "config")]
pub mod config;
mod cooldown;
pub mod error;
mod error_source;
mod fallback;
mod key;
mod limit;
#[cfg(feature = "metrics")]
pub mod metrics;
mod missing;
mod pool;
mod provider;
mod received;
#[cfg(feature = "redis")]
pub mod redis;
mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod rotation;
mod rule;
mod run;
pub mod share;
mod stack;
pub mod store;
mod time;
mod verdict;
#[cfg(any(feature = "config", feature = "redis", feature = "sqlite"))]
#[cfg_attr(not(feature = "config"), allow(unreachable_pub, reason = "`config` gives it to programs"))]
mod whole_file;

pub use as_response::{AnswerBody, ExhaustedAsResponse, ExhaustedAsResponseFuture, ExhaustedAsResponseLayer};
pub use body_error::BodyError;
pub use cooldown::{Cooldown, CooldownBody, CooldownFuture, CooldownLayer, KeyMask, StreamEnd};
pub use error::{BoxError, Error, KeyError};
pub use fallback::{ModelFallback, ModelFallbackFuture, ModelFallbackLayer, Models};
pub use key::{Exit, ExitError, InvalidSecret, Key, KeyId, Priority, Secret, Tier};
pub use limit::{Limit, Limits, Span, Unit};
pub use pool::{
    Acquire, AcquireMany, Affinity, AllowedModels, Attempt, Candidate, Demand, DisabledView, Event, Events, Exhausted,
    ExitView, Granted, KeyChange, KeyLaneView, KeyPool, KeyPoolBuilder, KeyState, KeyView, LaneLimitView, LaneView,
    Lease, LimitHit, LimitSource, LimitView, Lost, Meter, OpenError, OutReason, PriorityView, RestBackoff, RestTable,
    RestView, RosterChange, ServedBy, Sharing, SharingState, SharingView, Snapshot, Spill, Step, Strategy, Unjudged,
    UnknownStrategy, Usage, WaitingRoom,
};
pub use provider::{Answer, Asks, Base, Cost, InvalidBase, ModelIn, Provider, Retarget, Seen, UsageFormat};
pub use provider::{Anthropic, ApiKeyHeader, Gemini, InvalidApiKeyHeader, OpenAi};
pub use replay::{ReplayBody, ReplayFuture, ReplayLayer, ReplayService, TryClone};
#[cfg(feature = "reqwest")]
pub use reqwest::{ReqwestFuture, ReqwestService};
pub use retry::{RetryFuture, RetryPolicy};
pub use rotation::{KeyRotation, KeyRotationFuture, KeyRotationLayer, LeaseBody};
pub use rule::{Backoff, Retry};
pub use run::{LeasedKey, RunError, Runner};
pub use stack::{KeyPoolBody, KeyPoolFuture, KeyPoolLayer, KeyPoolService};
pub use time::{Clock, ManualClock, Tick};
pub use verdict::retry_after;
pub use verdict::{Elsewhere, QuotaNews, RateHeader, Scope, Until, Verdict, VerdictKind, Violation, judge_error};

/// The README's Rust, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
