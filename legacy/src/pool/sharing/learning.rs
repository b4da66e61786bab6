//! What the holder is told before it renews: what happened in the pool since.

use std::collections::HashSet;

use super::{Renewing, facts, windows::Windows};
use crate::{
    pool::{KeyPool, journal::Unit},
    share::{Ledger, Mode, Moment, UnitId},
    time::Now,
};

impl Renewing {
    /// What happened in the pool since. Whether it ends.
    pub(super) fn learn(&mut self, pool: &KeyPool) -> bool {
        let now = pool.0.clock.now();
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        // Clocks that parted are noticed here, and leases renewed at once.
        self.holder.is_valid(moment);
        let (infos, returns, ending) = {
            let mut state = pool.lock();
            // First: what a later note has, the holder need not have heard of.
            self.noted = state.journal.as_ref().map_or(0, |journal| journal.gathered);
            // A day that began is told with what is under way, of units that are elsewhere, too.
            state.turn_dates(now);
            let Some(share) = state.share_mut() else { return true };
            share.lacking = false;
            if std::mem::take(&mut share.at_mark) {
                self.holder.at_mark(moment);
            }
            if std::mem::take(&mut share.pressed) {
                self.holder.hasten_now(moment);
            }
            let ending = share.ending;
            let stale = std::mem::take(&mut share.stale);
            let returns = std::mem::take(&mut share.returns);
            let infos = stale.then(|| {
                state.tell_names();
                state.enrol()
            });
            (infos, returns, ending)
        };
        for unit in returns {
            self.holder.give_back(&unit, Mode::Whole);
        }
        if let Some((infos, bare)) = infos {
            let known: HashSet<&UnitId> = infos.iter().map(|info| &info.unit).collect();
            let gone: Vec<UnitId> = self.holder.held().filter(|unit| !known.contains(unit)).cloned().collect();
            let mut windows = Windows::new(pool.clone());
            for unit in &gone {
                windows.lose(unit, moment);
            }
            self.holder.serve(infos);
            self.holder.without_limits(bare);
            self.holder.leave_unguarded(&mut windows, moment);
        }
        self.hear_starts(pool, now);
        let mut state = pool.lock();
        state.tell_names_still(now);
        let news = state.share_mut().map(|share| std::mem::take(&mut share.news)).unwrap_or_default();
        for news in news {
            let presses = facts::presses(&news);
            self.holder.tell(news, moment);
            if presses {
                self.holder.hasten_now(moment);
            }
        }
        let kinds: Vec<_> = state.share().map(|share| share.kinds.keys().copied().collect()).unwrap_or_default();
        for at in kinds {
            let (requests, tokens) = state.waiting_in(at.0);
            let named = state.named_in(at);
            let Some(kind) = state.share_mut().and_then(|share| share.kinds.get_mut(&at)) else { continue };
            self.holder.asked(&kind.name, std::mem::take(&mut kind.asked));
            if std::mem::take(&mut kind.aside) {
                self.holder.served_aside(&kind.name, moment);
            }
            let waiting = if kind.lacks { requests.max(1) } else { 0 };
            self.holder.naming(&kind.name, named);
            self.holder.lacking(&kind.name, waiting, if requests == 0 { kind.tokens } else { tokens }, moment);
        }
        ending
    }

    /// Tells the holder what was started and changed.
    pub(super) fn hear_starts(&mut self, pool: &KeyPool, now: Now) {
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        let mut state = pool.lock();
        state.post_entries();
        let days = state.zones[0].1.at(now.tick, now.wall_ms()).days;
        let Some(share) = state.share_mut() else { return };
        let touched = share.take_started();
        let changed = std::mem::take(&mut share.changed);
        let name = |unit: &Unit| share.held.get(*unit).map(|held| held.name.clone());
        let changed: Vec<UnitId> = changed.iter().filter_map(name).collect();
        drop(state);
        for (unit, spent) in touched {
            self.holder.started(&unit, &spent, (days.first, days.last), moment);
        }
        for unit in changed {
            self.holder.changed(&unit);
        }
    }
}
