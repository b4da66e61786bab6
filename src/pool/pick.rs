//! Picking: which key may carry this request, now.

use std::time::Duration;

use super::{
    Affinity, Demand, OutReason, Seat,
    cell::Place,
    event::Event,
    lane::{UNLIMITED, class_for, class_of},
    rest::Rest,
    roster::{NO_ACCOUNT, UNBOUNDED},
    seats::{ProbeOf, Probes, SeatCell},
    state::{NO_MODEL, State, standing},
};
use crate::{
    key::{KeyId, Secret},
    limit::{At, Full, Limit, Need, Stamp, Unit},
    time::{Now, Tick},
    verdict::{Attempt, VerdictKind},
};

/// A granted key.
pub(super) struct Picked {
    pub(super) seat: Seat,
    /// The request's place in line.
    pub(super) ticket: u64,
    pub(super) key: KeyId,
    pub(super) secret: Secret,
}

/// Why there is none.
#[derive(Clone, Copy)]
pub(super) enum NotNow {
    /// Some time, or after some event.
    Later,
    /// The demand is larger than this limit, the largest of its kind.
    Never(u64, Limit),
}

/// Whether a key may carry a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Check {
    /// Yes; as the probe of these scopes.
    Ready(Probes),
    /// Not before then.
    Until(Tick, OutReason),
    /// When one of its requests ends, or its interval is over.
    Busy(Option<Tick>, OutReason),
    /// Not before an event.
    Out(OutReason),
    /// It may carry others, but not this one: before then, where known.
    NotThis(Option<Tick>, OutReason),
}

/// The least that a request needs.
pub(super) const LEAST: Need = Need { requests: 1, input_tokens: 0, output_tokens: 0, images: 0 };

/// Keys that this demand must not, or need not, be given.
#[derive(Default)]
pub(super) struct Excluded {
    slots: Vec<u32>,
    owners: Vec<u32>,
}

impl Excluded {
    pub(super) fn holds(&self, slot: u32, owner: u32) -> bool {
        self.slots.contains(&slot) || self.owners.contains(&owner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.owners.is_empty()
    }
}

/// One pick: what is asked, of which lane, when.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) demand: &'a Demand,
    pub(super) lane: u16,
    pub(super) need: Need,
    pub(super) now: Now,
    pub(super) waited: Duration,
    /// The place in the queue; a new demand stands behind all, a retry where it stood first.
    pub(super) ticket: u64,
    /// Its start is stamped later.
    pub(super) provisional: bool,
}

impl State {
    /// Grants the best key that may carry this demand now.
    #[inline]
    pub(super) fn pick(&mut self, ask: &Ask<'_>) -> Result<Picked, NotNow> {
        if self.exit.as_ref().is_some_and(|rest| rest.is_active(ask.now)) {
            return Err(NotNow::Later);
        }
        if self.lanes[usize::from(ask.lane)].rest.as_ref().is_some_and(|rest| rest.is_active(ask.now)) {
            return Err(NotNow::Later);
        }
        let any = matches!(ask.demand.affinity, Affinity::Any) && ask.demand.earlier.is_none();
        if any && let Some(picked) = self.pick_first(ask) {
            return Ok(picked);
        }
        let excluded = self.excluded(ask.demand);
        let found = match &ask.demand.affinity {
            Affinity::Any => self.pick_any(ask, &excluded),
            Affinity::MustKey(_) | Affinity::MustOwner(_) => self.pick_of(ask, &excluded),
            Affinity::RatherKey(_) | Affinity::RatherOwner(_) => {
                self.pick_of(ask, &excluded).or_else(|| self.pick_any(ask, &excluded))
            }
        };
        match found {
            Some((slot, probe)) => Ok(self.grant(ask, slot, probe)),
            None => Err(self.never(ask).unwrap_or(NotNow::Later)),
        }
    }

