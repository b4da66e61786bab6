//! Windows that an answer called full before their unit was held here: what the board counts of it knows nothing of
//! that, and takes the place of what this process had.

use std::time::Duration;

use crate::{
    limit::{Limit, Span},
    pool::{journal::Unit, state::State},
    time::{Now, Tick},
};

/// The window of a limit was full at `last`; what filled it began at `first`.
pub(super) struct Filled {
    limit: Limit,
    first: Tick,
    last: Tick,
}

impl State {
    /// An answer called a window full whose first start is this long ago.
    pub(in crate::pool) fn note_filled(&mut self, unit: Unit, limit: Limit, first: Duration, now: Now) {
        let Some(share) = self.share_mut().filter(|share| !share.held.contains(unit)) else { return };
        let filled = share.filled.entry(unit).or_default();
        filled.retain(|filled| filled.limit != limit);
        filled.push(Filled { limit, first: now.tick.minus(first), last: now.tick });
    }

    /// The unit came, with the board's counts.
    pub(super) fn fill_up_heard(&mut self, unit: Unit, now: Now) {
        let filled = self.share_mut().and_then(|share| share.filled.remove(&unit)).unwrap_or_default();
        let (lane, owner) = unit;
        let at = self.at(now, owner);
        for Filled { limit, first, last } in filled {
            let ago = [first, last].map(|then| now.tick.since(then));
            let held = &mut self.lanes[usize::from(lane)];
            let plan = self.plans.plan(held.owners[owner as usize].plan);
            // Who came by this place since then was not called full.
            if plan.words() > 0 && matches!(limit.span, Span::Sliding(span) if ago[1] < span) {
                plan.fill_up(held.log(owner, plan.words()), limit, ago, &[], &at);
            }
        }
    }
}
