//! Windows of units, for those who share without a pool.

use std::{collections::BTreeMap, time::Duration};

use jiff::tz::TimeZone;

use super::{
    counts::stricter,
    ledger::{Ledger, Moment, Spent},
    names::UnitId,
    wire::{Correction, Granted, UnitInfo},
};
use crate::{
    limit::{At, Limit, Limits, MIDNIGHT_GUARD, Need, Plan, Span, Told, Unknown, Zone},
    time::Tick,
};

/// How far before the clock's beginning windows may reach.
const BEFORE: Duration = Duration::from_secs(25 * 3600);

/// The exact windows of units that a process holds, and what is under way in them.
#[derive(Debug)]
pub struct Books {
    guard: Duration,
    zone: Zone,
    units: BTreeMap<UnitId, Book>,
}

#[derive(Debug)]
struct Book {
    configured: Limits,
    limits: Limits,
    plan: Plan,
    log: Vec<u16>,
    in_flight: Vec<Tick>,
}

impl Books {
    /// Windows hold for `guard` longer than their span; days end in `zone`.
    pub fn new(units: &[UnitInfo], guard: Duration, zone: TimeZone) -> Self {
        let zone = Zone::new(zone, MIDNIGHT_GUARD);
        let book = |info: &UnitInfo| (info.unit.clone(), Book::new(&info.limits, guard));
        Self { guard, zone, units: units.iter().map(book).collect() }
    }

    /// Whether the windows of a unit have room for `spent` now; it is taken and counts from now.
    pub fn start(&mut self, unit: &UnitId, spent: &Spent, now: Moment) -> bool {
        let at = self.at(now);
        let Some(book) = self.units.get_mut(unit) else { return false };
        let need = need(spent);
        let room = book.plan.room(&mut book.log, &need, &at).is_ok();
        if room {
            book.plan.reserve(&mut book.log, &need);
            book.plan.stamp(&mut book.log, &need, &at);
        }
        room
    }

    /// Whether there is room for `spent` now.
    pub fn has_room(&mut self, unit: &UnitId, spent: &Spent, now: Moment) -> bool {
        let at = self.at(now);
        let Some(book) = self.units.get_mut(unit) else { return false };
        book.plan.room(&mut book.log, &need(spent), &at).is_ok()
    }

    /// A request is under way until `deadline` at the latest.
    pub fn under_way(&mut self, unit: &UnitId, deadline: Tick) {
        if let Some(book) = self.units.get_mut(unit) {
            book.in_flight.push(deadline);
        }
    }

    fn at(&mut self, now: Moment) -> At {
        At { tick: now.tick.plus(BEFORE), day: self.zone.at(now.tick, now.wall_ms) }
    }
}

impl Book {
    fn new(limits: &Limits, guard: Duration) -> Self {
        let plan = Plan::compile(limits, guard);
        let log = vec![0; plan.words()];
        Self { configured: limits.clone(), limits: limits.clone(), plan, log, in_flight: Vec::new() }
    }

    /// Other limits hold from now on; what was counted stays.
    fn replan(&mut self, limits: &Limits, guard: Duration, at: &At) {
        if *limits == self.limits {
            return;
        }
        let new = Self::new(limits, guard);
        let mut log = new.log;
        Plan::migrate(&self.plan, &self.log, &new.plan, &mut log, &Need::default(), at);
        (self.plan, self.log, self.limits) = (new.plan, log, limits.clone());
    }
}

fn need(spent: &Spent) -> Need {
    let few = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    Need {
        requests: few(spent.requests),
        input_tokens: spent.input_tokens,
        output_tokens: spent.output_tokens,
        images: few(spent.images),
    }
}

impl Ledger for Books {
    fn tell(&mut self, unit: &UnitId, now: Moment) -> Vec<Told> {
        let at = self.at(now);
        self.units.get_mut(unit).map_or_else(Vec::new, |book| book.plan.tell(&mut book.log, &at))
    }

    fn hear(&mut self, granted: &Granted, now: Moment) {
        let at = self.at(now);
        let then = |ago: i64| {
            let ago = ago.min(0);
            let before = Duration::from_millis(ago.unsigned_abs());
            (at.tick.minus(before), at.day.wall_ms.saturating_add(ago))
        };
        let unknown = Unknown {
            starts: granted.unknown.map(|ago| then(ago).0),
            dates: granted.days_unknown.map(|ago| self.zone.days(then(ago).1)),
        };
        let Some(book) = self.units.get_mut(&granted.unit) else { return };
        book.replan(&stricter(&book.configured, &granted.learned), self.guard, &at);
        book.plan.hear(&granted.counts, unknown, &mut book.log, &at);
        let deadline = |ahead: &i64| now.tick.plus(Duration::from_millis((*ahead).max(0).unsigned_abs()));
        book.in_flight = granted.in_flight.iter().map(deadline).collect();
    }

    fn correct(&mut self, correction: &Correction, now: Moment) {
        let at = self.at(now);
        let ago = Duration::from_millis(correction.began.min(0).unsigned_abs());
        let Some(book) = self.units.get_mut(&correction.unit) else { return };
        let limit = Limit { unit: correction.of, span: Span::MINUTE, amount: 0 };
        book.plan.hear_more(limit, correction.more, at.tick.minus(ago), &mut book.log, &at);
    }

    fn tighten(&mut self, unit: &UnitId, limits: &Limits, now: Moment) {
        let at = self.at(now);
        if let Some(book) = self.units.get_mut(unit) {
            book.replan(&stricter(&book.configured, limits), self.guard, &at);
        }
    }

    fn room(&mut self, unit: &UnitId, each: u64, within: Duration, now: Moment) -> u64 {
        let now = Moment { tick: now.tick.plus(within), wall_ms: now.wall_ms + within.as_millis() as i64 };
        let at = self.at(now);
        let Some(book) = self.units.get_mut(unit) else { return 0 };
        let mut log = book.log.clone();
        book.plan.room_for_requests(&mut log, each, &at)
    }

    fn is_pending(&self, _: &UnitId) -> bool {
        false
    }

    fn in_flight(&self, unit: &UnitId, now: Moment) -> Vec<i64> {
        let ahead = |deadline: &Tick| deadline.since(now.tick).as_millis() as i64;
        self.units.get(unit).map_or_else(Vec::new, |book| {
            book.in_flight.iter().filter(|deadline| **deadline > now.tick).map(ahead).collect()
        })
    }

    fn opens(&mut self, unit: &UnitId, now: Moment) -> Option<i64> {
        let at = self.at(now);
        let book = self.units.get_mut(unit)?;
        let full = book.plan.room(&mut book.log, &Need { requests: 1, ..Need::default() }, &at).err()?;
        let opens = full.opens.tick(&at)?;
        Some(opens.since(at.tick).as_millis() as i64 + 1)
    }

    fn days_of(&mut self, _: &UnitId, then: Moment) -> (u16, u16) {
        let days = self.zone.days(then.wall_ms);
        (days.first, days.last)
    }

    fn dates(&mut self, now: Moment) -> (u16, u16) {
        let days = self.zone.at(now.tick, now.wall_ms).days;
        (days.first, days.last)
    }
}