    /// The way of most picks: the first key of the first priority rests in no scope and has room. Grants it, or leaves
    /// it to [`State::pick_any`], which asks the same and knows what else there is.
    #[inline]
    fn pick_first(&mut self, ask: &Ask<'_>) -> Option<Picked> {
        self.wake(ask.lane, ask.now);
        let lane = &mut self.lanes[usize::from(ask.lane)];
        let ready = lane.groups.first_mut()?.sole_order()?;
        if ask.demand.free || !lane.key_rests.is_empty() {
            return None;
        }
        let strategy = self.settings.strategy;
        let (slot, key) = loop {
            let slot = ready.top(&lane.cells)?;
            let key = &self.roster.keys[slot as usize];
            let cell = &mut lane.cells[slot as usize];
            let rank = strategy.rank(standing(key), cell.rank);
            if rank <= cell.rank {
                break (slot, key);
            }
            cell.rank = rank;
            let at = cell.position();
            ready.reorder(slot, at, &mut lane.cells);
        };
        let owner = &self.roster.owners[key.owner as usize];
        let rests = key.rest.is_some() || owner.rest.is_some() || owner.account != NO_ACCOUNT;
        let waits = key.in_flight >= key.max_concurrent.min(UNBOUNDED - 1) || key.interval_ms > 0;
        let held = lane.owners[key.owner as usize];
        if rests || waits || key.removed || held.has_extra() {
            return None;
        }
        let plan = self.plans.plan(held.plan);
        let at = At { tick: ask.now.tick, day: self.zones[usize::from(owner.zone)].1.at(ask.now.wall_ms) };
        let mut stamp = (!ask.provisional).then_some(Stamp { tick: at.tick, days: at.day.days });
        if plan.words() > 0 {
            let log = lane.log_at(held, plan.words());
            if !plan.has_room(log, &ask.need, &at) {
                return None;
            }
            if ask.provisional {
                plan.reserve(log, &ask.need);
            } else {
                stamp = Some(plan.book(log, &ask.need, &at));
            }
        }
        Some(self.seat(ask, slot, Probes::default(), stamp))
    }

    /// Whether the demand would be granted a key now.
    pub(super) fn could_pick(&mut self, demand: &Demand, now: Now) -> bool {
        let ask = self.ask(demand, now);
        let rests = [self.exit.as_ref(), self.lanes[usize::from(ask.lane)].rest.as_ref()];
        if self.closed || rests.into_iter().flatten().any(|rest| rest.is_active(now)) {
            return false;
        }
        let excluded = self.excluded(demand);
        match demand.affinity {
            Affinity::MustKey(_) | Affinity::MustOwner(_) => self.pick_of(&ask, &excluded).is_some(),
            _ => self.pick_any(&ask, &excluded).is_some(),
        }
    }

    /// The best of all keys: by priority, then by rank.
    fn pick_any(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        self.wake(ask.lane, ask.now);
        for group in 0..self.priorities.len() {
            let found = self.pick_in(ask, excluded, group);
            if found.is_some() {
                return found;
            }
            if group + 1 < self.priorities.len() && !self.may_spill(ask, excluded, group) {
                return None;
            }
        }
        None
    }

    /// The best key of one priority.
    fn pick_in(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize) -> Option<(u32, Probes)> {
        let lane_at = usize::from(ask.lane);
        let min_class = class_for(ask.need.input_tokens);
        let mut found = None;
        while let Some(slot) = self.lanes[lane_at].groups[group].best(min_class, &self.lanes[lane_at].cells) {
            let owner = self.roster.keys[slot as usize].owner;
            if !excluded.is_empty() && excluded.holds(slot, owner) {
                self.put_aside(ask.lane, slot, group);
                continue;
            }
            if self.restand(ask.lane, slot, group) {
                continue;
            }
            match self.check(ask, slot) {
                Check::Ready(probe) => {
                    found = Some((slot, probe));
                    break;
                }
                Check::NotThis(..) => {
                    // Where the owner has less room than its class says, the class is mended; else it is passed over.
                    if !self.reclass(ask.lane, slot, group, ask.now) {
                        self.put_aside(ask.lane, slot, group);
                    }
                }
                other => self.stow(ask.lane, slot, group, other),
            }
        }
        if found.is_none() && min_class > 0 {
            found = self.pick_border(ask, excluded, group, min_class - 1);
        }
        self.bring_back(ask.lane, group);
        found
    }

