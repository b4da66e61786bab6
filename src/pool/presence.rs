//! Keys that leave, and those that come back: taken out of a file and put in again, a key has its history still.

use super::{event::Event, roster::RAMP_STEPS, state::State};
use crate::{
    error::KeyError,
    key::{Key, KeyId},
    time::Now,
};

impl State {
    pub(super) fn remove(&mut self, slot: u32, now: Now) {
        self.leave_lanes(slot);
        self.guard.forget(slot);
        let (key, priority) = (self.roster.keys[slot as usize].id.clone(), self.roster.keys[slot as usize].priority);
        self.note_parted(slot, now);
        self.roster.remove(slot);
        self.close_priority(priority);
        while let Some(forgotten) = self.roster.forget_one() {
            self.note_forgotten(forgotten);
            for lane in &mut self.lanes {
                lane.key_rests.remove(&forgotten);
            }
        }
        self.event(|| Event::Roster { key, change: "removed" });
    }

    /// A key that was removed is in again, as it is wanted now: its requests in flight, its starts and its rests are what
    /// they were. By its name alone, with another secret, it is looked at afresh: what rested was the old one.
    pub(super) fn take_back(&mut self, slot: u32, id: KeyId, key: &Key, zone: u8, now: Now) -> Result<(), KeyError> {
        let secret =
            self.provider.prepare(&key.secret).map_err(|source| KeyError::Secret { key: slot as usize, source })?;
        self.roster.restore(slot, id);
        self.open_priority(self.roster.keys[slot as usize].priority);
        if self.roster.keys[slot as usize].secret.expose() == secret.expose() {
            self.note_back(slot);
        } else {
            self.roster.keys[slot as usize].rest = None;
            for lane in &mut self.lanes {
                lane.key_rests.remove(&slot);
            }
            self.change_secret(slot, secret, now);
        }
        self.adjust(slot, key, zone, now);
        let owner = self.roster.keys[slot as usize].owner;
        if self.roster.owners[owner as usize].keys == 1 {
            self.allow_owner(owner, &[key], zone);
        } else {
            self.roster.give(owner, key);
            for lane in 0..self.lanes.len() as u16 {
                if (owner as usize) < self.lanes[usize::from(lane)].owners.len() {
                    self.replan_kept(lane, owner);
                }
            }
        }
        let busy = self.seats.out() > 0;
        self.roster.keys[slot as usize].ramp = if busy { RAMP_STEPS } else { 0 };
        self.join_again(slot);
        self.serve(now);
        Ok(())
    }
}
