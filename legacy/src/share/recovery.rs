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

/// After a server was started again those processes are awaited whose leases had not ended when the last process renewed: if what
/// that one was told is there, so is what went before. Where there are none (all said that they end), those processes are that
/// renewed within so long before, in milliseconds.
const THERE: i64 = 300_000;

/// The end of a recovery that begins with the next renewal: until then none is known.
const TO_COME: i64 = i64::MAX;

/// Nothing bounds what a copy does not know of a day if it is older than this, in milliseconds.
const LONG: i64 = 12 * 3_600_000;

/// How many generations that were given up are remembered.
const PAST: usize = 32;

/// Why the store is believed to lack what happened of late. Where several hold, the first of them counts.
#[derive(Clone, Copy, PartialEq)]
enum Reason {
    /// It is empty: no process ever renewed with it.
    Empty,
    /// The process that renews was told something that the store does not know.
    Contradicted,
    /// It says so of itself: see [`BoardState::doubt`].
    Doubted,
    /// Another server answers than before, or the same one was started again.
    Replaced,
}

/// What the process that renews knows of the store.
struct Witness {
    /// It was told by some generation of the store before.
    known: bool,
    /// It, or another process on its machine, was told something that is not here, whatever generation told it.
    lost: bool,
    /// That shows that the store lost something. A generation that was given up does not: it is that of a process which has not
    /// heard of the present one yet.
    contradicts: bool,
}

impl Witness {
    fn of(state: &BoardState, renewal: &Renewal, before: i64) -> Self {
        let known = renewal.generation != 0;
        let heard_more = renewal.heard.is_some_and(|heard| heard > before);
        let is_unanswered =
            || state.holders.get(&renewal.holder).is_none_or(|record| record.number < renewal.acknowledged);
        let lost = heard_more || renewal.acknowledged > 0 && is_unanswered();
        let of_this_generation = renewal.generation == state.generation;
        let is_stranger = !of_this_generation && !state.past.contains(&renewal.generation);
        Self { known, lost, contradicts: known && (is_stranger || of_this_generation && lost) }
    }
}

/// Notices that the store is not the one that this process spoke to last, or that it forgot something: then a recovery begins.
/// `before` is the board's time until this renewal, `now` its time from here on.
pub(super) fn watch(state: &mut BoardState, renewal: &Renewal, identity: &str, before: i64, now: i64) {
    let replaced = !identity.is_empty() && !state.server.is_empty() && identity != state.server;
    identity.clone_into(&mut state.server);
    let witness = Witness::of(state, renewal, before);
    if let Some(reason) = state.reason_to_recover(&witness, replaced) {
        return state.begin_recovery(reason, renewal, &witness, before, now);
    }
    if let Some(recovery) = &mut state.recovery
        && state.past.contains(&renewal.generation)
    {
        recovery.known = true;
    }
    state.hear_of_loss(renewal, witness.lost);
}

impl BoardState {
    fn reason_to_recover(&self, witness: &Witness, replaced: bool) -> Option<Reason> {
        if self.generation == 0 {
            Some(Reason::Empty)
        } else if witness.contradicts {
            Some(Reason::Contradicted)
        } else if self.recovery.is_some_and(|recovery| recovery.until == TO_COME) {
            Some(Reason::Doubted)
        } else {
            replaced.then_some(Reason::Replaced)
        }
    }

    /// Begins another generation, and a recovery that lasts as long as a lease. One that is under way already begins anew, and
    /// keeps what is known of how much was lost.
    fn begin_recovery(&mut self, reason: Reason, renewal: &Renewal, witness: &Witness, before: i64, now: i64) {
        // A server that was only started again may have lost nothing: those who were there can say so.
        let may_be_whole = reason == Reason::Replaced && self.recovery.is_none();
        self.awaited = may_be_whole.then(|| self.there(before));
        self.hear_of_loss(renewal, witness.lost);
        self.begin_generation(renewal);
        // What processes told to bound a loss was said of a recovery that was to end earlier.
        self.bounds.clear();
        self.left.clear();
        // A new store, to a process that knows none, has nothing to recover from.
        let is_new = reason == Reason::Empty && self.fresh && !witness.known;
        self.fresh = false;
        let under_way = self.recovery;
        let recovery = Recovery {
            until: now + self.lease,
            since: if reason == Reason::Empty { 0 } else { under_way.map_or(before, |recovery| recovery.since) },
            empty: reason == Reason::Empty || under_way.is_some_and(|recovery| recovery.empty),
            known: witness.known || under_way.is_some_and(|recovery| recovery.known),
        };
        self.recovery = (!is_new).then_some(recovery);
        for holder in self.holders.values_mut() {
            holder.wanted.clear();
        }
    }

