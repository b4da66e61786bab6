//! Bodies that can be sent again.

use bytes::{Buf, Bytes};
use http_body_util::{Empty, Full};

/// A body that can be sent again, from its beginning.
///
/// [`RetryPolicy`](crate::RetryPolicy) and [`ModelFallbackLayer`](crate::ModelFallbackLayer) need one. `Full` and
/// `Empty` are such bodies; [`ReplayLayer`](crate::ReplayLayer) makes one of any other.
#[diagnostic::on_unimplemented(
    message = "the body `{Self}` cannot be sent again, which another attempt needs",
    label = "not a body that can be cloned for another attempt",
    note = "put a `ReplayLayer` above the layer that retries: it turns any body into a `ReplayBody`, which can be sent \
            again; the client below must then be generic in its body",
    note = "or give a body that can be cloned, such as `http_body_util::Full<Bytes>`"
)]
pub trait TryClone: Sized {
    /// The same body from its beginning; `None` when it cannot be sent again.
    fn try_clone(&self) -> Option<Self>;

    /// Takes the body over from an earlier attempt, which reads no more from then on. To be called when another attempt
    /// is decided, before any pause: `false` when the body cannot be sent again, so that the last answer has to stand.
    fn reclaim(&mut self) -> bool {
        true
    }

    /// Whether all of it may have been sent: of half a request nothing is made. `false` only where that is known.
    fn is_out(&self) -> bool {
        true
    }

    /// Asks for another model where a body names one: its top-level `"model"`. `false` when it names none, or when the
    /// body cannot be changed; the body is then as before.
    ///
    /// The body's length may change. Whoever calls this corrects the head: `content-length` becomes
    /// `size_hint().exact()`, or is removed where that is `None`.
    fn retarget(&mut self, _model: &str) -> bool {
        false
    }

    /// Becomes another body, of these pieces, for what is [written for a model](crate::Demand::written_for). `false` where
    /// it cannot; it is then as before. Of its length the same holds as of [`retarget`](TryClone::retarget).
    fn rewrite(&mut self, _pieces: Vec<Bytes>) -> bool {
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
