//! A store that went back in time: flushed, restored, replaced by a stale copy.

use std::ops::RangeInclusive;

use super::{
    counts::{first_date, last_date},
    state::{BoardState, Recovery, UnitRecord},
    wire::Renewal,
};
use crate::limit::{Limit, Span};

/// Of a server that was started again those are awaited who renewed within so long before.
const THERE: i64 = 300_000;

/// A recovery that begins with the next renewal ends no earlier.
const TO_COME: i64 = i64::MAX;

/// How many generations that were given up are remembered.
const PAST: usize = 32;

/// Notices that the store is not the one that this process spoke to last, or that it forgot something.
pub(super) fn watch(state: &mut BoardState, renewal: &Renewal, identity: &str, before: i64, now: i64) {
    let first = state.generation == 0;
    let replaced = !identity.is_empty() && !state.server.is_empty() && identity != state.server;
    identity.clone_into(&mut state.server);
    let doubted = state.recovery.is_some_and(|recovery| recovery.until == TO_COME);
    let known = renewal.generation != 0;
    // Whatever generation it heard of: it was told something that is not here, or another on its machine was.
    let lost = renewal.heard.is_some_and(|heard| heard > before)
        || renewal.acknowledged > 0
            && state.holders.get(&renewal.holder).is_none_or(|record| record.number < renewal.acknowledged);
    let forgot = lost && renewal.generation == state.generation;
    // A generation that was given up is that of a process that has not heard of it yet.
    let given_up = state.past.contains(&renewal.generation);
    let stranger = renewal.generation != state.generation && !given_up;
    if first || replaced || doubted || (known && (forgot || stranger)) {
        let wait = !(first && state.fresh && !known);
        let whole = replaced && !first && state.recovery.is_none() && !(known && (forgot || stranger));
        let there = state.holders.iter().filter(|(_, record)| before - record.seen < THERE && !record.ended);
        state.awaited = whole.then(|| there.map(|(holder, _)| holder.clone()).collect());
        state.vouched(renewal, lost);
        let earlier = std::mem::replace(&mut state.generation, renewal.nonce.max(1));
        for generation in [earlier, renewal.generation] {
            if generation != 0 && generation != state.generation && !state.past.contains(&generation) {
                state.past.push(generation);
            }
        }
        let old = state.past.len().saturating_sub(PAST);
        state.past.drain(..old);
        state.fresh = false;
        // Said of a recovery that was to end earlier.
        state.bounds.clear();
        let empty = first || state.recovery.is_some_and(|recovery| recovery.empty);
        let since = if first { 0 } else { state.recovery.map_or(before, |recovery| recovery.since) };
        let known = known || state.recovery.is_some_and(|recovery| recovery.known);
        state.recovery = wait.then_some(Recovery { until: now + state.lease, since, empty, known });
        for holder in state.holders.values_mut() {
            holder.wanted.clear();
        }
        return;
    }
    if let Some(recovery) = &mut state.recovery
        && given_up
    {
        recovery.known = true;
    }
    state.vouched(renewal, lost);
}

impl BoardState {
    /// The store says of itself that it lacks what happened of late: it was begun in the place of one that broke, or is a
    /// copy. Whoever renews next finds it so.
    #[cfg(feature = "sqlite")]
    pub(super) fn doubt(&mut self) {
        let since = self.recovery.map_or(self.clock, |recovery| recovery.since);
        let empty = self.recovery.is_some_and(|recovery| recovery.empty);
        self.fresh = false;
        self.recovery = Some(Recovery { until: TO_COME, since, empty, known: true });
    }

    /// What this process was told last is here, or it is lost.
    fn vouched(&mut self, renewal: &Renewal, lost: bool) {
        if lost {
            self.awaited = None;
        } else if let Some(awaited) = &mut self.awaited {
            awaited.remove(&renewal.holder);
        }
    }
}

/// All leases of before have ended: what nobody told of may be used up.
pub(super) fn end(state: &mut BoardState, now: i64) {
    let Some(recovery) = state.recovery.filter(|recovery| recovery.until <= now) else { return };
    state.recovery = None;
    // All who were there say that nothing was lost: what nobody holds any more was used up to the end of its lease at most.
    let whole = state.awaited.take().is_some_and(|awaited| awaited.is_empty());
    let broke = state.broke;
    let generation = state.generation;
    let bounds = std::mem::take(&mut state.bounds);
    let first_start = recovery.empty && !recovery.known;
    // What is lost was used on one of these dates. In which zone a day ends is not known here.
    let missed = first_date(recovery.since + state.lag)..=last_date(recovery.until + state.lag);
    if recovery.empty && recovery.known {
        state.blank = Some(recovery.until);
    }
    let untold = state.units.iter().filter(|unit| unit.1.generation != generation);
    for name in untold.map(|unit| unit.0.clone()).collect::<Vec<_>>() {
        let limits = state.limits(&name);
        let Some(record) = state.units.get_mut(&name) else { continue };
        record.generation = generation;
        // What was noted of living processes is not at hand here.
        if whole && record.ahead.is_none() {
            record.abandon(now, broke, &limits);
            continue;
        }
        let noted = record.ahead.is_some();
        // None of what it had counted is believed to have still been there.
        record.abandon(now, now, &limits);
        record.bookings.clear();
        if first_start {
            continue;
        }
        record.counts.iter_mut().for_each(|told| told.moments.clear());
        record.unknown = Some(recovery.until);
        // The day: of a copy that is old only what the minutes since allowed may be missing.
        let gap = recovery.until - recovery.since;
        let missing = |unit| {
            let sliding = limits.iter().filter_map(|limit| match limit.span {
                Span::Sliding(span) if limit.unit == unit => {
                    Some(limit.amount.saturating_mul(gap as u64 / (span.as_millis() as u64).max(1) + 2))
                }
                _ => None,
            });
            sliding.min()
        };
        let days: Vec<_> = limits.iter().filter(|limit| limit.span == Span::Day).collect();
        if days.is_empty() {
            continue;
        }
        let more: Vec<_> = days.iter().map(|limit| missing(limit.unit)).collect();
        if recovery.empty || noted || gap > 12 * 3_600_000 || more.contains(&None) {
            if !bounds.get(&name).is_some_and(|bounds| record.bound_days(bounds, &limits)) {
                record.days_unknown = Some(recovery.until);
                record.lost = record.days_unknown;
            }
            continue;
        }
        record.fold_marks();
        for (limit, more) in days.iter().zip(more) {
            record.add_on(missed.clone(), **limit, more.unwrap_or(0));
        }
    }
}

impl UnitRecord {
    /// So much more may have been used of a day, on any date that it knows and on each of these.
    fn add_on(&mut self, missed: RangeInclusive<u16>, limit: Limit, more: u64) {
        let told = self.window(limit);
        for date in missed {
            if told.dates.iter().all(|known| known.0 != date) {
                told.dates.push((date, 0));
            }
        }
        told.dates.iter_mut().for_each(|date| date.1 = date.1.saturating_add(more));
    }
}
