//! A store that was missing at start is there: what it keeps holds from now on, beside what was learned meanwhile.

use std::mem;

use crate::{pool::state::State, store::Image, time::Now};

impl State {
    /// What the store keeps: of rests the longer holds.
    pub(super) fn join_store(&mut self, mut image: Image, now: Now) {
        let rests = mem::take(&mut image.rests);
        let Some(journal) = &mut self.journal else { return };
        journal.run.epoch = image.epoch + 1;
        journal.rests.extend(rests.values().map(|rest| rest.id.clone()));
        journal.known.by_lane.clear();
        for (name, unit) in &image.units {
            journal.known.by_lane.entry(unit.lane.clone()).or_default().push(name.clone());
        }
        journal.known.image = image;
        for rest in rests.into_values() {
            let until = rest.ends.unwrap_or(i64::MAX);
            self.apply_rest(rest, until, now);
        }
        for slot in self.roster.slots().collect::<Vec<_>>() {
            self.recall_key(slot, now);
        }
        for lane in 0..self.lanes.len() as u16 {
            let (owners, slots) = (self.lanes[usize::from(lane)].owners.len(), self.roster.keys.len());
            self.recall_lane(lane, 0..owners as u32, 0..slots as u32);
        }
        self.recall_followers(now);
        self.reopen_lanes(now);
        self.recall_exits(now);
    }
}
