//! What a renewal does to the board: the one meaning that a memory board, a transaction of `SQLite` and a script in Redis
//! share.

use std::sync::Arc;

use hashbrown::HashSet;

use super::{
    claims,
    counts::{all_heard, heard, moved},
    days, draws, joins, left,
    names::{HolderId, UnitId},
    news,
    notes::least_ahead,
    recovery,
    state::{BoardState, HolderRecord, UnitRecord},
    wire::{Granted, Held, Mode, Renewal, Reply, UnitInfo, VERSION},
};
use crate::limit::Span;

/// The store's own view of a call.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// The time of the store's machine, in Unix milliseconds.
    pub now: i64,
    /// What changes when another copy takes the store's place: a server's run id. Empty where nothing tells.
    pub identity: &'a str,
}

/// By how much the store's time may run ahead of a process's, beside the time of the way, before it is held back.
const LEAP: i64 = 100;
/// Of how many renewals whose answers were lost it is kept when they came.
const UNHEARD: usize = 64;
/// How many of the dead are remembered, whose last words may still be on their way.
const DEAD: usize = 64;
/// How long a process that is not heard of any more is remembered.
const REMEMBERED: i64 = 24 * 3_600_000;
/// How long what a copy did not know counts.
const OVER: i64 = 72 * 3_600_000;
/// How long a process's demand counts that is not heard of.
pub(super) const LIVELY: i64 = 8_000;

/// Does all that a renewal asks for, and answers it. Runs in one transaction; of `state` all or nothing is kept. Every
/// renewal may be sent again, or come late: what was done once is not done twice.
pub fn apply(state: &mut BoardState, renewal: &Renewal, server: Server<'_>) -> Reply {
    let holder = &renewal.holder;
    let known = state.holders.get(holder);
    let dead = state.dead.contains(holder) || state.holders.keys().any(|other| other.succeeds(holder));
    if dead || known.is_some_and(|record| renewal.number <= record.number) {
        return Reply { version: VERSION, number: renewal.number, stale: true, dead, ..Reply::default() };
    }
    state.facts.take_over();
    let before = state.clock;
    let now = state.advance(renewal, server.now);
    state.lease = state.lease.max(renewal.lease.max(renewal.longest) as i64);
    recovery::watch(state, renewal, server.identity, before, now);
    recovery::end(state, now);
    bury(state, renewal, now);

    let mut reply = Reply {
        version: VERSION,
        number: renewal.number,
        time: now,
        generation: state.generation,
        recovering: state.recovery.map(|recovery| (recovery.until - now) as u64),
        ..Reply::default()
    };
    let record = state.holders.entry(holder.clone()).or_default();
    record.number = renewal.number;
    record.seen = now;
    record.lease = renewal.lease as i64;
    record.ended = renewal.ends;
    record.came.retain(|came| came.0 >= renewal.acknowledged);
    if record.came.len() < UNHEARD {
        record.came.push((renewal.number, now));
    }
    record.demand.clone_from(&renewal.demand);
    record.other.extend(renewal.other.clone());
    state.outdate_notes(renewal);
    enrol(state, renewal, &mut reply, now);
    hear(state, renewal, now, &mut reply);
    for held in &renewal.returned {
        take_back(state, renewal, held, now);
    }
    days::hear(state, renewal);
    left::hear(state, renewal, now);
    draws::settle(state, renewal, now);
    news::hear(state, renewal, now, &mut reply);
    if state.recovery.is_none() {
        joins::settle(state, now);
        regrant(state, renewal, now, &mut reply);
        claims::serve(state, renewal, now, &mut reply);
        days::tell(state, renewal, now, &mut reply);
    }
    news::tell(state, renewal, now, &mut reply);
    reply.longest = state.longest_lease(now);
    forget(state, now);
    reply
}

impl BoardState {
    /// The board's time moves on: never back, and no further than the one who renews has seen pass.
    fn advance(&mut self, renewal: &Renewal, server_now: i64) -> i64 {
        let mut now = server_now - self.lag;
        let came = self.holders.get(&renewal.holder).filter(|_| renewal.generation == self.generation);
        let came = came.and_then(|record| record.came.iter().find(|came| came.0 == renewal.acknowledged));
        if let (Some((_, came)), Some(elapsed)) = (came, renewal.elapsed) {
            let (least, trip) = (came + elapsed as i64, renewal.trip as i64);
            if now > least + elapsed as i64 / 1000 + 2 * trip + LEAP {
                // It was set; or this renewal was long on its way, and no harm is done.
                let then = least - trip;
                self.lag += now - then;
                now = then;
                self.broke = now.max(self.clock);
            }
        }
        if now < self.clock {
            self.lag -= self.clock - now;
            now = self.clock;
            self.broke = now;
        }
        self.clock = now;
        now
    }

