//! The pool as a configuration wants it, while it runs: keys come, go and change, and what stays keeps its state.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{PoisonError, atomic::Ordering},
};

use super::{
    KeyPool, KeyPoolBuilder,
    builder::{Settings, millis, warn_of_a_crowd},
    event::Event,
    exits::USUAL,
    given::{last_of_each, stricter},
    lane::Origin,
    roster::{self, UNBOUNDED},
    shown::mask_reasons,
    state::{NO_MODEL, State},
};
use crate::{
    error::KeyError,
    key::{Key, KeyId, Secret, Tier},
    limit::Limits,
    time::Now,
};

/// What [`KeyPool::reconfigure`] did, by the keys' ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RosterChange {
    /// New keys.
    pub added: Vec<KeyId>,
    /// Keys that are gone. Requests that are under way with them end as they will.
    pub removed: Vec<KeyId>,
    /// Keys that have another secret, name, place, share, owner, exit or limit than before.
    pub changed: Vec<KeyId>,
}

impl RosterChange {
    /// Whether no key changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl KeyPool {
    /// Makes the running pool the one that this builder describes: exactly its keys, limits, strategy, spill, rests,
    /// wait and retry rule. A key that stays, by its secret, else by its id, keeps its counts and rests. Clock, guard and what an
    /// unjudged lease says stay as they are.
    ///
    /// # Errors
    /// What [`KeyPoolBuilder::build`] says, and [`KeyError::Provider`] where the builder is for another provider; nothing is
    /// changed then.
    pub fn reconfigure(&self, wanted: KeyPoolBuilder) -> Result<RosterChange, KeyError> {
        KeyError::unless_same(&*self.0.provider, &*wanted.provider)?;
        wanted.check()?;
        let now = self.0.clock.now();
        let (mut keys, limits, settings, wait, retry) = wanted.into_parts();
        mask_reasons(&mut keys);
        let mut state = self.lock();
        state.watch_wall(now);
        let wanted = state.check_keys(keys)?;
        let mut change = RosterChange::default();
        state.set_limits(limits, settings);
        state.wait = wait;
        state.expect_tokens();
        for wanted in &wanted {
            state.expect_tokens_of(&wanted.key);
        }
        state.set_keys(wanted, &mut change, now)?;
        state.serve(now);
        let crowded = state.models_without_a_lane();
        drop(state);
        warn_of_a_crowd(&crowded);
        *self.0.retry.lock().unwrap_or_else(PoisonError::into_inner) = retry;
        self.0.wait.store(millis(wait), Ordering::Relaxed);
        Ok(change)
    }
}

/// A key that is wanted: checked, with the id it will have, and the slot it has where it stays.
pub(super) struct Wanted {
    /// Its place among those given.
    number: usize,
    key: Key,
    secret: Secret,
    id: KeyId,
    zone: u8,
    slot: Option<u32>,
    /// Its slot has another secret.
    replaced: bool,
    /// Its secret was given more than once.
    twice: bool,
}

/// Keys that name the same owner, or one that names none: its name, its tier, and what they say of limits.
type Party<'a> = (Option<&'a str>, Option<&'a Tier>, BTreeMap<String, Limits>);

impl State {
    /// Finds out what each key will be, and refuses what cannot be. Changes nothing.
    fn check_keys(&mut self, keys: Vec<Key>) -> Result<Vec<Wanted>, KeyError> {
        let mut wanted: Vec<Wanted> = Vec::with_capacity(keys.len());
        let mut places: HashMap<String, usize> = HashMap::with_capacity(keys.len());
        for (number, key) in keys.into_iter().enumerate() {
            let secret =
                self.provider.prepare(&key.secret).map_err(|source| KeyError::Secret { key: Some(number), source })?;
            let id = key.key_id();
            roster::check(&key, &id)?;
            self.roster.exits.number(key.exit.as_deref())?;
            let zone = match &key.zone {
                Some(name) => {
                    self.zone(name).ok_or_else(|| KeyError::Zone { id: id.clone(), zone: key.masked(name) })?
                }
                None => 0,
            };
            if let Some(first) = places.insert(secret.expose().to_owned(), wanted.len()) {
                wanted[first].twice = true;
                places.insert(secret.expose().to_owned(), first);
                continue;
            }
            let slot = self.roster.slot_of_secret(&secret);
            wanted.push(Wanted { number, key, secret, id, zone, slot, replaced: false, twice: false });
        }
        self.name(&mut wanted)?;
        self.roster.check_all_names(wanted.iter().map(|wanted| (wanted.number, &wanted.key, &wanted.secret)))?;
        let staying: HashSet<u32> = wanted.iter().filter_map(|wanted| wanted.slot).collect();
        for wanted in wanted.iter_mut().filter(|wanted| wanted.slot.is_none() && wanted.key.id.is_some()) {
            // Same name, another secret: it is the same key.
            wanted.slot = self.roster.slot_of(&wanted.id).filter(|slot| !staying.contains(slot));
            wanted.replaced = wanted.slot.is_some();
        }
        Ok(wanted)
    }

