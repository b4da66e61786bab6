//! Dates that begin while requests are under way; and for how many of them day counts are kept: few, until a clock jumps over
//! more of them.

use super::{Seat, lane::Lane, plans::Plans, seats::SeatCell, state::State};
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
    /// Where a date began, what is under way counts on it from the first: else as much as was under way could be begun on it
    /// beyond its limit.
    #[cold]
    pub(super) fn turn_dates(&mut self, now: Now) {
        let turned = self.zones.iter_mut().fold(false, |turned, (_, zone)| zone.turn(now) | turned);
        if turned {
            let begun = |cell: &SeatCell| cell.stamp.is_some() && !cell.free && !cell.refunded;
            let seats: Vec<Seat> = self.seats.those(begun).collect();
            for seat in seats {
                self.turn_date(seat, now);
            }
        }
        let turns_at = self.zones.iter().map(|(_, zone)| zone.turns_at()).min().unwrap_or(u64::MAX);
        for lane in &mut self.lanes {
            lane.timers.turn_at(turns_at);
        }
    }

    fn turn_date(&mut self, seat: Seat, now: Now) {
        let Some((owner, Some(stamp))) = self.seats.get(seat).map(|cell| (cell.owner, cell.stamp)) else { return };
        let zone = usize::from(self.roster.owners[owner as usize].zone());
        // A clock that jumped over a date may come back: that is for the request's end.
        if stamp.days.touch(self.zones[zone].1.dates(now)) {
            self.count_midnight(seat, stamp, now);
        }
    }

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
