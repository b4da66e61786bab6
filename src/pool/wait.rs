//! Waiting is fair: each waiter has a pool-wide ticket; a freed slot goes to the lowest ticket that may use it.
//!
//! Whoever changes the state serves the queue before the mutex is let go, so that a ready key and an eligible waiter
//! never stand side by side. Time changes the state too: the first waiter of each lane keeps a timer for it.

use std::{sync::Arc, task::Waker, time::Duration};

use super::{
    Demand,
    pick::{Ask, NotNow, Picked},
    state::State,
};
use crate::time::{Now, Tick};

/// A waiter.
pub(super) struct Waiter {
    pub(super) demand: Arc<Demand>,
    pub(super) lane: u16,
    pub(super) ticket: u64,
    since: Tick,
    waker: Option<Waker>,
    pub(super) outcome: Option<Result<Picked, NotNow>>,
}

#[derive(Default)]
pub(super) struct Waiters {
    cells: Vec<Option<Waiter>>,
    free: Vec<u32>,
    queued: usize,
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

/// What a waiter that failed its turn says of those behind it in the same lane.
#[derive(Clone, Copy)]
struct Blocked {
    requests: u32,
    tokens: u64,
}

impl State {
    /// Joins the queue. Tickets are drawn from the numbers of starts, so that a retry keeps the place of its first one.
    pub(super) fn enqueue(&mut self, demand: Arc<Demand>, now: Now) -> u32 {
        let lane = self.lane(demand.model.as_deref());
        let first = demand.earlier.as_deref().and_then(<[_]>::first).map(|attempt| attempt.seq);
        let ticket = first.filter(|ticket| !self.lanes[usize::from(lane)].queue.contains_key(ticket));
        let ticket = ticket.unwrap_or_else(|| {
            self.seq += 1;
            self.seq
        });
        let waiter = Waiter { demand, lane, ticket, since: now.tick, waker: None, outcome: None };
        let index = if let Some(index) = self.waiters.free.pop() {
            self.waiters.cells[index as usize] = Some(waiter);
            index
        } else {
            self.waiters.cells.push(Some(waiter));
            self.waiters.cells.len() as u32 - 1
        };
        self.waiters.queued += 1;
        self.lanes[usize::from(lane)].queue.insert(ticket, index);
        self.serve(now);
        index
    }

    /// Serves waiters in the order of their tickets, each with what it may use.
    pub(super) fn serve(&mut self, now: Now) {
        if self.waiters.is_empty() {
            return;
        }
        // Where each lane's look stands, and what blocks it.
        let waiting = |lane: &u16| !self.lanes[usize::from(*lane)].queue.is_empty();
        let mut lanes: Vec<(u16, u64, Option<Blocked>)> =
            (0..self.lanes.len() as u16).filter(waiting).map(|lane| (lane, 0, None)).collect();
        loop {
            let next = lanes.iter().enumerate().filter_map(|(at, (lane, from, _))| {
                let queue = &self.lanes[usize::from(*lane)].queue;
                queue.range(*from..).next().map(|(ticket, index)| (*ticket, *index, at))
            });
            let Some((ticket, index, at)) = next.min() else { return };
            lanes[at].1 = ticket + 1;
            let Some(waiter) = self.waiters.get_mut(index) else { continue };
            let demand = Arc::clone(&waiter.demand);
            let plain = demand.earlier.is_none() && demand.affinity == super::Affinity::Any;
            let (requests, tokens) = (demand.cost(), demand.input_tokens);
            if lanes[at].2.is_some_and(|blocked| requests >= blocked.requests && tokens >= blocked.tokens) {
                if plain && requests == 1 && tokens == 0 && self.settings.spill_after.is_zero() {
                    lanes[at].1 = u64::MAX;
                }
                continue;
            }
            let since = waiter.since;
            let result = self.pick_for(&demand, ticket, since, now);
            match result {
                Err(NotNow::Later) if self.closed => self.settle_waiter(index, Err(NotNow::Later)),
                Err(NotNow::Later) => {
                    if plain && self.settings.spill_after.is_zero() {
                        lanes[at].2 = Some(Blocked { requests, tokens });
                    }
                    self.book(&demand, ticket, now);
                }
                settled => self.settle_waiter(index, settled),
            }
        }
    }

