//! The short way of most requests: a key is picked, and its lease settled, where nothing is special.
//!
//! Both ask of everything that could make a difference only whether it is there at all. Where it is they change nothing
//! and leave the request to the long way ([`State::pick`], [`State::judge`] and [`State::end`]), which comes to the
//! same wherever both could go.

use super::{
    Affinity, Demand, Seat,
    group::{class_for, class_of},
    lane::Origin,
    pick::Picked,
    rank::{Loads, Ranks, Strategy},
    roster::{NO_ACCOUNT, UNBOUNDED},
    seats::Probes,
    state::{State, standing},
};
use crate::{limit::Stamp, time::Now, verdict::VerdictKind};

impl Demand {
    /// It may be served by whichever key comes first.
    #[inline]
    fn takes_any(&self) -> bool {
        self.particulars.earlier().is_none() && !self.free && matches!(self.affinity, Affinity::Any)
    }
}

impl State {
    /// Grants the first key of the first priority, where it rests in no scope and has room.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn pick_first(&mut self, demand: &Demand, now: Now) -> Option<Picked> {
        #[cfg(test)]
        if self.always_long {
            return None;
        }
        if !demand.takes_any() || self.roster.exits.any_rest() {
            return None;
        }
        let lane_at = self.lane(demand.model.as_ref());
        let lane = &mut self.lanes[usize::from(lane_at)];
        if lane.rest.is_some() || lane.closed.is_some() || !lane.key_rests.is_empty() {
            return None;
        }
        let slot = match lane.groups.first_mut()?.sole_order() {
            Some(ready) if !lane.timers.may_fire(now.tick) => {
                let keys = &self.roster.keys;
                match self.settings.strategy {
                    Strategy::LeastLoaded => ready.settled_top(&mut lane.cells, &Loads(keys)),
                    strategy => ready.sort_top(&mut lane.cells, &Ranks { strategy, keys }),
                }
            }
            _ => self.first_with_room(lane_at, demand, now),
        }?;
        let lane = &mut self.lanes[usize::from(lane_at)];
        let key = &mut self.roster.keys[slot as usize];
        let owner = &self.roster.owners[key.owner as usize];
        let rests = key.rest.is_some() || owner.rest.is_some() || owner.account != NO_ACCOUNT;
        let waits = key.is_busy() || key.interval_ms > 0;
        let held = lane.owners[key.owner as usize];
        if rests || waits || key.removed || held.has_extra() {
            return None;
        }
        let owner_at = key.owner;
        let plan = self.plans.plan(held.plan);
        if let Some(journal) = &self.journal
            && !journal.allows_demand(
                (lane_at, owner_at),
                plan,
                (key.max_concurrent != UNBOUNDED, held.is_held()),
                demand,
                now,
            )
        {
            return None;
        }
        let days = self.zones[usize::from(owner.zone())].1.dates(now);
        let words = plan.words();
        let ask = Self::ask_in(lane_at, demand, now);
        let stamp = if words == 0 {
            (!ask.provisional).then_some(Stamp { tick: now.tick, days })
        } else if ask.provisional {
            if !plan.book_later(lane.log_at(held, words), ask.need, days) {
                return None;
            }
            lane.owners[key.owner as usize].outgrow();
            None
        } else {
            let booked = plan.book(lane.log_at(held, words), &ask.need, now.tick, days)?;
            if booked.room != u64::MAX && class_of(booked.room) != lane.cells[slot as usize].class() {
                lane.owners[key.owner as usize].outgrow();
            }
            Some(booked.stamp)
        };
        lane.count_start();
        self.tally.start(now);
        self.seq += 1;
        let picked = self.seats.give(&ask, slot, key, self.seq, Probes::default(), stamp);
        if self.settings.strategy != Strategy::LeastLoaded {
            self.advance_rank(lane_at, slot, now);
        }
        if self.tells_leases {
            self.tell_leased(lane_at, self.roster.keys[slot as usize].id.clone());
        }
        if self.journal.is_some() {
            // A copy, made here alone: where the ask's own is shown to others it lies in memory for all.
            let need = ask.need;
            self.note_start(slot, owner_at, lane_at, &need, false);
        }
        Some(picked)
    }

    /// The first key of those in whose class there is room for so many tokens; where there is none, of the class below,
    /// in which some have it.
    #[inline(never)]
    fn first_with_room(&mut self, lane: u16, demand: &Demand, now: Now) -> Option<u32> {
        self.wake(lane, now);
        if demand.estimated {
            return None;
        }
        let min_class = class_for(demand.input_tokens);
        loop {
            let held = &self.lanes[usize::from(lane)];
            let group = held.groups.first()?;
            let slot = match group.best(min_class, &held.cells) {
                Some(slot) => slot,
                None => group.first_of(min_class.checked_sub(1)?)?,
            };
            if !self.restand(lane, slot, 0, now) {
                return Some(slot);
            }
        }
    }

    /// Judges a lease good; whether it did. For a good answer without news.
    #[inline]
    pub(super) fn judge_plain(&mut self, seat: Seat, now: Now) -> bool {
        self.good_plain::<false>(seat, now)
    }

    /// The same, and ends it.
    #[inline]
    pub(super) fn settle_plain(&mut self, seat: Seat, now: Now) -> bool {
        self.good_plain::<true>(seat, now)
    }

    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    fn good_plain<const ENDS: bool>(&mut self, seat: Seat, now: Now) -> bool {
        #[cfg(test)]
        if self.always_long {
            return false;
        }
        let Some(cell) = self.seats.get_mut(seat).filter(|cell| cell.is_plain()) else { return false };
        let (slot, lane_at, start, Some(stamp)) = (cell.slot, cell.lane, cell.seq, cell.stamp) else { return false };
        let key = &mut self.roster.keys[slot as usize];
        let owner = &self.roster.owners[cell.owner as usize];
        let lane = &mut self.lanes[usize::from(lane_at)];
        let rests = key.rest.is_some()
            || owner.rest.is_some()
            || owner.account != NO_ACCOUNT
            || lane.rest.is_some()
            || lane.closed.is_some()
            || self.roster.exits.any_rest()
            || !lane.key_rests.is_empty()
            || lane.is_special(cell.owner);
        let special = key.removed || key.ramp > 0 || key.parked > 0;
        let settled = matches!(lane.origin, Origin::Configured | Origin::Confirmed);
        if rests || special || !settled || !self.waiters.is_empty() || self.guard.remembers() {
            return false;
        }
        // A request that spans midnight counts on both days.
        if ENDS && self.zones[usize::from(owner.zone())].1.dates(now) != stamp.days {
            return false;
        }
        self.guard.good(now.tick);
        self.tally.succeeded(now.tick);
        key.count_success();
        lane.overloads = 0;
        if !ENDS {
            cell.judged = true;
            self.note_verdict((slot, lane_at, start), VerdictKind::Success, true, now);
            return true;
        }
        cell.leave();
        self.seats.free(seat.index);
        key.in_flight -= 1;
        lane.in_flight -= 1;
        // One request less in flight: where that betters its rank it is moved. Only a rank that goes by the load can.
        let by_load = Strategy::LeastLoaded;
        if self.settings.strategy == by_load
            && lane.cells.get(slot as usize).is_some_and(|cell| by_load.rank(standing(key), cell.rank) < cell.rank)
        {
            self.rise(lane_at, slot);
        }
        self.note_verdict((slot, lane_at, start), VerdictKind::Success, true, now);
        true
    }
}
