//! From a key to all that share its quota.

use super::{Affinity, KeyPool};
use crate::key::KeyId;

impl KeyPool {
    /// What leads to whoever owns this key's quota: to the owner by name, where it has one, else to the key. Where the key
    /// is gone, to the owner that was called `owner` when it was there. `None`: neither is in the pool.
    pub fn affinity_to(&self, key: &KeyId, owner: Option<&str>) -> Option<Affinity> {
        let state = self.lock();
        if let Some(slot) = state.roster.slot_of(key) {
            let cell = &state.roster.owners[state.roster.keys[slot as usize].owner as usize];
            let name = cell.extra.as_ref().and_then(|extra| extra.name.clone());
            return Some(name.map_or_else(|| Affinity::MustKey(key.clone()), Affinity::MustOwner));
        }
        let owner = owner?;
        let place = state.roster.owner_named(owner)?;
        (state.roster.owners[place as usize].keys() > 0).then(|| Affinity::MustOwner(owner.into()))
    }

    /// Whether its keys are of more owners than one.
    pub fn has_several_owners(&self) -> bool {
        self.lock().roster.owners.iter().filter(|owner| owner.keys() > 0).nth(1).is_some()
    }
}
