//! Verdicts and scopes as one word each, as serde has them: for metrics and traces; and verdicts as people read them.

use std::fmt;

use super::{Scope, Verdict, VerdictKind};

impl VerdictKind {
    /// Whether a quota was met, which time alone gives back.
    pub(crate) fn is_limit(self) -> bool {
        matches!(self, Self::RateLimited | Self::QuotaExhausted)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::InvalidKey => "invalid_key",
            Self::Suspended => "suspended",
            Self::Overloaded => "overloaded",
            Self::Transient => "transient",
            Self::ModelUnavailable => "model_unavailable",
            Self::CallerFault => "caller_fault",
            Self::WrongOwner => "wrong_owner",
            Self::Misconfigured => "misconfigured",
            Self::Blocked => "blocked",
            Self::Broken => "broken",
            Self::Cancelled => "cancelled",
            Self::Unjudged => "unjudged",
        }
    }
}

impl Scope {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::KeyLane => "key_lane",
            Self::Owner => "owner",
            Self::BillingAccount => "billing_account",
            Self::OwnerLane => "owner_lane",
            Self::Lane => "lane",
            Self::Exit => "exit",
            Self::Caller => "caller",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code.is_empty() { write!(f, "{}", self.kind) } else { write!(f, "{} ({})", self.kind, self.code) }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::RateLimited => "rate limited",
            Self::QuotaExhausted => "quota exhausted",
            Self::InvalidKey => "invalid key",
            Self::Suspended => "suspended",
            Self::Overloaded => "overloaded",
            Self::Transient => "transient fault",
            Self::ModelUnavailable => "model unavailable",
            Self::CallerFault => "caller's fault",
            Self::WrongOwner => "another owner's resource",
            Self::Misconfigured => "sent wrongly",
            Self::Blocked => "address blocked",
            Self::Broken => "broken off",
            Self::Cancelled => "cancelled",
            Self::Unjudged => "unjudged",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serialized(value: impl serde::Serialize) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn they_are_the_words_of_the_snapshot() {
        use VerdictKind::*;
        let kinds = [
            Success,
            RateLimited,
            QuotaExhausted,
            InvalidKey,
            Suspended,
            Overloaded,
            Transient,
            ModelUnavailable,
            CallerFault,
            WrongOwner,
            Misconfigured,
            Blocked,
            Broken,
            Cancelled,
            Unjudged,
        ];
        for kind in kinds {
            assert_eq!(kind.word(), serialized(kind));
        }
        let (narrow, wide) = (
            [Scope::Key, Scope::KeyLane, Scope::Owner, Scope::BillingAccount],
            [Scope::OwnerLane, Scope::Lane, Scope::Exit, Scope::Caller],
        );
        for scope in narrow.into_iter().chain(wide) {
            assert_eq!(scope.word(), serialized(scope));
        }
    }
}
