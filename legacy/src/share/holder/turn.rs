//! Units that go round: where there are fewer of them than processes that ask, and no places are drawn, a process has one
//! while it uses it, and no longer than a turn when others lack it. It lies on the board meanwhile, so that whoever asks gets
//! it at once.

use std::time::Duration;

use super::{HeldUnit, Holder, last, need::Demand};
use crate::{
    share::{
        ledger::{Ledger, Moment},
        names::UnitId,
    },
    time::Tick,
};

/// So many hundredths of the time between two renewals a unit is kept that nobody uses: 100 ms of a second.
const IDLE: u32 = 10;
/// So many it is used while others lack it, so many it is left to them then, and so many whoever found none waits at most
/// before it asks again.
const TURN: u32 = 20;
/// The same where a process asks for it so often that its callers, with a second to wait, are too many to miss a turn.
const QUICK_TURN: u32 = 8;
/// So many requests a second are often.
const OFTEN: f64 = 1.0;
/// So long after something was served without units: as long as a full one stays full.
const ASIDE: Duration = Duration::from_secs(60);
/// Renewals before their time, a second in the long run; the second where turns are quick.
const A_SECOND: u32 = 2;
const QUICK_A_SECOND: u32 = 5;

/// A part of the time between two renewals.
fn part(renew_every: Duration, hundredths: u32) -> Duration {
    renew_every * hundredths / 100
}

impl Demand {
    fn is_quick(&self) -> bool {
        self.rate >= OFTEN
    }

    /// How long a turn lasts, and how long others have it then.
    pub(super) fn turn(&self, renew_every: Duration) -> Duration {
        part(renew_every, if self.is_quick() { QUICK_TURN } else { TURN })
    }
}

impl Holder {
    /// Whether a unit goes round. What is guarded does not: its guard stays where requests are under way; nor does what stands
    /// beside keys without limits, for which nobody waits: that goes on with the renewals, once it is full.
    pub(super) fn goes_round(&self, unit: &UnitId, demand: &Demand) -> bool {
        demand.rotates && !demand.aside && self.infos.get(unit).is_some_and(|info| info.guard.is_none())
    }

    /// Forgets that something was served without units, where that was long ago.
    pub(super) fn look_aside(&mut self, now: Tick) {
        for demand in self.demands.values_mut().filter(|demand| demand.aside) {
            demand.aside = demand.aside_at.is_some_and(|last| now.since(last) < ASIDE);
        }
    }

    /// How many renewals before their time are sent a second in the long run.
    pub(super) fn a_second(&self) -> u32 {
        let round = self.demands.values().filter(|demand| demand.rotates);
        let most = round.map(|demand| if demand.is_quick() { QUICK_A_SECOND } else { A_SECOND }).max();
        let by_name = self.is_told() && self.hands_to_and_fro();
        self.settings.haste.1.max(most.unwrap_or(1)).max(if by_name { A_SECOND } else { 1 })
    }

    /// When a unit that goes round may be passed on.
    pub(super) fn turn(&self) -> Tick {
        let mut first = Tick::NEVER;
        for (kind, demand) in self.demands.iter().filter(|(_, demand)| demand.rotates) {
            let round = self.of_kind(kind).filter(|(unit, _)| self.goes_round(unit, demand));
            first = round.map(|(_, held)| self.passes(held, demand)).fold(first, Tick::min);
        }
        if first == Tick::NEVER {
            return first;
        }
        let again = self.looked.plus(part(self.settings.renew_every, IDLE));
        first.max(again).max(self.unhurried).max(self.sent.plus(self.settings.coalesce))
    }

    /// From when on a unit is passed on, as it is used by now.
    fn passes(&self, held: &HeldUnit, demand: &Demand) -> Tick {
        let every = self.settings.renew_every;
        let idle = if demand.waiting() { Tick::NEVER } else { held.touched.plus(part(every, IDLE)) };
        let turn = if demand.wanted > 0 { held.since.plus(demand.turn(every)) } else { Tick::NEVER };
        idle.min(turn)
    }

    /// Those whose turn here is over: they are idle, or others lack them and they are full or were here for long enough.
    pub(super) fn passed_on(&self, ledger: &mut dyn Ledger, now: Moment) -> Vec<(UnitId, bool)> {
        let mut all = Vec::new();
        for (kind, demand) in self.demands.iter().filter(|(_, demand)| demand.rotates) {
            let wanted = demand.wanted > 0;
            for (unit, held) in self.of_kind(kind).filter(|(unit, _)| self.goes_round(unit, demand)) {
                let full = |ledger: &mut dyn Ledger| {
                    ledger.room(unit, demand.each_waiting(), self.settings.renew_every, now) == 0
                };
                let over = self.passes(held, demand) <= now.tick || (wanted && full(ledger));
                if over && !ledger.is_pending(unit) {
                    all.push((unit.clone(), wanted));
                }
            }
        }
        all
    }

    /// A unit goes back: where others lack it, they come first.
    pub(super) fn pass_on(&mut self, unit: &UnitId, now: Tick) {
        let every = self.settings.renew_every;
        let kind = self.infos.get(unit).map(|info| &info.kind);
        let Some(demand) = kind.and_then(|kind| self.demands.get_mut(kind)) else { return };
        let is_last = demand.is_last(unit);
        if (demand.rotates || is_last) && demand.wanted > 0 {
            let turn = if is_last { last::turn(every) } else { demand.turn(every) };
            demand.leaves_until = Some(now.plus(turn));
        }
    }
}
