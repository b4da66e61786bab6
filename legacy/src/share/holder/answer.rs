//! What an answer of the board means for a process.

use std::time::Duration;

use super::{HeldUnit, Holder, Sent};
use crate::{
    limit::Limits,
    share::{
        ledger::{Ledger, Moment, Spent},
        names::{Kind, UnitId},
        own::{self, Own},
        wire::{Granted, Mark, Reply},
    },
    time::Tick,
};

impl Holder {
    /// The board answered. An answer to a renewal that was given up is not heard.
    pub fn answered(&mut self, reply: &Reply, ledger: &mut dyn Ledger, now: Moment) {
        if reply.dead {
            return self.live_on(reply.number, ledger, now);
        }
        if reply.stale || self.outstanding.as_ref().is_none_or(|sent| sent.number != reply.number) {
            return;
        }
        let Some(sent) = self.outstanding.take() else { return };
        self.failures = 0;
        self.lost = false;
        self.acknowledged = reply.number;
        self.enrolled = !reply.unknown_roster;
        self.told(&sent);
        let lost = self.generation != 0 && self.generation != reply.generation;
        if lost {
            self.counters.generations += 1;
            // What the board had heard it may have forgotten.
            self.units.values_mut().for_each(|held| held.changed = true);
            self.pressing = true;
        }
        self.generation = reply.generation;
        self.counters.leases_differ += u64::from(reply.longest > self.longest);
        self.longest = self.longest.max(reply.longest);
        self.anchor = Some(sent.at);
        self.heard = Some(sent.at.tick);
        // A process that was stopped meanwhile says nothing of the way.
        let trip = now.tick.since(sent.at.tick).min(self.settings.timeout);
        self.trip = (trip.as_millis() as u64).max(self.trip * 7 / 8);
        for unit in &reply.refused {
            if self.units.remove(unit).is_some() {
                self.counters.refused += 1;
                ledger.lose(unit, now);
            }
        }
        for unit in &sent.returned {
            self.returning.remove(unit);
        }
        self.leave_unguarded(ledger, now);
        self.buried.drain(..sent.buried.min(self.buried.len()));
        self.draw_anew(reply, &sent.settled, sent.dates, sent.at.tick);
        for granted in &reply.granted {
            self.receive(granted, ledger, now);
        }
        self.elsewhere.past.heard(&sent.left, lost, reply.recovering.is_some());
        self.hear_days(reply, &sent, lost, ledger, now);
        for correction in &reply.corrections {
            let Some(held) = self.units.get_mut(&correction.unit) else { continue };
            if correction.number > held.corrected {
                held.corrected = correction.number;
                held.changed = true;
                held.changed_since = true;
                self.pressing = true;
                ledger.correct(correction, now);
            }
        }
        for (unit, limits) in &reply.stricter {
            self.tightened.insert(unit.clone());
            if self.is_conflict(unit, limits) && self.elsewhere.conflicts.get(unit) != Some(limits) {
                // Said once of each, as often as it is given back and lent again.
                self.elsewhere.conflicts.insert(unit.clone(), limits.clone());
                self.counters.conflicts += 1;
            }
            ledger.tighten(unit, limits, now);
        }
        let eased = self.tightened.iter().filter(|unit| self.is_eased(unit, &sent, reply));
        for unit in eased.cloned().collect::<Vec<_>>() {
            self.tightened.remove(&unit);
            ledger.tighten(&unit, &Limits::new(), now);
        }
        self.news.retain(|news| news.0 > reply.news);
        self.facts.extend(reply.facts.clone());
        self.revision = reply.revision;
        self.alone = reply.alone;
        self.weigh(reply, ledger, now);
        if reply.unknown_roster {
            self.hurry(now.tick);
        }
    }

    /// Whether it is news for this process that somebody has these limits: of what keys allow each part is told, its own too.
    fn is_conflict(&self, unit: &UnitId, limits: &Limits) -> bool {
        let Some(key) = own::key_of(unit) else { return true };
        let own = self.infos.get(unit).map_or_else(Own::default, |info| Own::told(&info.limits));
        !key.is_empty() && own.and(Own::told(limits)) != own
    }

