//! What keys allow by themselves where another process has it stricter: that holds here as well. Each says what it was
//! configured with, and asks for what others say while these differ.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    pool::{roster::UNBOUNDED, state::State},
    share::{Kind, UnitId, UnitInfo, own, own::Own},
};

/// Of keys by hash: what was configured here, and what others have.
#[derive(Debug, Default)]
pub(super) struct Stricter {
    keys: HashMap<Arc<str>, (Own, Own)>,
    /// Somebody else has keys with limits of their own.
    elsewhere: bool,
}

impl State {
    fn own(&self, slot: u32) -> Own {
        let key = &self.roster.keys[slot as usize];
        let concurrent = (key.max_concurrent != UNBOUNDED).then_some(key.max_concurrent);
        Own { concurrent, interval: key.interval_ms }
    }

    fn set_own(&mut self, slot: u32, own: Own) {
        let key = &mut self.roster.keys[slot as usize];
        (key.max_concurrent, key.interval_ms) = (own.concurrent.unwrap_or(UNBOUNDED), own.interval);
    }

    /// What keys were configured to allow, for the board; and while others `differ` the units that it is asked for.
    pub(super) fn enrol_own(&mut self, differ: bool) -> (Vec<UnitInfo>, Vec<UnitId>) {
        let Some(share) = self.share() else { return Default::default() };
        let limited = self.roster.slots().any(|slot| self.limits_itself(slot));
        // Of most pools no key has any: whether one of another's has is a single question.
        let all = differ && (limited || share.stricter.elsewhere);
        let info = |hash: &str, own: Own| {
            let (unit, kind) = (own::unit_of(hash), Kind::from("key"));
            UnitInfo { unit, kind, limits: own.limits(), guard: None, joins: Vec::new() }
        };
        let (mut infos, mut asked) = (Vec::new(), Vec::new());
        for slot in self.roster.slots().filter(|slot| all || self.limits_itself(*slot)) {
            let Some(hash) = self.hash_of(slot) else { continue };
            let known = share.stricter.keys.get(&hash);
            let configured = known.map_or_else(|| self.own(slot), |(configured, _)| *configured);
            if !configured.is_none() {
                infos.push(info(&hash, configured));
            }
            if all {
                asked.push(own::unit_of(&hash));
            }
        }
        if differ {
            asked.push(own::unit_of(""));
        }
        if !infos.is_empty() {
            infos.push(info("", Own { concurrent: Some(1), interval: 0 }));
        }
        (infos, asked)
    }

    /// Nobody has other limits any more.
    pub(super) fn ease_own(&mut self) {
        let stricter = self.share_mut().map(|share| std::mem::take(&mut share.stricter)).unwrap_or_default();
        for (hash, (configured, _)) in stricter.keys {
            if let Some(slot) = self.slot_by_hash(&hash) {
                self.set_own(slot, configured);
                self.join_again(slot);
            }
        }
    }

    /// Others have this of a key. `false`: it is no such unit.
    pub(super) fn tighten_own(&mut self, unit: &UnitId, told: Own) -> bool {
        let Some(hash) = own::key_of(unit) else { return false };
        let Some(share) = self.share_mut() else { return true };
        if hash.is_empty() {
            share.stale |= std::mem::replace(&mut share.stricter.elsewhere, !told.is_none()) == told.is_none();
            return true;
        }
        let Some(slot) = self.slot_by_hash(hash) else { return true };
        let now = self.own(slot);
        let Some(share) = self.share_mut() else { return true };
        let configured = share.stricter.keys.get(hash).map_or(now, |(configured, _)| *configured);
        let own = configured.and(told);
        if own == configured {
            share.stricter.keys.remove(hash);
        } else {
            share.stricter.keys.insert(hash.into(), (configured, told));
        }
        if own != now {
            self.set_own(slot, own);
            self.own_changed(slot);
        }
        true
    }

    fn own_changed(&mut self, slot: u32) {
        self.units_changed();
        self.join_again(slot);
        self.ring();
    }

    /// A key is configured to allow this from now on. Whether it was not.
    pub(in crate::pool) fn configure_own(&mut self, slot: u32, concurrent: u16, interval: u32) -> bool {
        let wanted = Own { concurrent: (concurrent != UNBOUNDED).then_some(concurrent), interval };
        let hash = self.hash_of(slot);
        let known = hash.and_then(|hash| self.share_mut()?.stricter.keys.get_mut(&hash));
        let (before, own) = match known {
            Some((configured, told)) => (std::mem::replace(configured, wanted), wanted.and(*told)),
            None => (self.own(slot), wanted),
        };
        self.set_own(slot, own);
        if before != wanted {
            self.units_changed();
        }
        before != wanted
    }
}
