//! Keys and lanes that leave, keys with a new secret, and a wall clock that was set, as the journal sees it.

use std::sync::Arc;

use super::{
    lane::Origin,
    scope::Whom,
    state::{NO_MODEL, SHARED, State},
    uses::Used,
};
use crate::{
    store::{KeyRecord, KeyStanding, RestId, UsageRecord},
    time::Now,
    verdict::Scope,
};

/// So many are remembered whose place is another's.
const GIVEN_UP: usize = 256;

/// A secret that gave its place to another.
pub(super) struct GivenUp {
    slot: u32,
    /// The last start that was its.
    last: u64,
    hash: Arc<str>,
}

impl State {
    /// The secret that this start went out by, where its place has another by now.
    #[inline]
    pub(super) fn given_up(&self, slot: u32, start: u64) -> Option<Arc<str>> {
        let given_up = &self.journal.as_ref()?.given_up;
        given_up.iter().find(|held| held.slot == slot && start <= held.last).map(|held| Arc::clone(&held.hash))
    }

    /// What a request did is known of the secret that it went out by.
    #[cold]
    pub(super) fn note_of_former(&mut self, secret: Arc<str>, (slot, lane): (u32, u16), used: Used, now: Now) {
        let told = self.usage_record(slot, lane, used, now).map(|told| UsageRecord { key: secret, ..told });
        if let Some(journal) = &mut self.journal {
            journal.parted_use.extend(told);
        }
        self.news();
    }

    /// A lane is given up; its number may mean another from now on. What was used there counts among lanes without a
    /// name of their own: anybody can name one that does not exist.
    pub(super) fn forget_lane(&mut self, lane: u16) {
        self.post_entries();
        let Some(journal) = &mut self.journal else { return };
        let name = &self.lanes[usize::from(lane)].name;
        for unit in journal.marks.units().filter(|unit| unit.0 == lane) {
            journal.units_gone.extend(journal.names.get(&unit.1).map(|owner| (owner.to_string(), name.to_string())));
        }
        let bound = |scope, whom: &Arc<str>| RestId { scope, whom: whom.to_string(), lane: Some(name.to_string()) };
        let owners = self.lanes[usize::from(lane)].extras.iter().filter(|(_, extra)| extra.rest.is_some());
        let owners = owners.filter_map(|(owner, _)| journal.names.get(owner));
        journal.rests_gone.extend(owners.map(|owner| bound(Scope::OwnerLane, owner)));
        let keys = self.lanes[usize::from(lane)].key_rests.keys();
        let keys = keys.filter_map(|slot| journal.health.get(*slot as usize)?.hash.as_ref());
        journal.rests_gone.extend(keys.map(|key| bound(Scope::KeyLane, key)));
        if let Some(share) = &mut journal.share {
            share.forget_lane(lane);
        }
        journal.marks.forget_lane(lane);
        journal.units.retain(|unit| unit.0 != lane);
        journal.touched =
            journal.touched.drain().map(|(slot, at)| (slot, if at == lane { NO_MODEL } else { at })).collect();
        journal.used.move_lane(lane, SHARED);
    }

    /// A key leaves the pool, or gives its secret up: what is known of that secret stays in the store.
    pub(super) fn note_parted(&mut self, slot: u32, now: Now) {
        if self.journal.is_none() {
            return;
        }
        self.part_with_use(slot, now);
        let record = self.key_record(slot, now);
        let Some(journal) = &mut self.journal else { return };
        journal.parted.extend(record.map(|record| KeyRecord { state: KeyStanding::Removed, ..record }));
        if let Some(share) = &mut journal.share {
            share.stale = true;
        }
        if let Some(hash) = &journal.health(slot).hash.clone() {
            journal.known.by_hash.remove(hash);
        }
        self.news();
    }

    /// A key that left is forgotten: what its slot says of rests is nobody's.
    pub(super) fn note_forgotten(&mut self, slot: u32) {
        if let Some(journal) = &mut self.journal {
            journal.given_up.retain(|held| held.slot != slot);
            for lane in 0..self.lanes.len() as u16 {
                journal.touched.remove(&(slot, lane));
            }
        }
    }

