//! A model that counts in another's quota: its lane goes over to that of the other one.

use std::sync::Arc;

use super::{
    given::stricter,
    lane::Origin,
    rest::longer,
    state::{MAX_LANES, SHARED, State},
};
use crate::{time::Now, verdict::VerdictKind};

impl State {
    /// Another model's quota is charged: this lane's requests count there from now on.
    pub(super) fn follow(&mut self, lane: u16, model: &str, now: Now) {
        let held = &self.lanes[usize::from(lane)];
        if lane <= SHARED || &*held.name == model || self.lane_of.get(model) == Some(lane) {
            return;
        }
        // Two models of one quota: whoever names this lane is sent to the other.
        let name = Arc::clone(&held.name);
        let used = self.lanes.iter().filter(|lane| lane.origin != Origin::Free).count();
        let target = match self.lane_of.get(model) {
            Some(target) => target,
            None if used >= MAX_LANES => return,
            None => self.push_lane(model.into(), Origin::Confirmed),
        };
        if self.lane_of.followers(target).len() >= usize::from(u8::MAX) {
            return;
        }
        // First: what is given for its name holds there, too.
        self.lane_of.redirect(lane, target);
        self.lane_of.follow(Arc::clone(&name), target);
        for owner in 0..self.roster.owners.len() as u32 {
            self.carry_over(lane, target, owner, now);
        }
        self.move_out(lane, target, now);
        self.note_follower(&name, model);
    }

    /// Leases, waiters and rests of one lane go over to another, and the lane is given up.
    fn move_out(&mut self, from: u16, to: u16, now: Now) {
        for cell in self.seats.iter_mut().filter(|cell| cell.lane == from) {
            cell.lane = to;
        }
        let old = &mut self.lanes[usize::from(from)];
        let (in_flight, started) = (std::mem::take(&mut old.in_flight), old.started);
        let (queue, extras) = (std::mem::take(&mut old.queue), std::mem::take(&mut old.extras));
        let lines = std::mem::take(&mut old.lines);
        let key_rests = std::mem::take(&mut old.key_rests);
        // That the model is not to be had says nothing of the other one.
        let overloaded = old.rest.take().filter(|rest| rest.kind == VerdictKind::Overloaded);
        let (overloads, trickles) = (old.overloads, old.trickles);
        for index in queue.values() {
            if let Some(waiter) = self.waiters.get_mut(*index) {
                waiter.lane = to;
                // Whoever stands first there now keeps the lane's timer.
                self.wakes.extend(waiter.waker.take());
            }
        }
        let new = &mut self.lanes[usize::from(to)];
        new.in_flight += in_flight;
        new.started += started;
        new.queue.extend(queue);
        new.lines.join(lines);
        for (slot, rest) in key_rests {
            let held = new.key_rests.entry(slot).or_default();
            *held = longer(held.take(), rest, now);
        }
        new.rest = longer(new.rest.take(), overloaded, now);
        new.overloads = new.overloads.max(overloads);
        new.trickles = new.trickles.max(trickles);
        for (owner, extra) in extras {
            let held = new.extra(owner);
            held.rest = longer(held.rest.take(), extra.rest, now);
            held.allowances.extend(extra.allowances);
        }
        self.note_lane_moved(from, to);
        self.give_lane_up(from);
    }

    /// What an owner used in one lane counts in another as well.
    fn carry_over(&mut self, from: u16, to: u16, owner: u32, now: Now) {
        let at = self.at(now, owner);
        let numbers = [from, to].map(|lane| self.lanes[usize::from(lane)].owners[owner as usize].plan);
        let learned = numbers.map(|number| self.plans.sources(number).learned.clone());
        self.replan(to, owner, stricter(&learned[0], &learned[1]), now);
        let number = self.lanes[usize::from(to)].owners[owner as usize].plan;
        let carried = self.carried((from, owner), (numbers[0], number), &at);
        let plan = self.plans.plan(number);
        let into = self.lanes[usize::from(to)].log(owner, plan.words());
        plan.merge(&carried, into, &at);
        let began = self.lanes[usize::from(from)].unlimited.take(owner);
        self.began_without_limits((to, owner), &began, now);
        self.lanes[usize::from(to)].owners[owner as usize].outgrow();
        self.note_moved(from, owner, (to, owner));
    }
}