    /// The class below holds keys with and without room for so many tokens: each is looked at.
    fn pick_border(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize, class: usize) -> Option<(u32, Probes)> {
        let lane_at = usize::from(ask.lane);
        let slots: Vec<u32> = self.lanes[lane_at].groups[group].class(class).collect();
        let mut best: Option<(u64, u32, Probes)> = None;
        for slot in slots {
            let rank = self.lanes[lane_at].cells[slot as usize].rank;
            let owner = self.roster.keys[slot as usize].owner;
            if best.is_some_and(|(held, ..)| held <= rank) || excluded.holds(slot, owner) {
                continue;
            }
            match self.check(ask, slot) {
                Check::Ready(probe) => best = Some((rank, slot, probe)),
                Check::NotThis(..) => {
                    self.reclass(ask.lane, slot, group, ask.now);
                }
                other => self.stow(ask.lane, slot, group, other),
            }
        }
        best.map(|(_, slot, probe)| (slot, probe))
    }

    /// The best of the keys that the demand must, or had rather, use.
    fn pick_of(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        self.wake(ask.lane, ask.now);
        let mut best: Option<(u16, u64, u32, Probes)> = None;
        for slot in self.wanted(&ask.demand.affinity) {
            let key = &self.roster.keys[slot as usize];
            if excluded.holds(slot, key.owner) {
                continue;
            }
            let order = (key.priority, self.lanes[usize::from(ask.lane)].cells[slot as usize].rank);
            match self.check(ask, slot) {
                Check::Ready(probes) => {
                    if best.is_none_or(|(priority, rank, ..)| order < (priority, rank)) {
                        best = Some((order.0, order.1, slot, probes));
                    }
                }
                // Whoever waits for this very key is woken by its timer.
                check @ (Check::Until(..) | Check::Busy(..)) => {
                    let group = self.group(order.0);
                    if self.lanes[usize::from(ask.lane)].cells[slot as usize].place() == Place::Ready {
                        self.stow(ask.lane, slot, group, check);
                    }
                }
                Check::NotThis(Some(at), _) => {
                    let held = &mut self.lanes[usize::from(ask.lane)];
                    held.timers.arm_sooner(slot, at, &mut held.cells);
                }
                Check::NotThis(None, _) | Check::Out(_) => {}
            }
        }
        best.map(|(.., slot, probe)| (slot, probe))
    }

    /// The keys of an affinity; empty for `Any`.
    pub(super) fn wanted(&self, affinity: &Affinity) -> Vec<u32> {
        match affinity {
            Affinity::Any => Vec::new(),
            Affinity::MustKey(id) | Affinity::RatherKey(id) => self.roster.slot_of(id).into_iter().collect(),
            Affinity::MustOwner(name) | Affinity::RatherOwner(name) => {
                let owner = self.roster.owner_named(name);
                let of_owner = |slot: &u32| Some(self.roster.keys[*slot as usize].owner) == owner;
                self.roster.slots().filter(of_owner).collect()
            }
        }
    }

    /// Whether a later priority opens, after no key of this group could be picked.
    fn may_spill(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize) -> bool {
        if self.settings.spill.is_any() {
            return ask.waited >= self.settings.spill_after;
        }
        let mut at = 0;
        while let Some(slot) = self.lanes[usize::from(ask.lane)].groups[group].busy.get(at).copied() {
            if excluded.holds(slot, self.roster.keys[slot as usize].owner) {
                at += 1;
                continue;
            }
            match self.check(ask, slot) {
                // Waited for, or just back: an earlier priority comes first.
                Check::Busy(..) | Check::Ready(_) => return false,
                Check::NotThis(..) => at += 1,
                // It is full or rests as well by now: not waited for.
                other => self.stow(ask.lane, slot, group, other),
            }
        }
        ask.waited >= self.settings.spill_after
    }