    /// No two of one name: given ones first, then derived ones, the longer form where the short one is taken.
    fn name(&self, wanted: &mut [Wanted]) -> Result<(), KeyError> {
        let mut taken: HashSet<KeyId> = HashSet::with_capacity(wanted.len());
        for given in wanted.iter().filter(|wanted| wanted.key.id.is_some()) {
            if !taken.insert(given.id.clone()) {
                return Err(KeyError::DuplicateId { id: given.id.clone(), key: Some(given.number) });
            }
        }
        for wanted in wanted.iter_mut().filter(|wanted| wanted.key.id.is_none()) {
            let held = wanted.slot.map(|slot| self.roster.keys[slot as usize].id.clone());
            let longer = wanted.key.longer_id();
            // A key that had to take the longer form keeps it.
            let kept = held.filter(|held| longer.as_ref() == Some(held));
            let names = [kept, Some(wanted.id.clone()), longer];
            let free = names.into_iter().flatten().find(|name| !taken.contains(name));
            wanted.id =
                free.ok_or_else(|| KeyError::DuplicateId { id: wanted.id.clone(), key: Some(wanted.number) })?;
            taken.insert(wanted.id.clone());
        }
        Ok(())
    }

    fn set_limits(&mut self, limits: super::configured::GivenLimits, settings: Settings) {
        // Whoever has more exits than there are numbers hears of it from the keys.
        let _ = self.roster.exits.same_everywhere(&settings.same_exits);
        let again = self.settings.strategy != settings.strategy;
        let known = self.settings.known_limits != settings.known_limits;
        self.settings = Settings { guard: self.settings.guard, unjudged: self.settings.unjudged, ..settings };
        if again {
            self.rank_afresh();
        }
        if known || self.limits != limits {
            self.limits = limits;
            self.configure_lanes();
            for lane in 0..self.lanes.len() as u16 {
                for owner in 0..self.lanes[usize::from(lane)].owners.len() as u32 {
                    self.replan_kept(lane, owner);
                }
            }
        }
    }

    /// Ranks of one strategy mean nothing to another.
    fn rank_afresh(&mut self) {
        let slots: Vec<u32> = self.roster.slots().collect();
        for slot in &slots {
            self.leave_lanes(*slot);
        }
        for lane in self.lanes.iter_mut().filter(|lane| lane.origin != Origin::Free) {
            lane.groups.iter_mut().for_each(|group| group.time = 0.0);
            lane.cells.iter_mut().for_each(|cell| cell.rank = 0);
        }
        for slot in slots {
            self.revive_key(slot);
        }
    }

