//! For how many dates day counts are kept: few, until a clock jumps over more of them.

use super::{lane::Lane, plans::Plans, state::State};
use crate::{
    limit::{Dates, Plan},
    store::Image,
    time::Now,
};

/// Whether an earlier process left more dates than logs have places for.
pub(super) fn keeps_many_dates(image: &Image) -> bool {
    let windows = image.units.values().flat_map(|unit| &unit.windows);
    windows
        .map(|window| window.days.iter().filter(|(_, count)| *count > 0).count())
        .any(|dates| dates > Dates::Few.places())
}

impl State {
    /// The wall clock was set. Where it was on more dates of late than logs have places for, they get more.
    pub(super) fn watch_dates(&mut self, now: Now) {
        for (_, zone) in &mut self.zones {
            zone.was_set(now);
        }
        if self.plans.kept() == Dates::Few && self.zones.iter().any(|(_, zone)| zone.is_crowded(now)) {
            self.keep_many_dates();
        }
    }

    /// All logs move to longer ones: 26 bytes more, and as many for each day's limit below 32,768 requests.
    #[cold]
    pub(super) fn keep_many_dates(&mut self) {
        let narrow = self.plans.keep(Dates::Many);
        for lane in &mut self.lanes {
            lane.widen_logs(&narrow, &self.plans);
        }
        for (_, zone) in &mut self.zones {
            zone.keep(Dates::Many);
        }
    }
}

impl Lane {
    fn widen_logs(&mut self, narrow: &[Plan], plans: &Plans) {
        let words = self.owners.iter().map(|owner| plans.plan(owner.plan).words()).sum();
        let old_logs = self.take_logs(words);
        for at in 0..self.owners.len() {
            let owner = self.owners[at];
            let (old, new) = (&narrow[usize::from(owner.plan)], plans.plan(owner.plan));
            let log = self.new_log(new.words());
            self.owners[at].log = log;
            let from = &old_logs[owner.log as usize..][..old.words()];
            new.widen(old, from, self.log(at as u32, new.words()));
        }
    }
}
