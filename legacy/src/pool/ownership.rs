//! Keys that go over to another owner, or whose owner is called otherwise.

use super::{lane::Origin, state::State};
use crate::time::Now;

impl State {
    /// A key goes over to the owner of this name. One that the provider named itself stays where it is.
    pub(super) fn move_owner(&mut self, slot: u32, name: Option<&str>, zone: u8, now: Now) -> bool {
        if self.is_configured(slot, name) {
            return false;
        }
        let from = self.roster.keys[slot as usize].owner;
        let extra = self.roster.owners[from as usize].extra.as_ref();
        let held = extra.and_then(|extra| extra.name.as_deref());
        if held == name || extra.is_some_and(|extra| extra.consumer.is_some()) {
            self.configured(slot, name, false);
            return false;
        }
        let alone = self.roster.owners[from as usize].keys() == 1;
        // Where others say that it is of one quota with keys that this configuration never put it with, it stays.
        let stays = alone || self.is_joined(slot);
        if stays && name.is_none_or(|name| self.roster.owner_named(name).is_none()) {
            if alone {
                self.roster.call(from, name);
            }
            self.note_called(slot);
            self.configured(slot, name, false);
            return true;
        }
        let into = self.roster.owner_called(name, zone);
        self.fill_lanes();
        if stays {
            self.merge_owners(from, into, now);
        } else {
            self.move_key(slot, into);
        }
        self.configured(slot, name, !stays);
        true
    }

    /// Every owner has its place in every lane.
    pub(super) fn fill_lanes(&mut self) {
        for lane in 0..self.lanes.len() as u16 {
            if self.lanes[usize::from(lane)].origin != Origin::Free && !self.lanes[usize::from(lane)].asleep {
                self.fill_lane(lane);
            }
        }
    }

    /// A key goes over to another owner: what the others used is theirs; requests under way end where they were booked.
    pub(super) fn move_key(&mut self, slot: u32, into: u32) {
        self.fill_lanes();
        let from = self.roster.keys[slot as usize].owner;
        self.leave_lanes(slot);
        self.ring.forget();
        self.roster.keys[slot as usize].owner = into;
        self.roster.owners[from as usize].lose(1);
        self.roster.owners[into as usize].gain(1);
        self.name_owner(slot);
    }
}
