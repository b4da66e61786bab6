//! Who is in the pool: keys, their owners and billing accounts.

mod owner;
mod owners;
mod parted;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use hashbrown::HashTable;

pub(super) use self::owner::{OwnerCell, OwnerExtra};

use super::{came::Came, cell::MAX_KEYS, event::Event, exits::Exits, former::Former, given::last_of_each, rest::Rest};
use crate::{
    error::KeyError,
    key::{Exit, Key, KeyId, Secret, Tier},
    provider::Provider,
    time::Tick,
};

/// No bound on requests in flight.
pub(super) const UNBOUNDED: u16 = u16::MAX;

/// A key.
pub(super) struct KeyCell {
    pub(super) secret: Secret,
    pub(super) id: KeyId,
    pub(super) last_started: Tick,
    /// The pool's number of its last start.
    pub(super) last_seq: u64,
    pub(super) rest: Option<Box<Rest>>,
    pub(super) extra: Option<Box<KeyExtra>>,
    pub(super) owner: u32,
    pub(super) weight: f32,
    /// What the adaptive strategy learned; 1.0 × weight at first.
    pub(super) adaptive: f32,
    pub(super) interval_ms: u32,
    pub(super) started: u32,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) limited: u32,
    pub(super) priority: u16,
    pub(super) in_flight: u16,
    pub(super) max_concurrent: u16,
    /// Lanes in which it waits for one of its requests to end.
    pub(super) parked: u16,
    /// Steps of the ramp still to go; 0: none.
    pub(super) ramp: u8,
    /// Taken out; its slot is free once nothing is in flight.
    pub(super) removed: bool,
}

/// What few keys have.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyExtra {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) tier: Option<Tier>,
    /// The number of the last start with an older secret.
    pub(super) replaced_at: u64,
    /// The number of the last start before the key came back with another secret.
    pub(super) others_until: u64,
    /// Answers to starts before this number are of before a lift by hand.
    pub(super) lifted_at: u64,
    /// Of a key with a shortest interval: requests that are granted and not on the wire yet. The next one is granted once
    /// it is known from when on the interval counts.
    pub(super) ahead: u16,
}

/// A billing account.
pub(super) struct AccountCell {
    pub(super) name: Arc<str>,
    pub(super) rest: Option<Box<Rest>>,
}

pub(super) const NO_ACCOUNT: u32 = u32::MAX;

/// The ramp's weights, by steps still to go.
const RAMP: [f32; 4] = [1.0, 0.5, 0.25, 0.1];

/// Steps of a whole ramp.
pub(super) const RAMP_STEPS: u8 = 3;

impl KeyCell {
    #[inline]
    pub(super) fn ramp_factor(&self) -> f32 {
        if self.ramp == 0 {
            return 1.0;
        }
        RAMP[usize::from(self.ramp).min(RAMP.len() - 1)]
    }

    /// Heap bytes behind it, the secret's included.
    pub(super) fn heap_bytes(&self) -> usize {
        self.id.heap_bytes()
            + self.rest.as_ref().map_or(0, |_| size_of::<Rest>())
            + self.extra.as_ref().map_or(0, |_| size_of::<KeyExtra>())
            + self.secret.heap_bytes()
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.interval_ms))
    }

    /// It has a shortest interval, and was granted to who has not started: from when on that counts is not known.
    pub(super) fn starts_ahead(&self) -> bool {
        self.interval_ms > 0 && self.extra.as_ref().is_some_and(|extra| extra.ahead > 0)
    }
}

/// All keys, owners and accounts, by slot and by name.
pub(super) struct Roster {
    pub(super) keys: Vec<KeyCell>,
    pub(super) owners: Vec<OwnerCell>,
    pub(super) accounts: Vec<AccountCell>,
    pub(super) exits: Exits,
    free: Vec<u32>,
    /// Removed keys, the one that left first in front: should one come back, its history is known.
    parted: VecDeque<u32>,
    /// Owners of forgotten keys: somebody else may take their places.
    vacant: Vec<u32>,
    /// Those that are in, and the removed ones.
    by_id: HashTable<u32>,
    by_secret: HashTable<u32>,
    /// Is told of each secret that comes in.
    pub(super) came: Arc<Came>,
    owner_names: HashMap<Arc<str>, u32>,
    consumers: HashMap<Arc<str>, u32>,
    /// Keys whose secret was given more than once: they were made one.
    pub(super) merged: Vec<u32>,
    /// Secrets that gave their places to others.
    pub(super) former: Former,
    /// What is to be told once nobody holds the pool.
    pub(super) news: Vec<Event>,
}

/// What adding a key came to.
pub(super) enum Added {
    /// It has a slot of its own. `recycled`: its owner's place was somebody else's before.
    New { slot: u32, recycled: bool },
    /// It was here before, in this slot, and is to be taken back by this name. Nothing is changed yet.
    Back { slot: u32, id: KeyId, key: Box<Key> },
    /// Its secret is in the pool already, in this slot.
    Merged { slot: u32 },
}

