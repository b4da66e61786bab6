//! Granting: a key that may carry a request gets a seat, and its owner has that much less room.

use std::sync::Arc;

use super::{
    Affinity, Attempt,
    ask::Ask,
    cell::Place,
    event::Event,
    pick::Picked,
    roster::KeyCell,
    scope::Whom,
    seats::{Probes, Seats},
    state::{State, standing},
};
use crate::{
    key::KeyId,
    limit::{At, Stamp},
    time::Now,
};

impl Seats {
    /// Seats a request on a key that starts once more.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn give(
        &mut self,
        ask: &Ask<'_>,
        slot: u32,
        key: &mut KeyCell,
        seq: u64,
        probes: Probes,
        stamp: Option<Stamp>,
    ) -> Picked {
        let ticket = if ask.ticket == u64::MAX { seq } else { ask.ticket };
        let (seat, cell) = self.take();
        // Field by field into its place: this is the record of every request.
        cell.slot = slot;
        cell.owner = key.owner;
        cell.lane = ask.lane;
        cell.stamp = stamp;
        cell.began = ask.now;
        cell.seq = seq;
        cell.need = ask.need;
        cell.free = ask.demand.free;
        cell.probes = probes;
        cell.before = (key.last_started, key.last_seq);
        cell.ticket = ticket;
        if let Some(earlier) = ask.demand.particulars.earlier() {
            cell.earlier = Some(Arc::clone(earlier));
        }
        key.in_flight += 1;
        key.started = key.started.saturating_add(1);
        key.last_started = ask.now.tick;
        key.last_seq = seq;
        Picked { seat, ticket, key: key.id.clone(), secret: key.secret.clone() }
    }
}

impl State {
    pub(super) fn grant(&mut self, ask: &Ask<'_>, slot: u32, probes: Probes) -> Picked {
        let now = ask.now;
        let owner = self.roster.keys[slot as usize].owner;
        let at = self.at(now, owner);
        let stamp = self.take_room(ask, owner, &at);
        for scope in probes.iter() {
            self.probe_out(Whom { scope, slot, owner, lane: ask.lane });
        }
        // A request that would not wait, and finds no line, goes before nobody.
        if now.tick < self.lanes[usize::from(ask.lane)].trickles
            && (!ask.would_wait.is_zero() || self.is_line(ask.lane))
        {
            self.went_first(ask.lane, slot, owner);
        }
        self.seat(ask, slot, probes, stamp)
    }

    /// The key is this request's: room was taken, from when on `stamp` says.
    pub(super) fn seat(&mut self, ask: &Ask<'_>, slot: u32, probes: Probes, stamp: Option<Stamp>) -> Picked {
        self.seq += 1;
        let key = &mut self.roster.keys[slot as usize];
        if key.interval_ms > 0 && stamp.is_none() {
            key.extra.get_or_insert_default().ahead += 1;
        }
        let (id, priority) = (key.id.clone(), key.priority);
        let owner = key.owner;
        let picked = self.seats.give(ask, slot, key, self.seq, probes, stamp);
        self.advance_rank(ask.lane, slot, ask.now);
        self.lanes[usize::from(ask.lane)].count_start();
        self.tally.start(ask.now);
        self.note_start(slot, owner, ask.lane, &ask.need, ask.demand.free);
        if self.priorities.first().is_some_and(|first| *first < priority) && self.spills(ask, &id, owner) {
            self.spilled(ask, &id, priority);
        }
        if self.tells_leases {
            self.tell_leased(ask.lane, id);
        }
        picked
    }

    /// Whether it is for want of an earlier priority that a later one serves, and not for what the request asks: an owner,
    /// or to be tried elsewhere.
    #[cold]
    fn spills(&self, ask: &Ask<'_>, id: &KeyId, owner: u32) -> bool {
        let elsewhere = |attempts: &[Attempt]| attempts.iter().any(Attempt::bars_owner);
        if ask.demand.particulars.untried || ask.demand.particulars.earlier.as_deref().is_some_and(elsewhere) {
            return false;
        }
        match &ask.demand.affinity {
            Affinity::Any | Affinity::Near(_) | Affinity::Lasting => true,
            Affinity::MustKey(_) | Affinity::MustOwner(_) => false,
            Affinity::RatherKey(rather) => rather != id,
            Affinity::RatherOwner(rather) => self.roster.owner_named(rather) != Some(owner),
        }
    }

    #[cold]
    pub(super) fn tell_leased(&mut self, lane: u16, key: KeyId) {
        let model = self.lane_name(lane);
        self.events.push(Event::Leased { key, model });
    }

    pub(super) fn spilled(&mut self, ask: &Ask<'_>, id: &KeyId, priority: u16) {
        self.lanes[usize::from(ask.lane)].spilled += 1;
        self.tally.spills += 1;
        let (key, model) = (id.clone(), self.lane_name(ask.lane));
        self.event_of_request(|| Event::Spilled { key, priority, model });
    }

    /// Takes room in the owner's windows; when it counts from, unless that is to be said later.
    pub(super) fn take_room(&mut self, ask: &Ask<'_>, owner: u32, at: &At) -> Option<Stamp> {
        let mut stamp = (!ask.provisional).then_some(Stamp { tick: at.tick, days: at.day.days });
        if ask.demand.free {
            return stamp;
        }
        let lane = &mut self.lanes[usize::from(ask.lane)];
        lane.owners[owner as usize].outgrow();
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        let words = plan.words();
        if words > 0 {
            let log = lane.log(owner, words);
            plan.reserve(log, &ask.need);
            if !ask.provisional {
                stamp = Some(plan.stamp(log, &ask.need, at));
            }
        }
        if let Some(extra) = lane.extra_of_mut(owner) {
            for allowance in &mut extra.allowances {
                allowance.take(&ask.need);
            }
            if extra.booked.is_some_and(|booked| booked.ticket == ask.ticket) {
                extra.booked = None;
            }
        }
        stamp
    }

    /// The key has started once more. Where its rank follows from that alone, it is moved, to another class as well,
    /// when it comes to the top again.
    #[inline(never)]
    pub(super) fn advance_rank(&mut self, lane: u16, slot: u32, now: Now) {
        if self.settings.strategy.keeps_time() {
            self.advance_time(lane, slot, now);
        }
    }

    fn advance_time(&mut self, lane: u16, slot: u32, now: Now) {
        let key = &self.roster.keys[slot as usize];
        let (standing, group) = (standing(key), self.group(key.priority));
        let held = &mut self.lanes[usize::from(lane)];
        let cell = held.cells[slot as usize];
        let time = &mut held.groups[group].time;
        *time = time.max(f64::from_bits(cell.rank).min(f64::MAX));
        let rank = self.settings.strategy.advanced(standing, cell.rank, *time);
        if cell.place() == Place::Ready {
            held.reorder(slot, group, cell.class(), rank);
        } else {
            held.cells[slot as usize].rank = rank;
        }
        self.reclass(lane, slot, group, false, now);
    }
}
