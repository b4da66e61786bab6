//! tower-keypool

mod body_error;
pub mod error;
mod key;
mod limit;
mod pool;
mod provider;
mod replay;
mod time;
mod verdict;

pub use body_error::BodyError;
pub use error::{BoxError, Error, KeyError};
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
pub use time::{Clock, ManualClock, Tick};
pub use verdict::retry_after;
pub use verdict::{
    Attempt, Elsewhere, QuotaNews, RateHeader, Scope, ServedBy, Until, Verdict, VerdictKind, Violation, judge_error,
};
