//! Windows that an answer called full before their unit was held here: what the board counts of it knows nothing of
//! that, and takes the place of what this process had.

use std::time::Duration;

use crate::{
    limit::{Limit, Span},
    pool::{journal::Unit, state::State},
    time::{Now, Tick},
};

/// The window of a limit was full at `last`; what filled it began at `first`, and as the log had it: what this process started
/// itself is known, and is not to be guessed again.
pub(super) struct Filled {
    limit: Limit,
    first: Tick,
    last: Tick,
    began: Vec<(Tick, u32)>,
}

impl State {
    /// An answer called a window full whose first start is this long ago, and the log has been filled up.
    pub(in crate::pool) fn note_filled(&mut self, unit: Unit, limit: Limit, first: Duration, now: Now) {
        if self.share().is_none_or(|share| share.held.contains(unit)) {
            return;
        }
        let (lane, owner) = unit;
        let at = self.at(now, owner);
        let held = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(held.owners[owner as usize].plan);
        let kept = plan.keep(held.log(owner, plan.words()), &at).into_iter().filter(|kept| kept.limit == limit);
        let moments = kept.flat_map(|kept| kept.moments);
        let began = moments.map(|(then, amount)| (then, u32::try_from(amount).unwrap_or(u32::MAX))).collect();
        let Some(share) = self.share_mut() else { return };
        let filled = share.filled.entry(unit).or_default();
        filled.retain(|filled| filled.limit != limit);
        filled.push(Filled { limit, first: now.tick.minus(first), last: now.tick, began });
    }

    /// The unit came, with the board's counts.
    pub(super) fn fill_up_heard(&mut self, unit: Unit, now: Now) {
        let filled = self.share_mut().and_then(|share| share.filled.remove(&unit)).unwrap_or_default();
        let (lane, owner) = unit;
        let at = self.at(now, owner);
        for Filled { limit, first, last, began } in filled {
            let ago = [first, last].map(|then| now.tick.since(then));
            let held = &mut self.lanes[usize::from(lane)];
            let plan = self.plans.plan(held.owners[owner as usize].plan);
            // Who came by this place since then was not called full.
            if plan.words() > 0 && matches!(limit.span, Span::Sliding(span) if ago[1] < span) {
                plan.fill_up(held.log(owner, plan.words()), limit, ago, &began, &at);
            }
        }
    }
}
