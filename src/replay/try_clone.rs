//! What a retry needs of a body.

use bytes::Buf;
use http_body_util::{Empty, Full};

/// A body of which another copy can be had while the first is being sent.
#[diagnostic::on_unimplemented(
    message = "the body `{Self}` cannot be sent twice",
    label = "this body cannot be cloned for a retry",
    note = "put a `ReplayLayer` above the retry, or use `KeyPoolLayer`, which brings one"
)]
pub trait TryClone: Sized {
    /// Another copy, from the beginning; `None` when it cannot be had any more.
    fn try_clone(&self) -> Option<Self>;

    /// Asks for another model where the body names one. Whether it did.
    fn retarget(&mut self, _model: &str) -> bool {
        false
    }
}

impl<D: Buf + Clone> TryClone for Full<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<D> TryClone for Empty<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(Self::new())
    }
}
