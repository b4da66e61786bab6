//! What becomes of a lease: it starts, learns what it cost, and ends.

use std::time::Duration;

use super::{Seat, Usage, cell::Place, lane::Origin, scope::Whom, seats::SeatCell, sharing::Wire, state::State};
use crate::{
    limit::{At, Correction, Stamp, Unit},
    share::Spent,
    time::Now,
    verdict::Scope,
};

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

impl State {
    /// The request goes out now: limits count from here. Where owners are shared, false: it must not go any more.
    pub(super) fn started(&mut self, seat: Seat, now: Now) -> bool {
        if self.journal.is_some() {
            match self.may_go(seat, now) {
                Wire::Counted => {}
                Wire::Elsewhere => return true,
                Wire::Void => return false,
            }
        }
        self.count_from(seat, now);
        true
    }

    /// It went out, whether it might or not.
    pub(super) fn went_out(&mut self, seat: Seat, now: Now) {
        if self.journal.is_some() && !self.is_here(seat) {
            self.went_elsewhere(seat, now);
        } else {
            self.count_from(seat, now);
        }
    }

    fn count_from(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get_mut(seat) else { return };
        let known = cell.stamp.is_some() && cell.began.tick >= now.tick;
        if cell.refunded || cell.judged || known {
            return;
        }
        let (slot, owner, lane_at, granted) = (cell.slot, cell.owner, cell.lane, cell.seq);
        let zone = &mut self.zones[usize::from(self.roster.owners[owner as usize].zone())].1;
        let days = zone.dates(now);
        let lane = &mut self.lanes[usize::from(lane_at)];
        let held = lane.owners[owner as usize];
        let plan = self.plans.plan(held.plan);
        let words = if cell.free { 0 } else { plan.words() };
        let moves = cell.stamp.is_some();
        let stamp = match cell.stamp {
            _ if words == 0 => Stamp { tick: now.tick, days },
            None => plan.start(lane.log_at(held, words), &cell.need, now.tick, days),
            Some(earlier) => {
                let at = At { tick: now.tick, day: zone.at(now.tick, now.wall_ms()) };
                plan.restamp(lane.log_at(held, words), &cell.need, earlier, &at)
            }
        };
        cell.stamp = Some(stamp);
        cell.began = now;
        let key = &mut self.roster.keys[slot as usize];
        key.last_started = key.last_started.max(now.tick);
        if !moves && key.interval_ms > 0 {
            self.not_ahead(slot);
            self.unpark_all(slot);
            self.serve(now);
        }
        if words > 0 {
            self.note_moved_start(lane_at, owner, granted);
        }
    }

    /// What the answer cost: corrects what was reserved.
    pub(super) fn usage(&mut self, seat: Seat, usage: Usage, now: impl FnOnce() -> Now) {
        self.note_usage(seat, usage);
        let Some(cell) = self.seats.get_mut(seat) else { return };
        if cell.free || cell.refunded {
            return;
        }
        let reserved = cell.need;
        cell.need.input_tokens = usage.input_tokens.unwrap_or(reserved.input_tokens);
        cell.need.output_tokens = usage.output_tokens.unwrap_or(reserved.output_tokens);
        let (actual, stamp, owner, lane, slot) = (cell.need, cell.stamp, cell.owner, cell.lane, cell.slot);
        let granted = cell.seq;
        let plan = self.lanes[usize::from(lane)].owners[owner as usize].plan;
        if actual == reserved || !self.plans.plan(plan).counts_tokens() {
            return;
        }
        let now = now();
        if self.journal.is_some() && !self.is_here(seat) {
            let more = Spent {
                input_tokens: actual.input_tokens.saturating_sub(reserved.input_tokens),
                output_tokens: actual.output_tokens.saturating_sub(reserved.output_tokens),
                ..Spent::default()
            };
            return self.tell_more((lane, owner), &more, now);
        }
        let at = self.at(now, owner);
        let plan = self.plans.plan(plan);
        let log = self.lanes[usize::from(lane)].log(owner, plan.words());
        let units = [Unit::InputTokens, Unit::OutputTokens];
        for unit in units {
            let amounts = Correction { reserved: reserved.of(unit), actual: actual.of(unit) };
            if amounts.reserved != amounts.actual {
                plan.correct(log, unit, stamp, amounts, &at);
            }
        }
        self.note_correction(
            lane,
            owner,
            granted,
            units.map(|unit| (unit, signed(actual.of(unit)) - signed(reserved.of(unit)))),
        );
        if actual.input_tokens < reserved.input_tokens || actual.output_tokens < reserved.output_tokens {
            self.roomier(lane, owner, slot, now);
        }
    }

