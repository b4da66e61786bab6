//! Waiting is fair: each waiter has a pool-wide ticket; a freed slot goes to the lowest ticket that may use it.
//!
//! Whoever changes the state serves the queue before the mutex is let go, so that a ready key and an eligible waiter
//! never stand side by side. Time changes the state too: the first waiter of each lane keeps a timer for it.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, task::Waker, time::Duration};

use super::{
    Affinity, Demand,
    ask::{Ask, Excluded},
    check::LEAST,
    lane::Booking,
    line::LineName,
    pick::{NotNow, Picked},
    state::State,
    stuck::{Blocked, Stuck},
};
use crate::{
    limit::Need,
    time::{Now, Tick},
};

/// A waiter.
pub(super) struct Waiter {
    pub(super) demand: Arc<Demand>,
    pub(super) lane: u16,
    pub(super) ticket: u64,
    pub(super) need: Need,
    since: Tick,
    pub(super) waker: Option<Waker>,
    /// When it looks again by itself; later than every time while it has not said.
    looks_at: Tick,
    /// Who waits only while a key may come by then.
    pub(super) hopes_until: Option<Tick>,
    pub(super) outcome: Option<Result<Picked, NotNow>>,
}

#[derive(Default)]
pub(super) struct Waiters {
    cells: Vec<Option<Waiter>>,
    free: Vec<u32>,
    queued: usize,
    /// Something was lost since the queue was served.
    pub(super) lost: bool,
    /// A key fell idle since then.
    pub(super) idle: bool,
    /// The key that somebody could hope for last.
    pub(super) hope: u32,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queued
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Waiter> {
        self.cells.get_mut(index as usize).and_then(Option::as_mut)
    }

    fn take(&mut self, index: u32) -> Option<Waiter> {
        let taken = self.cells.get_mut(index as usize).and_then(Option::take);
        if taken.is_some() {
            self.free.push(index);
        }
        taken
    }
}

/// How far the look along one line has come.
struct Along {
    lane: u16,
    line: LineName,
    /// Lines beside each other may be served by the same keys.
    beside: usize,
}

impl State {
    /// Joins the queue. Tickets are drawn from the numbers of starts, so that a retry keeps the place of its first one.
    pub(super) fn enqueue(&mut self, demand: Arc<Demand>, hopes_until: Option<Tick>, now: Now) -> u32 {
        let ask = self.ask(&demand, now);
        let (lane, need) = (ask.lane, ask.need);
        let first = demand.first_ticket().filter(|ticket| !self.lanes[usize::from(lane)].queue.contains_key(ticket));
        let ticket = first.unwrap_or_else(|| {
            self.seq += 1;
            self.seq
        });
        let index = self.waiters.free.pop().unwrap_or(self.waiters.cells.len() as u32);
        let held = &mut self.lanes[usize::from(lane)];
        held.queue.insert(ticket, index);
        held.lines.insert(&demand, &need, ticket, index);
        let (since, looks_at) = (now.tick, Tick::NEVER);
        let waiter = Waiter { demand, lane, ticket, need, since, waker: None, looks_at, hopes_until, outcome: None };
        match self.waiters.cells.get_mut(index as usize) {
            Some(cell) => *cell = Some(waiter),
            None => self.waiters.cells.push(Some(waiter)),
        }
        self.waiters.queued += 1;
        self.serve(now);
        index
    }

    /// Serves waiters in the order of their tickets, each with what it may use.
    #[inline]
    pub(super) fn serve(&mut self, now: Now) {
        if !self.waiters.is_empty() {
            self.serve_queued(now);
        }
    }

