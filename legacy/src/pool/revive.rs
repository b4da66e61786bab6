//! Keys that may have come back are looked at again.

use super::{cell::Place, lane::Origin, state::State};

impl State {
    /// Every key is looked at again when it comes to the top.
    pub(super) fn revive_all(&mut self) {
        for lane in 0..self.lanes.len() as u16 {
            self.revive_lane(lane);
        }
    }

    pub(super) fn revive_lane(&mut self, lane: u16) {
        for slot in 0..self.lanes[usize::from(lane)].cells.len() as u32 {
            self.revive_in(lane, slot);
        }
    }

    /// A key that may have come back: it is looked at again in every lane.
    pub(super) fn revive_key(&mut self, slot: u32) {
        for lane in 0..self.lanes.len() as u16 {
            self.revive_in(lane, slot);
        }
    }

    pub(super) fn revive_owner(&mut self, owner: u32) {
        let slots: Vec<u32> =
            self.roster.slots().filter(|slot| self.roster.keys[*slot as usize].owner == owner).collect();
        for slot in slots {
            self.revive_key(slot);
        }
    }

    pub(super) fn revive_in(&mut self, lane: u16, slot: u32) {
        if self.roster.keys[slot as usize].removed || self.lanes[usize::from(lane)].origin == Origin::Free {
            return;
        }
        self.lately = None;
        match self.lanes[usize::from(lane)].cells.get(slot as usize).map(|cell| cell.place()) {
            Some(Place::Out | Place::Timed) => self.enter(lane, slot),
            Some(Place::Busy) => {
                self.unpark(slot);
                self.enter(lane, slot);
            }
            // Its owner may have more room than those who want much look for.
            Some(Place::Ready) => {
                let key = &self.roster.keys[slot as usize];
                let (group, class) = (self.group(key.priority), self.class(lane, key.owner));
                let lane = &mut self.lanes[usize::from(lane)];
                let rank = lane.cells[slot as usize].rank;
                lane.reorder(slot, group, class, rank);
            }
            None => {}
        }
    }
}
