//! Why a request's body cannot be read on: the caller's side failed, never a key's or the provider's.

use std::{error::Error as StdError, fmt};

use tower::BoxError;

/// The body of a request ended early. It is the error of [`ReplayBody`](crate::ReplayBody), and stands in the chain of
/// sources of whatever the client below makes of it.
#[derive(Debug)]
pub struct BodyError(Kind);

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
}

impl BodyError {
    pub(crate) fn failed(source: BoxError) -> Self {
        Self(Kind::Failed(Some(source)))
    }

    pub(crate) fn failed_before() -> Self {
        Self(Kind::Failed(None))
    }

    pub(crate) fn not_kept() -> Self {
        Self(Kind::NotKept)
    }

    pub(crate) fn superseded() -> Self {
        Self(Kind::Superseded)
    }

    pub(crate) fn two_models() -> Self {
        Self(Kind::TwoModels)
    }

    /// The caller's own body failed; [`source`](StdError::source) is its error, for the first attempt that met it.
    pub fn is_failed(&self) -> bool {
        matches!(self.0, Kind::Failed(_))
    }

    /// The body was larger than what is kept for another attempt, and its beginning is gone.
    pub fn is_not_kept(&self) -> bool {
        matches!(self.0, Kind::NotKept)
    }

    /// The attempt was given up for another, which reads the body now.
    pub fn is_superseded(&self) -> bool {
        matches!(self.0, Kind::Superseded)
    }

    /// The body's top level names `"model"` twice: whoever reads it next may take another than the one that was counted.
    pub fn is_two_models(&self) -> bool {
        matches!(self.0, Kind::TwoModels)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Failed(_) => "the body of the request failed",
            Kind::NotKept => "the body of the request was too large to be kept for another attempt",
            Kind::Superseded => "this attempt was given up for another",
            Kind::TwoModels => "the body of the request names its model twice",
        })
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Kind::Failed(Some(source)) => Some(&**source),
            _ => None,
        }
    }
}