    /// Gives up the present generation, and that of the process which renews.
    fn begin_generation(&mut self, renewal: &Renewal) {
        let earlier = std::mem::replace(&mut self.generation, renewal.nonce.max(1));
        for generation in [earlier, renewal.generation] {
            if generation != 0 && generation != self.generation && !self.past.contains(&generation) {
                self.past.push(generation);
            }
        }
        let old = self.past.len().saturating_sub(PAST);
        self.past.drain(..old);
    }

    /// The store says of itself that it lacks what happened of late: it was begun in the place of one that broke, or is a
    /// copy. The next renewal begins the recovery.
    #[cfg(feature = "sqlite")]
    pub(super) fn doubt(&mut self) {
        let since = self.recovery.map_or(self.clock, |recovery| recovery.since);
        let empty = self.recovery.is_some_and(|recovery| recovery.empty);
        self.fresh = false;
        self.recovery = Some(Recovery { until: TO_COME, since, empty, known: true });
    }

    /// The processes that can say whether a server which was started again still knows what it knew.
    fn there(&self, before: i64) -> BTreeSet<HolderId> {
        let within = |longest: fn(&HolderRecord) -> i64| {
            let there = |record: &HolderRecord| before - record.seen <= longest(record) && !record.ended;
            let holders = self.holders.iter().filter(|found| there(found.1));
            holders.map(|(holder, _)| holder.clone()).collect::<BTreeSet<_>>()
        };
        // Processes of an earlier version do not say how long their leases are.
        let lived = within(|record| if record.lease > 0 { record.lease } else { THERE });
        if lived.is_empty() { within(|_| THERE) } else { lived }
    }

    /// What this process was told last is here, so that it need not be awaited any more, or it is lost: then nobody is.
    fn hear_of_loss(&mut self, renewal: &Renewal, lost: bool) {
        if lost {
            self.awaited = None;
        } else if let Some(awaited) = &mut self.awaited {
            awaited.remove(&renewal.holder);
        }
    }
}

/// Ends a recovery that is over: all leases from before it have ended, and what nobody told of since may be used up.
pub(super) fn end(state: &mut BoardState, now: i64) {
    let Some(recovery) = state.recovery.filter(|recovery| recovery.until <= now) else { return };
    state.recovery = None;
    // All processes that were there say that nothing was lost: a unit that nobody holds any more was used until its lease
    // ended at most.
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
        // What living processes noted is not at hand here.
        if whole && record.ahead.is_none() {
            record.abandon(now, broke, &limits);
            continue;
        }
        let noted = record.ahead.is_some();
        // None of what was counted for it is believed to have still been there.
        record.abandon(now, now, &limits);
        record.bookings.clear();
        if first_start {
            continue;
        }
        record.counts.iter_mut().for_each(|told| told.moments.clear());
        // A unit that is another one by now counts that in the other one's windows.
        let known = left.remove(&name).filter(|_| record.into.is_none());
        for told in known.unwrap_or_default() {
            record.window(told.limit).moments = told.moments;
        }
        record.unknown = Some(recovery.until);
        if !limits.iter().any(|limit| limit.span == Span::Day) {
            continue;
        }
        // Of a day a stale copy lacks at most what the minutes since then allowed.
        let bounded = !recovery.empty && !noted && record.count_missed(gap, &limits);
        if !bounded && !bounds.get(&name).is_some_and(|bounds| record.bound_days(bounds, &limits)) {
            record.days_unknown = Some(recovery.until);
            record.lost = record.days_unknown;
        }
    }
}

/// The time that a copy which was put back knows nothing of: from when it was made until its recovery ended, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) since: i64,
    pub(super) until: i64,
}

impl Gap {
    /// How much of a day's limit can have been used in it: as much as the minutes allowed. `None` where nothing bounds that.
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
    /// Counts what may have been used of days while nothing was kept. Returns whether anything bounds that.
    fn count_missed(&mut self, gap: Gap, limits: &Limits) -> bool {
        let days = limits.iter().filter(|limit| limit.span == Span::Day);
        let more = days.map(|limit| Some((*limit, gap.allows(limits, limit.unit)?)));
        let Some(more) = more.collect::<Option<Vec<_>>>() else { return false };
        self.fold_marks();
        for (limit, more) in more {
            let told = self.window(limit);
            // It was used on one of these dates: in which zone a day ends is not known here.
            for date in first_date(gap.since)..=last_date(gap.until) {
                if told.dates.iter().all(|known| known.0 != date) {
                    told.dates.push((date, 0));
                }
            }
            told.dates.iter_mut().for_each(|date| date.1 = date.1.saturating_add(more));
        }
        true
    }

    /// A copy that was put back does not know this unit, and so not what was used of it before either.
    pub(super) fn begin_after(&mut self, gap: Gap, lag: i64, limits: &Limits) {
        let until = Some(gap.until - lag);
        self.unknown = self.unknown.max(until);
        if !self.count_missed(gap, limits) {
            self.days_unknown = self.days_unknown.max(until);
            self.lost = self.days_unknown;
        }
    }
}
