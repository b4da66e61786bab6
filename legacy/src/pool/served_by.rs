//! Who served a request, told to whoever asks above.

use std::sync::Arc;

use serde::Serialize;

use super::{Kept, Lease, Seat};
use crate::{
    key::KeyId,
    verdict::{Elsewhere, Until, Verdict, VerdictKind},
};

/// Who served a request: left on answers as an extension, on errors as a field.
///
/// ```
/// # use tower_keypool::ServedBy;
/// # fn log(response: &http::Response<()>) {
/// if let Some(served) = response.extensions().get::<ServedBy>() {
///     println!("key {:?}, {} attempts", served.key(), served.attempts());
/// }
/// # }
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct ServedBy {
    pub(crate) key: Option<KeyId>,
    pub(crate) requested: Option<Arc<str>>,
    pub(crate) used: Option<Arc<str>>,
    pub(crate) verdict: Verdict,
    /// Attempts before the last one, oldest first. Shared, since it is empty for most.
    pub(crate) earlier: Option<Arc<[Attempt]>>,
    #[serde(skip)]
    pub(crate) keep: Option<Kept>,
    /// The pool's number for the last attempt's start.
    #[serde(skip)]
    pub(crate) seq: u64,
    /// The last attempt's seat, by which the retry policy frees it before it asks for the next.
    #[serde(skip)]
    pub(crate) seat: Option<Seat>,
}

/// One attempt: which key, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// The key it went out with.
    pub key: KeyId,
    /// The model it asked for.
    pub model: Option<Arc<str>>,
    /// What the answer meant.
    pub kind: VerdictKind,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The provider's own short word for it.
    pub code: String,
    /// The pool's number for its start, by which its effects can be taken back.
    #[serde(skip)]
    pub(crate) seq: u64,
    /// Whether the provider named the cause.
    #[serde(skip)]
    pub(crate) named: bool,
    /// Whether nothing but a sentence named it.
    #[serde(skip)]
    pub(crate) worded: bool,
    /// Whether the limit that it names holds no more than this request alone needs.
    #[serde(skip)]
    pub(crate) overfull: bool,
    /// Where else the answer said that the request may succeed.
    #[serde(skip)]
    pub(crate) elsewhere: Elsewhere,
    /// Until when somebody rests for it.
    #[serde(skip)]
    pub(crate) until: Until,
    /// Whether it met a limit, and nobody rests for it: see `KeyPool::attempts`.
    #[serde(skip)]
    pub(crate) unrested: bool,
}

impl Attempt {
    /// Whether its key must not carry this request again for `model`: a fault of the provider bars nobody, and
    /// another model is another matter.
    pub(crate) fn bars_key(&self, model: Option<&str>) -> bool {
        self.elsewhere == Elsewhere::OtherKey && self.model.as_deref() == model
    }

    /// Whether its key met a limit that time lifts: one that rests nobody is the request's own, and as it was.
    pub(crate) fn met_limit(&self) -> bool {
        self.kind.is_limit() && self.until != Until::Now && !self.unrested
    }

    /// Whether no key of its owner may carry this request: what it names belongs to somebody else.
    pub(crate) fn bars_owner(&self) -> bool {
        self.elsewhere == Elsewhere::OtherOwner
    }
}

impl ServedBy {
    /// No key carries the request on: only what was tried before.
    pub(crate) fn nobody(requested: Option<Arc<str>>, used: Option<Arc<str>>, earlier: Arc<[Attempt]>) -> Self {
        Self {
            key: None,
            requested: requested.or_else(|| used.clone()),
            used,
            verdict: Verdict::UNJUDGED,
            earlier: Some(earlier),
            keep: None,
            seq: 0,
            seat: None,
        }
    }

    /// The key that the last attempt went out with; `None` where none did.
    pub fn key(&self) -> Option<&KeyId> {
        self.key.as_ref()
    }

    /// The model that the caller asked for, where the request named one.
    pub fn requested_model(&self) -> Option<&str> {
        self.requested.as_deref()
    }

    /// The model that served, where it is known: another than the one requested after a fallback.
    pub fn used_model(&self) -> Option<&str> {
        self.used.as_deref()
    }

    /// What the last answer meant.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// How many attempts reached for a key, the last one included.
    pub fn attempts(&self) -> usize {
        self.earlier.as_deref().map_or(0, <[Attempt]>::len) + usize::from(self.key.is_some())
    }

    /// Attempts before the last one, oldest first.
    pub fn earlier(&self) -> &[Attempt] {
        self.earlier.as_deref().unwrap_or_default()
    }

    /// Takes over the lease of an upgraded connection (101), so that its slot is held until the returned lease is
    /// dropped. `None` for any other answer, or when it was taken already.
    pub fn keep(&self) -> Option<Lease> {
        self.keep.as_ref()?.take()
    }

    /// It answers a request that was sent before in another form: that one's attempts come before its own.
    pub fn follow(&mut self, before: &Self) {
        let earlier = before.earlier().iter().cloned().chain(before.last(false));
        self.earlier = Some(earlier.chain(self.earlier().iter().cloned()).collect());
    }

    /// The last attempt, of a request that was `overfull` for the limit that its answer names or not.
    pub(super) fn last(&self, overfull: bool) -> Option<Attempt> {
        self.key.as_ref().map(|key| Attempt {
            key: key.clone(),
            model: self.used.clone(),
            kind: self.verdict.kind(),
            status: self.verdict.status_of().map(|status| status.as_u16()),
            code: self.verdict.code_of().to_owned(),
            seq: self.seq,
            named: self.verdict.is_named(),
            worded: self.verdict.is_worded(),
            overfull,
            elsewhere: self.verdict.elsewhere_of(),
            until: self.verdict.until_of(),
            unrested: false,
        })
    }
}
