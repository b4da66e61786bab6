//! What an answer means, and whom it concerns. Everyone who needs to know — the pool, the retry policy, a log, a
//! dashboard — reads the same [`Verdict`].

mod broken;
pub(crate) mod moment;
mod outcome;
mod quota;
pub mod retry_after;
mod transport;
mod word;
mod words;

use std::{borrow::Cow, time::Duration};

use http::StatusCode;
use serde::{Deserialize, Serialize};

pub use quota::{QuotaNews, RateHeader, Violation};
pub(crate) use transport::EXIT;
pub use transport::judge_error;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// A good answer.
    Success,
    /// A short window (usually a minute) of the owner is full.
    RateLimited,
    /// A long quota is used up: the day's, or the account's money.
    QuotaExhausted,
    /// The key is not valid, or not for this use.
    InvalidKey,
    /// The key's owner or account was switched off.
    Suspended,
    /// The provider has no capacity for the model now.
    Overloaded,
    /// A passing fault of the provider or of the way there.
    Transient,
    /// The model is not to be had, by anyone or by this owner.
    ModelUnavailable,
    /// The request itself is at fault.
    CallerFault,
    /// The request names a resource that belongs to another owner.
    WrongOwner,
    /// We sent it wrongly: two credentials, none, or the wrong kind.
    Misconfigured,
    /// Our address is refused, whatever the key.
    Blocked,
    /// The answer broke off, or turned into an error, after its head.
    Broken,
    /// The caller left.
    Cancelled,
    /// Nobody looked.
    Unjudged,
}

/// Whom a verdict concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This key alone.
    Key,
    /// This key for this lane.
    KeyLane,
    /// Every key of the owner.
    Owner,
    /// Every owner of the billing account (the owner where none is known).
    BillingAccount,
    /// The owner, in this lane.
    OwnerLane,
    /// The lane, whoever asks.
    Lane,
    /// Our address or the endpoint: every key.
    Exit,
    /// The caller: no key at all.
    Caller,
}

/// How long the scope is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Not at all.
    Now,
    /// As the rest table says for this kind: doubling, capped.
    Backoff,
    /// The provider said how long. Less than a second counts as a second: who says "at once" and refuses again would be
    /// asked without a pause.
    For(Duration),
    /// Until the next midnight of the owner's zone after the request's start.
    DayEnd,
    /// Without end, but one real request may probe it from time to time, first after this long, a second at least.
    Probed(Duration),
    /// Without end, lifted by hand.
    Lifted,
}

/// Where else the same request may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// Nowhere.
    No,
    /// With another key, at once.
    OtherKey,
    /// With a key of another owner, at once.
    OtherOwner,
    /// Here or elsewhere, after a pause.
    AfterPause,
    /// With another model only.
    OtherModel,
}

/// How the provider told the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// By name, or by what nobody but the provider decides.
    Named,
    /// By a sentence alone.
    Worded,
    Unclear,
}

/// What an answer means: the kind, whom it concerns, for how long, and what a person can do about it.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::{Scope, Until, Verdict, VerdictKind};
///
/// let verdict = Verdict::new(VerdictKind::RateLimited)
///     .scope(Scope::OwnerLane)
///     .until(Until::For(Duration::from_secs(41)));
/// assert!(verdict.is_key_fault());
/// assert_eq!(verdict.retry_after(), Some(Duration::from_secs(41)));
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    kind: VerdictKind,
    /// Of an answer that broke off: what the provider ended it with.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_by: Option<VerdictKind>,
    scope: Scope,
    until: Until,
    elsewhere: Elsewhere,
    /// A cause that the provider named; without one, evidence and strikes apply.
    #[serde(rename = "named", serialize_with = "is_named")]
    cause: Cause,
    /// The provider's own short word for it, such as `CONSUMER_SUSPENDED`. Never holds a secret.
    code: Cow<'static, str>,
    #[serde(serialize_with = "status_number")]
    status: Option<StatusCode>,
    advice: Cow<'static, str>,
    /// At most this many retries of this answer, where fewer than the policy's own count make sense.
    retry_cap: Option<u8>,
    /// First time asks for confirmation after this long before it holds without end.
    confirm_after: Option<Duration>,
    #[serde(skip)]
    news: Option<Box<QuotaNews>>,
}

impl Verdict {
    /// A good answer.
    pub const SUCCESS: Self = Self::plain(VerdictKind::Success);
    /// The caller left before the answer's end.
    pub const CANCELLED: Self = Self::plain(VerdictKind::Cancelled);
    /// Nobody looked at the answer.
    pub const UNJUDGED: Self = Self::plain(VerdictKind::Unjudged);

    const fn plain(kind: VerdictKind) -> Self {
        Self {
            kind,
            broken_by: None,
            scope: Scope::Caller,
            until: Until::Now,
            elsewhere: Elsewhere::No,
            cause: Cause::Named,
            code: Cow::Borrowed(""),
            status: None,
            advice: Cow::Borrowed(""),
            retry_cap: None,
            confirm_after: None,
            news: None,
        }
    }