    // === looking at one key ===

    /// Whether this key may carry this request now.
    #[inline]
    pub(super) fn check(&mut self, ask: &Ask<'_>, slot: u32) -> Check {
        let now = ask.now;
        let lane_at = usize::from(ask.lane);
        let key = &self.roster.keys[slot as usize];
        if key.removed {
            return Check::Out(OutReason::DisabledByHand);
        }
        let owner_at = key.owner;
        let probes = if self.may_rest(slot, owner_at, ask.lane) {
            match self.check_rests(ask, slot, owner_at) {
                Ok(probes) => probes,
                Err(check) => return check,
            }
        } else {
            Probes::default()
        };
        if ask.demand.free {
            return self.check_slots(slot, now, probes);
        }
        let at = self.at(now, owner_at);
        let lane = &mut self.lanes[lane_at];
        let owner = lane.owners[owner_at as usize];
        let plan = self.plans.plan(owner.plan);
        let words = plan.words();
        if words > 0
            && let Err(full) = plan.room(lane.log_at(owner, words), &ask.need, &at)
        {
            return self.check_full(ask, owner_at, full, &at);
        }
        self.check_slots(slot, now, probes)
    }

    /// No room for this request.
    #[inline(never)]
    fn check_full(&mut self, ask: &Ask<'_>, owner: u32, full: Full, at: &At) -> Check {
        let lane = &mut self.lanes[usize::from(ask.lane)];
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        // Where even the least request has no room the key waits for that; else it may carry others.
        let least = if ask.need == LEAST { Err(full) } else { plan.room(lane.log(owner, plan.words()), &LEAST, at) };
        let shown = least.err().unwrap_or(full);
        let reason = OutReason::Full(shown.limit.unit, shown.limit.span);
        match (least, shown.opens.tick(at)) {
            (Ok(()), tick) => Check::NotThis(tick, reason),
            (Err(_), Some(tick)) => Check::Until(tick, reason),
            (Err(_), None) => Check::Out(reason),
        }
    }

    /// Whether there is anything that may keep this key in this lane out but its limits: most keys have nothing.
    #[inline]
    pub(super) fn may_rest(&self, slot: u32, owner: u32, lane: u16) -> bool {
        let (key, held) = (&self.roster.keys[slot as usize], &self.roster.owners[owner as usize]);
        let lane = &self.lanes[usize::from(lane)];
        key.rest.is_some()
            || held.rest.is_some()
            || held.account != NO_ACCOUNT
            || !lane.key_rests.is_empty()
            || lane.has_extra(owner)
    }

    /// Whether it rests, in whatever scope, or its owner's room is kept for others; else the scopes that this request
    /// is to probe.
    #[inline(never)]
    fn check_rests(&self, ask: &Ask<'_>, slot: u32, owner_at: u32) -> Result<Probes, Check> {
        let now = ask.now;
        let mut probes = Probes::default();
        let mut latest: Option<(Tick, OutReason)> = None;
        for (rest, scope) in self.rests(ask.lane, slot) {
            let Some(rest) = rest.filter(|rest| rest.is_active(now)) else { continue };
            if rest.may_probe(now) {
                probes.insert(scope);
                continue;
            }
            let wakes = rest.wakes(now);
            if latest.is_none_or(|(held, _)| wakes > held) {
                latest = Some((wakes, reason_of(rest)));
            }
        }
        if let Some((at, reason)) = latest {
            return Err(if at == Tick::NEVER { Check::Out(reason) } else { Check::Until(at, reason) });
        }
        if let Some(extra) = self.lanes[usize::from(ask.lane)].extra_of(owner_at) {
            if extra.keeps_out(ask.ticket, &ask.need) {
                return Err(Check::NotThis(None, OutReason::Queued));
            }
            let mut short = None;
            for allowance in extra.allowances.iter().filter(|allowance| allowance.until > now.tick) {
                if allowance.remaining == 0 {
                    return Err(Check::Until(allowance.until, OutReason::RateLimited));
                }
                if allowance.remaining < ask.need.of(allowance.unit) {
                    short = short.max(Some(allowance.until));
                }
            }
            if let Some(until) = short {
                return Err(Check::NotThis(Some(until), OutReason::RateLimited));
            }
        }
        Ok(probes)
    }

