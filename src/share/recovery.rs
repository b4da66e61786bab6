//! A store that went back in time: flushed, restored, replaced by a stale copy.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    counts::{first_date, last_date},
    names::HolderId,
    state::{BoardState, HolderRecord, Recovery, UnitRecord},
    wire::Renewal,
};
use crate::limit::{Limits, Span, Unit};

/// Of a server that was started again those are awaited whose leases had not ended when the last of them renewed: what he was
/// told is there, and so is what went before. Where all of them said that they end, those who renewed within so long before.
const THERE: i64 = 300_000;

/// A recovery that begins with the next renewal ends no earlier.
const TO_COME: i64 = i64::MAX;

/// What a copy that is older does not know of a day nothing bounds.
const LONG: i64 = 12 * 3_600_000;

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
        state.awaited = whole.then(|| state.there(before));
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
        state.left.clear();
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

    /// Who can say that a server knows what it knew.
    fn there(&self, before: i64) -> BTreeSet<HolderId> {
        let within = |longest: fn(&HolderRecord) -> i64| {
            let there = |record: &HolderRecord| before - record.seen <= longest(record) && !record.ended;
            let holders = self.holders.iter().filter(|found| there(found.1));
            holders.map(|(holder, _)| holder.clone()).collect::<BTreeSet<_>>()
        };
        // Of an earlier version's it is not known.
        let lived = within(|record| if record.lease > 0 { record.lease } else { THERE });
        if lived.is_empty() { within(|_| THERE) } else { lived }
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
    let mut left = std::mem::take(&mut state.left);
    let first_start = recovery.empty && !recovery.known;
    if recovery.empty && recovery.known {
        state.blank = Some(recovery.until);
    }
    let gap = Gap { since: recovery.since + state.lag, until: recovery.until + state.lag };
    state.gap = if whole || recovery.empty { state.gap } else { Some(gap) };
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
        // What is another by now counts that in the other's windows.
        let known = left.remove(&name).filter(|_| record.into.is_none());
        for told in known.unwrap_or_default() {
            record.window(told.limit).moments = told.moments;
        }
        record.unknown = Some(recovery.until);
        if !limits.iter().any(|limit| limit.span == Span::Day) {
            continue;
        }
        // The day: of a copy that is old only what the minutes since allowed may be missing.
        let bounded = !recovery.empty && !noted && record.count_missed(gap, &limits);
        if !bounded && !bounds.get(&name).is_some_and(|bounds| record.bound_days(bounds, &limits)) {
            record.days_unknown = Some(recovery.until);
            record.lost = record.days_unknown;
        }
    }
}

/// What a copy that was put back does not know: when it was made, and when it was over, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) since: i64,
    pub(super) until: i64,
}

impl Gap {
    /// How much of a day can have been used meanwhile: as much as the minutes allowed. None where nothing bounds it.
    fn allows(self, limits: &Limits, unit: Unit) -> Option<u64> {
        let gap = self.until - self.since;
        let sliding = limits.iter().filter_map(|limit| match limit.span {
            Span::Sliding(span) if limit.unit == unit => {
                Some(limit.amount.saturating_mul(gap as u64 / (span.as_millis() as u64).max(1) + 2))
            }
            _ => None,
        });
        sliding.min().filter(|_| gap <= LONG)
    }
}

impl UnitRecord {
    /// Counts what may have been used of days while nothing was kept. Whether anything bounds that.
    fn count_missed(&mut self, gap: Gap, limits: &Limits) -> bool {
        let days = limits.iter().filter(|limit| limit.span == Span::Day);
        let more = days.map(|limit| Some((*limit, gap.allows(limits, limit.unit)?)));
        let Some(more) = more.collect::<Option<Vec<_>>>() else { return false };
        self.fold_marks();
        for (limit, more) in more {
            let told = self.window(limit);
            // On one of these dates: in which zone a day ends is not known here.
            for date in first_date(gap.since)..=last_date(gap.until) {
                if told.dates.iter().all(|known| known.0 != date) {
                    told.dates.push((date, 0));
                }
            }
            told.dates.iter_mut().for_each(|date| date.1 = date.1.saturating_add(more));
        }
        true
    }

    /// It is not known to a copy that was put back: what was used of it before is not, either.
    pub(super) fn begin_after(&mut self, gap: Gap, lag: i64, limits: &Limits) {
        let until = Some(gap.until - lag);
        self.unknown = self.unknown.max(until);
        if !self.count_missed(gap, limits) {
            self.days_unknown = self.days_unknown.max(until);
            self.lost = self.days_unknown;
        }
    }
}
