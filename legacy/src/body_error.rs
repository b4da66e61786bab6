//! Why a request's body cannot be read on: the caller's side failed, never a key's or the provider's.

use std::{error::Error as StdError, fmt};

use tower::BoxError;

use crate::error_source::chain;

/// The body of a request ended early. It is the error of [`ReplayBody`](crate::ReplayBody), and stands in the chain of
/// sources of whatever the client below makes of it.
#[derive(Debug)]
pub struct BodyError {
    kind: Kind,
    /// It ended before its first byte.
    unsent: bool,
}

#[derive(Debug)]
enum Kind {
    /// The caller's own body failed; `None` for readers after the first, since an error cannot be cloned.
    Failed(Option<BoxError>),
    /// Its beginning went out with an earlier attempt and was not kept.
    NotKept,
    /// Another attempt reads it now.
    Superseded,
    /// It names its model twice.
    TwoModels,
    /// It is shorter or longer than its head says.
    Length,
    /// The key's lease ended before the request could go out.
    Void,
}

impl BodyError {
    fn of(kind: Kind) -> Self {
        Self { kind, unsent: false }
    }

    /// Whether one stands in this chain of sources.
    pub(crate) fn is_among(error: &(dyn StdError + 'static)) -> bool {
        chain(error).any(<dyn StdError + 'static>::is::<Self>)
    }

    /// The same, met before any byte of the body went out.
    pub(crate) fn unsent(self) -> Self {
        Self { unsent: true, ..self }
    }

    /// Whether no byte of the body had gone out: the request counts against no limit.
    pub fn is_unsent(&self) -> bool {
        self.unsent
    }

    pub(crate) fn failed(source: BoxError) -> Self {
        Self::of(Kind::Failed(Some(source)))
    }

    pub(crate) fn failed_before() -> Self {
        Self::of(Kind::Failed(None))
    }

    pub(crate) fn not_kept() -> Self {
        Self::of(Kind::NotKept)
    }

    pub(crate) fn superseded() -> Self {
        Self::of(Kind::Superseded)
    }

    pub(crate) fn void() -> Self {
        Self::of(Kind::Void).unsent()
    }

    pub(crate) fn two_models() -> Self {
        Self::of(Kind::TwoModels)
    }

    pub(crate) fn length() -> Self {
        Self::of(Kind::Length)
    }

    /// The caller's own body failed; [`source`](StdError::source) is its error, for the first attempt that met it.
    pub fn is_failed(&self) -> bool {
        matches!(self.kind, Kind::Failed(_))
    }

    /// The body was larger than what is kept for another attempt, and its beginning is gone.
    pub fn is_not_kept(&self) -> bool {
        matches!(self.kind, Kind::NotKept)
    }

    /// The attempt was given up for another, which reads the body now.
    pub fn is_superseded(&self) -> bool {
        matches!(self.kind, Kind::Superseded)
    }

    /// The right to use the key ended before the connection took the request: another process may have it. Nothing was
    /// sent.
    pub fn is_void(&self) -> bool {
        matches!(self.kind, Kind::Void)
    }

    /// The body's top level names `"model"` twice: whoever reads it next may take another than the one that was counted.
    pub fn is_two_models(&self) -> bool {
        matches!(self.kind, Kind::TwoModels)
    }

    /// The body is shorter or longer than its `content-length`: the provider would wait for what never comes, or take what
    /// is too much for the next request.
    pub fn is_wrong_length(&self) -> bool {
        matches!(self.kind, Kind::Length)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Failed(_) => "the body of the request failed",
            Kind::NotKept => "the body of the request was too large to be kept for another attempt",
            Kind::Superseded => "this attempt was given up for another",
            Kind::TwoModels => "the body of the request names its model twice",
            Kind::Length => "the body of the request is not as long as its content-length says",
            Kind::Void => "the lease of the key ended before the request could go out",
        })
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            Kind::Failed(Some(source)) => Some(&**source),
            _ => None,
        }
    }
}
