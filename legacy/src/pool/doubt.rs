//! Doubt: which refusals may be the request's fault rather than the key's. What several of them within one request prove
//! is in `evidence`.

use http::StatusCode;

use super::Attempt;
use crate::verdict::{Elsewhere, Verdict, VerdictKind};

/// How a key was refused, which decides how many owners have to say so before the request is believed to be at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Only a sentence blames the key. Such sentences are mostly true, but may quote the caller's own words.
    ByWords,
    /// A 401 without a cause: the provider did not even read the request, so that the key is more likely at fault.
    Unread,
    /// Anything else without a cause: the provider may have meant the request.
    Unexplained,
}

impl Refusal {
    pub(super) fn of(attempt: &Attempt) -> Self {
        if attempt.worded {
            Self::ByWords
        } else if is_unread(attempt.named, attempt.status) {
            Self::Unread
        } else {
            Self::Unexplained
        }
    }
}

/// Whether the provider refused the key before it read the request, and did not say why: a 401 without a cause.
fn is_unread(named: bool, status: Option<u16>) -> bool {
    !named && status == Some(401)
}

/// Whether this verdict is an unread refusal: see [`Refusal::Unread`].
pub(super) fn is_unread_refusal(verdict: &Verdict) -> bool {
    is_unread(verdict.is_named(), verdict.status_of().map(|status| status.as_u16()))
}

/// Whether the provider refused the key with a 403 that has no cause, not even in words: it has read the request, and may have
/// meant it.
pub(super) fn is_unexplained_403(verdict: &Verdict) -> bool {
    let forbidden = verdict.status_of().is_some_and(|status| status == StatusCode::FORBIDDEN);
    forbidden && !verdict.is_named() && !verdict.is_worded() && verdict.kind() == VerdictKind::InvalidKey
}

/// Whether the verdict may speak of the request instead of the key. A limit is always the key's, however little is said of
/// it, unless a sentence alone tells of it: that may hold the caller's own words.
pub(super) fn may_be_the_requests(verdict: &Verdict) -> bool {
    verdict.is_worded() || !verdict.is_named() && !verdict.fault().is_limit()
}

/// What two attempts must have in common to say the same: the kind of fault, and whether the request alone is larger than
/// the limit that was named.
pub(super) type Outcome = (VerdictKind, bool);

impl Attempt {
    pub(super) fn outcome(&self) -> Outcome {
        (self.kind, self.overfull)
    }

    /// Whether another owner's key may say the same, which would prove that the request is at fault.
    pub(super) fn is_open_to_doubt(&self) -> bool {
        self.worded || !self.named || self.overfull
    }

    /// Whether it is a refusal that other keys are asked about: one without a named cause, and no limit.
    pub(crate) fn is_unclear(&self) -> bool {
        (self.worded || !self.named && !self.kind.is_limit()) && self.elsewhere == Elsewhere::OtherKey
    }
}

/// The attempts among these that are open to doubt and had this outcome.
pub(super) fn with_outcome(attempts: &[Attempt], outcome: Outcome) -> impl Iterator<Item = &Attempt> + Clone {
    attempts.iter().filter(move |attempt| attempt.is_open_to_doubt() && attempt.outcome() == outcome)
}

/// The last attempt, and the earlier ones for the same model that say the same.
pub(super) fn agreeing_with_last(attempts: &[Attempt]) -> Vec<&Attempt> {
    let Some((last, earlier)) = attempts.split_last() else { return Vec::new() };
    with_outcome(earlier, last.outcome()).filter(|attempt| attempt.model == last.model).chain([last]).collect()
}
