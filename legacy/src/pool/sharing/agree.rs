//! The pool's owners are what all processes agree on: see [`names`](super::names).

use std::{collections::HashSet, sync::Arc, time::Duration};

use hashbrown::HashMap;

use super::{
    events,
    names::{Named, Said},
};
use crate::{
    pool::state::State,
    share::{News, OWNER, Renewal, Reply, UnitId},
    time::Now,
};

/// How often names are said.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

impl State {
    /// Says what owners of keys are called that the board may not have heard of.
    pub(super) fn tell_names(&mut self) {
        for slot in self.roster.slots().collect::<Vec<_>>() {
            if self.share().is_none_or(|share| share.names.called(slot).is_some()) {
                continue;
            }
            let (Some(called), Some(hash)) = (self.owner_in_store(slot), self.hash_of(slot)) else { continue };
            let owner = self.roster.keys[slot as usize].owner;
            let Some(journal) = &mut self.journal else { return };
            let Some(share) = &mut journal.share else { return };
            share.names.key(slot).called = Some(Arc::clone(&called));
            let name = journal.names.get(&owner).unwrap_or(&called);
            if share.names.of_key(&hash).is_none() {
                let named = Named { name: Arc::clone(name), called, generation: 0 };
                let news = share.names.name(&hash, named);
                share.news.push(news);
            } else if share.names.board != 0 {
                // The board has named it long ago.
                share.names.key(slot).agreed = true;
            }
        }
        if self.share().is_some_and(|share| share.names.board != 0) {
            self.agree();
        }
    }

    /// Names and facts without end are said again once a day, so that the board knows which are used still.
    pub(super) fn tell_names_still(&mut self, now: Now) {
        let Some(share) = self.share_mut() else { return };
        let last = share.names.said.get_or_insert(now.tick);
        if !share.names.overdue && now.tick.since(*last) < AGAIN {
            return;
        }
        *last = now.tick;
        share.names.overdue = false;
        self.tell_facts_still(now);
        let hashes: Vec<_> = self.roster.slots().filter_map(|slot| self.hash_of(slot)).collect();
        let Some(share) = self.share_mut() else { return };
        let mut said = HashSet::new();
        for hash in hashes {
            let still = share.names.still(&hash, &mut said);
            share.news.extend(still);
        }
    }

    pub(super) fn hash_of(&self, slot: u32) -> Option<Arc<str>> {
        self.journal.as_ref()?.health.get(slot as usize)?.hash.clone()
    }

    /// What the board says of names, before anything that it grants is used.
    pub(super) fn hear_names(&mut self, renewal: &Renewal, reply: &Reply) {
        let Some(share) = self.share_mut() else { return };
        let lost = share.names.board != 0 && share.names.board != reply.generation;
        share.names.board = reply.generation;
        share.alone = reply.alone;
        let said = reply.facts.iter().filter_map(|(scope, fact)| Said::read(scope, fact.generation, &fact.why));
        let said: Vec<Said> = said.collect();
        // What this process said and the board has nothing to say to holds.
        let own = renewal.news.iter().filter(|news| news.0 <= reply.news && !lost).filter_map(|(_, news)| {
            let News::Rest { scope, generation, .. } = news else { return None };
            let hash = scope.strip_prefix(OWNER)?;
            let holds = !reply.facts.contains_key(scope) && share.names.is_said(hash, *generation);
            holds.then(|| Arc::<str>::from(hash))
        });
        let mut heard: Vec<Arc<str>> = own.collect();
        if said.is_empty() && heard.is_empty() && !lost {
            return;
        }
        for one in said {
            let Some(share) = self.share_mut() else { return };
            match one {
                Said::Owner(hash, named) => {
                    share.names.hear(&hash, named);
                    heard.push(hash);
                }
                Said::Alias(old, into) => {
                    if share.names.hear_alias(Arc::clone(&old), &into) {
                        self.leave_units(&[old, into]);
                    }
                }
            }
        }
        let mut conflicts = 0;
        for hash in heard {
            if let Some(slot) = self.slot_by_hash(&hash) {
                conflicts += u64::from(self.hear_name(slot, &hash, reply.alone));
            }
        }
        if lost {
            self.tell_names_again();
            self.tell_facts_again(self.last_now);
        }
        let merged = self.agree();
        // Nobody else said so by now: it was configured as one once.
        if reply.alone {
            conflicts += merged;
        }
        if conflicts > 0
            && let Some(share) = self.share_mut()
        {
            share.tally.conflicts += conflicts;
            events::tell_conflict(conflicts);
        }
    }

