//! Hints of the board between two renewals: they hasten the next one, and where they are known to come the next may wait
//! longer.

use std::time::Duration;

use super::Holder;
use crate::{share::Hint, time::Tick};

/// So many renewals may follow each other that hints hasten, and so many a second in the long run.
const AT_ONCE: f64 = 4.0;
const A_SECOND: f64 = 2.0;
/// Several processes are told at once: each renews within so many milliseconds.
const SPREAD: u64 = 30;

/// What was heard of hints.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// How many renewals may be hastened, and when that was so.
    left: (Tick, f64),
    /// The last renewal came back this way, and the one before.
    echoed: bool,
    before: bool,
}

impl Hints {
    pub(super) fn new() -> Self {
        Self { left: (Tick::ZERO, AT_ONCE), ..Self::default() }
    }

    /// A renewal is sent.
    pub(super) fn sent(&mut self) {
        self.before = std::mem::take(&mut self.echoed);
    }
}

impl Holder {
    /// The board says something of its own accord.
    pub fn hinted(&mut self, hint: Hint, now: Tick) {
        match hint {
            Hint::News => self.hasten_for_news(now),
            Hint::Echo => self.hears_hints(),
        }
    }

    fn hasten_for_news(&mut self, now: Tick) {
        self.counters.hints += 1;
        let passed = now.since(self.hints.left.0).as_secs_f64();
        let left = (self.hints.left.1 + passed * A_SECOND).min(AT_ONCE);
        self.hints.left = (now, left);
        let wait = Duration::from_secs_f64((1.0 - left).max(0.0) / A_SECOND);
        let spread = Duration::from_millis(self.nonces.u64(0..=SPREAD));
        let at = now.plus(wait + spread).max(self.sent.plus(self.settings.coalesce));
        if at < self.due {
            self.hints.left.1 = left - 1.0;
            self.due = at;
        }
    }

    /// What changes is told: the next renewal may wait a little longer, where nothing hastens it.
    fn hears_hints(&mut self) {
        self.hints.echoed = true;
        if self.outstanding.is_none() && self.due == self.sent.plus(self.settings.renew_every) {
            self.due = self.sent.plus(self.renews_every());
        }
    }

    /// Whether what concerns this process is told, as far as is known.
    pub(super) fn is_told(&self) -> bool {
        self.hints.echoed || self.hints.before
    }

    /// How long after one renewal the next is sent, as it is now.
    pub(super) fn renews_every(&self) -> Duration {
        let every = self.settings.renew_every;
        if self.is_told() { self.settings.renew_hinted.max(every) } else { every }
    }
}