    /// The board has heard what was sent.
    fn told(&mut self, sent: &Sent) {
        if let Some(noted) = sent.tells {
            (self.noted, self.told_all, self.pressing) = (noted, Some(sent.at.tick), false);
        }
        for (unit, marks) in &sent.marks {
            let Some(held) = self.units.get_mut(unit) else { continue };
            let since = held.since_sent;
            held.changed = held.changed_since;
            let left = |(mark, used): &(Mark, u64)| {
                let left = mark.upto.saturating_sub(*used).saturating_sub(since.of(mark.unit));
                Mark { upto: left, ..*mark }
            };
            held.marks = marks.iter().map(left).collect();
        }
    }

    fn receive(&mut self, granted: &Granted, ledger: &mut dyn Ledger, now: Moment) {
        self.counters.granted += 1;
        let since = |ago: i64| now.tick.minus(Duration::from_millis(ago.min(0).unsigned_abs()));
        let is_unheard = granted.unknown.is_some_and(|ago| !self.elsewhere.is_since_a_loss(since(ago)));
        self.counters.failed_over += u64::from(granted.taken_over || is_unheard);
        ledger.hear(granted, now);
        self.pressing |= granted.unknown.is_some() || granted.days_unknown.is_some();
        let unit = HeldUnit {
            fence: granted.fence,
            since: now.tick,
            touched: now.tick,
            // Of one who died it is not known when he started last.
            last_start: granted
                .last_start
                .max(granted.unknown)
                .map(|ago| now.tick.minus(Duration::from_millis(ago.min(0).unsigned_abs()))),
            // The board is told how the windows look with what was unknown in them.
            changed: granted.unknown.is_some() || granted.days_unknown.is_some(),
            changed_since: false,
            marks: granted.marks.clone(),
            since_sent: Spent::default(),
            since_last: Spent::default(),
            corrected: 0,
        };
        self.elsewhere.forget(&granted.unit);
        self.elsewhere.past.forget(&granted.unit);
        self.units.insert(granted.unit.clone(), unit);
    }

    /// What others lack, and whether the own claims were met.
    fn weigh(&mut self, reply: &Reply, ledger: &mut dyn Ledger, now: Moment) {
        let mut lacks: Option<Tick> = None;
        let wanted = reply.wanted.keys().map(|kind| UnitId::from(kind.as_str()));
        self.wanted_guards = wanted.filter(|unit| self.units.contains_key(unit) && self.is_guard(unit)).collect();
        let named = reply.wanted.keys().filter_map(Kind::named);
        self.wanted_units = named.filter(|unit| self.units.contains_key(unit)).collect();
        let told = self.is_told();
        for (kind, demand) in &mut self.demands {
            demand.wanted = reply.wanted.get(kind).copied().unwrap_or(0);
            let crowded = reply.crowd.get(kind).is_some_and(|(units, processes)| units < processes);
            demand.drawn = crowded && self.settings.draws;
            demand.rotates = crowded && !self.settings.draws;
            demand.give = reply.give.get(kind).copied().unwrap_or(0);
            let is_named = |unit: &UnitId| self.infos.get(unit).is_some_and(|info| info.kind == *kind);
            if demand.rotates && self.wanted_units.iter().any(is_named) {
                demand.wanted = demand.wanted.max(1);
            }
            let dry = reply.dry.contains(kind);
            demand.refused = demand.named.iter().filter(|unit| !self.units.contains_key(*unit)).cloned().collect();
            if dry || !demand.refused.is_empty() {
                self.counters.dry += u64::from(dry);
                if told && !dry && !demand.rotates {
                    demand.is_to_be_told(now.tick, self.settings.renew_every);
                } else {
                    demand.unmet(now.tick, self.settings.renew_every);
                }
                if demand.waiting() {
                    lacks = Some(lacks.map_or(demand.retry(), |at| at.min(demand.retry())));
                }
            } else {
                demand.met();
            }
        }
        if let Some(at) = lacks {
            self.hurry(at);
        }
        if let Some(at) = self.next_hand_over() {
            self.hurry(at.max(now.tick.plus(self.settings.renew_every / 10)));
        }
        if let Some(at) = self.look_for_the_last(ledger, now) {
            self.hurry(at.max(now.tick.plus(self.settings.renew_every / 10)));
        }
        let helps = self.demands.values().any(|demand| demand.wanted > 0) || !self.wanted_guards.is_empty();
        if helps && self.surplus(ledger, now).iter().any(|(_, wanted)| *wanted) {
            let soon = now.tick.plus(self.settings.renew_every / 10);
            self.hurry(soon);
        }
    }
}
