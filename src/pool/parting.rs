//! Keys that leave, keys with a new secret, and a wall clock that was set, as the journal sees it.

use super::{
    lane::Origin,
    scope::Whom,
    state::{NO_MODEL, State},
};
use crate::{
    store::{KeyRecord, KeyStanding},
    time::Now,
    verdict::Scope,
};

impl State {
    /// A key leaves the pool, or gives its secret up: what is known of that secret stays in the store.
    pub(super) fn note_parted(&mut self, slot: u32, now: Now) {
        if self.journal.is_none() {
            return;
        }
        self.part_with_use(slot, now);
        let record = self.key_record(slot, now);
        let Some(journal) = &mut self.journal else { return };
        journal.parted.extend(record.map(|record| KeyRecord { state: KeyStanding::Removed, ..record }));
        journal.touched.retain(|(touched, _)| *touched != slot);
        if let Some(share) = &mut journal.share {
            share.stale = true;
        }
        if let Some(hash) = &journal.health(slot).hash.clone() {
            journal.known.by_hash.remove(hash);
        }
        self.news();
    }

    /// A key has another secret: what is known of the key is known of that one from now on.
    pub(super) fn note_replaced(&mut self, slot: u32) {
        if self.journal.is_none() {
            return;
        }
        let hash = self.secret_hash(slot);
        let owner = self.roster.keys[slot as usize].owner;
        let resting: Vec<u16> = (0u16..)
            .zip(&self.lanes)
            .filter(|(_, lane)| lane.key_rests.contains_key(&slot))
            .map(|(lane, _)| lane)
            .chain([NO_MODEL])
            .collect();
        for lane in &resting {
            for scope in [Scope::Key, Scope::KeyLane] {
                let id = self.rest_id(Whom { scope, slot, owner, lane: *lane });
                if let Some(journal) = &mut self.journal {
                    journal.rests_gone.extend(id);
                }
            }
        }
        let Some(journal) = &mut self.journal else { return };
        let old = journal.health(slot).hash.replace(hash.clone());
        journal.known.by_hash.insert(hash.clone(), slot);
        let named_after = old.map(|old| format!("key:{old}"));
        if journal.names.get(&owner).map(|name| &**name) == named_after.as_deref() {
            let units: Vec<_> = journal.marks.keys().filter(|unit| unit.1 == owner).copied().collect();
            for unit in &units {
                let lane = self.lanes[usize::from(unit.0)].name.to_string();
                journal.units_gone.extend(named_after.clone().map(|name| (name, lane)));
                journal.note_unit(*unit);
            }
            journal.names.insert(owner, format!("key:{hash}").into());
        }
        for lane in resting {
            self.note_key(slot, lane);
        }
    }

    /// The wall clock was set: whatever was written by it says something else by now.
    pub(super) fn note_all(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        for unit in journal.marks.keys().copied().collect::<Vec<_>>() {
            journal.note_unit(unit);
        }
        let slots: Vec<u32> = self.roster.slots().collect();
        for lane in 0..self.lanes.len() as u16 {
            if self.lanes[usize::from(lane)].origin == Origin::Free {
                continue;
            }
            for slot in &slots {
                if self.may_rest(*slot, self.roster.keys[*slot as usize].owner, lane) {
                    self.note_key(*slot, lane);
                }
            }
        }
        self.note_key(0, NO_MODEL);
    }

    /// The place of an owner is somebody else's from now on.
    pub(super) fn forget_owner(&mut self, owner: u32) {
        if let Some(journal) = &mut self.journal {
            if let Some(share) = &mut journal.share {
                share.forget_owner(owner);
            }
            journal.names.remove(&owner);
            journal.marks.retain(|unit, _| unit.1 != owner);
            journal.units.retain(|unit| unit.1 != owner);
        }
    }
}