    /// The rests that cover a key in a lane.
    #[inline]
    pub(super) fn rests(&self, lane: u16, slot: u32) -> [(Option<&Rest>, ProbeOf); 5] {
        let key = &self.roster.keys[slot as usize];
        let owner = &self.roster.owners[key.owner as usize];
        let lane = &self.lanes[usize::from(lane)];
        let account = if owner.account == NO_ACCOUNT {
            None
        } else {
            self.roster.accounts[owner.account as usize].rest.as_deref()
        };
        let key_lane =
            if lane.key_rests.is_empty() { None } else { lane.key_rests.get(&slot).and_then(Option::as_deref) };
        let owner_lane = lane.extra_of(key.owner).and_then(|extra| extra.rest.as_deref());
        [
            (key.rest.as_deref(), ProbeOf::Key),
            (owner.rest.as_deref(), ProbeOf::Owner),
            (account, ProbeOf::Account),
            (key_lane, ProbeOf::KeyLane),
            (owner_lane, ProbeOf::OwnerLane),
        ]
    }

    /// A key's own limits: requests in flight, time between two starts.
    #[inline]
    fn check_slots(&self, slot: u32, now: Now, probes: Probes) -> Check {
        let key = &self.roster.keys[slot as usize];
        if key.in_flight >= key.max_concurrent.min(UNBOUNDED - 1) {
            return Check::Busy(None, OutReason::Busy);
        }
        if key.interval_ms > 0 && key.last_seq > 0 {
            let due = key.last_started.plus(key.interval());
            if due > now.tick {
                return Check::Busy(Some(due), OutReason::Interval);
            }
        }
        Check::Ready(probes)
    }

    // === moving one key ===

    /// Keys whose time has come go back to the ready order.
    #[inline]
    pub(super) fn wake(&mut self, lane: u16, now: Now) {
        loop {
            let held = &mut self.lanes[usize::from(lane)];
            let Some(slot) = held.timers.fired(now.tick, &mut held.cells) else { return };
            self.woken(lane, slot, now);
        }
    }

    fn woken(&mut self, lane: u16, slot: u32, now: Now) {
        match self.lanes[usize::from(lane)].cells[slot as usize].place() {
            Place::Timed => self.enter_at(lane, slot, now),
            Place::Busy => {
                self.unpark(slot);
                self.enter_at(lane, slot, now);
            }
            Place::Ready => {
                let group = self.group(self.roster.keys[slot as usize].priority);
                self.reclass(lane, slot, group, now);
            }
            Place::Out => {}
        }
    }

    /// Back to the ready order, in the class that its owner's room says.
    fn enter_at(&mut self, lane: u16, slot: u32, now: Now) {
        self.enter(lane, slot);
        let group = self.group(self.roster.keys[slot as usize].priority);
        self.reclass(lane, slot, group, now);
    }

    /// Moves a key that may not serve to where it waits.
    pub(super) fn stow(&mut self, lane: u16, slot: u32, group: usize, check: Check) {
        let held = &mut self.lanes[usize::from(lane)];
        if held.cells[slot as usize].place() == Place::Busy {
            held.take_out(slot, group);
            self.unpark(slot);
        }
        let held = &mut self.lanes[usize::from(lane)];
        match check {
            Check::Until(at, _) => held.make_timed(slot, group, at),
            Check::Busy(due, _) => {
                held.make_busy(slot, group);
                if let Some(due) = due {
                    held.timers.arm(slot, due, &mut held.cells);
                }
                self.roster.keys[slot as usize].parked += 1;
            }
            _ => held.take_out(slot, group),
        }
    }

