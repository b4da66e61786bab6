//! What an answer tells of quotas: the limit that was hit, what remains, and who owns it.

use std::time::Duration;

use crate::{
    key::Tier,
    limit::{Span, Unit},
};

/// What an answer tells of quotas, beside its verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotaNews {
    /// Limits that the answer says were hit.
    pub violations: Vec<Violation>,
    /// The one of them that the verdict follows; `None` where it follows from something else.
    pub decisive: Option<Violation>,
    /// What rate headers say remains.
    pub remaining: Vec<RateHeader>,
    /// The owner as the provider names it, such as `projects/123456789012`.
    pub consumer: Option<String>,
    /// The model whose quota was charged, where it is not the one asked for.
    pub quota_model: Option<String>,
    /// What the account pays, where the quota's name tells.
    pub tier: Option<Tier>,
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it counts.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// How many it allows; `None` where the answer does not say. Zero: no entitlement.
    pub amount: Option<u64>,
}

/// What a rate header says remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateHeader {
    /// What it counts.
    pub unit: Unit,
    /// How many more may be started before `reset`.
    pub remaining: u64,
    /// The limit itself, where the header names it. Its span is not stated by any provider, so it is no limit that is learned.
    pub limit: Option<u64>,
    /// When all of it is restored, from now. A quota whose headers go as those of a bucket that fills in a minute has room
    /// before that, as it refills.
    pub reset: Duration,
}
