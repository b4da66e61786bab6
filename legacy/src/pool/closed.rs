//! Tiers that a model is not for. What enough owners of a tier said within one request is believed of all others of it, so
//! that the next request asks none of them; for an hour at first, since they did not say it themselves.

use std::time::Duration;

use super::{
    nowhere::OF_ONE_TIER,
    penalty::describe,
    rest::{End, Rest},
    seats::SeatCell,
    state::{SHARED, State},
};
use crate::{
    key::Tier,
    time::Now,
    verdict::{Until, Verdict},
};

/// It is believed so long at first, then some owners are asked again: doubled each time they say the same, up to the
/// verdict's own time.
const FIRST: Duration = Duration::from_secs(3_600);

/// The tiers that a lane's model is not for.
#[derive(Default)]
pub(super) struct Closed(Vec<(Tier, Rest)>);

impl Closed {
    fn of(&self, tier: &Tier) -> Option<&Rest> {
        self.0.iter().find(|(closed, _)| closed == tier).map(|(_, rest)| rest)
    }

    /// Whether any of them is, now.
    pub(super) fn is_any(&self, now: Now) -> bool {
        self.0.iter().any(|(_, rest)| rest.is_active(now))
    }
}

impl State {
    /// What keeps the keys of this owner's tier out of a lane.
    #[inline]
    pub(super) fn closed_to(&self, lane: u16, owner: u32) -> Option<&Rest> {
        let closed = self.lanes[usize::from(lane)].closed.as_deref()?;
        closed.of(self.roster.tier(owner)?)
    }

    /// An answer said that the model is not for its owner's tier: whether the other owners are believed to say the same.
    pub(super) fn close_tier(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if cell.lane <= SHARED || !verdict.speaks_of_a_tier() {
            return;
        }
        let Some(tier) = self.roster.tier(cell.owner).cloned() else { return };
        let of_lane = |model: Option<&str>| model.and_then(|model| self.lane_of.get(model)) == Some(cell.lane);
        let earlier = cell.earlier.as_deref().unwrap_or_default().iter();
        let said = earlier.filter(|attempt| attempt.speaks_of_a_tier() && of_lane(attempt.model.as_deref()));
        let mut owners: Vec<u32> = said.filter_map(|attempt| self.owner_of(attempt)).chain([cell.owner]).collect();
        owners.retain(|owner| self.roster.tier(*owner) == Some(&tier));
        owners.sort_unstable();
        owners.dedup();
        if owners.len() < OF_ONE_TIER.0 {
            return;
        }
        let most = if let Until::For(most) = verdict.until_of() { most } else { FIRST };
        let closed = &mut self.lanes[usize::from(cell.lane)].closed.get_or_insert_default().0;
        let at = closed.iter().position(|(closed, _)| *closed == tier).unwrap_or_else(|| {
            closed.push((tier, Rest::new(now)));
            closed.len() - 1
        });
        let rest = &mut closed[at].1;
        if rest.is_active(now) {
            return;
        }
        let length = FIRST.saturating_mul(1 << u32::from(rest.step).min(16)).min(most);
        (rest.since, rest.end, rest.step) = (now.tick, End::At(now.tick.plus(length)), rest.step.saturating_add(1));
        describe(rest, verdict);
    }

    /// An owner of a tier has the model after all, or somebody says so: all of it are asked again.
    #[cold]
    pub(super) fn open_tier(&mut self, lane: u16, owner: u32) {
        let Some(tier) = self.roster.tier(owner).cloned() else { return };
        let held = &mut self.lanes[usize::from(lane)];
        let Some(closed) = &mut held.closed else { return };
        closed.0.retain(|(closed, _)| *closed != tier);
        if closed.0.is_empty() {
            held.closed = None;
        }
        let of_tier = |slot: &u32| self.roster.tier(self.owner_at(*slot)) == Some(&tier);
        let slots: Vec<u32> = self.roster.slots().filter(of_tier).collect();
        for slot in slots {
            self.revive_in(lane, slot);
        }
    }

    /// The same in all lanes.
    pub(super) fn open_tier_everywhere(&mut self, owner: u32) {
        for lane in 0..self.lanes.len() as u16 {
            if self.lanes[usize::from(lane)].closed.is_some() {
                self.open_tier(lane, owner);
            }
        }
    }
}
