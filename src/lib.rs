//! tower-keypool

mod as_response;
mod body_error;
mod cooldown;
pub mod error;
mod fallback;
mod key;
mod limit;
mod pool;
mod provider;
mod replay;
mod retry;
mod rotation;
mod run;
mod stack;
mod time;
mod verdict;

pub use as_response::{AnswerBody, ExhaustedAsResponse, ExhaustedAsResponseFuture, ExhaustedAsResponseLayer};
pub use body_error::BodyError;
pub use cooldown::{Cooldown, CooldownBody, CooldownFuture, CooldownLayer};
pub use error::{BoxError, Error, KeyError};
pub use fallback::{ModelFallback, ModelFallbackFuture, ModelFallbackLayer, Models};
pub use key::{InvalidSecret, Key, KeyId, Priority, Secret, Tier};
pub use limit::{Limit, Limits, Span, Unit};
pub use pool::{
    Acquire, AcquireMany, Affinity, Demand, Event, Events, Exhausted, Granted, KeyChange, KeyLaneView, KeyPool,
    KeyPoolBuilder, KeyState, KeyView, LaneView, Lease, LimitSource, LimitView, Lost, OutReason, PriorityView,
    RestBackoff, RestTable, RestView, Snapshot, Spill, Strategy, Unjudged, UnknownStrategy, Usage,
};
pub use provider::{Answer, Asks, Base, Cost, InvalidBase, ModelIn, Provider, Retarget, UsageFormat};
pub use provider::{Anthropic, ApiKeyHeader, Gemini, InvalidApiKeyHeader, OpenAi};
pub use replay::{ReplayBody, ReplayFuture, ReplayLayer, ReplayService, TryClone};
pub use retry::{Backoff, Retry, RetryFuture, RetryPolicy};
pub use rotation::{KeyRotation, KeyRotationFuture, KeyRotationLayer, LeaseBody};
pub use run::{LeasedKey, RunError, Runner};
pub use stack::{KeyPoolBody, KeyPoolFuture, KeyPoolLayer, KeyPoolService};
pub use time::{Clock, ManualClock, Tick};
pub use verdict::retry_after;
pub use verdict::{
    Attempt, Elsewhere, QuotaNews, RateHeader, Scope, ServedBy, Until, Verdict, VerdictKind, Violation, judge_error,
};