    fn serve_queued(&mut self, now: Now) {
        let waiting = |lane: &u16| !self.lanes[usize::from(*lane)].queue.is_empty();
        let lanes: Vec<u16> = (0..self.lanes.len() as u16).filter(waiting).collect();
        let mut lines: Vec<Along> = Vec::new();
        let (mut groups, mut take_more) = (0, Vec::new());
        for &lane in &lanes {
            for line in self.lanes[usize::from(lane)].lines.names() {
                let beside = lines.last().is_some_and(|last| last.lane == lane && last.line.is_beside(line));
                if !beside {
                    groups += 1;
                    take_more.push(false);
                }
                take_more[groups - 1] |= line.takes_more();
                lines.push(Along { lane, line: line.clone(), beside: groups - 1 });
            }
        }
        let first = |(at, along): (usize, &Along)| self.next_along(along, 0).map(|(ticket, index)| (ticket, index, at));
        let mut heads: BinaryHeap<Reverse<_>> = lines.iter().enumerate().filter_map(first).map(Reverse).collect();
        let mut stuck = Stuck { blocked: vec![None; groups], take_more, out: Vec::new(), passed: 0 };
        while let Some(Reverse((ticket, index, at))) = heads.pop() {
            let along = &lines[at];
            if self.serve_one(along, ticket, index, &mut stuck, now)
                && let Some((ticket, index)) = self.next_along(along, ticket + 1)
            {
                heads.push(Reverse((ticket, index, at)));
            }
        }
        self.let_hopeless_go(now);
        for lane in lanes {
            self.nudge(lane, now);
        }
    }

    fn next_along(&self, along: &Along, from: u64) -> Option<(u64, u32)> {
        self.lanes[usize::from(along.lane)].lines.next(&along.line, from)
    }

    /// Serves the next of a line, if it may be. Whether those behind are to be looked at.
    fn serve_one(&mut self, along: &Along, ticket: u64, index: u32, stuck: &mut Stuck, now: Now) -> bool {
        let Along { lane, line, beside } = along;
        let Some(waiter) = self.waiters.get_mut(index) else { return true };
        let (need, since) = (waiter.need, waiter.since);
        // Who waits longer may spill; only those who came again stand in front of one of them.
        let may_spill = self.priorities.len() > 1 && !self.settings.spill_after.is_zero();
        if line.takes_any() && stuck.is_out(*lane, line.free, since) {
            return may_spill;
        }
        if stuck.blocked[*beside].is_some_and(|blocked| blocked.covers(&need, since)) {
            return false;
        }
        let demand = Arc::clone(&waiter.demand);
        // Stamped when it is handed over. It waits where it stood in line, though its model may have a lane by now.
        let waited = now.tick.since(since);
        let ask = Ask { lane: *lane, ticket, waited, provisional: true, ..self.ask(&demand, now) };
        let picked = if self.closed { Err(NotNow::Later) } else { self.pick(&ask) };
        if self.closed || !matches!(picked, Err(NotNow::Later)) {
            self.settle_waiter(index, picked);
            return true;
        }
        // Where nothing but requests is counted, and nobody takes several, all needs are alike: nobody passes anybody.
        let alike = !stuck.take_more[*beside] && self.is_as_good_as_least(&ask);
        let last = if alike { u16::MAX } else { self.waited_for(&ask) };
        self.book(&ask, last);
        let passable = last < u16::MAX && stuck.may_look_on() && self.may_be_passed(&ask, last);
        if demand.particulars.earlier.is_none() {
            stuck.blocked[*beside] = Some(Blocked { need, since, passable });
        }
        if line.takes_any() && !passable {
            // It may be for what this one needs, or was at: who asks for least shows whether anybody may be served.
            let least = need == LEAST && demand.particulars.earlier.is_none();
            if least || !self.could_serve(&ask) {
                stuck.out.push((*lane, line.free, since));
                return may_spill && demand.particulars.earlier.is_some();
            }
        }
        demand.particulars.earlier.is_some()
    }

    /// Whether a key of a later priority may serve, though it waits for one of `last` that is busy.
    fn may_be_passed(&mut self, ask: &Ask<'_>, last: u16) -> bool {
        if self.all_rest(ask.lane, ask.now) {
            return false;
        }
        let demand = Demand { free: ask.demand.free, ..Demand::default() };
        let least = Ask { demand: &demand, need: LEAST, ..*ask };
        let mut later = self.group(last) + 1..self.priorities.len();
        later.any(|group| self.pick_in(&least, &Excluded::default(), group).is_some())
    }

