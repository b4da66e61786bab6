//! tower-keypool

pub mod error;
mod key;
mod limit;
mod pool;
mod provider;
mod replay;
mod retry;
mod rotation;
mod time;
mod verdict;

pub use error::{BoxError, Error, KeyError};
pub use key::{InvalidSecret, Key, KeyId, Priority, Secret, Tier};
pub use limit::{Limit, Limits, Span, Unit};
pub use pool::{Acquire, Affinity, Demand, Exhausted, Granted, KeyPool, KeyPoolBuilder, Lease, OutReason, Usage};
pub use provider::{Answer, Asks, Base, Cost, InvalidBase, ModelIn, Provider, Retarget, UsageFormat};
pub use replay::TryClone;
pub use retry::{Backoff, Retry, RetryFuture, RetryPolicy};
pub use rotation::{KeyRotation, KeyRotationFuture, KeyRotationLayer, LeaseBody};
pub use time::{Clock, ManualClock, Tick};
pub use verdict::{
    Attempt, Elsewhere, QuotaNews, RateHeader, Scope, ServedBy, Until, Verdict, VerdictKind, Violation, judge_error,
};
