//! Units by their names: those without which a request that waits here cannot be served, and those that are held here and
//! that others want so. What a slot of a key needs no other unit can give, whatever room it has.

use std::time::Duration;

use super::{HeldUnit, Holder, need::Demand};
use crate::{
    share::names::{Kind, UnitId},
    time::Tick,
};

/// So many are asked for at a time.
const MOST: usize = 256;
/// So many hundredths of the time between two renewals a unit stays that nobody uses here and another wants.
const IDLE: u32 = 10;
/// And so long one that is used: 1 s.
const TURN: u32 = 40;
/// So long whoever waits for one waits at most before it is asked for again, in the same parts.
const AGAIN: u32 = 50;

/// The longest pause after a claim by name that was not met.
pub(super) fn pause(renew_every: Duration) -> Duration {
    renew_every * AGAIN / 100
}

impl Holder {
    /// Some of the requests that wait can be served by these units alone.
    pub fn naming(&mut self, kind: &Kind, units: Vec<UnitId>) {
        if let Some(demand) = self.demands.get_mut(kind) {
            if !units.iter().all(|unit| demand.refused.contains(unit)) {
                // The pause is for others.
                demand.met();
            }
            demand.named = units;
        } else if !units.is_empty() {
            self.demands.entry(kind.clone()).or_default().named = units;
        }
    }

    /// Whether another has one of those that some who wait here cannot do without, or the other way round.
    pub(super) fn hands_to_and_fro(&self) -> bool {
        !self.wanted_units.is_empty() || self.demands.values().any(|demand| !demand.named.is_empty())
    }

    /// Those of them that are not held.
    pub(super) fn missing(&self, demand: &Demand) -> Vec<UnitId> {
        let missing = demand.named.iter().filter(|unit| !self.units.contains_key(*unit));
        missing.take(MOST).cloned().collect()
    }

    /// Whether a unit goes to another who wants it by its name.
    pub(super) fn is_handed_over(&self, unit: &UnitId, now: Tick) -> bool {
        self.wanted_units.contains(unit) && self.units.get(unit).is_some_and(|held| self.hands_over(held) <= now)
    }

    /// When the first goes of those that others want by their names.
    pub(super) fn next_hand_over(&self) -> Option<Tick> {
        self.wanted_units.iter().filter_map(|unit| Some(self.hands_over(self.units.get(unit)?))).min()
    }

    fn hands_over(&self, held: &HeldUnit) -> Tick {
        let part = |hundredths: u32| self.settings.renew_every * hundredths / 100;
        held.touched.plus(part(IDLE)).min(held.since.plus(part(TURN)))
    }
}
