//! How far a key is ahead of the others of its priority in the stride strategies' time. Each start puts it ahead by
//! 1 ÷ weight, and it waits until the others are as far.
//!
//! What is left of that goes by the weight that the key has now, and by those whom it stands among now: else a weight
//! that was next to nothing for one start, or the time of another priority, would keep the key out for as long as the
//! others need to come there.

use std::mem;

use super::{
    lane::Origin,
    state::{State, standing},
};

impl State {
    /// Another share of the load. Where the key then stands is seen when it [joins](State::join_again) its lanes again.
    pub(super) fn reweigh(&mut self, slot: u32, weight: f32) {
        self.step_out(slot);
        let before = self.stride(slot);
        let key = &mut self.roster.keys[slot as usize];
        // In between, what is left of it may be larger or smaller than there are numbers for.
        let learned = f64::from(key.adaptive) / f64::from(key.weight) * f64::from(weight);
        key.adaptive = (learned as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        key.weight = weight;
        self.step_in(slot, self.stride(slot) / before);
    }

    /// Another place in the order; the key is to [join](State::join_again) its lanes again.
    pub(super) fn reorder(&mut self, slot: u32, priority: u16) {
        self.step_out(slot);
        self.open_priority(priority);
        let before = mem::replace(&mut self.roster.keys[slot as usize].priority, priority);
        self.close_priority(before);
        self.step_in(slot, 1.0);
    }

    /// By how much a start puts it ahead.
    fn stride(&self, slot: u32) -> f64 {
        self.settings.strategy.stride(standing(&self.roster.keys[slot as usize]))
    }

    /// It leaves its lanes, and is to come back as far ahead as it is.
    fn step_out(&mut self, slot: u32) {
        self.leave_lanes(slot);
        self.each_rank(slot, |rank, time| (f64::from_bits(rank) - time).max(0.0));
    }

    /// It may come back, so many times as far ahead as it was.
    fn step_in(&mut self, slot: u32, times: f64) {
        self.each_rank(slot, |rank, time| time + f64::from_bits(rank) * times);
    }

    /// Its rank in each lane, from that and from the time of its priority there.
    fn each_rank(&mut self, slot: u32, becomes: impl Fn(u64, f64) -> f64) {
        if !self.settings.strategy.keeps_time() {
            return;
        }
        let group = self.group(self.roster.keys[slot as usize].priority);
        for lane in self.lanes.iter_mut().filter(|lane| lane.origin != Origin::Free) {
            if let (Some(cell), Some(group)) = (lane.cells.get_mut(slot as usize), lane.groups.get(group)) {
                cell.rank = becomes(cell.rank, group.time).to_bits();
            }
        }
    }
}
