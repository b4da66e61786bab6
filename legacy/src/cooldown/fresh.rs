//! An answer that was judged by its head, before anything of its body came. Most bodies come in one piece, which is
//! looked at here and now; a [`Flow`] is made for the others.

use bytes::Bytes;

use super::{
    first_event::is_an_error,
    flow::{Flow, Reader},
    judging::{self, LARGEST_WHOLE},
    key_mask::hide_every,
    mask::glance,
    masks::masked,
    sight::Sight,
    teller::Teller,
    usage_scan::usage_of,
};
use crate::verdict::Verdict;

/// A body of which nothing came yet, in an encoding that needs no state.
pub(super) struct Fresh {
    /// Whom to tell; nobody for an answer that went out without a lease, and once all is told.
    teller: Option<Teller>,
    look: Look,
    /// A fault was told: what comes after it changes nothing.
    settled: bool,
    /// Something was to be made: what comes is no file that somebody stored.
    makes: bool,
    /// There is no body, or none that anybody waits for.
    complete: bool,
}

/// What is looked for in a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    Blind,
    /// Keys.
    Key,
    /// Keys, and what the answer cost.
    KeyAndUsage,
}

impl Fresh {
    /// Of an answer that is none of ours.
    pub(super) fn untouched() -> Self {
        Self { teller: None, look: Look::Blind, settled: false, makes: false, complete: true }
    }

    #[inline]
    pub(super) fn judged(teller: Teller, look: Look, settled: bool, makes: bool) -> Self {
        Self { teller: Some(teller), look, settled, makes, complete: false }
    }

    /// There is no body, or none that anybody waits for.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// All of the body, in one piece: as it goes on.
    #[inline]
    pub(super) fn whole(&mut self, chunk: Bytes) -> Bytes {
        let Some(teller) = self.teller.take() else { return chunk };
        if self.look == Look::Blind {
            return chunk;
        }
        let chunk = if self.settled { hide_every(Some(&teller), chunk) } else { chunk };
        if self.look == Look::KeyAndUsage
            && !self.complete
            && teller.counts_usage()
            && let Some(usage) = usage_of(&chunk)
        {
            teller.usage(usage);
        }
        let judges = self.look == Look::KeyAndUsage && !self.complete && chunk.len() <= LARGEST_WHOLE;
        let alarm = if judges { teller.pool().provider().alarm() } else { None };
        let errs = judges && self.makes && is_an_error(&chunk);
        let start = teller.pool().start();
        // Where keys share no start there is something to look for in every answer.
        if !errs && start.is_shared() && !glance(start, alarm.unwrap_or_default(), &chunk) {
            return chunk;
        }
        let chunk = masked(teller.shown(), chunk);
        if judges && let Some(verdict) = judging::whole(&teller, &chunk, errs, false) {
            teller.judge(&verdict);
        }
        chunk
    }

    /// It comes in several pieces, or with trailers, or not to its end.
    #[cold]
    pub(super) fn flow(&mut self) -> Box<Flow> {
        let Some(teller) = self.teller.take() else { return Box::new(Flow::untouched()) };
        let reader = match self.look {
            Look::Blind => Reader::Blind,
            Look::Key => Reader::Plain(Sight::default()),
            Look::KeyAndUsage => Reader::Plain(Sight::of_good(&teller, self.makes)),
        };
        let flow = Flow::judged(teller, reader, self.settled);
        Box::new(if self.complete { flow.complete() } else { flow })
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(teller) = &self.teller
            && !self.settled
            && !self.complete
        {
            teller.judge(&Verdict::CANCELLED);
        }
    }
}
