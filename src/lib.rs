//! Many API keys for LLM providers, used as if they were one key that never runs dry.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

#[macro_use]
mod macros;

mod classify;
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
mod time;

pub use classify::{ErrorClass, Failure, Outcome, QuotaViolation, Rule, Scope, Usage};
pub use error::{BoxError, Error, ErrorKind};
pub use key::{Key, KeyId, Tier};
pub use limit::{Limit, Limits, Span, Unit};
pub use pool::{Affinity, Attempt, Attempts, KeyRequest, Unavailable, UnavailableReason};
pub use provider::{Base, ModelIn, Provider, RequestInfo, SetModel, UsageFormat};
pub use redact::RedactLayer;
pub use replay::{CollectedBody, ReplayBody, ReplayLayer, TryClone};
#[cfg(feature = "reqwest")]
pub use reqwest::ReqwestService;
pub use secret::Secret;
pub use time::{Clock, ManualClock};
