//! The error when no key is available: the reasons, and when to retry.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;

use crate::time::whole_seconds;

/// Why no key can serve a request now, and when to retry. `{:#}` formats it without the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unavailable {
    pub(crate) model: Option<Arc<str>>,
    pub(crate) keys: usize,
    pub(crate) reasons: Vec<(UnavailableReason, usize)>,
    pub(crate) retry_after: Option<Duration>,
}

/// Why a key cannot serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnavailableReason {
    /// A limit per minute or another span is used up, or the tokens of a day, or the key's minimum interval has not
    /// passed.
    Limit,
    /// The requests of a day are used up.
    DailyLimit,
    /// A breaker of the key, its project, its account, its exit or the model cools down.
    Cooling,
    /// A trial request is in flight, whose outcome decides.
    Trial,
    /// The key has reached its maximum of concurrent requests.
    Busy,
    /// The key is disabled, or its project, account, exit or the model.
    Disabled,
    /// The key was already tried for this request, or the request excludes it.
    Tried,
    /// The key may not be used for this model.
    Model,
    /// The request is larger than a limit.
    TooLarge,
    /// The request requires another key or project.
    Affinity,
    /// The store refused the reservation.
    Store,
}

impl UnavailableReason {
    pub(crate) const COUNT: usize = 11;
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Limit,
        Self::DailyLimit,
        Self::Cooling,
        Self::Trial,
        Self::Busy,
        Self::Disabled,
        Self::Tried,
        Self::Model,
        Self::TooLarge,
        Self::Affinity,
        Self::Store,
    ];
}

impl Unavailable {
    /// Returns the requested model.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Returns the number of keys in the pool.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Returns the reasons with the number of keys for each, most keys first. If the request gave up although a
    /// key is ready, the only reason is [`Tried`](UnavailableReason::Tried), with the number of attempts.
    pub fn reasons(&self) -> &[(UnavailableReason, usize)] {
        &self.reasons
    }

    /// Returns after which time a key may serve again, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for UnavailableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => "limit used up",
            Self::DailyLimit => "daily limit used up",
            Self::Cooling => "cooling down",
            Self::Trial => "trial under way",
            Self::Busy => "busy",
            Self::Disabled => "disabled",
            Self::Tried => "already tried for this request",
            Self::Model => "not for this model",
            Self::TooLarge => "request too large",
            Self::Affinity => "not the required key",
            Self::Store => "limit used up by all processes",
        })
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gave_up = matches!(self.reasons[..], [(UnavailableReason::Tried, _)]);
        f.write_str(if gave_up { "gave up" } else { "no key is available" })?;
        if let Some(model) = &self.model {
            write!(f, " for {model}")?;
        }
        if self.keys == 0 {
            return f.write_str(": the pool has no keys");
        }
        for (at, (reason, number)) in self.reasons.iter().enumerate() {
            write!(f, "{}{number} {reason}", if at == 0 { ": " } else { ", " })?;
        }
        match self.retry_after {
            Some(after) if !f.alternate() => write!(f, "; try again in {} s", whole_seconds(after)),
            _ => Ok(()),
        }
    }
}