    /// The board says what a key's owner is called. Whether it was configured otherwise elsewhere.
    fn hear_name(&mut self, slot: u32, hash: &Arc<str>, alone: bool) -> bool {
        let Some(share) = self.share_mut() else { return false };
        let Some(named) = share.names.of_key(hash).cloned() else { return false };
        let key = share.names.key(slot);
        let (called, agreed) = (key.called.clone(), std::mem::replace(&mut key.agreed, true));
        let owner = self.roster.keys[slot as usize].owner;
        if agreed {
            // Somebody moved it while he ran.
            let ours = self.journal.as_ref().and_then(|journal| journal.names.get(&owner)).cloned();
            let Some(share) = self.share() else { return false };
            let root = share.names.root(&named.name);
            if self.roster.owners[owner as usize].keys() > 1 && ours.is_some_and(|ours| share.names.root(&ours) != root)
            {
                let known = share.names.owners.get(&root).copied();
                let zone = self.roster.owners[owner as usize].zone();
                let into = known.unwrap_or_else(|| self.roster.owner_called(None, zone));
                self.move_key(slot, into);
                self.call_owner(into, &root);
                self.join_again(slot);
            }
            return false;
        }
        self.revive_key(slot);
        let Some(called) = called.filter(|called| *called != named.called) else { return false };
        if alone {
            // Nobody else says otherwise: it was configured anew since.
            self.rename_key(slot, hash, called);
            return false;
        }
        true
    }

    /// An owner is called otherwise here, as somebody configured it while this process runs: its quota is the same.
    fn rename_key(&mut self, slot: u32, hash: &Arc<str>, called: Arc<str>) {
        let Some(share) = self.share_mut() else { return };
        let Some(named) = share.names.of_key(hash).cloned() else {
            // Nobody named this secret yet: it is told with the next renewal, as it is called by then.
            share.names.key(slot).called = None;
            share.stale = true;
            return;
        };
        share.names.key(slot).called = Some(Arc::clone(&called));
        let news = share.names.name(hash, Named { called, generation: named.generation + 1, ..named });
        share.news.push(news);
        self.ring();
    }

    /// Whether a key's owner was configured by this name already, so that where the key is now is what processes agreed on.
    pub(in crate::pool) fn is_configured(&self, slot: u32, name: Option<&str>) -> bool {
        let Some(share) = self.share() else { return false };
        let (Some(called), Some(hash)) = (share.names.called(slot), self.hash_of(slot)) else { return false };
        match name {
            Some(name) => **called == *name,
            None => called.strip_prefix("key:") == Some(&*hash),
        }
    }

    /// Whether it is of one quota with others though this process's configuration never said so of it.
    pub(in crate::pool) fn is_joined(&self, slot: u32) -> bool {
        let Some(share) = self.share() else { return false };
        let owner = self.roster.keys[slot as usize].owner;
        let called = share.names.called(slot);
        let mut others = self.roster.slots().filter(|other| *other != slot);
        let is_with =
            |other: u32| self.roster.keys[other as usize].owner == owner && share.names.called(other) == called;
        !others.any(is_with)
    }

    /// A key's owner is another from now on by this process's configuration; `parted`: it left others there.
    pub(in crate::pool) fn configured(&mut self, slot: u32, name: Option<&str>, parted: bool) {
        if self.share().is_none() {
            return;
        }
        let Some(hash) = self.hash_of(slot) else { return };
        let called: Arc<str> = name.map_or_else(|| format!("key:{hash}").into(), Into::into);
        if !parted {
            self.rename_key(slot, &hash, called);
            self.agree();
            return;
        }
        let owner = self.roster.keys[slot as usize].owner;
        let is_known = self.roster.owners[owner as usize].keys() > 1;
        let Some(journal) = &mut self.journal else { return };
        let Some(share) = &mut journal.share else { return };
        let known = journal.names.get(&owner).filter(|_| is_known);
        let name = known.map_or_else(|| share.names.unused(&called), |name| share.names.root(name));
        let generation = share.names.of_key(&hash).map_or(0, |named| named.generation) + 1;
        let key = share.names.key(slot);
        (key.agreed, key.called) = (false, Some(Arc::clone(&called)));
        let news = share.names.name(&hash, Named { name: Arc::clone(&name), called, generation });
        share.news.push(news);
        self.call_owner(owner, &name);
        self.ring();
    }

