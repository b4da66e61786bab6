//! What a process says next.

use std::{collections::BTreeMap, time::Duration};

use super::{HeldUnit, Holder, Marks, Returning, Sent};
use crate::{
    limit::{Span, Told, Unit},
    share::{
        ledger::{Ledger, Moment, Spent},
        names::UnitId,
        wire::{Held, Mark, Mode, News, Renewal, VERSION},
    },
    time::Tick,
};

/// A holder may use so many times of a day what it used between two renewals before it has told of it.
const MARK_AHEAD: u64 = 6;
/// And this much more.
const MARK_LEAST: u64 = 4;
/// What was noted need not be told with each renewal: one with whom nobody shares tells it once in so many leases, others once in one.
pub(super) const TELLS_ALONE: u32 = 2;
/// Of a window that stays where it is so many moments are told at most: thousands of windows are written at once, and they are
/// heard only should their holder die. What is given back is told moment by moment.
const MOMENTS: u32 = 24;

impl Holder {
    /// When the next renewal is to be sent, or the one under way given up.
    pub fn due(&self) -> Tick {
        match &self.outstanding {
            Some(sent) => sent.at.tick.plus(self.settings.timeout),
            None => self.due.min(self.turn()),
        }
    }

    /// The next renewal, once [`Holder::due`] has come; `None` before. One that is under way is given up then.
    pub fn renewal(&mut self, ledger: &mut dyn Ledger, now: Moment) -> Option<Renewal> {
        let valid = self.is_time(ledger, now)?;
        // What is noted need not be told each time.
        let last = self.told_all.filter(|_| self.settings.noting && !self.pressing);
        let leases = if self.alone { TELLS_ALONE } else { 1 };
        let all = last.is_none_or(|last| now.tick.since(last) >= self.settings.lease * leases);
        let noted = if all { ledger.noted() } else { self.noted };
        self.smooth(now);
        self.number += 1;
        self.counters.renewals += 1;
        if std::mem::take(&mut self.hurried) {
            self.counters.urgent += 1;
            self.hasten(now.tick);
        }
        if valid && !self.alone {
            self.yield_surplus(ledger, now);
        }
        let awaited = self.yield_guards(ledger, now);
        let (held, marks) = self.tell_held((valid, all), ledger, now);
        let returned = self.tell_returned(valid, ledger, now);
        let left = self.left(now.tick);
        let tells_left = left.iter().map(|left| left.unit.clone()).collect();
        let (looks, bounds) = (self.looks(), self.bounds(ledger, now));
        let (tells_bounds, asked) = (!bounds.is_empty(), looks.iter().cloned().collect());
        let claims = self.claims(ledger, now);
        self.counters.claims += claims.len() as u64;
        self.look_aside(now.tick);
        let settled = self.settled(now.tick);
        self.outstanding = Some(Sent {
            number: self.number,
            at: now,
            returned: self.returning.keys().cloned().collect(),
            settled: settled.iter().map(|settled| settled.draw).collect(),
            dates: ledger.dates(now),
            marks,
            buried: self.buried.len(),
            tells: all.then_some(noted),
            bounds: tells_bounds,
            looks: asked,
            left: tells_left,
        });
        self.sent = now.tick;
        self.hints.sent();
        // Others wait until what is under way has ended.
        let pause = if awaited { self.settings.renew_every / 4 } else { self.settings.renew_every };
        self.due = now.tick.plus(pause);
        Some(Renewal {
            version: VERSION,
            holder: self.id.clone(),
            number: self.number,
            generation: self.generation,
            acknowledged: self.acknowledged,
            elapsed: self.heard.map(|sent| now.tick.since(sent).as_millis() as u64),
            trip: self.trip,
            nonce: self.nonces.u64(1..),
            lease: self.settings.lease.as_millis() as u64,
            longest: self.longest,
            roster: self.roster,
            units: (!self.enrolled).then(|| self.infos.values().cloned().collect()),
            held,
            returned,
            demand: self.told_demand(),
            claims,
            settled,
            news: self.news.iter().map(|(number, (when, news))| (*number, aged(news, *when, now.tick))).collect(),
            revision: self.revision,
            buried: self.buried.clone(),
            noting: self.settings.noting,
            noted,
            looks,
            days: bounds,
            left,
            heard: None,
            ends: false,
            other: BTreeMap::new(),
        })
    }

