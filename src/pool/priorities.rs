//! Priorities: each that some key has opens a group in every lane.

use super::{lane::Origin, state::State};

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
}
