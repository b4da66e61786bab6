//! Answers that did not come to their end, or were never begun.

use super::{Verdict, VerdictKind, transport};

impl Verdict {
    /// Of an answer that [broke off](VerdictKind::Broken): what the provider said when it ended it. Whom that concerns
    /// rests as if it had been said at once.
    #[must_use]
    pub fn broken_by(mut self, kind: VerdictKind) -> Self {
        self.broken_by = Some(kind);
        self
    }

    /// What is held against whomever it concerns: the kind, or what an answer that broke off was ended with.
    pub fn fault(&self) -> VerdictKind {
        self.broken_by.unwrap_or(self.kind)
    }

    /// Whether nothing was sent at all: no connection stood, or the caller's body failed before its first byte. The
    /// request then counts against no limit. A provider's own word is never taken for it.
    pub fn is_unsent(&self) -> bool {
        let before = [transport::CONNECT, transport::UNSENT_BODY, transport::EXIT, transport::VOID, transport::SCHEME];
        self.status.is_none() && before.iter().any(|code| self.code == *code)
    }

    /// Whether the request's lease had ended before it could go out: for everybody it is as if it had never been.
    pub(crate) fn is_void(&self) -> bool {
        self.status.is_none() && self.code == transport::VOID
    }

    /// Whether the caller's body failed on its way.
    pub(crate) fn is_failed_body(&self) -> bool {
        self.status.is_none() && self.code == transport::BODY
    }

    /// Whether its connection ended before any byte of an answer, or took no more of them.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_unprocessed() || (self.code == transport::CLOSED && self.status.is_none())
    }

    /// Whether the provider turned it away before it looked at it.
    pub(super) fn is_unprocessed(&self) -> bool {
        self.code == transport::UNPROCESSED && self.status.is_none()
    }
}

#[cfg(test)]
mod tests {
    use crate::{BodyError, Gemini, Key, KeyPool, Limits, judge_error};

    #[test]
    fn a_lease_that_had_ended_is_told_of_nobody() {
        let verdict = judge_error(&BodyError::void());
        assert!(verdict.is_void() && verdict.is_unsent() && verdict.is_provider_fault(), "{verdict:?}");
        let key = Key::new("AIzaSy-not-a-real-key-000");
        let pool = KeyPool::builder(Gemini::new()).key(key).limits("m", Limits::new().per_minute(1)).build().unwrap();
        let lease = pool.try_acquire("m").unwrap();
        assert!(lease.started());
        lease.settle(&verdict);
        let snapshot = pool.snapshot();
        assert!(snapshot.verdicts.is_empty(), "{:?}", snapshot.verdicts);
        assert_eq!(snapshot.in_flight, 0);
        assert!(pool.try_acquire("m").is_ok(), "its place is free again");
    }
}