    /// Gives a ready key the rank it now has; whether it had to move back.
    #[inline]
    fn restand(&mut self, lane: u16, slot: u32, group: usize) -> bool {
        let key = standing(&self.roster.keys[slot as usize]);
        let held = &mut self.lanes[usize::from(lane)];
        let cell = held.cells[slot as usize];
        let rank = self.settings.strategy.rank(key, cell.rank);
        if rank > cell.rank {
            held.reorder(slot, group, cell.class(), rank);
            return true;
        }
        false
    }

    /// Gives a ready key the class that its owner's room says; whether it changed.
    pub(super) fn reclass(&mut self, lane: u16, slot: u32, group: usize, now: Now) -> bool {
        let lane_at = usize::from(lane);
        let cell = self.lanes[lane_at].cells[slot as usize];
        if cell.place() != Place::Ready || cell.class() == UNLIMITED {
            return false;
        }
        let owner = self.roster.keys[slot as usize].owner;
        let at = self.at(now, owner);
        let held = &mut self.lanes[lane_at];
        let plan = self.plans.plan(held.owners[owner as usize].plan);
        let words = plan.words();
        let room = plan.headroom(held.log(owner, words), Unit::InputTokens, &at);
        let class = class_of(room);
        if class < class_of(plan.most(Unit::InputTokens)) && held.cells[slot as usize].timer == 0 {
            // More room comes by itself: looked at again when the oldest use leaves the window.
            let log = held.log(owner, words);
            if let Some(tick) =
                plan.next_headroom(log, Unit::InputTokens, room + 1, &at).and_then(|opens| opens.tick(&at))
            {
                held.timers.arm(slot, tick, &mut held.cells);
            }
        }
        if class == cell.class() {
            return false;
        }
        held.reorder(slot, group, class, cell.rank);
        true
    }

    /// Takes a key that this demand passes over out of the order until the pick is over.
    fn put_aside(&mut self, lane: u16, slot: u32, group: usize) {
        let held = &mut self.lanes[usize::from(lane)];
        let (timer, class) = (held.cells[slot as usize].timer, held.cells[slot as usize].class());
        held.take_out(slot, group);
        held.cells[slot as usize].timer = timer;
        held.cells[slot as usize].set_class(class);
        self.aside.push(slot);
    }

    fn bring_back(&mut self, lane: u16, group: usize) {
        while let Some(slot) = self.aside.pop() {
            let held = &mut self.lanes[usize::from(lane)];
            let cell = held.cells[slot as usize];
            held.make_ready(slot, group, cell.class(), cell.rank);
            held.cells[slot as usize].timer = cell.timer;
        }
    }

    // === granting ===

    fn grant(&mut self, ask: &Ask<'_>, slot: u32, probes: Probes) -> Picked {
        let now = ask.now;
        let owner = self.roster.keys[slot as usize].owner;
        let at = self.at(now, owner);
        let stamp = self.take_room(ask, owner, &at);
        for scope in probes.iter() {
            self.probe_out(scope, slot, owner, ask.lane);
        }
        self.seat(ask, slot, probes, stamp)
    }

