//! Keys that left: what was known of the last few of them, and of all that are still in flight, is kept, so that neither
//! windows nor slots nor rests are forgotten when one comes back.

use super::{Roster, hash_of, secret_hash};
use crate::key::{KeyId, Secret};

/// Removed keys whose history is kept.
const PARTED: usize = 256;

impl Roster {
    /// Takes a key out. Its cell stays: leases may still name it, and it may come back.
    pub(in crate::pool) fn remove(&mut self, slot: u32) {
        let cell = &mut self.keys[slot as usize];
        cell.removed = true;
        self.owners[cell.owner as usize].lose(1);
        self.exits.leave(cell.secret.exit());
        self.parted.push_back(slot);
    }

    /// A removed key of this secret, else of this name.
    pub(super) fn parted(&self, secret: &Secret, id: Option<&KeyId>) -> Option<u32> {
        let removed = |slot: &u32| Some(&self.keys[*slot as usize]).filter(|key| key.removed);
        let of_secret = |slot: &u32| removed(slot).is_some_and(|key| key.secret.expose() == secret.expose());
        let held = self.by_secret.find(secret_hash(secret), of_secret);
        let named =
            || id.and_then(|id| self.by_id.find(hash_of(id), |slot| removed(slot).is_some_and(|key| key.id == *id)));
        held.or_else(named).copied()
    }

    /// A removed key's secret is to be another key's: whoever brings it back finds that one. Whose windows counted it.
    pub(in crate::pool) fn disown(&mut self, secret: &Secret) -> Option<u32> {
        let slot = self.parted(secret, None)?;
        self.by_secret.find_entry(secret_hash(secret), |held| *held == slot).ok()?.remove();
        Some(self.keys[slot as usize].owner)
    }

    /// A removed key is in again, by this name.
    pub(in crate::pool) fn restore(&mut self, slot: u32, id: KeyId) {
        self.parted.retain(|parted| *parted != slot);
        // Its secret may have been another key's since.
        self.unindex(slot);
        self.index(slot);
        let cell = &mut self.keys[slot as usize];
        cell.removed = false;
        self.owners[cell.owner as usize].gain(1);
        self.exits.join(cell.secret.exit());
        if cell.id != id {
            self.rename(vec![(slot, id)]);
        }
    }

    /// Forgets a removed key, the first that left of those with nothing in flight, where there are too many. Its slot, and
    /// its owner's place if nobody shared it, may be taken from now on.
    pub(in crate::pool) fn forget_one(&mut self) -> Option<u32> {
        if self.parted.len() <= PARTED {
            return None;
        }
        for _ in 0..self.parted.len() {
            let slot = self.parted.pop_front()?;
            if self.keys[slot as usize].in_flight > 0 {
                self.parted.push_back(slot);
                continue;
            }
            self.unindex(slot);
            let key = &mut self.keys[slot as usize];
            key.extra = None;
            key.rest = None;
            let owner = &self.owners[key.owner as usize];
            if owner.keys() == 0 && owner.is_unnamed() {
                self.former.forget(key.owner);
                self.vacant.push(key.owner);
            }
            self.free.push(slot);
            return Some(slot);
        }
        None
    }
}
