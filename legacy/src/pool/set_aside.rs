//! Limits that are taken out and given again: what was used of them is kept for as long as their span lasts.

use std::collections::HashMap;

use super::{seats::SeatCell, state::State};
use crate::{
    limit::{At, Kept, Plan},
    time::{Now, Tick},
};

/// By owner of a lane, what it used of limits that it has no more. Some 300 bytes a limit.
#[derive(Default)]
pub(super) struct SetAside(HashMap<u32, Former>);

struct Former {
    /// When the last of them was taken out.
    since: Tick,
    kept: Vec<Kept>,
}

impl SetAside {
    pub(super) fn forget(&mut self, owner: u32) {
        self.0.remove(&owner);
    }

    /// Two owners turned out to be one.
    pub(super) fn join(&mut self, owner: u32, into: u32) {
        let Some(former) = self.0.remove(&owner) else { return };
        self.put(into, former.kept, former.since);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let kept = self.0.values().flat_map(|former| &former.kept);
        let bytes = kept.map(|kept| size_of::<Kept>() + kept.moments.len() * 16).sum::<usize>();
        self.0.capacity() * (size_of::<Former>() + 8) + bytes
    }

    fn put(&mut self, owner: u32, kept: Vec<Kept>, since: Tick) {
        let former = self.0.entry(owner).or_insert(Former { since, kept: Vec::new() });
        former.since = former.since.max(since);
        for kept in kept {
            // Of two that counted the same: both.
            match former.kept.iter_mut().find(|held| held.counts_like(kept.limit)) {
                Some(held) => {
                    held.moments.extend(kept.moments);
                    held.moments.sort_unstable();
                    for (date, count) in kept.dates {
                        crate::limit::add(&mut held.dates, date, count);
                    }
                }
                None => former.kept.push(kept),
            }
        }
    }

    /// What was kept of limits that `plan` has, and since when; it is kept no more.
    fn take(&mut self, owner: u32, plan: &Plan) -> Option<(Tick, Vec<Kept>)> {
        let former = self.0.get_mut(&owner)?;
        let taken: Vec<Kept> = former.kept.extract_if(.., |kept| plan.has_window_of(kept)).collect();
        let since = former.since;
        if former.kept.is_empty() {
            self.0.remove(&owner);
        }
        (!taken.is_empty()).then_some((since, taken))
    }
}

impl State {
    /// An owner's limits in a lane change: what is counted by those that go is set aside, and what was set aside of those
    /// that come counts again in `log`, which has been filled from the old one. Since when it was set aside.
    pub(super) fn swap_aside(
        &mut self,
        (lane, owner): (u16, u32),
        (old, old_log): (u16, &[u16]),
        (new, log): (u16, &mut [u16]),
        at: &At,
    ) -> Option<Tick> {
        let (old, new) = (self.plans.plan(old), self.plans.plan(new));
        let aside = &mut self.lanes[usize::from(lane)].aside;
        let gone = old.left_out(new, old_log, at);
        let back = aside.take(owner, new);
        if !gone.is_empty() {
            aside.0.retain(|_, former| {
                former.kept.retain(|kept| !kept.is_over(at));
                !former.kept.is_empty()
            });
            aside.put(owner, gone, at.tick);
        }
        let (since, kept) = back?;
        new.count_kept(log, &kept, at);
        Some(since)
    }

    /// What an owner used in a lane, and what is under way there, as a log of this plan counts it.
    pub(super) fn carried(&mut self, (lane, owner): (u16, u32), (old, new): (u16, u16), at: &At) -> Vec<u16> {
        let held = self.held(lane, owner);
        let (from, plan) = (self.plans.plan(old), self.plans.plan(new));
        let mut carried = vec![0; plan.words()];
        let log = self.lanes[usize::from(lane)].log_ref(owner, from.words()).to_vec();
        Plan::migrate(from, &log, plan, &mut carried, &held, at);
        self.count_out_anew((lane, owner), (old, new), &mut carried, None, at);
        carried
    }

    /// What is under way counts in `log` by those units that only the new limits know: what is known of it later would be
    /// taken off what others used. What was granted before `since` is counted already.
    pub(super) fn count_out_anew(
        &mut self,
        (lane, owner): (u16, u32),
        (old, new): (u16, u16),
        log: &mut [u16],
        since: Option<Tick>,
        at: &At,
    ) {
        let (old, new) = (self.plans.plan(old), self.plans.plan(new));
        if new.words() == 0 {
            return;
        }
        let is_out = |cell: &&mut SeatCell| {
            let of_it = cell.lane == lane && cell.owner == owner && cell.stamp.is_some();
            of_it && !cell.free && !cell.refunded && since.is_none_or(|since| cell.began.tick > since)
        };
        for cell in self.seats.iter_mut().filter(is_out) {
            new.count_under_way(old, log, &cell.need, at);
        }
    }

    /// Where nothing was counted until now, at least what is under way is; what was granted before `since` is counted
    /// already.
    pub(super) fn count_out_since(&mut self, lane: u16, owner: u32, since: Option<Tick>, now: Now) {
        let at = self.at(now, owner);
        let place = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(place.owners[owner as usize].plan);
        let words = plan.words();
        for cell in self.seats.iter_mut() {
            let of_it =
                cell.lane == lane && cell.owner == owner && cell.stamp.is_some() && !cell.free && !cell.refunded;
            if of_it && since.is_none_or(|since| cell.began.tick > since) {
                plan.reserve(place.log(owner, words), &cell.need);
                cell.stamp = Some(plan.stamp(place.log(owner, words), &cell.need, &at));
            }
        }
    }
}