    /// The key is this request's: room was taken, from when on `stamp` says.
    #[inline]
    fn seat(&mut self, ask: &Ask<'_>, slot: u32, probes: Probes, stamp: Option<Stamp>) -> Picked {
        let now = ask.now;
        self.seq += 1;
        let seq = self.seq;
        let ticket = if ask.ticket == u64::MAX { seq } else { ask.ticket };
        let key = &mut self.roster.keys[slot as usize];
        let owner = key.owner;
        let before = (key.last_started, key.last_seq);
        key.in_flight += 1;
        key.started = key.started.saturating_add(1);
        key.last_started = now.tick;
        key.last_seq = seq;
        let (id, secret, priority) = (key.id.clone(), key.secret.clone(), key.priority);
        let standing = standing(key);
        self.advance_rank(ask.lane, slot, standing, now);
        let seat = self.seats.take(&SeatCell {
            generation: 0,
            slot,
            owner,
            lane: ask.lane,
            taken: true,
            stamp,
            started: now.tick,
            wall_ms: now.wall_ms,
            seq,
            need: ask.need,
            free: ask.demand.free,
            refunded: false,
            judged: false,
            failed: false,
            probes,
            before,
            ticket,
            usage: super::Usage::default(),
            earlier: ask.demand.earlier.clone(),
        });
        let held = &mut self.lanes[usize::from(ask.lane)];
        held.in_flight += 1;
        held.started += 1;
        self.tally.start(now);
        if self.priorities.first().is_some_and(|first| *first < priority) {
            self.spilled(ask, &id, priority);
        }
        if self.tells_leases {
            let model = self.lane_name(ask.lane);
            self.events.push(Event::Leased { key: id.clone(), model });
        }
        Picked { seat, ticket, key: id, secret }
    }

    fn spilled(&mut self, ask: &Ask<'_>, id: &KeyId, priority: u16) {
        // Only a spill where a key of an earlier priority exists for this demand at all.
        self.lanes[usize::from(ask.lane)].spilled += 1;
        self.tally.spills += 1;
        let (key, model) = (id.clone(), self.lane_name(ask.lane));
        self.event(|| Event::Spilled { key, priority, model });
    }

    /// Takes room in the owner's windows; when it counts from, unless that is to be said later.
    fn take_room(&mut self, ask: &Ask<'_>, owner: u32, at: &At) -> Option<Stamp> {
        let mut stamp = (!ask.provisional).then_some(Stamp { tick: at.tick, days: at.day.days });
        if ask.demand.free {
            return stamp;
        }
        let lane = &mut self.lanes[usize::from(ask.lane)];
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        let words = plan.words();
        if words > 0 {
            let log = lane.log(owner, words);
            if ask.provisional {
                plan.reserve(log, &ask.need);
            } else {
                stamp = Some(plan.book(log, &ask.need, at));
            }
        }
        if let Some(extra) = lane.extra_of_mut(owner) {
            for allowance in &mut extra.allowances {
                allowance.remaining = allowance.remaining.saturating_sub(ask.need.of(allowance.unit));
            }
            if extra.booked.is_some_and(|booked| booked.ticket == ask.ticket) {
                extra.booked = None;
            }
        }
        stamp
    }

    /// The key has started once more. Where its rank follows from that alone, it is moved when it comes to the top
    /// again.
    #[inline]
    fn advance_rank(&mut self, lane: u16, slot: u32, standing: super::rank::Standing, now: Now) {
        let cell = self.lanes[usize::from(lane)].cells[slot as usize];
        let keeps_time = self.settings.strategy.keeps_time();
        if !keeps_time && cell.class() == UNLIMITED {
            return;
        }
        let group = self.group(self.roster.keys[slot as usize].priority);
        let held = &mut self.lanes[usize::from(lane)];
        if keeps_time {
            let time = &mut held.groups[group].time;
            *time = time.max(f64::from_bits(cell.rank).min(f64::MAX));
            let rank = self.settings.strategy.advanced(standing, cell.rank, *time);
            if cell.place() == Place::Ready {
                held.reorder(slot, group, cell.class(), rank);
            } else {
                held.cells[slot as usize].rank = rank;
            }
        }
        if cell.class() != UNLIMITED {
            self.reclass(lane, slot, group, now);
        }
    }

    // === demands ===

