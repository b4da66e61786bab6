//! Limits that answers told: what one process learns holds in all, and in those that begin later.

use std::ops::Range;

use super::facts::Said;
use crate::{
    limit::Limits,
    pool::{
        journal::Unit,
        state::{NO_MODEL, State},
    },
    share::{LEARNED, UnitId},
    time::Now,
};

impl State {
    /// An answer told a limit.
    pub(in crate::pool) fn tell_learned(&mut self, (lane, owner): Unit, now: Now) {
        if self.share().is_none() {
            return;
        }
        let Some(unit) = self.unit_name(lane, owner) else { return };
        let number = self.lanes[usize::from(lane)].owners[owner as usize].plan;
        let limits = self.plans.sources(number).learned.clone();
        let scope = format!("{LEARNED}{unit}");
        // What was told last holds.
        if let Some(share) = self.share_mut()
            && let Some(known) = share.facts.get_mut(&scope)
        {
            known.generation += 1;
            known.until = 0;
        }
        self.tell_fact(scope, i64::MAX, &Said::Learned { unit, limits }, now);
    }

    pub(super) fn apply_learned(&mut self, unit: &UnitId, limits: Limits, now: Now) {
        if self.settings.fixed_limits {
            return;
        }
        let Some((lane, owner)) = unit.as_str().split_once('\n') else { return };
        let lane = if lane.is_empty() { Some(NO_MODEL) } else { self.lane_of.get(lane) };
        let (Some(lane), Some(owner)) = (lane, self.owner_by_name(owner)) else { return };
        if (owner as usize) < self.lanes[usize::from(lane)].owners.len() {
            self.replan(lane, owner, limits, now);
        }
    }

    /// A lane was filled with these owners: what was told of their limits before it was here holds.
    pub(in crate::pool) fn recall_learned(&mut self, lane: u16, owners: &Range<u32>, now: Now) {
        let Some(share) = self.share().filter(|_| !self.settings.fixed_limits) else { return };
        let of_lane = format!("{LEARNED}{}\n", self.lanes[usize::from(lane)].name);
        let told = share.facts.iter().filter(|(scope, known)| scope.starts_with(&of_lane) && !known.is_forgotten(now));
        let told: Vec<Said> = told.filter_map(|(_, known)| serde_json::from_str(&known.why).ok()).collect();
        for said in told {
            let Said::Learned { unit, limits } = said else { continue };
            let owner = unit.as_str().split_once('\n').and_then(|(_, owner)| self.owner_by_name(owner));
            if let Some(owner) = owner.filter(|owner| owners.contains(owner)) {
                self.replan(lane, owner, limits, now);
            }
        }
    }
}
