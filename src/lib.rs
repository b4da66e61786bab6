//! Many API keys for LLM providers, used as if they were one key that never runs dry.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

#[macro_use]
mod macros;

mod classify;
#[cfg(feature = "config")]
pub mod config;
mod error;
mod key;
mod limit;
mod pool;
mod provider;
pub mod redact;
pub mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;
mod secret;
pub mod store;
mod time;

pub use classify::{
    Cooldown, ErrorClass, Failure, Outcome, Policy, QuotaViolation, Retry, Rule, Scope, Usage, classify,
};
pub use error::{BoxError, Error, ErrorKind};
pub use key::{Key, KeyId, Tier};
pub use limit::{Limit, LimitSource, LimitView, Limits, Span, Unit};
pub use pool::{
    Affinity, Attempt, Attempts, Event, Events, KeyChange, KeyPool, KeyPoolBuilder, KeyRequest, Lease, Strategy,
    Unavailable, UnavailableReason,
};
pub use provider::{
    Anthropic, ApiKeyHeader, Base, Gemini, ModelIn, OpenAi, Provider, RequestInfo, SetModel, UsageFormat,
};
pub use redact::RedactLayer;
pub use replay::{CollectedBody, ReplayBody, ReplayLayer, TryClone};
#[cfg(feature = "reqwest")]
pub use reqwest::ReqwestService;
pub use secret::Secret;
pub use time::{Clock, ManualClock};