    fn set_keys(&mut self, wanted: Vec<Wanted>, change: &mut RosterChange, now: Now) -> Result<(), KeyError> {
        let staying: HashSet<u32> = wanted.iter().filter_map(|wanted| wanted.slot).collect();
        let leaving: Vec<u32> = self.roster.slots().filter(|slot| !staying.contains(slot)).collect();
        for slot in leaving {
            change.removed.push(self.roster.keys[slot as usize].id.clone());
            self.remove(slot, now);
        }
        let mut changed: BTreeSet<u32> = BTreeSet::new();
        let new_name = |wanted: &Wanted| {
            let slot = wanted.slot.filter(|slot| self.roster.keys[*slot as usize].id != wanted.id)?;
            Some((slot, wanted.id.clone()))
        };
        let names: Vec<(u32, KeyId)> = wanted.iter().filter_map(new_name).collect();
        changed.extend(names.iter().map(|(slot, _)| *slot));
        for (slot, _) in &names {
            self.note_key(*slot, NO_MODEL);
        }
        self.roster.rename(names);
        self.roster.merged.clear();
        changed.extend(self.rename_owners(&wanted));
        let mut slots = Vec::with_capacity(wanted.len());
        for Wanted { number, key, secret, id, zone, slot, replaced, twice } in wanted {
            let slot = if let Some(slot) = slot {
                if replaced {
                    self.replace(slot, &key.secret, now)?;
                    changed.insert(slot);
                }
                if self.adjust(slot, &key, zone, now) {
                    changed.insert(slot);
                }
                slot
            } else {
                let named = key.clone().id(id);
                change.added.push(self.add(Some(number), named, now, true)?);
                let Some(slot) = self.roster.slot_of_secret(&secret) else { continue };
                slot
            };
            if twice {
                self.merged(slot);
            }
            slots.push((slot, key, zone));
        }
        changed.extend(self.allow_owners(&slots));
        let ids = changed.iter().filter(|slot| staying.contains(slot)).map(|slot| &self.roster.keys[*slot as usize].id);
        change.changed = ids.cloned().collect();
        change.changed.sort_unstable();
        for key in change.changed.clone() {
            self.event(|| Event::Roster { key, change: "changed" });
        }
        Ok(())
    }

    /// What a key that stays has of its own.
    pub(super) fn adjust(&mut self, slot: u32, wanted: &Key, zone: u8, now: Now) -> bool {
        let mut changed = self.move_owner(slot, wanted.owner.as_deref(), zone, now);
        let most = wanted.max_concurrent.unwrap_or(UNBOUNDED);
        let interval = u32::try_from(wanted.min_interval.as_millis()).unwrap_or(u32::MAX);
        changed |= self.configure_own(slot, most, interval);
        // It is known since it was checked.
        let exit = wanted.exit.as_deref().and_then(|exit| self.roster.exits.find(exit)).unwrap_or(USUAL);
        changed |= self.move_out_by(slot, exit, now);
        let cell = &mut self.roster.keys[slot as usize];
        let held = cell.extra.as_ref().map(|extra| (extra.labels.clone(), extra.tier.clone())).unwrap_or_default();
        if held != (wanted.labels.clone(), wanted.tier.clone()) {
            let extra = cell.extra.get_or_insert_default();
            (extra.labels, extra.tier) = (wanted.labels.clone(), wanted.tier.clone());
            changed = true;
        }
        let cell = &self.roster.keys[slot as usize];
        if held.1.as_ref().unwrap_or(&Tier::Free) != wanted.tier.as_ref().unwrap_or(&Tier::Free) {
            // What was learned was another tier's.
            self.unlearn(cell.owner, now);
        }
        let cell = &self.roster.keys[slot as usize];
        let reordered = cell.priority != wanted.priority.0;
        if cell.weight.to_bits() != wanted.weight.to_bits() {
            self.reweigh(slot, wanted.weight);
            changed = true;
        }
        if reordered {
            self.reorder(slot, wanted.priority.0);
        }
        if changed || reordered {
            self.join_again(slot);
        }
        changed || reordered
    }

    /// Owners all of whose keys are to be of another, new name are called so. Says whose keys they are.
    fn rename_owners(&mut self, wanted: &[Wanted]) -> Vec<u32> {
        let mut names: BTreeMap<u32, Vec<(u32, Option<&str>)>> = BTreeMap::new();
        for one in wanted.iter().filter(|one| !one.replaced) {
            let Some(slot) = one.slot else { continue };
            names.entry(self.roster.keys[slot as usize].owner).or_default().push((slot, one.key.owner.as_deref()));
        }
        let mut renamed = Vec::new();
        for (owner, keys) in names {
            let Some((_, Some(name))) = keys.first().copied() else { continue };
            let is_one = keys.iter().all(|(_, other)| *other == Some(name));
            let extra = self.roster.owners[owner as usize].extra.as_ref();
            let named = extra.is_some_and(|extra| extra.name.is_some() && extra.consumer.is_none());
            let all = keys.len() > 1 && keys.len() == self.roster.owners[owner as usize].keys() as usize;
            if !(is_one && named && all) || self.roster.owner_named(name).is_some() {
                continue;
            }
            self.roster.call(owner, Some(name));
            self.note_called(keys[0].0);
            for (slot, _) in keys {
                self.configured(slot, Some(name), false);
                renamed.push(slot);
            }
        }
        renamed
    }