    fn pick_for(&mut self, demand: &Demand, ticket: u64, since: Tick, now: Now) -> Result<Picked, NotNow> {
        if self.closed {
            return Err(NotNow::Later);
        }
        let ask = self.ask(demand, now);
        // Stamped when it is handed over.
        let ask = Ask { ticket, waited: now.tick.since(since), provisional: true, ..ask };
        self.pick(&ask)
    }

    fn settle_waiter(&mut self, index: u32, outcome: Result<Picked, NotNow>) {
        let Some(waiter) = self.waiters.get_mut(index) else { return };
        waiter.outcome = Some(outcome);
        let (lane, ticket) = (waiter.lane, waiter.ticket);
        if let Some(waker) = waiter.waker.take() {
            self.wakes.push(waker);
        }
        self.unqueue(lane, ticket);
    }

    fn unqueue(&mut self, lane: u16, ticket: u64) {
        let queue = &mut self.lanes[usize::from(lane)].queue;
        let was_first = queue.first_key_value().is_some_and(|(first, _)| *first == ticket);
        if queue.remove(&ticket).is_some() {
            self.waiters.queued -= 1;
        }
        if was_first {
            // The next in line keeps the lane's timer from now on.
            let next = self.lanes[usize::from(lane)].queue.first_key_value().map(|(_, index)| *index);
            if let Some(waker) = next.and_then(|index| self.waiters.get_mut(index)).and_then(|next| next.waker.take()) {
                self.wakes.push(waker);
            }
        }
        for extra in self.lanes[usize::from(lane)].extras.values_mut() {
            if extra.booked == Some(ticket) {
                extra.booked = None;
            }
        }
    }

    /// A waiter leaves: served, cancelled or out of time. What it was granted meanwhile comes back with it.
    pub(super) fn leave(&mut self, index: u32) -> Option<Waiter> {
        let waiter = self.waiters.take(index)?;
        if waiter.outcome.is_none() {
            self.unqueue(waiter.lane, waiter.ticket);
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
        let held = &mut self.lanes[usize::from(lane)];
        let first = held.queue.first_key_value().is_some_and(|(first, _)| *first == ticket);
        let mut next = if first { held.timers.next(&held.cells) } else { None };
        if first {
            let resting = [held.rest.as_ref(), self.exit.as_ref()].into_iter().flatten();
            let rested = resting.filter(|rest| rest.is_active(now)).map(|rest| rest.wakes(now)).max();
            // While all rest nobody's timer matters.
            next = rested.or(next);
        }
        next.into_iter().chain(spills_at).min()
    }

    /// Keeps the room of the first owner that will fit a large demand, so that small ones do not eat it for ever.
    fn book(&mut self, demand: &Demand, ticket: u64, now: Now) {
        if demand.cost() == 1 && demand.input_tokens == 0 && demand.output_tokens == 0 {
            return;
        }
        let ask = self.ask(demand, now);
        let lane = usize::from(ask.lane);
        if self.lanes[lane].extras.values().any(|extra| extra.booked == Some(ticket)) {
            return;
        }
        let excluded = self.excluded(demand);
        let mut best: Option<(Tick, u32)> = None;
        for slot in 0..self.roster.keys.len() as u32 {
            let key = &self.roster.keys[slot as usize];
            let owner = key.owner;
            if key.removed || excluded.holds(slot, owner) {
                continue;
            }
            let taken = self.lanes[lane].extra_of(owner).is_some_and(|extra| extra.booked.is_some());
            if taken {
                continue;
            }
            let at = match self.check(&ask, slot) {
                super::pick::Check::NotThis(Some(at), _) | super::pick::Check::Until(at, _) => at,
                _ => continue,
            };
            if best.is_none_or(|(held, _)| at < held) {
                best = Some((at, owner));
            }
        }
        if let Some((at, owner)) = best
            && at.since(now.tick) < Duration::from_secs(3600)
        {
            self.lanes[lane].extra(owner).booked = Some(ticket);
            // Looked at again when it will fit.
            let owner_keys = self.roster.slots().find(|slot| self.roster.keys[*slot as usize].owner == owner);
            if let Some(slot) = owner_keys {
                let held = &mut self.lanes[lane];
                held.timers.arm_sooner(slot, at, &mut held.cells);
            }
        }
    }
}
