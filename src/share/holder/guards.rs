//! Guards: units of what keys allow by themselves, lent along with what they guard.

use std::collections::BTreeSet;

use super::Holder;
use crate::share::{
    ledger::{Ledger, Moment},
    names::UnitId,
    wire::Mode,
};

impl Holder {
    /// Whether a unit stands for what keys allow by themselves.
    pub(super) fn is_guard(&self, unit: &UnitId) -> bool {
        self.infos.get(unit).is_some_and(|info| info.kind.as_str() == unit.as_str())
    }

    /// Units that are held and guarded by one that is not: they are not to be used.
    fn unguarded(&self) -> Vec<UnitId> {
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
        let guards = |unit: &UnitId| self.infos.get(unit)?.guard.clone();
        let needed: BTreeSet<UnitId> = self.units.keys().filter_map(guards).collect();
        self.units.keys().filter(|unit| self.is_guard(unit) && !needed.contains(*unit)).cloned().collect()
    }

    /// A request started in a unit: its guard says when the last one did.
    pub(super) fn started_guarded(&mut self, unit: &UnitId, now: Moment) {
        if let Some(guard) = self.infos.get(unit).and_then(|info| info.guard.as_ref())
            && let Some(guard) = self.units.get_mut(guard)
        {
            guard.last_start = Some(now.tick);
        }
    }
}