    /// Lends a unit to a process.
    pub(super) fn grant(
        &mut self,
        unit: &UnitId,
        renewal: &Renewal,
        dates: Option<(u16, u16)>,
        now: i64,
    ) -> Option<Granted> {
        self.fence += 1;
        let (fence, generation) = (self.fence, self.generation);
        let limits = self.limits(unit);
        let record = self.units.get(unit)?;
        // Who was lent it and has not heard of it has not used it.
        let unheard = record.holder.as_ref() == Some(&renewal.holder) && record.until > now;
        if !unheard {
            self.abandon(unit, now);
        }
        let departed = self.units.get(unit)?.before.as_ref().is_some_and(|before| self.has_departed(before));
        let record = self.units.get_mut(unit)?;
        record.prune(now);
        record.holder = Some(renewal.holder.clone());
        record.until = now + renewal.lease as i64;
        // He goes by what is counted here, as it stands now.
        record.told = now;
        record.fence = fence;
        record.generation = generation;
        record.mode = Mode::Whole;
        record.opens = None;
        let taken_over = std::mem::take(&mut record.left);
        let marks = if renewal.noting { Vec::new() } else { record.mark(&limits, dates) };
        record.ahead = renewal.noting.then(|| least_ahead(&limits));
        if let Some(dates) = dates.filter(|_| renewal.noting) {
            record.dates = dates;
        }
        let ahead = record.ahead;
        Some(Granted {
            unit: unit.clone(),
            fence,
            counts: moved(&record.counts, -now),
            unknown: record.unknown.map(|end| end - now),
            days_unknown: record.days_unknown.map(|end| end - now),
            marks,
            ahead,
            in_flight: record.in_flight.iter().map(|deadline| deadline - now).collect(),
            last_start: record.last_start.map(|start| start - now),
            taken_over,
            departed,
            learned: limits,
            other: record.other.clone(),
        })
    }

    /// Whether a process has ended, or is known to be dead.
    fn has_departed(&self, holder: &HolderId) -> bool {
        self.dead.contains(holder) || self.holders.get(holder).is_some_and(|record| record.ended)
    }
}

impl UnitRecord {
    /// Forgets moments that no window counts any more, nor did when the rest of it was known last.
    pub(super) fn prune(&mut self, now: i64) {
        let known = self.unknown.map_or(now, |unknown| unknown.min(now));
        for told in &mut self.counts {
            if let Span::Sliding(span) = told.limit.span {
                let oldest = known - span.as_millis() as i64 - 2_000;
                told.moments.retain(|then| then.0 > oldest);
            }
        }
        self.in_flight.retain(|deadline| *deadline > now);
    }
}

/// Earlier lives of the same process are over, and so are those that it knows to be dead.
fn bury(state: &mut BoardState, renewal: &Renewal, now: i64) {
    let dead: Vec<HolderId> = state
        .holders
        .keys()
        .filter(|other| renewal.holder.succeeds(other) || renewal.buried.contains(other))
        .filter(|other| **other != renewal.holder)
        .cloned()
        .collect();
    for gone in dead {
        state.dead.retain(|dead| *dead != gone);
        // Which limits a unit has may be known by him alone.
        for unit in state.units.named(|unit| unit.holder.as_ref() == Some(&gone)) {
            state.abandon(&unit, now);
        }
        state.holders.remove(&gone);
        state.notes.remove(&gone);
        state.dead.push(gone);
    }
}

/// The record of a unit that was never told of. A board that lost something does not know what was used of it.
pub(super) fn fresh(state: &BoardState) -> UnitRecord {
    UnitRecord {
        generation: if state.recovery.is_some() { 0 } else { state.generation },
        unknown: state.blank,
        days_unknown: state.blank,
        ..UnitRecord::default()
    }
}

/// Units by their names, as they are looked for.
fn in_order(units: &Arc<[UnitInfo]>) -> Arc<[UnitInfo]> {
    if units.is_sorted_by_key(|info| &info.unit) {
        return Arc::clone(units);
    }
    let mut units = units.to_vec();
    units.sort_unstable_by(|one, other| one.unit.cmp(&other.unit));
    units.into()
}

/// What a process can serve.
fn enrol(state: &mut BoardState, renewal: &Renewal, reply: &mut Reply, now: i64) {
    if let Some(units) = &renewal.units {
        let units = in_order(units);
        let unknown: Vec<&UnitInfo> = state
            .units
            .along(&units, |info| &info.unit)
            .filter(|found| found.1.is_none())
            .map(|found| found.0)
            .collect();
        let nothing = UnitRecord { generation: state.generation, ..UnitRecord::default() };
        for info in unknown {
            let days = info.limits.iter().any(|limit| limit.span == Span::Day);
            let mut made = UnitRecord { lost: state.blank.filter(|_| days), ..fresh(state) };
            if let Some(gap) = state.gap.filter(|_| state.recovery.is_none()) {
                made.begin_after(gap, state.lag, &info.limits);
            }
            let blank = made == nothing;
            state.units.add(info.unit.clone(), made, blank);
        }
        joins::declare(state, &units);
        state.rosters.insert(renewal.roster, units);
    }
    let known = state.rosters.contains_key(&renewal.roster);
    reply.unknown_roster = !known;
    let record = state.holders.entry(renewal.holder.clone()).or_default();
    // What has ended serves nothing, and has no limits that others are to go by.
    record.roster = if known && !renewal.ends { renewal.roster } else { 0 };
    record.seen = now;
}

