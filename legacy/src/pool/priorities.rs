//! Priorities: each that some key has opens a group in every lane; a later one serves by the spill rule.

use super::{Affinity, KeyPool, ask::Ask, check::Check, lane::Origin, out_reason::OutReason, state::State};

impl KeyPool {
    /// Whether later priorities open to those who wait, after a while.
    pub(crate) fn opens_after_a_while(&self) -> bool {
        let state = self.lock();
        state.priorities.len() > 1 && !state.settings.spill_after.is_zero()
    }
}

impl State {
    /// Makes room for keys of this priority in every lane.
    pub(super) fn open_priority(&mut self, priority: u16) {
        self.ring.forget();
        if let Err(at) = self.priorities.binary_search(&priority) {
            self.priorities.insert(at, priority);
            for lane in self.lanes.iter_mut().filter(|lane| lane.origin != Origin::Free) {
                lane.groups.insert(at, super::group::Group::default());
            }
        }
    }

    /// A priority that no key has any more opens nothing and counts as no spill.
    pub(super) fn close_priority(&mut self, priority: u16) {
        self.ring.forget();
        if self.roster.slots().any(|slot| self.roster.keys[slot as usize].priority == priority) {
            return;
        }
        if let Ok(at) = self.priorities.binary_search(&priority) {
            self.priorities.remove(at);
            for lane in self.lanes.iter_mut().filter(|lane| lane.origin != Origin::Free) {
                lane.groups.remove(at);
            }
        }
    }

    /// The priority in which a key is busy that is waited for, so that later ones are not asked; `u16::MAX` where none is.
    pub(super) fn waited_for(&mut self, ask: &Ask<'_>) -> u16 {
        if self.priorities.len() < 2 || self.settings.spill.is_any() {
            return u16::MAX;
        }
        let excluded = self.excluded(ask.demand);
        let must = matches!(ask.demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let slots = if must {
            self.wanted(&ask.demand.affinity)
        } else {
            let groups = &self.lanes[usize::from(ask.lane)].groups;
            groups.iter().flat_map(|group| group.busy.iter().copied()).collect()
        };
        let mut first = u16::MAX;
        for slot in slots {
            let (priority, owner) = (self.roster.keys[slot as usize].priority, self.roster.keys[slot as usize].owner);
            if priority < first && !excluded.holds(slot, owner) && self.is_waited_for(ask, slot) {
                first = priority;
            }
        }
        first
    }

    fn is_waited_for(&mut self, ask: &Ask<'_>, slot: u32) -> bool {
        match self.check(ask, slot) {
            Check::Busy(..) => true,
            Check::NotThis(_, OutReason::Queued) => self.is_busy_in_front(ask, slot),
            _ => false,
        }
    }
}
