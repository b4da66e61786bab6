//! Who waits only as long as a key may come in time: what was lost meanwhile (a key that was removed, disabled, or rests for
//! longer than anybody waits) ends the wait of those who have nothing else to wait for.

use std::sync::Arc;

use super::{Affinity, Demand, ask::Ask, pick::NotNow, state::State};
use crate::{
    limit::Need,
    time::{Now, Tick},
};

/// What was found for those who need as much, and may have any key.
struct Found {
    need: Need,
    free: bool,
    /// A key comes by then.
    by: Tick,
    /// None comes sooner.
    first: bool,
}

impl State {
    /// A key, or what it stands under, is out until somebody lifts it, or for long.
    pub(super) fn lost(&mut self) {
        (self.waiters.lost, self.lately) = (true, None);
    }

    /// A key has nothing under way any more: room that could have come back with it does not, unless it is there.
    #[cold]
    pub(super) fn fell_idle(&mut self, slot: u32, now: Now) {
        self.waiters.idle |= self.roster.keys[slot as usize].in_flight == 0;
        self.serve(now);
    }

    /// Whether a key may carry this by then.
    pub(super) fn may_come(&mut self, demand: &Demand, until: Tick, now: Now) -> bool {
        let ask = self.ask(demand, now);
        self.soonest(&ask, until).0 <= until
    }

    /// Lets those go for whom no key comes in time any more; after a loss, once. Where only a key fell idle, the first of a
    /// lane tells whether to look at all of them.
    pub(super) fn let_hopeless_go(&mut self, now: Now) {
        let idle = std::mem::take(&mut self.waiters.idle);
        let lost = std::mem::take(&mut self.waiters.lost) || idle && self.is_first_hopeless(now);
        if !lost {
            return;
        }
        for lane in 0..self.lanes.len() as u16 {
            let queued: Vec<u32> = self.lanes[usize::from(lane)].queue.values().copied().collect();
            // Most want any key, and so the same.
            let mut found: Vec<Found> = Vec::new();
            for index in queued {
                let Some(waiter) = self.waiters.get_mut(index) else { continue };
                let Some(until) = waiter.hopes_until else { continue };
                let (demand, need) = (Arc::clone(&waiter.demand), waiter.need);
                let ask = Ask { need, ..Self::ask_in(lane, &demand, now) };
                let comes = if is_bound(&demand.affinity) || demand.particulars.earlier.is_some() {
                    self.soonest(&ask, until).0 <= until
                } else {
                    self.comes_for_any(&ask, until, &mut found)
                };
                if !comes {
                    self.settle_waiter(index, Err(NotNow::Later));
                }
            }
        }
    }

    /// Whether for the first of some lane's queue that waits in hope no key comes in time.
    fn is_first_hopeless(&mut self, now: Now) -> bool {
        (0..self.lanes.len() as u16).any(|lane| {
            let first = self.lanes[usize::from(lane)].queue.values().next().copied();
            let Some(waiter) = first.and_then(|index| self.waiters.get_mut(index)) else { return false };
            let Some(until) = waiter.hopes_until else { return false };
            let (demand, need) = (Arc::clone(&waiter.demand), waiter.need);
            let ask = Ask { need, ..Self::ask_in(lane, &demand, now) };
            self.soonest(&ask, until).0 > until
        })
    }

    fn comes_for_any(&mut self, ask: &Ask<'_>, until: Tick, found: &mut Vec<Found>) -> bool {
        let same = |held: &&mut Found| (held.need, held.free) == (ask.need, ask.demand.free);
        if let Some(held) = found.iter_mut().find(same) {
            if held.first || held.by <= until {
                return held.by <= until;
            }
            (held.by, held.first) = self.soonest(ask, until);
            return held.by <= until;
        }
        let (by, first) = self.soonest(ask, until);
        found.push(Found { need: ask.need, free: ask.demand.free, by, first });
        by <= until
    }

    /// When a key may carry this: the first that may by `until`, else the first of all (never, where there is none) and that
    /// it is the first. The key that was found last is looked at first, so that many losses look at few keys.
    fn soonest(&mut self, ask: &Ask<'_>, until: Tick) -> (Tick, bool) {
        let excluded = self.excluded(ask.demand);
        let bound = is_bound(&ask.demand.affinity);
        let wanted = if bound { self.wanted(&ask.demand.affinity) } else { Vec::new() };
        let mut soonest = Tick::NEVER;
        let last = self.waiters.hope;
        for slot in std::iter::once(last).chain(0..self.roster.keys.len() as u32) {
            let Some(key) = self.roster.keys.get(slot as usize).filter(|key| !key.removed) else { continue };
            let (owner, idle) = (key.owner, key.in_flight == 0);
            if bound && !wanted.contains(&slot)
                || excluded.holds(slot, owner)
                || excluded.tiers.contains(&self.roster.tier(owner).cloned())
            {
                continue;
            }
            soonest = soonest.min(self.back(ask, slot, idle));
            if soonest <= until {
                self.waiters.hope = slot;
                return (soonest, false);
            }
        }
        (soonest, true)
    }

    /// When this key may carry it. Of one that carries another, or that another process holds, the rests alone are known:
    /// room may come back with what is under way.
    fn back(&mut self, ask: &Ask<'_>, slot: u32, idle: bool) -> Tick {
        if idle && !self.is_elsewhere(ask.lane, slot) {
            return self.earliest_once_free(ask, slot).unwrap_or(Tick::NEVER);
        }
        let rests = self.rests(ask.lane, slot).into_iter().filter_map(|(rest, _)| rest);
        let back = rests.filter(|rest| rest.is_active(ask.now)).map(|rest| self.wakes_for(ask, slot, rest)).max();
        let elsewhere = self.is_elsewhere(ask.lane, slot);
        let full = if elsewhere { self.is_full_till(ask.lane, slot, ask.now) } else { None };
        back.max(full).unwrap_or(ask.now.tick)
    }
}

/// Whether no other key will do.
fn is_bound(affinity: &Affinity) -> bool {
    matches!(affinity, Affinity::MustKey(_) | Affinity::MustOwner(_))
}