    /// A board that lost what it knew is told once more, so that it holds against whoever came first since.
    fn tell_names_again(&mut self) {
        for slot in self.roster.slots().collect::<Vec<_>>() {
            let Some(hash) = self.hash_of(slot) else { continue };
            let owner = self.roster.keys[slot as usize].owner;
            let Some(journal) = &mut self.journal else { return };
            let (Some(share), Some(name)) = (&mut journal.share, journal.names.get(&owner)) else { return };
            let Some(named) = share.names.of_key(&hash).cloned() else { continue };
            let again = Named { name: Arc::clone(name), generation: named.generation + 1, ..named };
            let news = share.names.name(&hash, again);
            share.news.push(news);
        }
        if let Some(share) = self.share_mut() {
            let again = share.names.aliases_again();
            share.news.extend(again);
        }
        self.ring();
    }

    /// Owners with several names join them, those of one name are one, and each is called as the board calls it.
    /// How many owners were merged.
    pub(in crate::pool) fn agree(&mut self) -> u64 {
        let now = self.last_now;
        let mut merged = 0;
        loop {
            let Some(names) = self.names_of_owners() else { return merged };
            let several = names.windows(2).find(|two| two[0].0 == two[1].0).map(|two| two[0].0);
            if let Some(owner) = several {
                let mut several = names.iter().filter(|named| named.0 == owner).map(|named| &named.1);
                let Some(into) = several.next() else { return merged };
                for old in several {
                    let Some(share) = self.share_mut() else { return merged };
                    let news = share.names.join(old, into);
                    share.news.push(news);
                    self.leave_units(&[Arc::clone(old), Arc::clone(into)]);
                }
                self.ring();
                continue;
            }
            let mut first: HashMap<&str, u32> = HashMap::with_capacity(names.len());
            let same = names.iter().find_map(|(owner, name)| {
                let first = *first.entry(name).or_insert(*owner);
                (first != *owner).then_some((*owner, first))
            });
            if let Some((owner, first)) = same {
                self.merge_owners(owner, first, now);
                merged += 1;
                continue;
            }
            for (owner, name) in &names {
                self.call_owner(*owner, name);
            }
            return merged;
        }
    }

    /// What processes agreed to call each owner: by owner, each of its names once.
    fn names_of_owners(&self) -> Option<Vec<(u32, Arc<str>)>> {
        let journal = self.journal.as_ref()?;
        let share = journal.share.as_ref()?;
        let mut names = Vec::with_capacity(self.roster.keys.len());
        for slot in self.roster.slots() {
            let Some(hash) = journal.health.get(slot as usize).and_then(|health| health.hash.as_ref()) else {
                continue;
            };
            // What is said by this process alone holds, but not what it only begins with.
            let holds = |named: &&Named| share.names.is_agreed(slot) || named.generation > 0;
            let Some(named) = share.names.of_key(hash).filter(holds) else { continue };
            names.push((self.roster.keys[slot as usize].owner, share.names.root(&named.name)));
        }
        names.sort_unstable();
        names.dedup();
        Some(names)
    }

    /// The board calls an owner by this name.
    fn call_owner(&mut self, owner: u32, name: &Arc<str>) {
        let Some(journal) = &mut self.journal else { return };
        let share = journal.share.as_ref();
        if journal.names.get(&owner) == Some(name) && share.and_then(|share| share.owner_called(name)) == Some(owner) {
            return;
        }
        let before = journal.names.insert(owner, Arc::clone(name));
        let Some(share) = &mut journal.share else { return };
        share.names.owners.insert(Arc::clone(name), owner);
        if before.as_ref().is_some_and(|before| before != name) {
            share.stale = true;
            let held: Vec<_> = share.held.units().filter(|unit| unit.1 == owner).collect();
            for at in &held {
                share.leave(*at);
            }
            for unit in held {
                self.let_go(unit);
            }
            self.ring();
        }
    }

    /// Units of these names go back, so that the board can add up what they count.
    fn leave_units(&mut self, names: &[Arc<str>]) {
        let Some(share) = self.share_mut() else { return };
        share.stale = true;
        let is_one = |unit: &UnitId| {
            unit.as_str().rsplit_once('\n').is_some_and(|(_, owner)| names.iter().any(|name| **name == *owner))
        };
        let held: Vec<_> = share.held.iter().filter(|held| is_one(&held.1.name)).map(|held| held.0).collect();
        for at in &held {
            share.leave(*at);
        }
        share.returns.extend(share.guards.keys().filter(|guard| is_one(guard)).cloned());
        for at in held {
            self.let_go(at);
        }
        self.ring();
    }
}
