//! No key now: why, and when to try again.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;

/// No key can serve a request now.
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
    /// A limit of a sliding window is used up.
    Limit,
    /// Its limit of the day is used up.
    DailyLimit,
    /// It, its project or the model cools down.
    Cooling,
    /// A trial request is under way, whose outcome decides.
    Trial,
    /// It serves as many requests as it may at the same time.
    Busy,
    /// It is disabled.
    Disabled,
    /// It was tried for this request already.
    Tried,
    /// It may not be used for this model.
    Model,
    /// The request needs more than its limit allows at all.
    TooLarge,
    /// The request requires another key or project.
    Affinity,
    /// The store did not grant it.
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
    /// The model that was asked for.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// How many keys the pool has.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Why, with the number of keys that each reason concerns, most keys first.
    pub fn reasons(&self) -> &[(UnavailableReason, usize)] {
        &self.reasons
    }

    /// When a key may serve again, where that is known.
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
            Self::Tried => "already tried",
            Self::Model => "not for this model",
            Self::TooLarge => "request too large",
            Self::Affinity => "not the required key",
            Self::Store => "refused by the store",
        })
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no key is available")?;
        if let Some(model) = &self.model {
            write!(f, " for {model}")?;
        }
        if self.keys == 0 {
            return f.write_str(": the pool has no keys");
        }
        for (at, (reason, keys)) in self.reasons.iter().enumerate() {
            write!(f, "{}{keys} {reason}", if at == 0 { ": " } else { ", " })?;
        }
        match self.retry_after {
            Some(after) => write!(f, "; try again in {} s", after.as_secs().max(1)),
            None => Ok(()),
        }
    }
}
