//! Days of units that this process does not hold: what the board counted last, and, should it lose that, how much of them
//! can have been used at most.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

use super::{Holder, Sent, left::Past, renew::TELLS_ALONE};
use crate::{
    limit::{Limits, Span, Told},
    share::{
        ledger::{Ledger, Moment},
        names::UnitId,
        own,
        wire::{Days, Mark, Reply, UnitInfo},
    },
    time::Tick,
};

/// So many units are asked for with each renewal.
const AT_ONCE: usize = 100;
/// A holder may have been silent for a lease, and his last word on its way: so many leases before the board was asked more may
/// have been started than it counted. Whoever notes may not have told of his windows for longer, and starts nothing once a
/// lease has passed since he renewed; no word of his is on its way.
const UNTOLD: u32 = 2;
const UNTOLD_NOTED: u32 = TELLS_ALONE + 1;
/// How much later an answer says that the board recovered than one before it.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// What was known so many dates ago bounds nothing.
const DATES: u16 = 2;

/// What is known of units that are not held.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// Limits of others that were said to hold here, by unit.
    pub(super) conflicts: BTreeMap<UnitId, Limits>,
    known: BTreeMap<UnitId, Known>,
    /// What was held here before.
    pub(super) past: Past,
    /// Some limit counts by the day.
    counts_days: bool,
    /// Which was asked for last.
    last: Option<UnitId>,
    /// Units for which there are no limits here, and which of them was asked for last.
    bare: Vec<UnitId>,
    bare_at: usize,
    /// Others can serve other units, or have other limits.
    differ: bool,
    /// The board lost what it knew: until then it only hears.
    recovers: Option<Tick>,
    /// It has heard what is known here.
    told: bool,
}

/// What the board counted of a unit's days.
#[derive(Debug)]
struct Known {
    as_of: Tick,
    marks: Vec<Mark>,
}

fn has_day(limits: &Limits) -> bool {
    limits.iter().any(|limit| limit.span == Span::Day)
}

impl Elsewhere {
    /// A unit is held: its windows tell what is counted.
    pub(super) fn forget(&mut self, unit: &UnitId) {
        self.known.remove(unit);
    }

    /// Whether it is since the board lost what it knew that this is not known.
    pub(super) fn is_since_a_loss(&self, unknown: Tick) -> bool {
        self.recovers.is_some_and(|end| unknown <= end.plus(ON_THE_WAY))
    }
}

impl Holder {
    /// What this process can serve was this before. Of units that are one with others by now it is not known what those count.
    pub(super) fn count_elsewhere(&mut self, before: &BTreeMap<UnitId, UnitInfo>) {
        let infos = &self.infos;
        self.elsewhere.counts_days = infos.values().any(|info| has_day(&info.limits));
        self.elsewhere.known.retain(|unit, _| {
            let (is, was) = (infos.get(unit), before.get(unit));
            is.zip(was).is_some_and(|(is, was)| is.joins == was.joins)
        });
    }

    /// Units for which there are no limits here: while others differ they are asked whether they have some.
    pub(crate) fn without_limits(&mut self, units: Vec<UnitId>) {
        self.elsewhere.bare = units;
    }

    /// Units of which the board is asked what it knows: in turn those without limits here, and those of whose days something
    /// is counted elsewhere.
    pub(super) fn looks(&mut self) -> Vec<UnitId> {
        let mut looks = self.days_to_look_at();
        let Elsewhere { bare, bare_at, differ, .. } = &mut self.elsewhere;
        if *differ && !bare.is_empty() {
            let first = *bare_at % bare.len();
            let asked = AT_ONCE.min(bare.len());
            looks.extend(bare.iter().cycle().skip(first).take(asked).cloned());
            *bare_at = first + asked;
        }
        looks
    }

    /// Whether limits of others that hold here hold no more, since the board does not say so any more. What has none of its own
    /// here is limited until it was asked for.
    pub(super) fn is_eased(&self, unit: &UnitId, sent: &Sent, reply: &Reply) -> bool {
        let limited = own::key_of(unit).is_none() && self.infos.get(unit).is_some_and(|info| !info.limits.is_empty());
        !reply.stricter.contains_key(unit) && (limited || (reply.recovering.is_none() && sent.looks.contains(unit)))
    }

    fn days_to_look_at(&mut self) -> Vec<UnitId> {
        if !self.elsewhere.counts_days {
            return Vec::new();
        }
        let elsewhere = |unit: &&UnitId| !self.units.contains_key(*unit) && !self.returning.contains_key(*unit);
        let daily = |found: &(&UnitId, &UnitInfo)| has_day(&found.1.limits);
        let after = self.elsewhere.last.as_ref().map_or(Unbounded, Excluded);
        let rest = self.infos.range::<UnitId, _>((after, Unbounded)).filter(daily).map(|found| found.0);
        let mut looks: Vec<UnitId> = rest.filter(elsewhere).take(AT_ONCE).cloned().collect();
        if looks.len() < AT_ONCE
            && let Some(last) = &self.elsewhere.last
        {
            let first = self.infos.range::<UnitId, _>(..=last).filter(daily).map(|found| found.0);
            looks.extend(first.filter(elsewhere).take(AT_ONCE - looks.len()).cloned());
        }
        self.elsewhere.last = looks.last().cloned();
        looks
    }