    /// Room came back to an owner in a lane: its keys that stood too low, or waited, are looked at again. `slot`: whose
    /// request gave it back; by now that key may be gone, or another's.
    fn roomier(&mut self, lane: u16, owner: u32, slot: u32, now: Now) {
        let key = &self.roster.keys[slot as usize];
        if self.roster.owners[owner as usize].keys() == 1 && key.owner == owner && !key.removed {
            self.look_again(lane, slot, now);
        } else {
            let of_owner = |slot: &u32| self.roster.keys[*slot as usize].owner == owner;
            let slots: Vec<u32> = self.roster.slots().filter(of_owner).collect();
            for slot in slots {
                self.look_again(lane, slot, now);
            }
        }
        self.serve(now);
    }

    fn look_again(&mut self, lane: u16, slot: u32, now: Now) {
        let group = self.group(self.roster.keys[slot as usize].priority);
        match self.lanes[usize::from(lane)].cells[slot as usize].place() {
            Place::Ready => {
                self.reclass(lane, slot, group, true, now);
            }
            Place::Timed => self.enter(lane, slot),
            Place::Busy | Place::Out => {}
        }
    }

    /// Whether the lease counts in a log that is kept here.
    fn is_here(&self, seat: Seat) -> bool {
        self.seats.get(seat).is_none_or(|cell| self.is_of_this_holding(cell))
    }

    /// The request never left: its place is given back.
    pub(super) fn refund(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get_mut(seat) else { return };
        if cell.free || std::mem::replace(&mut cell.refunded, true) {
            return;
        }
        let (owner, lane_at, slot) = (cell.owner, cell.lane, cell.slot);
        let (need, stamp) = (cell.need, cell.stamp);
        if self.journal.is_some() && self.seats.get(seat).is_some_and(|cell| !self.may_refund(cell)) {
            return self.keep_place(seat, now);
        }
        let at = self.at(now, owner);
        let lane = &mut self.lanes[usize::from(lane_at)];
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        let words = plan.words();
        if words > 0 {
            plan.refund(lane.log(owner, words), &need, stamp, &at);
        }
        if let Some(extra) = lane.extra_of_mut(owner) {
            for allowance in &mut extra.allowances {
                allowance.give_back(&need);
            }
        }
        self.note_unit(lane_at, owner);
        self.roomier(lane_at, owner, slot, now);
    }

    /// The lease ends before anybody had it.
    pub(super) fn give_up(&mut self, seat: Seat, now: Now) {
        self.refund(seat, now);
        if let Some(cell) = self.seats.get_mut(seat) {
            cell.stamp = None;
        }
        self.end(seat, now);
    }

    /// The lease ends: its slot is free, once.
    pub(super) fn end(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get(seat) else { return };
        let (slot, owner, lane_at) = (cell.slot, cell.owner, cell.lane);
        match cell.stamp {
            Some(stamp) if cell.probes.is_empty() => {
                let zone = usize::from(self.roster.owners[owner as usize].zone());
                if !cell.free && !cell.refunded && self.zones[zone].1.dates(now) != stamp.days {
                    self.count_midnight(seat, stamp, now);
                }
            }
            _ => self.settle_special(seat, now),
        }
        let lane = &mut self.lanes[usize::from(lane_at)];
        if lane.owners[owner as usize].is_unlimited() {
            lane.unlimited.ended(self.seats.get(seat), now.tick);
        }
        self.seats.end(seat);
        lane.in_flight -= 1;
        let unknown = lane.origin == Origin::Unknown;
        lane.last_used = self.seq;
        let key = &mut self.roster.keys[slot as usize];
        key.in_flight -= 1;
        if !key.removed {
            self.released(lane_at, slot);
        }
        if unknown {
            self.drop_unknown(lane_at);
        }
        if !self.waiters.is_empty() {
            self.fell_idle(slot, now);
        }
    }

    /// A request of a key with a shortest interval is on the wire, or will never be.
    fn not_ahead(&mut self, slot: u32) {
        if let Some(extra) = &mut self.roster.keys[slot as usize].extra {
            extra.ahead = extra.ahead.saturating_sub(1);
        }
    }

    /// A lease that was given up before its request went out (a waiter who left) takes nothing along.
    fn never_started(&mut self, cell: &SeatCell, now: Now) {
        let key = &mut self.roster.keys[cell.slot as usize];
        key.started = key.started.saturating_sub(1);
        if key.last_seq == cell.seq {
            (key.last_started, key.last_seq) = cell.before;
        }
        let lane = &mut self.lanes[usize::from(cell.lane)];
        lane.started = lane.started.saturating_sub(1);
        self.tally.unstart(cell.began.tick);
        self.note_unstart(cell.slot, cell.lane, cell.began, now);
    }

