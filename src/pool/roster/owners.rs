//! What is known of owners: how they are called, and what they are allowed.

use std::sync::Arc;

use super::Roster;
use crate::{key::Tier, limit::Limits};

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

    /// How an owner is shown: its name, what the provider calls it, or nothing.
    pub(in crate::pool) fn owner_name(&self, owner: u32) -> Option<Arc<str>> {
        let extra = self.owners[owner as usize].extra.as_ref()?;
        extra.name.clone().or_else(|| extra.consumer.clone())
    }

    pub(in crate::pool) fn tier(&self, owner: u32) -> Option<&Tier> {
        self.owners[owner as usize].extra.as_ref()?.tier.as_ref()
    }

    /// Limits given for this owner and model: the model's own before `*`, later ones before earlier.
    pub(in crate::pool) fn limits(&self, owner: u32, model: &str) -> Option<&Limits> {
        let limits = &self.owners[owner as usize].extra.as_ref()?.limits;
        let named = |wanted: &str| limits.iter().rev().find(|(name, _)| name == wanted).map(|(_, limits)| limits);
        named(model).or_else(|| named("*"))
    }

    /// Limits of this owner for every model where none are given or learned.
    pub(in crate::pool) fn assumed(&self, owner: u32) -> Option<&Limits> {
        let assumed = &self.owners[owner as usize].extra.as_ref()?.assumed;
        (!assumed.is_empty()).then_some(assumed)
    }
}
