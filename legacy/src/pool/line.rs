//! Lines: waiters of a lane who stand or fall together, so that one look at the first of them tells of all.

use std::{collections::BTreeMap, sync::Arc};

use super::{Affinity, Demand};
use crate::limit::Need;

/// What the waiters of a line have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineName {
    keys: Keys,
    /// Takes no room in windows.
    pub(super) free: bool,
    need: Need,
}

/// Which keys may serve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Keys {
    Any,
    /// Any but those that the request was at already.
    Others,
    /// This owner's: only, or rather.
    Owner(Arc<str>, bool),
    /// This one: only, or rather.
    Key(Arc<str>, bool),
}

impl LineName {
    fn of(demand: &Demand, need: &Need) -> Self {
        let keys = match &demand.affinity {
            Affinity::Any | Affinity::Near(_) | Affinity::Lasting if demand.particulars.earlier.is_some() => {
                Keys::Others
            }
            Affinity::Any | Affinity::Near(_) | Affinity::Lasting => Keys::Any,
            Affinity::MustOwner(owner) => Keys::Owner(Arc::clone(owner), true),
            Affinity::RatherOwner(owner) => Keys::Owner(Arc::clone(owner), false),
            Affinity::MustKey(key) => Keys::Key(key.to_string().into(), true),
            Affinity::RatherKey(key) => Keys::Key(key.to_string().into(), false),
        };
        Self { keys, free: demand.free, need: *need }
    }

    /// Whether the same keys may serve both.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.keys == other.keys && self.free == other.free
    }

    /// Whether it takes more than one request's room, whatever of tokens.
    pub(super) fn takes_more(&self) -> bool {
        self.need.requests > 1 || self.need.images > 0
    }

    /// Whether every key will do but those that were tried.
    pub(super) fn takes_any(&self) -> bool {
        matches!(self.keys, Keys::Any | Keys::Others)
    }
}

/// The lines of a lane. Each by ticket.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<LineName, BTreeMap<u64, u32>>);

impl Lines {
    pub(super) fn insert(&mut self, demand: &Demand, need: &Need, ticket: u64, index: u32) {
        self.0.entry(LineName::of(demand, need)).or_default().insert(ticket, index);
    }

    pub(super) fn remove(&mut self, demand: &Demand, need: &Need, ticket: u64) {
        let name = LineName::of(demand, need);
        if let Some(line) = self.0.get_mut(&name) {
            line.remove(&ticket);
            if line.is_empty() {
                self.0.remove(&name);
            }
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &LineName> {
        self.0.keys()
    }

    /// The first of a line from this ticket on.
    pub(super) fn next(&self, name: &LineName, from: u64) -> Option<(u64, u32)> {
        self.0.get(name)?.range(from..).next().map(|(ticket, index)| (*ticket, *index))
    }

    /// Takes all of another lane in.
    pub(super) fn join(&mut self, others: Self) {
        for (name, line) in others.0 {
            self.0.entry(name).or_default().extend(line);
        }
    }
}
