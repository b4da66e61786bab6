//! What answers' bodies are read for.

use std::sync::atomic::Ordering;

use super::{KeyPool, Seat, Usage};

/// Of good answers: some are nothing but an error.
pub(crate) const ERRORS: u8 = 1;
/// Of good answers: some say that their account is switched off.
pub(crate) const ALARMS: u8 = 2;

impl KeyPool {
    /// Whether anything is done with what answers cost: whoever would have to read it out of them asks first.
    #[inline]
    pub(crate) fn counts_usage(&self) -> bool {
        self.0.keeps_usage || self.limits_tokens()
    }

    /// Whether some limit counts tokens.
    #[inline]
    pub(crate) fn limits_tokens(&self) -> bool {
        self.0.limits_tokens.load(Ordering::Relaxed)
    }

    /// What an answer of a good status may be, as the provider says or once one was: nothing but an error ([`ERRORS`]), or
    /// one whose words speak against its key ([`ALARMS`]).
    #[inline]
    pub(crate) fn good_answers(&self) -> u8 {
        self.0.good_answers.load(Ordering::Relaxed)
    }

    /// One was: from now on they are held.
    #[cold]
    pub(crate) fn met_good_answer(&self, kind: u8) {
        self.0.good_answers.fetch_or(kind, Ordering::Relaxed);
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
