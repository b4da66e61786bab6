//! Guards: units of what keys allow by themselves, lent along with what they guard.

use std::collections::BTreeSet;

use super::Holder;
use crate::share::{
    ledger::{Ledger, Moment},
    names::UnitId,
    wire::{Mode, UnitInfo},
};

fn is_guard(info: &UnitInfo) -> bool {
    info.kind.as_str() == info.unit.as_str()
}

/// Whether there is any among these: most processes have none, and thousands of units.
pub(super) fn are_among<'a>(mut infos: impl Iterator<Item = &'a UnitInfo>) -> bool {
    infos.any(|info| info.guard.is_some() || is_guard(info))
}

impl Holder {
    /// Whether a unit stands for what keys allow by themselves.
    pub(super) fn is_guard(&self, unit: &UnitId) -> bool {
        self.has_guards && self.infos.get(unit).is_some_and(is_guard)
    }

    /// Units that are held and guarded by one that is not: they are not to be used.
    fn unguarded(&self) -> Vec<UnitId> {
        if !self.has_guards {
            return Vec::new();
        }
        let guard = |unit: &UnitId| self.infos.get(unit)?.guard.as_ref();
        let unguarded = |unit: &&UnitId| guard(unit).is_some_and(|guard| !self.units.contains_key(guard));
        self.units.keys().filter(unguarded).cloned().collect()
    }

    /// What is guarded by a unit that another has is given back.
    pub(crate) fn leave_unguarded(&mut self, ledger: &mut dyn Ledger, now: Moment) {
        for unit in self.unguarded() {
            ledger.lose(&unit, now);
            self.give_back(&unit, Mode::Whole);
        }
    }

    /// Guards of which nothing that they guard is held any more.
    pub(super) fn idle_guards(&self) -> Vec<UnitId> {
        if !self.has_guards {
            return Vec::new();
        }
        let guards = |unit: &UnitId| self.infos.get(unit)?.guard.clone();
        let needed: BTreeSet<UnitId> = self.units.keys().filter_map(guards).collect();
        self.units.keys().filter(|unit| self.is_guard(unit) && !needed.contains(*unit)).cloned().collect()
    }

    /// A request started in a unit: its guard says when the last one did.
    pub(super) fn started_guarded(&mut self, unit: &UnitId, now: Moment) {
        if self.has_guards
            && let Some(guard) = self.infos.get(unit).and_then(|info| info.guard.as_ref())
            && let Some(guard) = self.units.get_mut(guard)
        {
            guard.last_start = Some(now.tick);
        }
    }
}
