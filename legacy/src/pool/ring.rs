//! Owners around a ring, by their names: where a number finds those that it may be near to.

use std::time::Duration;

use super::{near::score, roster::Roster};
use crate::time::{Now, Tick};

/// So many owners are candidates of a number.
pub(super) const OWNERS: usize = 64;
/// Of a larger pool the ring is not made anew more often than that: what has changed since is seen by its keys.
const SMALL: usize = 1_024;
const ROUND: Duration = Duration::from_secs(1);

/// A key on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    priority: u16,
    /// Its owner's place.
    place: u64,
    pub(super) owner: u32,
    pub(super) slot: u32,
}

/// All keys, by priority, place and owner. Empty until somebody asks.
#[derive(Debug, Default)]
pub(super) struct Ring {
    spots: Vec<Spot>,
    /// As many keys were in when it was made.
    keys: usize,
    made: Option<Tick>,
    stale: bool,
}

impl Ring {
    /// Keys or owners are others by now.
    pub(super) fn forget(&mut self) {
        self.stale = true;
    }

    /// Makes it anew where it must be.
    pub(super) fn renew(&mut self, roster: &Roster, now: Now) {
        let stale = self.stale || self.keys != roster.len();
        let fresh = self.made.is_some_and(|made| !stale || (roster.len() > SMALL && now.tick.since(made) < ROUND));
        if fresh {
            return;
        }
        self.spots.clear();
        self.spots.extend(roster.slots().map(|slot| {
            let key = &roster.keys[slot as usize];
            let owner = roster.owners[key.owner as usize].extra.as_ref();
            let place = match owner.and_then(|owner| owner.name.as_deref()) {
                Some(name) => score(0, name),
                None => score(0, &key.id),
            };
            Spot { priority: key.priority, place, owner: key.owner, slot }
        }));
        self.spots.sort_unstable();
        (self.keys, self.made, self.stale) = (roster.len(), Some(now.tick), false);
    }

    /// The owners of a priority with their keys, from this place on, each once.
    pub(super) fn from(&self, priority: u16, place: u64) -> impl Iterator<Item = &[Spot]> {
        let begins = self.spots.partition_point(|spot| spot.priority < priority);
        let ends = self.spots.partition_point(|spot| spot.priority <= priority);
        let all = &self.spots[begins..ends];
        let (before, after) = all.split_at(all.partition_point(|spot| spot.place < place));
        by_owner(after).chain(by_owner(before))
    }
}

/// Cuts a part of the ring where another owner begins, however many keys each has.
fn by_owner(mut spots: &[Spot]) -> impl Iterator<Item = &[Spot]> {
    std::iter::from_fn(move || {
        let first = spots.first()?;
        let own = spots.partition_point(|spot| (spot.place, spot.owner) <= (first.place, first.owner));
        let (own, rest) = spots.split_at(own);
        spots = rest;
        Some(own)
    })
}
