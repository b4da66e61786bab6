//! Without the store: limits are divided among the processes that share them, until it answers. Asked for by whoever
//! would rather exceed a limit now and then than serve nothing; what was started meanwhile is told afterwards.

use std::time::Duration;

use hashbrown::HashMap;

use crate::{
    limit::{Limit, Span},
    pool::{journal::Unit, state::State},
    share::{News, Spent},
    time::{Now, Tick},
};

use super::held::amounts;

/// Starts of one unit within this time are told as one.
const TOGETHER: Duration = Duration::from_secs(5);
/// So many such are kept of a unit; older ones join the next, which counts longer.
const KEPT: usize = 16;

/// Limits are divided.
#[derive(Debug)]
pub(super) struct Divided {
    /// Among how many processes.
    pub(super) among: u32,
    /// The store has not answered since the start.
    pub(super) local: bool,
    /// What was started meanwhile.
    started: HashMap<Unit, Vec<Started>>,
}

/// Starts that are told as one.
#[derive(Debug)]
struct Started {
    first: Tick,
    /// All count from then.
    last: Tick,
    spent: Spent,
}

impl Divided {
    pub(super) fn started(&mut self, unit: Unit, spent: &Spent, now: Tick) {
        let all = self.started.entry(unit).or_default();
        match all.last_mut() {
            Some(group) if now.since(group.first) <= TOGETHER => {
                group.last = now;
                group.spent.add(spent);
            }
            _ => all.push(Started { first: now, last: now, spent: *spent }),
        }
        if all.len() > KEPT {
            let oldest = all.remove(0).spent;
            all[0].spent.add(&oldest);
        }
    }

    /// Its lane or owner is another's from now on.
    pub(super) fn retain(&mut self, of: impl Fn(&Unit) -> bool) {
        self.started.retain(|unit, _| of(unit));
    }
}

impl State {
    /// From now on each limit is divided, and no lease is asked for.
    pub(super) fn divide(&mut self, among: u32, local: bool, now: Now) {
        self.post_entries();
        let Some(share) = self.share_mut().filter(|share| share.divided.is_none()) else { return };
        share.divided = Some(Divided { among, local, started: HashMap::new() });
        self.divide_limits(among, now);
        self.revive_all();
        self.serve(now);
    }

    /// The store is back: limits hold as they are. What was started meanwhile is to be [told](State::tell_divided).
    pub(super) fn unite(&mut self, now: Now) -> Option<Divided> {
        let divided = self.share_mut()?.divided.take()?;
        self.divide_limits(0, now);
        Some(divided)
    }

    fn divide_limits(&mut self, among: u32, now: Now) {
        self.plans.divide(among);
        for lane in 0..self.lanes.len() as u16 {
            for owner in 0..self.lanes[usize::from(lane)].owners.len() as u32 {
                let number = self.lanes[usize::from(lane)].owners[owner as usize].plan;
                let number = self.plans.intern(self.plans.sources(number).clone());
                self.replan_as(lane, owner, number, now);
            }
        }
    }

    /// What was started while limits were divided is told: of units that others may hold to the board. Those that were
    /// `granted` since came without it.
    pub(super) fn tell_divided(&mut self, divided: &Divided, granted: &[Unit], now: Now) {
        for (unit, started) in &divided.started {
            let held = self.share().is_some_and(|share| share.held.contains(*unit));
            // What was held all the time counts it, and says so with the next renewal.
            if held && !granted.contains(unit) {
                continue;
            }
            let name = self.unit_name(unit.0, unit.1);
            for Started { last: at, spent, .. } in started {
                for (of, more) in amounts(spent) {
                    if held {
                        self.count_more(*unit, Limit { unit: of, span: Span::MINUTE, amount: 0 }, more, *at, now);
                    } else if let (Some(share), Some(name)) = (self.share_mut(), &name) {
                        let began = -(now.tick.since(*at).as_millis() as i64);
                        share.news.push(News::Corrected { unit: name.clone(), of, began, more });
                    }
                }
            }
            if let Some(share) = self.share_mut().filter(|_| held) {
                share.changed(*unit);
            }
        }
        self.ring();
    }

    /// More counts in a unit's windows, since `began`.
    pub(super) fn count_more(&mut self, (lane, owner): Unit, limit: Limit, more: u64, began: Tick, now: Now) {
        let at = self.at(now, owner);
        let held = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(held.owners[owner as usize].plan);
        if plan.words() > 0 {
            plan.hear_more(limit, more, began, held.log(owner, plan.words()), &at);
            held.owners[owner as usize].outgrow();
            if let Some(mark) = self.journal.as_mut().and_then(|journal| journal.marks.get_mut((lane, owner))) {
                // The next note says it, too.
                mark.whole = true;
            }
        }
    }
}