    /// Whether a renewal is to be sent now; and if so, whether leases hold. One under way that was not answered in time is
    /// given up.
    fn is_time(&mut self, ledger: &mut dyn Ledger, now: Moment) -> Option<bool> {
        if now.tick < self.due() {
            return None;
        }
        if self.outstanding.is_some() {
            self.failed(now);
            if now.tick < self.due {
                return None;
            }
        }
        let valid = self.is_valid(now);
        if now.tick < self.due {
            // What goes round is looked at more often than the board is asked.
            self.looked = now.tick;
            if !valid || self.passed_on(ledger, now).is_empty() {
                return None;
            }
            self.hurried = true;
        }
        Some(valid)
    }

    /// Units beyond the own share go back.
    fn yield_surplus(&mut self, ledger: &mut dyn Ledger, now: Moment) {
        for (unit, wanted) in self.surplus(ledger, now) {
            if !ledger.give_up(&unit, now) {
                continue;
            }
            self.counters.yielded += u64::from(wanted);
            let mode = self.mode_for(&unit);
            self.pass_on(&unit, now.tick);
            self.give_back(&unit, mode);
        }
    }

    /// So do guards that nobody needs here; whether others wait for one that cannot go yet.
    fn yield_guards(&mut self, ledger: &mut dyn Ledger, now: Moment) -> bool {
        let mut awaited = false;
        for guard in self.idle_guards() {
            // Not while requests are under way that it counts.
            if ledger.give_up(&guard, now) {
                self.give_back(&guard, Mode::Whole);
            } else {
                awaited |= self.wanted_guards.contains(&guard);
            }
        }
        awaited
    }

    /// The units that are held, and the marks that are told with them.
    fn tell_held(&mut self, (valid, all): (bool, bool), ledger: &mut dyn Ledger, now: Moment) -> (Vec<Held>, Marks) {
        let mut marks = BTreeMap::new();
        let mut units = std::mem::take(&mut self.units);
        let tell = |(unit, held)| self.held_unit(unit, held, (valid, all), &mut marks, ledger, now);
        let held = units.iter_mut().map(tell).collect();
        self.units = units;
        (held, marks)
    }

    /// The units that go back. Of those that are told the first time it is remembered what they were left with.
    fn tell_returned(&mut self, valid: bool, ledger: &mut dyn Ledger, now: Moment) -> Vec<Held> {
        let mut returned = Vec::new();
        let mut left = Vec::new();
        for (unit, returning) in &mut self.returning {
            let given = give(unit, *returning, valid, ledger, now);
            if !std::mem::replace(&mut returning.said, true) && valid {
                left.push(returned.len());
            }
            returned.push(given);
        }
        for given in left.into_iter().map(|at| &returned[at]) {
            let counts = given.counts.as_deref().unwrap_or_default();
            self.left_with(&given.unit, counts, now);
            self.elsewhere.past.leave(&given.unit, counts, now.tick);
        }
        self.forget_left(now.tick);
        returned
    }

    /// The renewal under way was not answered, or with an error.
    pub fn failed(&mut self, now: Moment) {
        if self.outstanding.take().is_none() {
            return;
        }
        self.counters.lost += 1;
        self.failures += 1;
        // Soon again: the leases run on. Then less often.
        let pause = self.settings.timeout * self.failures.min(4) / 4;
        self.due = now.tick.plus(pause);
    }