    /// A verdict of this kind with the scope, duration and way out that its kind usually has. The cause counts as
    /// named; see [`Verdict::unclear`].
    pub fn new(kind: VerdictKind) -> Self {
        use VerdictKind as K;
        let (scope, until, elsewhere) = match kind {
            K::Success | K::CallerFault | K::Misconfigured | K::Cancelled | K::Unjudged => {
                (Scope::Caller, Until::Now, Elsewhere::No)
            }
            K::RateLimited => (Scope::OwnerLane, Until::Backoff, Elsewhere::OtherKey),
            K::QuotaExhausted => (Scope::OwnerLane, Until::DayEnd, Elsewhere::OtherKey),
            K::InvalidKey => (Scope::Key, Until::Lifted, Elsewhere::OtherKey),
            K::Suspended => (Scope::Owner, Until::Lifted, Elsewhere::OtherKey),
            K::Overloaded => (Scope::Lane, Until::Backoff, Elsewhere::AfterPause),
            K::Transient => (Scope::Caller, Until::Now, Elsewhere::AfterPause),
            K::ModelUnavailable => (Scope::Lane, Until::Now, Elsewhere::OtherModel),
            K::WrongOwner => (Scope::Caller, Until::Now, Elsewhere::OtherOwner),
            K::Blocked => (Scope::Exit, Until::Backoff, Elsewhere::No),
            K::Broken => (Scope::Caller, Until::Now, Elsewhere::No),
        };
        Self { scope, until, elsewhere, ..Self::plain(kind) }
    }

    /// Whom it concerns.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// For how long.
    #[must_use]
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Where else the request may succeed.
    #[must_use]
    pub fn elsewhere(mut self, elsewhere: Elsewhere) -> Self {
        self.elsewhere = elsewhere;
        self
    }

    /// Marks the cause as not named by the provider: strikes and evidence apply before anything is held for good.
    #[must_use]
    pub fn unclear(mut self) -> Self {
        self.cause = Cause::Unclear;
        self
    }

    /// Recognised by a sentence alone, at a status that may as well be the request's. Where keys of two owners are blamed
    /// so within one request it speaks of the request, and is held against none of them.
    #[must_use]
    pub fn worded(mut self) -> Self {
        if self.cause == Cause::Named {
            self.cause = Cause::Worded;
        }
        self
    }

    /// The provider's own short word for it.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = code.into();
        self
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// One plain sentence: what a person can do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.advice = advice.into();
        self
    }

    /// At most this many retries of such an answer.
    #[must_use]
    pub fn retry_cap(mut self, retries: u8) -> Self {
        self.retry_cap = Some(retries);
        self
    }

    /// The first such verdict rests the scope this long; only a second one holds without end.
    #[must_use]
    pub fn confirm_after(mut self, pause: Duration) -> Self {
        self.confirm_after = Some(pause);
        self
    }

    /// What the answer tells of quotas.
    #[must_use]
    pub fn news(mut self, news: QuotaNews) -> Self {
        self.news = Some(Box::new(news));
        self
    }

    /// What it means.
    pub fn kind(&self) -> VerdictKind {
        self.kind
    }

    /// Whom it concerns.
    pub fn scope_of(&self) -> Scope {
        self.scope
    }

    /// For how long.
    pub fn until_of(&self) -> Until {
        self.until
    }

    /// Where else the request may succeed.
    pub fn elsewhere_of(&self) -> Elsewhere {
        self.elsewhere
    }

    /// Whether the provider named the cause.
    pub fn is_named(&self) -> bool {
        self.cause != Cause::Unclear
    }

    /// Whether nothing but a sentence told the cause; see [`Verdict::worded`].
    pub fn is_worded(&self) -> bool {
        self.cause == Cause::Worded
    }

    /// The provider's own short word for it; empty where it had none.
    pub fn code_of(&self) -> &str {
        &self.code
    }

    /// The HTTP status it was read from, where there was one.
    pub fn status_of(&self) -> Option<StatusCode> {
        self.status
    }

    /// One plain sentence of what a person can do about it; empty for a good answer.
    pub fn advice_of(&self) -> &str {
        &self.advice
    }

    /// The cap on retries of this answer.
    pub fn retry_cap_of(&self) -> Option<u8> {
        self.retry_cap
    }

    /// How long to wait for the confirmation that this verdict asks for.
    pub fn confirm_after_of(&self) -> Option<Duration> {
        self.confirm_after
    }

    /// Whether it is good, and tells of no quotas.
    #[inline]
    pub(crate) fn is_plain_success(&self) -> bool {
        self.kind == VerdictKind::Success && self.news.is_none()
    }

    /// What the answer tells of quotas.
    pub fn news_of(&self) -> Option<&QuotaNews> {
        self.news.as_deref()
    }

    /// The provider's own delay, where it gave one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.until {
            Until::For(delay) => Some(delay),
            _ => None,
        }
    }

    /// Whether it is a good answer.
    pub fn is_success(&self) -> bool {
        self.kind == VerdictKind::Success
    }

    /// Whether the key, its owner or its account is the cause: another key may serve at once. It is no fault of the key that a
    /// resource belongs to another owner, or that the request is too large for this one.
    pub fn is_key_fault(&self) -> bool {
        matches!(self.elsewhere, Elsewhere::OtherKey | Elsewhere::OtherOwner)
            && !matches!(self.kind, VerdictKind::WrongOwner | VerdictKind::CallerFault)
    }

    /// Whether the provider, or the way there, is the cause: it is retried after a pause.
    pub fn is_provider_fault(&self) -> bool {
        self.elsewhere == Elsewhere::AfterPause
    }

    /// Whether the caller is the cause: never retried, never held against a key.
    pub fn is_caller_fault(&self) -> bool {
        matches!(self.kind, VerdictKind::CallerFault | VerdictKind::Cancelled)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_named<S: serde::Serializer>(cause: &Cause, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*cause != Cause::Unclear)
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn status_number<S: serde::Serializer>(status: &Option<StatusCode>, serializer: S) -> Result<S::Ok, S::Error> {
    status.map(|status| status.as_u16()).serialize(serializer)
}
