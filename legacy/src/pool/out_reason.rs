//! The reasons for which a key may not carry a request.

use std::fmt;

use serde::Serialize;

use crate::limit::{Limit, Span, Unit};

/// Why a key may not carry a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum OutReason {
    /// A window of the owner is full.
    Full(Unit, Span),
    /// A limit of the owner is zero: nothing may be sent.
    NothingAllowed(Unit, Span),
    /// The provider said that a limit was reached.
    RateLimited,
    /// A quota is used up until it returns: the day's, mostly.
    QuotaExhausted,
    /// The model is not to be had by this owner.
    ModelUnavailable,
    /// The provider is overloaded, or faults came from there.
    Overloaded,
    /// Its way out to the provider rests: nothing came through.
    ExitRests,
    /// Rests for a fault of its own.
    Resting,
    /// As many requests in flight as it may carry.
    Busy,
    /// Its shortest interval between two starts is not over.
    Interval,
    /// Not valid.
    DisabledInvalid,
    /// Its owner or account was switched off.
    DisabledSuspended,
    /// Its account's credit, or a quota that time alone does not give back, is used up.
    DisabledSpent,
    /// Switched off by hand.
    DisabledByHand,
    /// Held until it is clear whether the fault is ours.
    Held,
    /// Our address is refused.
    Blocked,
    /// Tried already for this request.
    Tried,
    /// Not of the owner or key that the request must use.
    Elsewhere,
    /// Of a priority that does not open yet: keys of an earlier one, busy just now, come first, or it opens after a wait
    /// ([`spill_after`](crate::KeyPoolBuilder::spill_after)).
    LaterPriority,
    /// Others wait in front.
    Queued,
    /// Its owner's counts are not in the store yet; they are within a moment.
    Unwritten,
    /// Another process holds its owner, or nobody does and it is not granted yet.
    HeldElsewhere,
    /// What this process held of it has ended, since the store that processes share does not answer.
    StoreUnreachable,
}

impl OutReason {
    /// Whether it is without end, until somebody or a good probe lifts it.
    pub(crate) fn is_disabled(self) -> bool {
        matches!(self, Self::DisabledInvalid | Self::DisabledSuspended | Self::DisabledSpent | Self::DisabledByHand)
    }

    /// Whether a limit is the reason.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Full(..) | Self::NothingAllowed(..) | Self::RateLimited | Self::QuotaExhausted)
            || self.is_disabled()
    }
}

impl fmt::Display for OutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(unit, span) => {
                write!(f, "at {}", Limit { unit: *unit, span: *span, amount: 0 })
            }
            Self::NothingAllowed(unit, span) => {
                write!(f, "with a limit of 0 {}", Limit { unit: *unit, span: *span, amount: 0 })
            }
            Self::RateLimited => f.write_str("at a limit of the provider's"),
            Self::QuotaExhausted => f.write_str("out of quota"),
            Self::ModelUnavailable => f.write_str("without this model"),
            Self::Overloaded => f.write_str("resting (provider overloaded)"),
            Self::ExitRests => f.write_str("resting (no way out to the provider)"),
            Self::Resting => f.write_str("resting"),
            Self::Busy => f.write_str("busy"),
            Self::Interval => f.write_str("between two starts"),
            Self::DisabledInvalid => f.write_str("disabled (invalid)"),
            Self::DisabledSuspended => f.write_str("disabled (suspended)"),
            Self::DisabledSpent => f.write_str("disabled (out of credit or quota)"),
            Self::DisabledByHand => f.write_str("disabled (by hand)"),
            Self::Held => f.write_str("held (many keys failed at once)"),
            Self::Blocked => f.write_str("behind a blocked address"),
            Self::Tried => f.write_str("tried already"),
            Self::Elsewhere => f.write_str("of another owner"),
            Self::LaterPriority => f.write_str("of a later priority"),
            Self::Queued => f.write_str("behind earlier requests"),
            Self::Unwritten => f.write_str("waiting for the store"),
            Self::HeldElsewhere => f.write_str("not lent to this process"),
            Self::StoreUnreachable => f.write_str("not to be used (store unreachable)"),
        }
    }
}
