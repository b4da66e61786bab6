//! What is known of owners: how they and their keys are called, and what they are allowed.

use std::sync::Arc;

use super::{NO_ACCOUNT, OwnerCell, Roster};
use crate::{key::KeyId, limit::Limits};

impl Roster {
    /// The owner that the provider calls by this name, if another one was seen with it; else it is noted for `owner`.
    pub(in crate::pool) fn learn_consumer(&mut self, owner: u32, consumer: &str) -> Option<u32> {
        if let Some(known) = self.consumers.get(consumer) {
            return (*known != owner).then_some(*known);
        }
        let name: Arc<str> = consumer.into();
        self.owners[owner as usize].extra.get_or_insert_default().consumer = Some(Arc::clone(&name));
        self.consumers.insert(name, owner);
        None
    }

    /// One owner goes over to another, and so does whatever the provider calls it: nobody is to join what has no keys any more.
    pub(in crate::pool) fn consumers_joined(&mut self, owner: u32, into: u32) {
        self.consumers.values_mut().filter(|known| **known == owner).for_each(|known| *known = into);
        let name = self.owners[owner as usize].extra.as_mut().and_then(|extra| extra.consumer.take());
        if let Some(name) = name {
            self.owners[into as usize].extra.get_or_insert_default().consumer.get_or_insert(name);
        }
    }

    /// How many keys the provider calls one owner's, whatever they were configured as.
    pub(in crate::pool) fn keys_of_consumer(&self, consumer: &str) -> u32 {
        let called =
            |owner: &&OwnerCell| owner.extra.as_ref().is_some_and(|extra| extra.consumer.as_deref() == Some(consumer));
        self.owners.iter().filter(called).map(OwnerCell::keys).sum()
    }

    /// How an owner is shown: its name, what the provider calls it, or nothing.
    pub(in crate::pool) fn owner_name(&self, owner: u32) -> Option<Arc<str>> {
        let extra = self.owners[owner as usize].extra.as_ref()?;
        extra.name.clone().or_else(|| extra.consumer.clone())
    }

    /// Limits of this owner for every model where none are given or learned.
    pub(in crate::pool) fn assumed(&self, owner: u32) -> Option<&Limits> {
        let assumed = &self.owners[owner as usize].extra.as_ref()?.assumed;
        (!assumed.is_empty()).then_some(assumed)
    }

    /// Another name for keys, each by its slot; all at once, so that two may change places.
    pub(in crate::pool) fn rename(&mut self, names: Vec<(u32, KeyId)>) {
        for (slot, _) in &names {
            self.unindex(*slot);
        }
        for (slot, id) in names {
            self.keys[slot as usize].id = id;
            self.index(slot);
        }
    }

    /// The owner of this name; made, without keys, where there is none.
    pub(in crate::pool) fn owner_called(&mut self, name: Option<&str>, zone: u8) -> u32 {
        if let Some(known) = name.and_then(|name| self.owner_named(name)) {
            return known;
        }
        self.owners.push(OwnerCell::new(NO_ACCOUNT, 0, zone));
        let owner = self.owners.len() as u32 - 1;
        self.call(owner, name);
        owner
    }

    /// Another name, or none, for an owner.
    pub(in crate::pool) fn call(&mut self, owner: u32, name: Option<&str>) {
        let name: Option<Arc<str>> = name.map(Into::into);
        let extra = self.owners[owner as usize].extra.get_or_insert_default();
        let before = std::mem::replace(&mut extra.name, name.clone());
        if let Some(before) = before {
            self.owner_names.remove(&before);
        }
        if let Some(name) = name {
            self.owner_names.insert(name, owner);
        }
    }

    /// The number of a billing account, or `NO_ACCOUNT`.
    pub(in crate::pool) fn account_called(&mut self, name: Option<&str>) -> u32 {
        name.map_or(NO_ACCOUNT, |name| self.account(name))
    }
}
