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
        let before = [transport::CONNECT, transport::UNSENT_BODY, transport::EXIT];
        self.status.is_none() && before.iter().any(|code| self.code == *code)
    }

    /// Whether its connection ended before any byte of an answer.
    pub(crate) fn is_closed(&self) -> bool {
        self.code == transport::CLOSED && self.status.is_none()
    }
}