    /// One request less in flight: the rank gets better here, and lanes that waited for it get the key back.
    #[inline]
    fn released(&mut self, lane: u16, slot: u32) {
        let key = &self.roster.keys[slot as usize];
        let (standing, parked) = (super::state::standing(key), key.parked);
        let held = &self.lanes[usize::from(lane)];
        // A worse rank shows when it comes to the top.
        if held
            .cells
            .get(slot as usize)
            .is_some_and(|cell| self.settings.strategy.rank(standing, cell.rank) < cell.rank)
        {
            self.rise(lane, slot);
        }
        if parked > 0 {
            self.unpark_all(slot);
        }
    }

    /// Moves a key, where it is ready, to where its rank now puts it.
    #[inline(never)]
    pub(super) fn rise(&mut self, lane: u16, slot: u32) {
        let key = &self.roster.keys[slot as usize];
        let group = self.group(key.priority);
        let cell = self.lanes[usize::from(lane)].cells[slot as usize];
        let rank = self.settings.strategy.rank(super::state::standing(key), cell.rank);
        if cell.place() == Place::Ready {
            self.lanes[usize::from(lane)].reorder(slot, group, cell.class(), rank);
        }
    }

    /// Lanes in which this key waited for itself get it back.
    fn unpark_all(&mut self, slot: u32) {
        for lane in 0..self.lanes.len() as u16 {
            let place = self.lanes[usize::from(lane)].cells.get(slot as usize).map(|cell| cell.place());
            if place == Some(Place::Busy) {
                self.unpark(slot);
                self.enter(lane, slot);
            }
        }
    }

    /// A request that spans midnight counts on both days.
    #[cold]
    pub(super) fn count_midnight(&mut self, seat: Seat, stamp: Stamp, now: Now) {
        let is_elsewhere = self.journal.is_some() && !self.is_here(seat);
        let Some(owner) = self.seats.get(seat).map(|cell| cell.owner) else { return };
        let at = self.at(now, owner);
        if stamp.days.covers(at.day.days) {
            return;
        }
        let Some(cell) = self.seats.get_mut(seat) else { return };
        let (lane_at, need) = (cell.lane, cell.need);
        cell.stamp = Some(Stamp { days: stamp.days.and(at.day.days), ..stamp });
        if is_elsewhere {
            return self.tell_more((lane_at, owner), &Spent::from(need), now);
        }
        let lane = &mut self.lanes[usize::from(lane_at)];
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        let words = plan.words();
        if words > 0 {
            plan.spans_midnight(lane.log(owner, words), &need, stamp, &at);
        }
        self.note_unit(lane_at, owner);
    }

    /// A lease that never started, or that was a probe.
    #[cold]
    fn settle_special(&mut self, seat: Seat, now: Now) {
        if self.seats.get(seat).is_some_and(|cell| cell.stamp.is_none()) {
            self.refund(seat, now);
        }
        let Some(cell) = self.seats.get(seat).cloned() else { return };
        if let Some(stamp) = cell.stamp
            && !cell.free
            && !cell.refunded
            && self.at(now, cell.owner).day.days != stamp.days
        {
            self.count_midnight(seat, stamp, now);
        }
        for scope in cell.probes.iter() {
            self.probe_back(scope, &cell, now);
            self.note_key(cell.slot, cell.lane);
        }
        // One that was tried in vain (a connection refused) had its turn: the next request goes to another key.
        if cell.stamp.is_none() {
            self.not_ahead(cell.slot);
            if !cell.judged {
                self.never_started(&cell, now);
            }
        }
    }

    // === probes ===

    /// The one probe of a scope goes out.
    pub(super) fn probe_out(&mut self, whom: Whom) {
        if let Some(probe) = self.rest_slot_of(whom).and_then(|rest| rest.probe.as_mut()) {
            probe.out = true;
        }
    }

    /// The probe ended and the scope still rests: the next one goes out later, twice as much later after a failure.
    /// One that never started, or that nobody judged, says nothing.
    fn probe_back(&mut self, scope: Scope, cell: &SeatCell, now: Now) {
        let cap = self.settings.rests.probe_cap;
        let (slot, owner) = (cell.slot, cell.owner);
        let Some(rest) = self.rest_slot_of(Whom { scope, slot, owner, lane: cell.lane }) else { return };
        // One that is older than the rest, as the day that a confirmation is waited for may pass, is not its probe.
        let own = cell.began.tick >= rest.since;
        let Some(probe) = rest.probe.as_mut().filter(|probe| probe.out && own) else { return };
        probe.out = false;
        if cell.failed {
            probe.interval = probe.interval.saturating_mul(2).min(cap);
        }
        if cell.stamp.is_some() {
            probe.at = now.tick.plus(probe.interval.max(Duration::from_secs(1)));
        }
        match scope {
            Scope::Key | Scope::KeyLane => self.revive_key(slot),
            Scope::Owner | Scope::OwnerLane => self.revive_owner(owner),
            _ => self.revive_all(),
        }
    }
}