/// The record of a unit that this process tells of: its own, or after a loss one that it holds still. Of two who do, it is
/// lent to whom it was lent later.
fn own<'a>(state: &'a mut BoardState, renewal: &Renewal, held: &Held) -> Option<&'a mut UnitRecord> {
    let generation = state.generation;
    if state.units.get(&held.unit).is_some_and(|record| record.is_of(&renewal.holder, held.fence, generation)) {
        return state.units.get_mut(&held.unit);
    }
    let recovery = state.recovery.filter(|_| held.valid && renewal.generation != generation)?;
    state.units.or_insert_with(&held.unit, UnitRecord::default);
    let record = state.units.get_mut(&held.unit)?;
    if record.generation == generation && record.fence >= held.fence {
        return None;
    }
    record.holder = Some(renewal.holder.clone());
    record.fence = held.fence;
    record.generation = generation;
    // What this board had counted is old. The holder tells all of it once it hears of the loss.
    record.counts.iter_mut().for_each(|told| told.moments.clear());
    record.bookings.clear();
    record.mode = Mode::Whole;
    record.unknown = Some(recovery.until);
    record.days_unknown = Some(recovery.until);
    record.corrected = record.corrected.max(held.corrected);
    state.fence = state.fence.max(held.fence);
    if record.into.is_some() {
        state.joining.insert(held.unit.clone());
    }
    Some(record)
}

/// The holder tells of units and keeps them, but for those that are not his any more.
fn hear(state: &mut BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    let until = now + renewal.lease as i64;
    let generation = state.generation;
    let as_it_was = |held: &Held, record: &UnitRecord| {
        let corrected = || record.corrections.iter().all(|correction| correction.number > held.corrected);
        held.counts.is_none()
            && held.other.is_empty()
            && record.is_of(&renewal.holder, held.fence, generation)
            && corrected()
    };
    for held in state.units.prolong_if(&renewal.held, until, as_it_was) {
        let Some(record) = own(state, renewal, held) else {
            reply.refused.push(held.unit.clone());
            continue;
        };
        record.until = until;
        book(record, held, now);
    }
}

/// The holder gives a unit back.
fn take_back(state: &mut BoardState, renewal: &Renewal, held: &Held, now: i64) {
    let Some(record) = own(state, renewal, held) else { return };
    book(record, held, now);
    // Nobody uses the day up to the mark any more.
    record.marks.clear();
    record.ahead = None;
    record.opens = held.opens.map(|opens| now + opens.max(0));
    record.before = record.holder.take();
    record.mode = held.mode;
}

/// What the holder told of its windows takes the place of what was known.
fn book(record: &mut UnitRecord, held: &Held, now: i64) {
    if let Some(told) = &held.counts {
        record.counts = all_heard(told, now);
        record.told = now;
        // What was unknown is in them.
        record.unknown = None;
        record.days_unknown = None;
        record.marks.clone_from(&held.marks);
        record.ahead = held.ahead;
        record.in_flight = held.in_flight.iter().map(|deadline| now + deadline).collect();
        record.last_start = record.last_start.max(held.last_start.map(|start| heard(start, now)));
    }
    record.corrections.retain(|correction| correction.number > held.corrected);
    record.other.extend(held.other.clone());
}

/// What the board lent and the process does not tell of, it never heard of: an answer was lost.
fn regrant(state: &mut BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    let told: HashSet<&UnitId> = renewal.held.iter().chain(&renewal.returned).map(|held| &held.unit).collect();
    let generation = state.generation;
    let lost: Vec<_> = state
        .units
        .iter()
        .filter(|(_, record)| record.generation == generation && record.holder.as_ref() == Some(&renewal.holder))
        .filter(|(unit, record)| record.until > now && !told.contains(unit))
        .map(|(unit, _)| unit.clone())
        .collect();
    for unit in lost {
        let granted = state.grant(&unit, renewal, None, now);
        reply.granted.extend(granted);
    }
}

fn forget(state: &mut BoardState, now: i64) {
    let old = state.dead.len().saturating_sub(DEAD);
    state.dead.drain(..old);
    state.gap.take_if(|gap| now + state.lag - gap.until > OVER);
    state.holders.retain(|_, holder| now - holder.seen < REMEMBERED);
    let live: Vec<u64> = state.holders.values().map(|holder: &HolderRecord| holder.roster).collect();
    state.rosters.retain(|roster, _| live.contains(roster));
}