    /// Whether a key may serve who asks for least, and was at no key before.
    fn could_serve(&mut self, ask: &Ask<'_>) -> bool {
        let demand = Demand { free: ask.demand.free, ..Demand::default() };
        let least = Ask { demand: &demand, need: LEAST, ..*ask };
        !self.all_rest(ask.lane, ask.now) && self.pick_any(&least, &Excluded::default()).is_some()
    }

    /// The first in a lane's line keeps its timer: it is woken where something comes sooner than it thinks.
    fn nudge(&mut self, lane: u16, now: Now) {
        let Some(index) = self.lanes[usize::from(lane)].queue.first_key_value().map(|(_, index)| *index) else {
            return;
        };
        let next = self.next_look(lane, now);
        if let Some(waiter) = self.waiters.get_mut(index)
            && next.is_some_and(|next| next < waiter.looks_at)
        {
            self.wakes.extend(waiter.waker.take());
        }
    }

    /// When something may change in a lane by time alone.
    fn next_look(&mut self, lane: u16, now: Now) -> Option<Tick> {
        let rested = self.rest_of_all(lane, Duration::ZERO, now).map(|rest| rest.wakes(now));
        let held = &mut self.lanes[usize::from(lane)];
        let (books_at, books) = held.books_at;
        // Once that is past nobody waits for it: whoever did has looked, or left.
        let books_at = books.then_some(books_at).filter(|at| *at > now.tick);
        let next = held.timers.next(&held.cells);
        // While all rest nobody's timer matters.
        rested.or_else(|| next.into_iter().chain(books_at).min())
    }

    pub(super) fn settle_waiter(&mut self, index: u32, outcome: Result<Picked, NotNow>) {
        let Some(waiter) = self.waiters.get_mut(index) else { return };
        waiter.outcome = Some(outcome);
        let (lane, ticket, demand, need) = (waiter.lane, waiter.ticket, Arc::clone(&waiter.demand), waiter.need);
        if let Some(waker) = waiter.waker.take() {
            self.wakes.push(waker);
        }
        self.unqueue(lane, ticket, &demand, &need);
    }

    fn unqueue(&mut self, lane: u16, ticket: u64, demand: &Demand, need: &Need) {
        let queue = &mut self.lanes[usize::from(lane)].queue;
        let was_first = queue.first_key_value().is_some_and(|(first, _)| *first == ticket);
        if queue.remove(&ticket).is_some() {
            self.waiters.queued -= 1;
        }
        let held = &mut self.lanes[usize::from(lane)];
        held.lines.remove(demand, need, ticket);
        if held.queue.is_empty() && held.trickles > self.last_now.tick {
            self.line_ends(lane);
        }
        if was_first {
            // The next in line keeps the lane's timer from now on.
            let next = self.lanes[usize::from(lane)].queue.first_key_value().map(|(_, index)| *index);
            if let Some(waker) = next.and_then(|index| self.waiters.get_mut(index)).and_then(|next| next.waker.take()) {
                self.wakes.push(waker);
            }
        }
        for extra in self.lanes[usize::from(lane)].extras.values_mut() {
            if extra.booked.is_some_and(|booked| booked.ticket == ticket) {
                extra.booked = None;
            }
        }
    }

    /// A waiter leaves: served, cancelled or out of time. What it was granted meanwhile comes back with it.
    pub(super) fn leave(&mut self, index: u32) -> Option<Waiter> {
        let waiter = self.waiters.take(index)?;
        if waiter.outcome.is_none() {
            self.unqueue(waiter.lane, waiter.ticket, &waiter.demand, &waiter.need);
            self.drop_unknown(waiter.lane);
        }
        Some(waiter)
    }

    /// Still waiting: whom to wake, and when to look again at the latest.
    pub(super) fn keep_waiting(&mut self, index: u32, waker: &Waker, now: Now) -> Option<Tick> {
        let waiter = self.waiters.get_mut(index)?;
        if waiter.waker.as_ref().is_none_or(|held| !held.will_wake(waker)) {
            waiter.waker = Some(waker.clone());
        }
        let (lane, ticket, since) = (waiter.lane, waiter.ticket, waiter.since);
        let spill = self.settings.spill_after;
        let spills_at = (!spill.is_zero()).then(|| since.plus(spill)).filter(|at| *at > now.tick);
        let first = self.lanes[usize::from(lane)].queue.first_key_value().is_some_and(|(first, _)| *first == ticket);
        let next = if first { self.next_look(lane, now) } else { None };
        // Never at once: whoever polls must not spin.
        let soon = now.tick.plus(Duration::from_millis(1));
        let looks_at = next.into_iter().chain(spills_at).min().map(|at| at.max(soon));
        if let Some(waiter) = self.waiters.get_mut(index) {
            waiter.looks_at = looks_at.unwrap_or(Tick::NEVER);
        }
        looks_at
    }