    /// What the store has of a key that is in again is true of it once more.
    pub(super) fn note_back(&mut self, slot: u32) {
        let Some(journal) = &mut self.journal else { return };
        if let Some(hash) = journal.health(slot).hash.clone() {
            journal.known.by_hash.insert(hash, slot);
        }
        // The wall clock may have been set meanwhile.
        self.note_rests(slot);
        self.note_key(slot, NO_MODEL);
    }

    /// Whatever rests this key, in any lane.
    fn note_rests(&mut self, slot: u32) {
        let owner = self.roster.keys[slot as usize].owner;
        for lane in 0..self.lanes.len() as u16 {
            if self.lanes[usize::from(lane)].origin != Origin::Free && self.may_rest(slot, owner, lane) {
                self.note_key(slot, lane);
            }
        }
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
        journal.known.by_hash.insert(hash, slot);
        if let Some(share) = &mut journal.share {
            share.forget_key(slot);
        }
        if let Some(hash) = old.clone() {
            if journal.given_up.len() >= GIVEN_UP {
                journal.given_up.remove(0);
            }
            journal.given_up.push(GivenUp { slot, last: self.seq, hash });
        }
        let named_after = old.map(|old| format!("key:{old}"));
        if journal.names.get(&owner).map(|name| &**name) == named_after.as_deref() {
            self.note_called(slot);
        }
        for lane in resting {
            self.note_key(slot, lane);
        }
    }

    /// What the owner of this key is called in the store, where nobody has said so yet.
    pub(super) fn name_owner(&mut self, slot: u32) {
        let Some(name) = self.owner_in_store(slot) else { return };
        if let Some(journal) = &mut self.journal {
            journal.names.entry(self.roster.keys[slot as usize].owner).or_insert(name);
        }
    }

    /// The owner of this key is called otherwise by now: its counts and rests move over.
    pub(super) fn note_called(&mut self, slot: u32) {
        // Where owners are shared the board's name stays.
        if self.share().is_some() {
            return;
        }
        let (Some(name), owner) = (self.owner_in_store(slot), self.roster.keys[slot as usize].owner) else { return };
        let Some(journal) = &mut self.journal else { return };
        let Some(old) = journal.names.insert(owner, Arc::clone(&name)).filter(|old| *old != name) else { return };
        for unit in journal.marks.units().filter(|unit| unit.1 == owner).collect::<Vec<_>>() {
            let lane = self.lanes[usize::from(unit.0)].name.to_string();
            journal.units_gone.push((old.to_string(), lane));
            journal.note_whole(unit);
        }
        let of_it = |id: &RestId| matches!(id.scope, Scope::Owner | Scope::OwnerLane) && id.whom == *old;
        let rests: Vec<RestId> = journal.rests.extract_if(of_it).collect();
        journal.rests_gone.extend(rests);
        let resting = (0u16..).zip(&self.lanes).filter(|(_, lane)| lane.has_extra(owner));
        for lane in resting.map(|(lane, _)| lane).chain([NO_MODEL]).collect::<Vec<_>>() {
            self.note_key(slot, lane);
        }
    }

    /// By its name, else by the secret of this key.
    pub(super) fn owner_in_store(&self, slot: u32) -> Option<Arc<str>> {
        let extra = self.roster.owners[self.roster.keys[slot as usize].owner as usize].extra.as_ref();
        let hash = || self.journal.as_ref()?.health.get(slot as usize)?.hash.as_ref();
        extra.and_then(|extra| extra.name.clone()).or_else(|| hash().map(|hash| ["key:", hash].concat().into()))
    }

    /// The wall clock was set: whatever was written by it says something else by now.
    pub(super) fn note_all(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        for unit in journal.marks.units().collect::<Vec<_>>() {
            journal.note_whole(unit);
        }
        for slot in self.roster.slots().collect::<Vec<_>>() {
            self.note_rests(slot);
        }
        self.note_key(0, NO_MODEL);
    }

    /// The place of an owner is somebody else's from now on.
    pub(super) fn forget_owner(&mut self, owner: u32) {
        self.post_entries();
        if let Some(journal) = &mut self.journal {
            if let Some(share) = &mut journal.share {
                share.forget_owner(owner);
            }
            journal.names.remove(&owner);
            journal.marks.forget_owner(owner);
            journal.units.retain(|unit| unit.1 != owner);
        }
    }
}
