//! Who waits only as long as a key may come in time: what was lost for good meanwhile (a key that was removed, or disabled by
//! hand or by an answer) ends the wait of those who have nothing else to wait for.

use std::sync::Arc;

use super::{Affinity, Demand, pick::NotNow, state::State};
use crate::time::{Now, Tick};

impl State {
    /// A key, or what it stands under, is lost until somebody lifts it.
    pub(super) fn lost(&mut self) {
        self.waiters.lost = true;
    }

    /// Lets those go for whom no key comes in time any more; after a loss, once.
    pub(super) fn let_hopeless_go(&mut self, now: Now) {
        if !std::mem::take(&mut self.waiters.lost) {
            return;
        }
        for lane in 0..self.lanes.len() as u16 {
            let queued: Vec<u32> = self.lanes[usize::from(lane)].queue.values().copied().collect();
            // Most want any key, and so the same.
            let mut of_any = None;
            for index in queued {
                let Some(waiter) = self.waiters.get_mut(index) else { continue };
                let Some(until) = waiter.hopes_until else { continue };
                let demand = Arc::clone(&waiter.demand);
                let soonest = if is_bound(&demand.affinity) || demand.particulars.earlier.is_some() {
                    self.soonest(lane, &demand, now)
                } else {
                    *of_any.get_or_insert_with(|| self.soonest(lane, &demand, now))
                };
                if soonest > until {
                    self.settle_waiter(index, Err(NotNow::Later));
                }
            }
        }
    }

    /// When the first key that may carry this demand at all is back, by its rests alone; never, where there is none.
    fn soonest(&self, lane: u16, demand: &Demand, now: Now) -> Tick {
        let excluded = self.excluded(demand);
        let bound = is_bound(&demand.affinity);
        let wanted = if bound { self.wanted(&demand.affinity) } else { Vec::new() };
        let mut soonest = Tick::NEVER;
        for slot in self.roster.slots().filter(|slot| !bound || wanted.contains(slot)) {
            let owner = self.roster.keys[slot as usize].owner;
            let barred = |tier| excluded.tiers.contains(tier);
            if excluded.holds(slot, owner) || barred(&self.roster.tier(owner).cloned()) {
                continue;
            }
            let rests = self.rests(lane, slot).into_iter().filter_map(|(rest, _)| rest);
            let back = rests.filter(|rest| rest.is_active(now)).map(|rest| rest.wakes(now)).max();
            soonest = soonest.min(back.unwrap_or(now.tick));
            if soonest <= now.tick {
                break;
            }
        }
        soonest
    }
}

/// Whether no other key will do.
fn is_bound(affinity: &Affinity) -> bool {
    matches!(affinity, Affinity::MustKey(_) | Affinity::MustOwner(_))
}
