//! The board's units by name. It is known which of them changed, so that a store writes those alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{
        Bound::{Included, Unbounded},
        Deref,
    },
};

use serde::{Deserialize, Serialize};

#[cfg(feature = "sqlite")]
use super::names::HolderId;
use super::{names::UnitId, state::UnitRecord, wire::Held};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Units {
    by_name: BTreeMap<UnitId, UnitRecord>,
    #[serde(skip)]
    changed: BTreeSet<UnitId>,
}

impl Units {
    pub(super) fn get_mut(&mut self, unit: &UnitId) -> Option<&mut UnitRecord> {
        let record = self.by_name.get_mut(unit)?;
        if !self.changed.contains(unit) {
            self.changed.insert(unit.clone());
        }
        Some(record)
    }

    /// The record of a unit; made where there is none.
    pub(super) fn or_insert_with(&mut self, unit: &UnitId, make: impl FnOnce() -> UnitRecord) -> &mut UnitRecord {
        if !self.by_name.contains_key(unit) {
            self.changed.insert(unit.clone());
        }
        self.by_name.entry(unit.clone()).or_insert_with(make)
    }

    /// A record of a unit that has none. `blank`: it says nothing that a store need keep.
    pub(super) fn add(&mut self, unit: UnitId, record: UnitRecord, blank: bool) {
        if !blank {
            self.changed.insert(unit.clone());
        }
        self.by_name.insert(unit, record);
    }

    /// The records of units that are in the order of their names: one walk along both, where each would be looked for in
    /// thousands.
    pub(super) fn along<'a, 'b, T>(
        &'a self,
        units: &'b [T],
        name: impl Fn(&T) -> &UnitId,
    ) -> impl Iterator<Item = (&'b T, Option<&'a UnitRecord>)> {
        let bound = |unit: Option<&T>| unit.map(&name).cloned().map_or(Unbounded, Included);
        let mut records = self.by_name.range((bound(units.first()), bound(units.last()))).peekable();
        units.iter().map(move |unit| {
            let wanted = name(unit);
            while records.next_if(|(unit, _)| *unit < wanted).is_some() {}
            (unit, records.peek().filter(|found| found.0 == wanted).map(|found| found.1))
        })
    }

    /// Where this is so of what a holder tells, he holds it for longer: that goes for all that he holds, and is said with
    /// him. The others.
    pub(super) fn prolong_if<'a>(
        &mut self,
        told: &'a [Held],
        until: i64,
        so: impl Fn(&Held, &UnitRecord) -> bool,
    ) -> Vec<&'a Held> {
        let mut others = Vec::new();
        if !told.is_sorted_by_key(|held| &held.unit) {
            for held in told {
                match self.by_name.get_mut(&held.unit).filter(|record| so(held, record)) {
                    Some(record) => record.until = until,
                    None => others.push(held),
                }
            }
            return others;
        }
        let bound = |held: Option<&Held>| held.map_or(Unbounded, |held| Included(held.unit.clone()));
        let mut records = self.by_name.range_mut((bound(told.first()), bound(told.last()))).peekable();
        for held in told {
            while records.next_if(|(unit, _)| **unit < held.unit).is_some() {}
            match records.next_if(|(unit, record)| **unit == held.unit && so(held, record)) {
                Some((_, record)) => record.until = until,
                None => others.push(held),
            }
        }
        others
    }

    /// The names of those of which this is so.
    pub(super) fn named(&self, which: impl Fn(&UnitRecord) -> bool) -> Vec<UnitId> {
        self.by_name.iter().filter(|(_, record)| which(record)).map(|(unit, _)| unit.clone()).collect()
    }

    /// Takes a record as it is kept.
    #[cfg(feature = "sqlite")]
    pub(super) fn put(&mut self, unit: UnitId, record: UnitRecord) {
        self.by_name.insert(unit, record);
    }

    /// What a holder holds, he holds until then, but for those of which he said nothing.
    #[cfg(feature = "sqlite")]
    pub(super) fn prolong_all(&mut self, holder: &HolderId, until: i64, untold: &BTreeSet<UnitId>) {
        for (unit, record) in self.by_name.iter_mut().filter(|(_, record)| record.holder.as_ref() == Some(holder)) {
            if !untold.contains(unit) {
                record.until = record.until.max(until);
            }
        }
    }

    /// What is this holder's and ends before `until`: he said nothing of it when he renewed.
    #[cfg(feature = "sqlite")]
    pub(super) fn untold(&self, holder: &HolderId, until: i64) -> BTreeSet<UnitId> {
        let untold = |record: &UnitRecord| record.holder.as_ref() == Some(holder) && record.until < until;
        self.by_name.iter().filter(|(_, record)| untold(record)).map(|(unit, _)| unit.clone()).collect()
    }

    /// Those that changed since this was asked last.
    #[cfg(feature = "sqlite")]
    pub(super) fn take_changed(&mut self) -> BTreeSet<UnitId> {
        std::mem::take(&mut self.changed)
    }
}

impl Deref for Units {
    type Target = BTreeMap<UnitId, UnitRecord>;

    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

impl PartialEq for Units {
    fn eq(&self, other: &Self) -> bool {
        self.by_name == other.by_name
    }
}
