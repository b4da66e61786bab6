//! What answers' bodies are read for.

use std::sync::atomic::Ordering;

use super::{KeyPool, Seat, Usage};

impl KeyPool {
    /// Whether anything is done with what answers cost: whoever would have to read it out of them asks first.
    #[inline]
    pub(crate) fn counts_usage(&self) -> bool {
        self.0.counts_usage.load(Ordering::Relaxed)
    }

    /// Whether an answer of a good status may be nothing but an error: as the provider says, or once one was.
    #[inline]
    pub(crate) fn errs_with_success(&self) -> bool {
        self.0.errs_with_success.load(Ordering::Relaxed)
    }

    /// One was: from now on their beginnings are held.
    #[cold]
    pub(crate) fn erred_with_success(&self) {
        self.0.errs_with_success.store(true, Ordering::Relaxed);
    }

    /// Whether a key ever refused a request as if that named what is another's (Gemini's unclear 403), and nobody had said
    /// whether it does. From then on it is worth while to say it where it names nothing
    /// ([`Demand::names_nothing`](crate::Demand::names_nothing)): for whoever would have to do more for that than to look.
    #[inline]
    pub fn met_unclear_refusals(&self) -> bool {
        self.0.met_unclear_refusals.load(Ordering::Relaxed)
    }

    /// One was met.
    #[cold]
    pub(crate) fn meets_unclear_refusals(&self) {
        self.0.met_unclear_refusals.store(true, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self, seat: Seat, usage: Usage) {
        // Most owners count no tokens: then it does not matter when that is.
        self.lock().usage(seat, usage, || self.0.clock.now());
    }
}
