//! What units counted that this process gave back: it is told to a board that lost what it knew.

use std::collections::{BTreeMap, BTreeSet};

use super::Holder;
use crate::{
    limit::{Span, Told},
    share::{names::UnitId, wire::Left},
    time::Tick,
};

/// So many units are told of with each renewal.
const AT_ONCE: usize = 100;

/// What is known of units that went back.
#[derive(Debug, Default)]
pub(super) struct Past {
    left: BTreeMap<UnitId, (Tick, Vec<Told>)>,
    /// Those of which a board that lost what it knew has not heard.
    untold: BTreeSet<UnitId>,
}

/// The same counts so many milliseconds later; without what no window counts any more.
fn later(counts: &[Told], passed: i64) -> Vec<Told> {
    let mut counts = counts.to_vec();
    for told in &mut counts {
        let span = match told.limit.span {
            Span::Sliding(span) => span.as_millis() as i64,
            Span::Day => 0,
        };
        told.moments.iter_mut().for_each(|moment| moment.0 -= passed);
        told.moments.retain(|moment| moment.0 + span > 0);
    }
    counts.retain(|told| !told.moments.is_empty());
    counts
}

impl Past {
    /// A unit goes back, with these counts.
    pub(super) fn leave(&mut self, unit: &UnitId, counts: &[Told], now: Tick) {
        let counts = later(counts, 0);
        if !counts.is_empty() {
            self.left.insert(unit.clone(), (now, counts));
        }
    }

    /// A unit is held: its windows tell what is counted.
    pub(super) fn forget(&mut self, unit: &UnitId) {
        self.left.remove(unit);
    }

    /// The board answered, and has heard of these; or it is not the one that was told of them.
    pub(super) fn heard(&mut self, told: &[UnitId], lost: bool, recovers: bool) {
        if lost {
            self.untold = self.left.keys().cloned().collect();
        } else if recovers {
            self.untold.retain(|unit| !told.contains(unit));
        } else {
            self.untold.clear();
        }
    }
}

impl Holder {
    /// Forgets what no window counts any more.
    pub(super) fn forget_left(&mut self, now: Tick) {
        let counts = |left: &(Tick, Vec<Told>)| !later(&left.1, now.since(left.0).as_millis() as i64).is_empty();
        self.elsewhere.past.left.retain(|_, left| counts(left));
    }

    /// To a board that lost what it knew: what is known of units that nobody may hold.
    pub(super) fn left(&self, now: Tick) -> Vec<Left> {
        let Past { left, untold } = &self.elsewhere.past;
        let known = untold.iter().filter_map(|unit| left.get(unit).map(|known| (unit, known)));
        let told = known.map(|(unit, (then, counts))| Left {
            unit: unit.clone(),
            counts: later(counts, now.since(*then).as_millis() as i64),
        });
        told.filter(|left| !left.counts.is_empty()).take(AT_ONCE).collect()
    }
}
