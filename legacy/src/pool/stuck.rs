//! What a look along the lines of those who wait has come to: whoever is like one that failed fails as well.

use crate::{limit::Need, time::Tick};

/// What a look along the lines has come to.
pub(super) struct Stuck {
    /// Who failed, by lines beside each other.
    pub(super) blocked: Vec<Option<Blocked>>,
    /// Whether some of those lines take more than one request's room.
    pub(super) take_more: Vec<bool>,
    /// Lanes in which no key at all may serve, by whether room in windows is not asked for, and since when whoever found
    /// that out had waited.
    pub(super) out: Vec<(u16, bool, Tick)>,
    /// How many waited for a busy key while others were looked at.
    pub(super) passed: usize,
}

/// So many lines are looked at behind those that wait for a busy key: with each a key is looked for.
const MOST_PASSED: usize = 16;

impl Stuck {
    /// Whether those behind one that waits for a busy key are still to be looked at.
    pub(super) fn may_look_on(&mut self) -> bool {
        self.passed += 1;
        self.passed <= MOST_PASSED
    }

    pub(super) fn is_out(&self, lane: u16, free: bool, since: Tick) -> bool {
        self.out.iter().any(|out| (out.0, out.1) == (lane, free) && out.2 <= since)
    }
}

/// A demand that failed its turn: whoever came later to its line, or one beside it, and needs no less fails as well.
#[derive(Clone, Copy)]
pub(super) struct Blocked {
    pub(super) need: Need,
    pub(super) since: Tick,
    /// It waits for a busy key though a later priority has one: who needs more than the busy one has left, and so
    /// stands in another line, is served there.
    pub(super) passable: bool,
}

impl Blocked {
    pub(super) fn covers(&self, need: &Need, since: Tick) -> bool {
        self.since <= since
            && (!self.passable || *need == self.need)
            && need.requests >= self.need.requests
            && need.input_tokens >= self.need.input_tokens
            && need.output_tokens >= self.need.output_tokens
            && need.images >= self.need.images
    }
}