    /// The keys that earlier attempts of the same request speak against.
    #[inline]
    pub(super) fn excluded(&self, demand: &Demand) -> Excluded {
        match demand.earlier.as_deref() {
            None => Excluded::default(),
            Some(earlier) => self.excluded_by(earlier, demand),
        }
    }

    fn excluded_by(&self, earlier: &[Attempt], demand: &Demand) -> Excluded {
        let mut excluded = Excluded::default();
        for attempt in earlier {
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            if attempt.bars_owner() {
                excluded.owners.push(self.roster.keys[slot as usize].owner);
            } else if attempt.bars_key(demand.model()) {
                excluded.slots.push(slot);
            }
        }
        excluded
    }

    /// A guess is never larger than the largest limit.
    fn cut_to_limits(&self, ask: &mut Ask<'_>) {
        let lane = &self.lanes[usize::from(ask.lane)];
        let plans = || self.roster.slots().map(|slot| lane.owners[self.roster.keys[slot as usize].owner as usize].plan);
        if let Some(first) = plans().next()
            && self.plans.plan(first).fits_ever(&ask.need).is_ok()
        {
            return;
        }
        let most = plans().map(|plan| self.plans.plan(plan).most(Unit::InputTokens)).max().unwrap_or(u64::MAX);
        ask.need.input_tokens = ask.need.input_tokens.min(most);
    }

    /// Whether no key could ever carry so much.
    fn never(&self, ask: &Ask<'_>) -> Option<NotNow> {
        if ask.need == LEAST || ask.lane == NO_MODEL {
            return None;
        }
        let lane = &self.lanes[usize::from(ask.lane)];
        let must = matches!(ask.demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let wanted = if must { self.wanted(&ask.demand.affinity) } else { Vec::new() };
        let mut largest: Option<Limit> = None;
        for slot in self.roster.slots().filter(|slot| !must || wanted.contains(slot)) {
            let plan = self.plans.plan(lane.owners[self.roster.keys[slot as usize].owner as usize].plan);
            match plan.fits_ever(&ask.need) {
                Ok(()) => return None,
                Err(limit) if largest.is_none_or(|held| limit.amount > held.amount) => largest = Some(limit),
                Err(_) => {}
            }
        }
        largest.map(|limit| NotNow::Never(ask.need.of(limit.unit), limit))
    }

    /// The lane and need of a demand.
    #[inline]
    pub(super) fn ask<'a>(&mut self, demand: &'a Demand, now: Now) -> Ask<'a> {
        // What counts in no window waits for none either.
        let lane = if demand.free { NO_MODEL } else { self.lane(demand.model.as_ref()) };
        let mut ask = Ask {
            demand,
            lane,
            need: Need {
                requests: demand.cost(),
                input_tokens: demand.input_tokens,
                output_tokens: demand.output_tokens,
                images: demand.images,
            },
            now,
            waited: Duration::ZERO,
            ticket: demand.first_ticket().unwrap_or(u64::MAX),
            provisional: demand.starts_later(),
        };
        if demand.estimated && ask.need.input_tokens > 0 {
            self.cut_to_limits(&mut ask);
        }
        ask
    }
}

/// Why a rest keeps its scope out.
pub(super) fn reason_of(rest: &Rest) -> OutReason {
    use VerdictKind as K;
    if rest.by_hand {
        return OutReason::DisabledByHand;
    }
    if rest.held {
        return OutReason::Held;
    }
    let forever = rest.end == super::rest::End::Never;
    match rest.kind {
        K::RateLimited => OutReason::RateLimited,
        K::QuotaExhausted => OutReason::QuotaExhausted,
        K::InvalidKey if forever => OutReason::DisabledInvalid,
        K::Suspended if forever => OutReason::DisabledSuspended,
        K::ModelUnavailable => OutReason::ModelUnavailable,
        K::Overloaded | K::Transient => OutReason::Overloaded,
        K::Blocked => OutReason::Blocked,
        _ => OutReason::Resting,
    }
}