    /// A unit goes back, with these counts.
    pub(super) fn left_with(&mut self, unit: &UnitId, counts: &[Told], now: Moment) {
        if !self.elsewhere.counts_days {
            return;
        }
        let days = counts.iter().filter(|told| told.limit.span == Span::Day);
        let marks = days.flat_map(|told| {
            let unit = told.limit.unit;
            told.dates.iter().map(move |(date, used)| Mark { unit, date: *date, upto: *used })
        });
        self.elsewhere.known.insert(unit.clone(), Known { as_of: now.tick, marks: marks.collect() });
    }

    /// What the board says of days. `lost`: it does not know any more what it said before.
    pub(super) fn hear_days(&mut self, reply: &Reply, sent: &Sent, lost: bool, ledger: &mut dyn Ledger, now: Moment) {
        let elsewhere = &mut self.elsewhere;
        if lost {
            elsewhere.recovers = None;
        }
        elsewhere.told = !lost && (elsewhere.told || sent.bounds);
        elsewhere.differ = reply.differ || (elsewhere.differ && reply.recovering.is_some());
        if let Some(left) = reply.recovering {
            elsewhere.recovers.get_or_insert(now.tick.plus(Duration::from_millis(left)));
        }
        for Days { unit, marks } in &reply.days {
            if self.units.contains_key(unit) || !self.infos.contains_key(unit) {
                continue;
            }
            ledger.look(unit, marks, now);
            elsewhere.known.insert(unit.clone(), Known { as_of: sent.at.tick, marks: marks.clone() });
        }
    }

    /// To a board that lost what it knew: how much of the days of units that are not held here can have been used.
    pub(super) fn bounds(&mut self, ledger: &mut dyn Ledger, now: Moment) -> Vec<Days> {
        let elsewhere = &self.elsewhere;
        let Some(end) = elsewhere.recovers.filter(|end| *end > now.tick && !elsewhere.told) else {
            return Vec::new();
        };
        let untold = self.settings.lease * if self.settings.noting { UNTOLD_NOTED } else { UNTOLD };
        let not_held = elsewhere.known.iter().filter(|known| !self.units.contains_key(known.0));
        let mut bounds = Vec::new();
        for (unit, known) in not_held {
            let Some(info) = self.infos.get(unit) else { continue };
            let long = end.since(known.as_of) + untold;
            let ago = (now.tick.since(known.as_of) + untold).as_millis() as i64;
            let first = Moment { tick: known.as_of.minus(untold), wall_ms: now.wall_ms - ago };
            let last = Moment { tick: end, wall_ms: now.wall_ms + end.since(now.tick).as_millis() as i64 };
            let dates = (ledger.days_of(unit, first).0, ledger.days_of(unit, last).1);
            if let Some(marks) = at_most(&info.limits, &known.marks, long, dates) {
                bounds.push(Days { unit: unit.clone(), marks });
            }
        }
        bounds
    }
}

/// How much can have been used on these dates, where so much was counted so long ago: in no time more is started than
/// sliding windows of the same unit allow. None where there is none of those.
fn at_most(limits: &Limits, counted: &[Mark], long: Duration, dates: (u16, u16)) -> Option<Vec<Mark>> {
    if dates.1.checked_sub(dates.0)? > DATES {
        return None;
    }
    // Clocks drift.
    let long = (long + long / 500).as_millis() + 500;
    let mut marks = Vec::new();
    for day in limits.iter().filter(|limit| limit.span == Span::Day) {
        let of_unit = limits.iter().filter(|limit| limit.unit == day.unit);
        let since = of_unit.filter_map(|limit| match limit.span {
            Span::Sliding(span) => {
                let windows = long / span.as_millis().max(1) + 1;
                Some(limit.amount.saturating_mul(u64::try_from(windows).unwrap_or(u64::MAX)))
            }
            Span::Day => None,
        });
        let since = since.min()?;
        for date in dates.0..=dates.1 {
            let of_date = counted.iter().filter(|mark| (mark.unit, mark.date) == (day.unit, date));
            let counted = of_date.map(|mark| mark.upto).max().unwrap_or(0);
            marks.push(Mark { unit: day.unit, date, upto: counted.saturating_add(since) });
        }
    }
    Some(marks).filter(|marks| !marks.is_empty())
}
