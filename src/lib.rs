//! Many API keys for LLM providers, used as if they were one key that never runs dry.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod classify;
mod error;
mod key;
mod limit;
mod pool;
mod provider;
mod secret;
mod time;

pub use classify::{ErrorClass, Failure, Outcome, QuotaViolation, Rule, Scope, Usage};
pub use error::{BoxError, Error, ErrorKind};
pub use key::{Key, KeyId, Tier};
pub use limit::{Limit, LimitSource, LimitView, Limits, Span, Unit};
pub use pool::{Affinity, Attempt, Attempts, KeyRequest, Unavailable, UnavailableReason};
pub use provider::{
    Anthropic, ApiKeyHeader, Base, Gemini, ModelIn, OpenAi, Provider, RequestInfo, SetModel, UsageFormat,
};
pub use secret::Secret;
pub use time::{Clock, ManualClock};
