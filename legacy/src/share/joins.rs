//! Two names of one quota. A unit that *joined* another is lent to nobody any more; what it counts is counted by that one,
//! which is lent again once both were given back, or the leases on them have ended.

use std::mem;

use super::{
    apply::fresh,
    names::UnitId,
    state::{BoardState, UnitRecord},
    wire::{Correction, UnitInfo},
};
use crate::limit::Told;

/// A process says which units are others by now. What was said first holds: it hears of it, and says the rest.
pub(super) fn declare(state: &mut BoardState, units: &[UnitInfo]) {
    for info in units {
        for old in info.joins.iter().filter(|old| **old != info.unit) {
            let made = fresh(state);
            state.units.or_insert_with(old, || made);
            let is_root = |unit: &UnitId| state.units.get(unit).is_some_and(|record| record.into.is_none());
            if !(is_root(old) && is_root(&info.unit)) {
                continue;
            }
            if let Some(record) = state.units.get_mut(old) {
                record.into = Some(info.unit.clone());
            }
            state.joining.insert(old.clone());
        }
    }
}

/// Adds up what nobody holds any more.
pub(super) fn settle(state: &mut BoardState, now: i64) {
    for old in state.joining.iter().cloned().collect::<Vec<_>>() {
        let into = state.root(&old);
        let is_free = |unit: &UnitId| state.units.get(unit).is_none_or(|record| record.is_free(now));
        if !(is_free(&old) && is_free(&into)) {
            continue;
        }
        state.joining.remove(&old);
        state.abandon(&old, now);
        state.abandon(&into, now);
        let Some(record) = state.units.get_mut(&old) else { continue };
        let left = UnitRecord { generation: record.generation, into: record.into.clone(), ..UnitRecord::default() };
        let left = mem::replace(record, left);
        if let Some(record) = state.units.get_mut(&into) {
            record.add(left, &into);
        }
    }
}

impl BoardState {
    /// The unit that it is by now.
    pub(super) fn root(&self, unit: &UnitId) -> UnitId {
        let mut root = unit;
        while let Some(into) = self.units.get(root).and_then(|record| record.into.as_ref()) {
            root = into;
        }
        root.clone()
    }

    /// Whose windows count what is said of this unit.
    pub(super) fn counted_in(&self, unit: &UnitId) -> UnitId {
        if self.joining.contains(unit) { unit.clone() } else { self.root(unit) }
    }

    /// Whether it is lent to nobody: it is another by now, or what it counts is not added up yet.
    pub(super) fn is_joining(&self, unit: &UnitId) -> bool {
        self.units.get(unit).is_some_and(|record| record.into.is_some())
            || self.joining.iter().any(|old| self.root(old) == *unit)
    }
}

impl UnitRecord {
    /// What its windows count, and these.
    pub(super) fn sum_up(&mut self, counts: Vec<Told>) {
        for told in counts {
            let sum = self.window(told.limit);
            sum.moments.extend(told.moments);
            sum.moments.sort_unstable();
            for (date, count) in told.dates {
                match sum.dates.iter_mut().find(|held| held.0 == date) {
                    Some(held) => held.1 = held.1.saturating_add(count),
                    None => sum.dates.push((date, count)),
                }
            }
        }
    }

    /// Counts what another one counted as well.
    fn add(&mut self, left: Self, name: &UnitId) {
        self.told = match (self.counts.is_empty(), left.counts.is_empty()) {
            (true, _) => left.told,
            (_, true) => self.told,
            _ => self.told.min(left.told),
        };
        self.sum_up(left.counts);
        self.unknown = self.unknown.max(left.unknown);
        self.days_unknown = self.days_unknown.max(left.days_unknown);
        self.lost = self.lost.max(left.lost);
        self.in_flight.extend(left.in_flight);
        self.last_start = self.last_start.max(left.last_start);
        self.learned = super::counts::stricter(&self.learned, &left.learned);
        self.opens = None;
        for correction in left.corrections {
            self.corrected += 1;
            self.corrections.push(Correction { unit: name.clone(), number: self.corrected, ..correction });
        }
    }
}
