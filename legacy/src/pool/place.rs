//! Moving one key: back to the ready order when its time has come, or to where it waits.

use super::{
    cell::Place,
    check::Check,
    group::{UNLIMITED, class_of},
    state::{State, standing},
};
use crate::{
    limit::{At, Unit},
    time::Now,
};

impl State {
    /// Keys whose time has come go back to the ready order.
    #[inline]
    pub(super) fn wake(&mut self, lane: u16, now: Now) {
        if self.lanes[usize::from(lane)].timers.may_fire(now.tick) {
            self.wake_fired(lane, now);
        }
    }

    pub(super) fn wake_fired(&mut self, lane: u16, now: Now) {
        if self.lanes[usize::from(lane)].timers.turns(now.tick) {
            self.turn_dates(now);
        }
        // Each once: a key that is looked at may be armed again for this very millisecond, and has its turn at the next
        // look.
        let mut fired = std::mem::take(&mut self.fired);
        let held = &mut self.lanes[usize::from(lane)];
        while let Some(slot) = held.timers.fired(now.tick, &mut held.cells) {
            fired.push(slot);
        }
        for slot in fired.drain(..) {
            self.woken(lane, slot, now);
        }
        self.fired = fired;
    }

    pub(super) fn woken(&mut self, lane: u16, slot: u32, now: Now) {
        match self.lanes[usize::from(lane)].cells[slot as usize].place() {
            Place::Timed => self.enter_at(lane, slot, now),
            Place::Busy => {
                self.unpark(slot);
                self.enter_at(lane, slot, now);
            }
            Place::Ready => {
                let group = self.group(self.roster.keys[slot as usize].priority);
                self.reclass(lane, slot, group, false, now);
            }
            Place::Out => {}
        }
    }

    /// Back to the ready order, in the class that its owner's room says.
    pub(super) fn enter_at(&mut self, lane: u16, slot: u32, now: Now) {
        self.enter(lane, slot);
        let group = self.group(self.roster.keys[slot as usize].priority);
        self.reclass(lane, slot, group, false, now);
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

    /// Gives a ready key the rank it now has, and with it the class; whether it had to move.
    #[inline]
    pub(super) fn restand(&mut self, lane: u16, slot: u32, group: usize, now: Now) -> bool {
        let key = standing(&self.roster.keys[slot as usize]);
        let cell = self.lanes[usize::from(lane)].cells[slot as usize];
        let rank = self.settings.strategy.rank(key, cell.rank);
        let grown = rank > cell.rank;
        if grown {
            self.fall(lane, slot, group, rank, now);
        }
        grown
    }

    /// Moves a ready key back to where this rank, and the class that it now has, put it.
    #[inline(never)]
    fn fall(&mut self, lane: u16, slot: u32, group: usize, rank: u64, now: Now) {
        let held = &mut self.lanes[usize::from(lane)];
        let mut class = held.cells[slot as usize].class();
        if class != UNLIMITED {
            let owner = self.roster.keys[slot as usize].owner;
            if held.owners[owner as usize].take_outgrown() {
                class = self.class_now(lane, slot, false, now);
            }
        }
        self.lanes[usize::from(lane)].reorder(slot, group, class, rank);
    }

    /// Gives a ready key the class that its owner's room says; whether it changed. `roomier`: other than by time.
    pub(super) fn reclass(&mut self, lane: u16, slot: u32, group: usize, roomier: bool, now: Now) -> bool {
        let cell = self.lanes[usize::from(lane)].cells[slot as usize];
        if cell.place() != Place::Ready || cell.class() == UNLIMITED {
            return false;
        }
        let class = self.class_now(lane, slot, roomier, now);
        if class == cell.class() {
            return false;
        }
        self.lanes[usize::from(lane)].reorder(slot, group, class, cell.rank);
        true
    }

    /// The class that its owner's room says. Where time alone brings more room the key's timer is set for when it
    /// reaches the next class.
    fn class_now(&mut self, lane: u16, slot: u32, roomier: bool, now: Now) -> usize {
        let owner_at = self.roster.keys[slot as usize].owner;
        let zone = &mut self.zones[usize::from(self.roster.owners[owner_at as usize].zone())].1;
        let days = zone.dates(now);
        let held = &mut self.lanes[usize::from(lane)];
        let owner = held.owners[owner_at as usize];
        let plan = self.plans.plan(owner.plan);
        let log = held.log_at(owner, plan.words());
        let class = class_of(plan.headroom(log, Unit::InputTokens, now.tick, days));
        let top = class_of(plan.most_input());
        let cell = held.cells[slot as usize];
        if class < top && (cell.timer == 0 || class != cell.class() || roomier) {
            let at = At { tick: now.tick, day: zone.at(now.tick, now.wall_ms()) };
            let log = held.log_at(owner, plan.words());
            let opens = plan.next_headroom(log, Unit::InputTokens, 2 << class, &at);
            if let Some(tick) = opens.and_then(|opens| opens.tick(&at)) {
                held.timers.arm_sooner(slot, tick, &mut held.cells);
            }
        }
        class
    }

    /// Takes a key that this demand passes over out of the order until the pick is over.
    pub(super) fn put_aside(&mut self, lane: u16, slot: u32, group: usize) {
        let held = &mut self.lanes[usize::from(lane)];
        let (timer, class) = (held.cells[slot as usize].timer, held.cells[slot as usize].class());
        held.take_out(slot, group);
        held.cells[slot as usize].timer = timer;
        held.cells[slot as usize].set_class(class);
        self.aside.push(slot);
    }

    pub(super) fn bring_back(&mut self, lane: u16, group: usize) {
        while let Some(slot) = self.aside.pop() {
            let held = &mut self.lanes[usize::from(lane)];
            let cell = held.cells[slot as usize];
            held.make_ready(slot, group, cell.class(), cell.rank);
            held.cells[slot as usize].timer = cell.timer;
        }
    }
}