    /// Whether whatever has room for a request has room for this one: nothing but requests is counted.
    fn is_as_good_as_least(&self, ask: &Ask<'_>) -> bool {
        ask.need.requests <= 1
            && ask.need.images == 0
            && !self.plans.count_tokens()
            && self.lanes[usize::from(ask.lane)].extras.is_empty()
    }

    /// Keeps the room of the first owner that will fit a large demand, so that small ones do not eat it for ever. Where
    /// the owner that it keeps is out for longer by now than another, it changes over.
    /// `last` is the last priority that is open to it, while a key there is busy.
    fn book(&mut self, ask: &Ask<'_>, last: u16) {
        if ask.need == LEAST || self.is_as_good_as_least(ask) {
            return;
        }
        let (demand, lane, ticket, now) = (ask.demand, usize::from(ask.lane), ask.ticket, ask.now);
        let excluded = self.excluded(demand);
        let must = matches!(demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        if let Some(pause) = self.look_lasts().filter(|_| !must) {
            let books_at = &mut self.lanes[lane].books_at;
            if now.tick < books_at.0 {
                books_at.1 = true;
                return;
            }
            *books_at = (now.tick.plus(pause), false);
        }
        let wanted = if must { self.wanted(&demand.affinity) } else { Vec::new() };
        let opening = self.opening(ask, &wanted, &excluded);
        let slots = if must { wanted } else { self.roster.slots().collect() };
        let mut best: Option<(Tick, u32)> = None;
        let mut held: Option<(u32, Option<Tick>)> = None;
        for slot in slots {
            let (owner, priority) = (self.roster.keys[slot as usize].owner, self.roster.keys[slot as usize].priority);
            if excluded.holds(slot, owner) {
                continue;
            }
            let booked = self.lanes[lane].extra_of(owner).and_then(|extra| extra.booked);
            if booked.is_some_and(|other| other.ticket != ticket) {
                continue;
            }
            // What is not held here comes with a look of its own; what does not open to it is for others.
            let out = priority > last || self.is_elsewhere(ask.lane, slot);
            let at = if out { None } else { self.earliest(ask, slot) };
            let at = at.map(|at| opening.not_before(priority, at)).filter(|at| *at != Tick::NEVER);
            if booked.is_some() && held.is_none_or(|(_, held)| at < held) {
                held = Some((slot, at));
            }
            if let Some(at) = at
                && best.is_none_or(|(held, _)| at < held)
            {
                best = Some((at, slot));
            }
        }
        let Some((at, slot)) = best else { return };
        let (at, slot) = match held {
            Some((kept, Some(until))) if until <= at.plus(CHANGE_OVER) => (until, kept),
            Some((kept, _)) => {
                let owner = self.roster.keys[kept as usize].owner;
                self.lanes[lane].extra(owner).booked = None;
                (at, slot)
            }
            None => (at, slot),
        };
        if at.since(now.tick) < Duration::from_secs(3600) {
            let owner = self.roster.keys[slot as usize].owner;
            let need = Need { images: 0, ..ask.need };
            let images_only = ask.need.images > 0 && self.earliest(&Ask { need, ..*ask }, slot) == Some(now.tick);
            self.lanes[lane].extra(owner).booked = Some(Booking { ticket, images_only });
        }
        // Looked at again when it will fit.
        let held = &mut self.lanes[lane];
        held.timers.arm_sooner(slot, at, &mut held.cells);
    }
}

/// A booking changes over to an owner that will fit it sooner by this much.
const CHANGE_OVER: Duration = Duration::from_secs(5);
