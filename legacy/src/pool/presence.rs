//! Keys that leave, and those that come back: taken out of a file and put in again, a key has its history still.

use super::{
    event::Event,
    rest::{End, Rest},
    roster::RAMP_STEPS,
    state::State,
};
use crate::{
    error::KeyError,
    key::{Key, KeyId},
    time::Now,
};

impl State {
    pub(super) fn remove(&mut self, slot: u32, now: Now) {
        self.leave_lanes(slot);
        self.guard.forget(slot);
        self.roster.merged.retain(|merged| *merged != slot);
        let (key, priority) = (self.roster.keys[slot as usize].id.clone(), self.roster.keys[slot as usize].priority);
        self.note_parted(slot, now);
        self.roster.remove(slot);
        self.lost();
        self.close_priority(priority);
        while let Some(forgotten) = self.roster.forget_one() {
            self.note_forgotten(forgotten);
            for lane in &mut self.lanes {
                lane.key_rests.remove(&forgotten);
                lane.trusted.forget(forgotten);
            }
        }
        self.event(|| Event::Roster { key, change: "removed" });
    }

    /// A key that was removed is in again, as it is wanted now: its requests in flight, its starts and its rests are what
    /// they were. By its name alone, with another secret, it is looked at afresh: what rested was the old one.
    pub(super) fn take_back(&mut self, slot: u32, id: KeyId, key: &Key, zone: u8, now: Now) -> Result<(), KeyError> {
        let secret = self.provider.prepare(&key.secret).map_err(|source| KeyError::Secret { key: None, source })?;
        self.roster.restore(slot, id);
        self.open_priority(self.roster.keys[slot as usize].priority);
        if self.roster.keys[slot as usize].secret.expose() == secret.expose() {
            self.note_back(slot);
        } else {
            self.drop_rests(slot);
            self.change_secret(slot, secret, now);
        }
        self.adjust(slot, key, zone, now);
        let owner = self.roster.keys[slot as usize].owner;
        if self.roster.owners[owner as usize].keys() == 1 {
            self.allow_owner(owner, &[key], zone);
        } else {
            self.roster.give(owner, key);
            for lane in 0..self.lanes.len() as u16 {
                if (owner as usize) < self.lanes[usize::from(lane)].owners.len() {
                    self.replan_kept(lane, owner);
                }
            }
        }
        let used = self.roster.used_before(slot);
        self.count_former(slot, used, now);
        let busy = self.seats.out() > 0;
        self.roster.keys[slot as usize].ramp = if busy { RAMP_STEPS } else { 0 };
        self.join_again(slot);
        self.serve(now);
        Ok(())
    }

    /// Another secret is not to answer for the old one: what rests the key itself is over, and what rests for good the
    /// owner that nobody named, which was that secret's. What is said of it late [is no news](State::of_an_old_secret).
    fn drop_rests(&mut self, slot: u32) {
        let key = &mut self.roster.keys[slot as usize];
        key.rest = None;
        key.extra.get_or_insert_default().others_until = self.seq;
        let owner = key.owner;
        let held = &mut self.roster.owners[owner as usize];
        let unnamed = held.is_unnamed();
        let for_good = |rest: &mut Box<Rest>| unnamed && rest.end == End::Never;
        held.rest.take_if(for_good);
        for lane in &mut self.lanes {
            lane.key_rests.remove(&slot);
            lane.trusted.forget(slot);
            if let Some(extra) = lane.extra_of_mut(owner) {
                extra.rest.take_if(for_good);
            }
        }
    }
}