    fn held_unit(
        &self,
        unit: &UnitId,
        held: &mut HeldUnit,
        (valid, all): (bool, bool),
        marks: &mut Marks,
        ledger: &mut dyn Ledger,
        now: Moment,
    ) -> Held {
        let noting = self.settings.noting;
        let guards = self.is_guard(unit);
        // Of what nothing was noted since the board knows all that there is to know.
        let tells = all && (held.changed || guards || !noting);
        let mut told = if tells { ledger.tell(unit, now) } else { Vec::new() };
        if noting {
            for told in &mut told {
                told.bundle(MOMENTS);
            }
        }
        let ahead = ledger.ahead(unit);
        let (tells, kept_back) =
            if noting { Default::default() } else { marks_for(&told, &held.since_last, self.settings.lease) };
        let changed = held.changed && all;
        held.changed_since &= !all;
        // As time passes it may go further: that is told as well.
        held.changed_since |= changed && kept_back;
        held.since_sent = Spent::default();
        held.since_last = Spent::default();
        // What is lost with this renewal is told again by the next.
        let counts = (changed || guards).then_some(told);
        let result = Held {
            unit: unit.clone(),
            fence: held.fence,
            valid,
            marks: if counts.is_some() { tells.iter().map(|mark| mark.0).collect() } else { Vec::new() },
            ahead: ahead.filter(|_| counts.is_some()),
            counts,
            in_flight: ledger.in_flight(unit, now),
            last_start: held.last_start.map(|start| -(now.tick.since(start).as_millis() as i64)),
            opens: None,
            mode: Mode::Whole,
            corrected: held.corrected,
            other: BTreeMap::new(),
        };
        if changed {
            // Should the answer be lost, the board has these all the same: what it had before holds no longer.
            for mark in &mut held.marks {
                let told = tells.iter().find(|told| (told.0.unit, told.0.date) == (mark.unit, mark.date));
                mark.upto = mark.upto.min(told.map_or(0, |(told, used)| told.upto.saturating_sub(*used)));
            }
            marks.insert(unit.clone(), tells);
        }
        result
    }
}

/// Up to where the day may be used, and how much of it is: no further than other limits let it come before the lease's end,
/// since of a process that dies all of it counts. Whether one was kept back by them.
fn marks_for(told: &[Told], since: &Spent, lease: Duration) -> (Vec<(Mark, u64)>, bool) {
    let (all, mut kept_back) = (told, false);
    let daily = told.iter().filter(|told| told.limit.span == Span::Day);
    let marks = daily.flat_map(|told| {
        let unit = told.limit.unit;
        let ahead = since.of(unit) * MARK_AHEAD + MARK_LEAST.max(told.limit.amount / 100);
        let room = room(all, unit, lease);
        kept_back |= room < ahead;
        let ahead = ahead.min(room);
        let mark = move |(date, used): &(u16, u64)| {
            let upto = used.saturating_add(ahead).min(told.limit.amount).max(*used);
            (Mark { unit, date: *date, upto }, *used)
        };
        told.dates.iter().map(mark)
    });
    (marks.collect(), kept_back)
}

/// How much can be started within a lease from now on at most.
fn room(told: &[Told], unit: Unit, lease: Duration) -> u64 {
    let lease = lease.as_millis() as i64;
    let sliding = told.iter().filter(|told| told.limit.unit == unit).filter_map(|told| match told.limit.span {
        Span::Sliding(span) => Some((told, (span.as_millis() as i64).max(1))),
        Span::Day => None,
    });
    let room = sliding.map(|(told, span)| {
        // What counts as long as the lease leaves no room in it.
        let stays = told.moments.iter().filter(|(at, _)| at + span > lease).map(|moment| moment.1).sum::<u64>();
        let turns = (lease / span) as u64 + 1;
        told.limit.amount.saturating_mul(turns).saturating_sub(stays)
    });
    room.min().unwrap_or(u64::MAX)
}

fn give(unit: &UnitId, returning: Returning, valid: bool, ledger: &mut dyn Ledger, now: Moment) -> Held {
    let Returning { fence, mode, last_start, said } = returning;
    Held {
        unit: unit.clone(),
        fence,
        // After a loss it proves nothing: another may hold it by now.
        valid: valid && !said,
        counts: Some(ledger.tell(unit, now)),
        marks: Vec::new(),
        ahead: None,
        in_flight: ledger.in_flight(unit, now),
        last_start: last_start.map(|start| -(now.tick.since(start).as_millis() as i64)),
        opens: ledger.opens(unit, now),
        mode,
        corrected: 0,
        other: BTreeMap::new(),
    }
}

/// Times in news, relative to now.
fn aged(news: &News, when: Tick, now: Tick) -> News {
    let age = now.since(when).as_millis() as i64;
    let mut news = news.clone();
    match &mut news {
        News::Corrected { began, .. } => *began -= age,
        News::Rest { until, .. } if *until != i64::MAX => *until -= age,
        _ => {}
    }
    news
}