fn hash_of(value: impl std::hash::Hash) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

fn secret_hash(secret: &Secret) -> u64 {
    hash_of(secret.expose())
}

impl Roster {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self {
            keys: Vec::with_capacity(keys),
            owners: Vec::with_capacity(keys),
            accounts: Vec::new(),
            exits: Exits::default(),
            free: Vec::new(),
            parted: VecDeque::new(),
            vacant: Vec::new(),
            by_id: HashTable::with_capacity(keys),
            by_secret: HashTable::with_capacity(keys),
            came: Arc::default(),
            owner_names: HashMap::new(),
            consumers: HashMap::new(),
            merged: Vec::new(),
            former: Former::default(),
            news: Vec::new(),
        }
    }

    pub(super) fn slot_of(&self, id: &KeyId) -> Option<u32> {
        let is_it = |slot: &u32| !self.keys[*slot as usize].removed && self.keys[*slot as usize].id == *id;
        self.by_id.find(hash_of(id), is_it).copied()
    }

    pub(super) fn slot_of_secret(&self, secret: &Secret) -> Option<u32> {
        let is_it = |slot: &u32| {
            let key = &self.keys[*slot as usize];
            !key.removed && key.secret.expose() == secret.expose()
        };
        self.by_secret.find(secret_hash(secret), is_it).copied()
    }

    /// Whether this is the secret of a key that is in.
    pub(super) fn has_secret(&self, secret: &str) -> bool {
        let is_it = |slot: &u32| {
            let key = &self.keys[*slot as usize];
            !key.removed && key.secret.expose() == secret
        };
        self.by_secret.find(hash_of(secret), is_it).is_some()
    }

    pub(super) fn owner_named(&self, name: &str) -> Option<u32> {
        self.owner_names.get(name).copied()
    }

    /// How many keys are in.
    pub(super) fn len(&self) -> usize {
        self.by_id.len() - self.parted.len()
    }

    /// Slots of the keys that are in.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.keys).filter(|(_, key)| !key.removed).map(|(slot, _)| slot)
    }

    /// Takes a key in. `number` is its place among those given, for the error.
    pub(super) fn add(
        &mut self,
        number: Option<usize>,
        key: Key,
        zone: u8,
        provider: &dyn Provider,
    ) -> Result<Added, KeyError> {
        let secret = provider.prepare(&key.secret).map_err(|source| KeyError::Secret { key: number, source })?;
        if let Some(slot) = self.slot_of_secret(&secret) {
            return Ok(Added::Merged { slot });
        }
        self.check_names(number, &key, &secret)?;
        let mut id = key.key_id();
        if self.slot_of(&id).is_some() {
            // Of 100,000 keys two may well share the 32 bits of a name: the later one is called by 64.
            let longer = key.longer_id().filter(|longer| self.slot_of(longer).is_none());
            id = longer.ok_or(KeyError::DuplicateId { id, key: number })?;
        }
        check(&key, &id)?;
        if let Some(slot) = self.parted(&secret, key.id.as_ref()) {
            return Ok(Added::Back { slot, id, key: Box::new(key) });
        }
        if self.free.is_empty() && self.keys.len() >= MAX_KEYS {
            return Err(KeyError::TooMany("keys"));
        }
        let exit = self.exits.number(key.exit.as_deref())?;
        let (owner, recycled) = self.owner_for(&key, zone);
        self.exits.join(exit);
        let slot = self.place(KeyCell {
            secret: secret.through(exit),
            id,
            last_started: Tick::ZERO,
            last_seq: 0,
            rest: None,
            extra: (!key.labels.is_empty() || key.tier.is_some())
                .then(|| Box::new(KeyExtra { labels: key.labels, tier: key.tier, ..KeyExtra::default() })),
            owner,
            weight: key.weight,
            adaptive: key.weight,
            interval_ms: u32::try_from(key.min_interval.as_millis()).unwrap_or(u32::MAX),
            started: 0,
            succeeded: 0,
            failed: 0,
            limited: 0,
            priority: key.priority.0,
            in_flight: 0,
            max_concurrent: key.max_concurrent.unwrap_or(UNBOUNDED),
            parked: 0,
            ramp: 0,
            removed: false,
        });
        Ok(Added::New { slot, recycled })
    }

    fn place(&mut self, cell: KeyCell) -> u32 {
        let slot = if let Some(slot) = self.free.pop() {
            self.keys[slot as usize] = cell;
            slot
        } else {
            self.keys.push(cell);
            self.keys.len() as u32 - 1
        };
        self.index(slot);
        slot
    }

    fn index(&mut self, slot: u32) {
        let keys = &self.keys;
        let cell = &keys[slot as usize];
        self.came.note(&cell.secret);
        self.by_id.insert_unique(hash_of(&cell.id), slot, |slot| hash_of(&keys[*slot as usize].id));
        self.by_secret.insert_unique(secret_hash(&cell.secret), slot, |slot| secret_hash(&keys[*slot as usize].secret));
    }

    fn unindex(&mut self, slot: u32) {
        let cell = &self.keys[slot as usize];
        if let Ok(entry) = self.by_id.find_entry(hash_of(&cell.id), |held| *held == slot) {
            entry.remove();
        }
        if let Ok(entry) = self.by_secret.find_entry(secret_hash(&cell.secret), |held| *held == slot) {
            entry.remove();
        }
    }

    /// In whose windows the secret of this key, which it has only now, was counted before.
    pub(super) fn used_before(&mut self, slot: u32) -> Option<u32> {
        self.former.take(secret_hash(&self.keys[slot as usize].secret))
    }

    /// The owner a key belongs to; made when it is the first of it. And whether its place was another's.
    fn owner_for(&mut self, key: &Key, zone: u8) -> (u32, bool) {
        if let Some(owner) = key.owner.as_deref().and_then(|name| self.owner_named(name)) {
            self.owners[owner as usize].gain(1);
            self.give(owner, key);
            return (owner, false);
        }
        let account = self.account_called(key.billing_account.as_deref());
        let name: Option<Arc<str>> = key.owner.as_deref().map(Into::into);
        let plain = name.is_none() && key.limits.is_empty() && key.assumed.is_empty() && key.tier.is_none();
        let extra = OwnerExtra {
            name: name.clone(),
            limits: last_of_each(&key.limits),
            assumed: key.assumed.clone(),
            tier: key.tier.clone(),
            ..OwnerExtra::default()
        };
        let mut cell = OwnerCell::new(account, 1, zone);
        cell.extra = (!plain).then(|| Box::new(extra));
        let vacant = self.vacant.pop();
        let owner = if let Some(owner) = vacant {
            self.owners[owner as usize] = cell;
            owner
        } else {
            self.owners.push(cell);
            self.owners.len() as u32 - 1
        };
        if let Some(name) = name {
            self.owner_names.insert(name, owner);
        }
        (owner, vacant.is_some())
    }

    /// One more key says what its owner, who counts it already, is allowed.
    pub(super) fn give(&mut self, owner: u32, key: &Key) {
        let account = self.account_called(key.billing_account.as_deref());
        let cell = &mut self.owners[owner as usize];
        if cell.account == NO_ACCOUNT {
            cell.account = account;
        }
        if cell.keys() == 1 {
            // The first of it since all others went: nobody else's word stands.
            cell.extra.get_or_insert_default().limits.clear();
        }
        self.give_limits(owner, &key.limits);
        let extra = self.owners[owner as usize].extra.get_or_insert_default();
        extra.tier = extra.tier.take().or_else(|| key.tier.clone());
        if extra.assumed.is_empty() {
            extra.assumed = key.assumed.clone();
        }
    }

    fn account(&mut self, name: &str) -> u32 {
        if let Some(at) = self.accounts.iter().position(|account| &*account.name == name) {
            return at as u32;
        }
        self.accounts.push(AccountCell { name: name.into(), rest: None });
        self.accounts.len() as u32 - 1
    }

    /// Same key, new secret; its state stays.
    pub(super) fn replace(&mut self, slot: u32, secret: Secret) {
        self.unindex(slot);
        let cell = &mut self.keys[slot as usize];
        self.former.note(secret_hash(&cell.secret), cell.owner);
        cell.secret = secret.through(cell.secret.exit());
        self.index(slot);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<KeyCell>()
            + self.owners.capacity() * size_of::<OwnerCell>()
            + (self.by_id.allocation_size() + self.by_secret.allocation_size())
    }
}

pub(super) fn check(key: &Key, id: &KeyId) -> Result<(), KeyError> {
    if !id.is_plain() || key.id.as_ref().is_some_and(|id| id.to_string().is_empty()) {
        return Err(KeyError::Id(id.clone()));
    }
    if !(key.weight > 0.0 && key.weight.is_finite()) {
        return Err(KeyError::Weight { id: id.clone(), weight: key.weight });
    }
    if matches!(key.max_concurrent, Some(0 | UNBOUNDED)) {
        return Err(KeyError::Limit { id: id.clone(), what: "max_concurrent must be 1 to 65,534" });
    }
    if let Some(what) = key.limits.iter().find_map(|(_, limits)| limits.fault()).or_else(|| key.assumed.fault()) {
        return Err(KeyError::Limit { id: id.clone(), what });
    }
    if key.exit.as_deref().is_some_and(|exit| !Exit::is_valid(exit)) {
        return Err(KeyError::Exit { id: id.clone() });
    }
    Ok(())
}
