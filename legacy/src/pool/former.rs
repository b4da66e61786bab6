//! Secrets that gave their places to others, and where they were used: one that comes back, since a rotation is rolled back,
//! has used what it used.

use std::collections::VecDeque;

use super::{given::stricter, state::State};
use crate::{
    limit::{Need, Plan},
    time::Now,
};

/// So many are remembered, as of keys that left.
const REMEMBERED: usize = 256;

/// By the secret's hash, the owner in whose windows it was counted. Who is counted there since counts as well: that is too
/// much rather than too little.
#[derive(Default)]
pub(super) struct Former(VecDeque<(u64, u32)>);

impl Former {
    pub(super) fn note(&mut self, secret: u64, owner: u32) {
        self.take(secret);
        self.0.push_back((secret, owner));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    /// Where this one was used, which is forgotten: from now on it is used where it came in.
    pub(super) fn take(&mut self, secret: u64) -> Option<u32> {
        let at = self.0.iter().position(|held| held.0 == secret)?;
        Some(self.0.remove(at)?.1)
    }

    /// An owner's windows are another's.
    pub(super) fn moved(&mut self, from: u32, into: u32) {
        self.0.iter_mut().filter(|held| held.1 == from).for_each(|held| held.1 = into);
    }

    /// Its place is somebody else's.
    pub(super) fn forget(&mut self, owner: u32) {
        self.0.retain(|held| held.1 != owner);
    }
}

impl State {
    /// A secret is used by another owner's leave than before: what was counted there counts here, too. Where owners are
    /// shared, the store says what was used.
    pub(super) fn count_former(&mut self, slot: u32, from: Option<u32>, now: Now) {
        let into = self.roster.keys[slot as usize].owner;
        let Some(from) = from.filter(|from| *from != into && self.share().is_none()) else { return };
        for lane in 0..self.lanes.len() as u16 {
            if self.lanes[usize::from(lane)].owners.len() > from.max(into) as usize {
                self.count_former_in(lane, from, into, now);
            }
        }
        self.ring.forget();
    }

    fn count_former_in(&mut self, lane: u16, from: u32, into: u32, now: Now) {
        let at = self.at(now, into);
        let numbers = [from, into].map(|owner| self.lanes[usize::from(lane)].owners[owner as usize].plan);
        let learned = numbers.map(|number| self.plans.sources(number).learned.clone());
        self.replan(lane, into, stricter(&learned[0], &learned[1]), now);
        let place = &mut self.lanes[usize::from(lane)];
        let (old, plan) = (self.plans.plan(numbers[0]), self.plans.plan(place.owners[into as usize].plan));
        let log = place.log_ref(from, old.words()).to_vec();
        let mut used = vec![0; plan.words()];
        Plan::migrate(old, &log, plan, &mut used, &Need::default(), &at);
        plan.add(&used, place.log(into, plan.words()), &at);
        self.note_unit(lane, into);
    }
}
