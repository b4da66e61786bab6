//! Days that outlive the board. Each process asks what is counted of the days of units that it does not hold, so that all
//! living processes know, together with what they hold, what the board knew a moment ago. Should it lose that, they tell how
//! much of each day can have been used at most: of what was said the least is so.

use serde::{Deserialize, Serialize};

use super::{
    counts::stricter,
    names::UnitId,
    own,
    state::{BoardState, UnitRecord},
    wire::{Renewal, Reply},
};
use crate::limit::{Limits, Span, Unit};

/// Up to where a holder may use a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What the day's limit counts.
    pub unit: Unit,
    /// The date, in days since 1970-01-01 plus one.
    pub date: u16,
    /// No more than this.
    pub upto: u64,
}

/// How much of a unit's days is used at most; of a date that is not among them nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// Of which unit.
    pub unit: UnitId,
    /// What counts by the day, and how much.
    pub marks: Vec<Mark>,
}

/// Says what is counted of the days that a process asks for, as far as that is known; and the limits of what it has none
/// for. What keys allow by themselves is lent to nobody, and told here alone.
pub(super) fn tell(state: &BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    let mut rosters = state.holders.values().map(|holder| holder.roster);
    reply.differ = rosters.any(|roster| roster != 0 && roster != renewal.roster);
    let roster = state.rosters.get(&renewal.roster).map_or(&[][..], |roster| roster);
    for unit in &renewal.looks {
        let own = roster.binary_search_by(|info| info.unit.cmp(unit)).ok().map(|at| &roster[at].limits);
        if own.is_none_or(Limits::is_empty) || own::key_of(unit).is_some() {
            let limits = state.limits(unit);
            if own.map_or(!limits.is_empty(), |own| stricter(own, &limits) != *own) {
                reply.stricter.insert(unit.clone(), limits);
            }
        }
        let Some(record) = state.units.get(unit) else { continue };
        // What is noted of living processes is not at hand: it is told in time. Of one who is gone it never will be.
        let ended = record.ahead.is_some() && record.is_free(now);
        let known = record.generation == state.generation && record.days_unknown.is_none() && !ended;
        if known && !state.is_joining(unit) {
            reply.days.push(Days { unit: unit.clone(), marks: record.days(now) });
        }
    }
}

/// Hears how much of the days of units can have been used that nobody holds: what the board knew of them is lost.
pub(super) fn hear(state: &mut BoardState, renewal: &Renewal) {
    if state.recovery.is_none() {
        return;
    }
    for days in &renewal.days {
        let bounds = state.bounds.entry(days.unit.clone()).or_default();
        for mark in &days.marks {
            match bounds.iter_mut().find(|bound| (bound.unit, bound.date) == (mark.unit, mark.date)) {
                Some(bound) => bound.upto = bound.upto.min(mark.upto),
                None => bounds.push(*mark),
            }
        }
    }
}

impl UnitRecord {
    /// What is counted of days; of a holder whose lease has ended unheard also what he was let use. What one who holds it may
    /// have used since he told of it only whoever asks can bound: a mark is far ahead of that.
    fn days(&self, now: i64) -> Vec<Mark> {
        let told = self.counts.iter().filter(|told| told.limit.span == Span::Day);
        let told = told.flat_map(|told| {
            let unit = told.limit.unit;
            told.dates.iter().map(move |(date, used)| Mark { unit, date: *date, upto: *used })
        });
        let mut days: Vec<Mark> = told.collect();
        for mark in self.marks.iter().filter(|_| self.is_free(now)) {
            match days.iter_mut().find(|day| (day.unit, day.date) == (mark.unit, mark.date)) {
                Some(day) => day.upto = day.upto.max(mark.upto),
                None => days.push(*mark),
            }
        }
        days
    }

    /// No more was used of its days than this. Whether that is said of each of these limits.
    pub(super) fn bound_days(&mut self, bounds: &[Mark], limits: &Limits) -> bool {
        let days = || limits.iter().filter(|limit| limit.span == Span::Day);
        if !days().all(|limit| bounds.iter().any(|bound| bound.unit == limit.unit)) {
            return false;
        }
        // Of those of which nothing is told a day would tell.
        for limit in limits.iter() {
            self.window(*limit);
        }
        for bound in bounds {
            let Some(limit) = days().find(|limit| limit.unit == bound.unit) else { continue };
            let told = self.window(*limit);
            match told.dates.iter_mut().find(|date| date.0 == bound.date) {
                Some(date) => date.1 = date.1.max(bound.upto),
                None => told.dates.push((bound.date, bound.upto)),
            }
        }
        true
    }
}