    /// What owners are allowed follows from their keys. Says whose keys are allowed something else than before.
    fn allow_owners(&mut self, keys: &[(u32, Key, u8)]) -> Vec<u32> {
        // In a fixed order: the same run replays the same.
        let mut of_owner: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (n, (slot, ..)) in keys.iter().enumerate() {
            of_owner.entry(self.roster.keys[*slot as usize].owner).or_default().push(n);
        }
        let mut changed = Vec::new();
        for (owner, members) in of_owner {
            let members: Vec<&(u32, Key, u8)> = members.into_iter().map(|n| &keys[n]).collect();
            let own: Vec<&Key> = members.iter().map(|(_, key, _)| key).collect();
            let zone = members.iter().find(|(_, key, _)| key.zone.is_some()).map_or(0, |(.., zone)| *zone);
            if self.allow_owner(owner, &own, zone) {
                changed.extend(members.iter().map(|(slot, ..)| *slot));
            }
        }
        changed
    }

    pub(super) fn allow_owner(&mut self, owner: u32, keys: &[&Key], zone: u8) -> bool {
        let limits = self.said_of_limits(keys);
        let assumed =
            keys.iter().map(|key| &key.assumed).find(|assumed| !assumed.is_empty()).cloned().unwrap_or_default();
        let tier = keys.iter().find_map(|key| key.tier.clone());
        let account = keys.iter().find_map(|key| key.billing_account.as_deref());
        let account = self.roster.account_called(account);
        let cell = &mut self.roster.owners[owner as usize];
        let elsewhere = (cell.zone(), cell.account) != (zone, account);
        cell.move_to(zone);
        cell.account = account;
        let plain = limits.is_empty() && assumed.is_empty() && tier.is_none();
        let same = cell.extra.as_ref().map_or(plain, |extra| {
            super::configured::same(&extra.limits, &limits) && extra.assumed == assumed && extra.tier == tier
        });
        if !same {
            let extra = cell.extra.get_or_insert_default();
            (extra.limits, extra.assumed, extra.tier) = (limits, assumed, tier);
            let models: Vec<String> =
                extra.limits.iter().map(|(model, _)| model.clone()).filter(|m| m != "*").collect();
            for model in models {
                self.configure_lane(&model);
            }
            for lane in 0..self.lanes.len() as u16 {
                if (owner as usize) < self.lanes[usize::from(lane)].owners.len() {
                    self.replan_kept(lane, owner);
                }
            }
        }
        if elsewhere || !same {
            self.revive_owner(owner);
        }
        elsewhere || !same
    }

    /// The limits that keys of one owner give it, by the same rules by which they come in one by one: of two the
    /// stricter holds, and where the provider's word made one owner of several, what was given to either counts.
    fn said_of_limits(&self, keys: &[&Key]) -> Vec<(String, Limits)> {
        let mut parties: Vec<Party<'_>> = Vec::new();
        for key in keys {
            let name = key.owner.as_deref();
            let held = parties.iter().position(|(held, ..)| name.is_some() && *held == name);
            let at = held.unwrap_or_else(|| {
                parties.push((name, key.tier.as_ref(), BTreeMap::new()));
                parties.len() - 1
            });
            for (model, limits) in last_of_each(&key.limits) {
                let held = parties[at].2.entry(model).or_insert_with(|| limits.clone());
                *held = stricter(held, &limits);
            }
        }
        let mut models: Vec<&String> = parties.iter().flat_map(|(.., limits)| limits.keys()).collect();
        models.sort_unstable();
        models.dedup();
        let given = |(_, tier, limits): &Party<'_>, model: &str| {
            let own = limits.get(model).or_else(|| limits.get("*"));
            own.or_else(|| self.limits.of(model, *tier)).cloned().unwrap_or_default()
        };
        let all = |model: &String| {
            let said = match parties.as_slice() {
                [(.., limits)] => limits[model].clone(),
                parties => parties.iter().fold(Limits::new(), |held, party| stricter(&held, &given(party, model))),
            };
            (model.clone(), said)
        };
        models.into_iter().map(all).collect()
    }
}
