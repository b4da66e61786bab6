//! Who gets what: claims on free units, and shares that follow demand.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use hashbrown::HashSet;

use super::{
    apply::LIVELY,
    counts, draws,
    names::{HolderId, Kind, UnitId},
    state::{BoardState, HolderRecord, UnitRecord},
    wire::{Claim, Mode, Renewal, Reply},
};

/// Room that opens within so many milliseconds is as good as room now.
const SOON: i64 = 1_000;

/// So many units are granted to one who is alone before he needs them.
const AT_ONCE: usize = 1_000;

/// So many guards that others hold are asked back for one claim.
const ASKED_BACK: usize = 16;

/// How much of a kind there is, who holds it, and who asks for it.
struct Shares {
    /// Requests a minute that all units allow together.
    total: u64,
    units: u64,
    held: BTreeMap<HolderId, u64>,
    demand: BTreeMap<HolderId, u64>,
    /// Those who lack some.
    lacking: BTreeMap<HolderId, u64>,
}

impl Shares {
    fn of(state: &BoardState, kind: &Kind, units: &[(UnitId, u64)], now: i64) -> Self {
        let mut held: BTreeMap<HolderId, u64> = BTreeMap::new();
        for (unit, size) in units {
            let record = &state.units[unit];
            if let Some(holder) = record.holder.as_ref().filter(|_| !record.is_free(now)) {
                *held.entry(holder.clone()).or_default() += size;
            }
        }
        let lively = state.holders.iter().filter(|(_, record)| now - record.seen < LIVELY);
        let of_kind = lively.clone().filter_map(|(id, record)| Some((id.clone(), *record.demand.get(kind)?)));
        let lacking = lively.filter_map(|(id, record)| Some((id.clone(), *record.wanted.get(kind)?)));
        Self {
            total: units.iter().map(|unit| unit.1).sum(),
            units: units.len() as u64,
            held,
            demand: of_kind.filter(|demand| demand.1 > 0).collect(),
            lacking: lacking.collect(),
        }
    }

    /// What a process has a right to while others lack some: its part of the demand.
    fn share(&self, holder: &HolderId) -> u64 {
        let all: u64 = self.demand.values().sum();
        let own = self.demand.get(holder).copied().unwrap_or(0);
        if all == 0 { self.total } else { (u128::from(self.total) * u128::from(own) / u128::from(all)) as u64 }
    }

    fn held(&self, holder: &HolderId) -> u64 {
        self.held.get(holder).copied().unwrap_or(0)
    }

    /// For how many requests others lack room.
    fn lack_of_others(&self, holder: &HolderId) -> u64 {
        self.lacking.iter().filter(|(other, _)| *other != holder).map(|(_, requests)| requests).sum()
    }

    fn others_lack(&self, holder: &HolderId) -> bool {
        self.lack_of_others(holder) > 0
    }

    /// How much a process holds beyond its share that others lack of theirs.
    fn beyond(&self, holder: &HolderId) -> u64 {
        let lack = |other: &HolderId| self.share(other).saturating_sub(self.held(other));
        let lacked: u64 = self.lacking.keys().filter(|other| *other != holder).map(lack).sum();
        self.held(holder).saturating_sub(self.share(holder)).min(lacked)
    }
}

impl BoardState {
    /// Whether a process may be lent what this guards: nobody else has the guard, and who has it, or had it last, leaves it
    /// to others who want it.
    fn may_guard(&self, guard: &UnitId, holder: &HolderId, now: i64) -> bool {
        let Some(record) = self.units.get(guard) else { return false };
        let own = record.holder.as_ref() == Some(holder);
        if !own && !record.is_free(now) {
            return false;
        }
        let kind = Kind::from(guard.as_str());
        let wants = |(other, record): (&HolderId, &HolderRecord)| {
            other != holder && now - record.seen < LIVELY && record.wanted.contains_key(&kind)
        };
        !((own || record.before.as_ref() == Some(holder)) && self.holders.iter().any(wants))
    }
}

impl BoardState {
    /// Units that others want by their names.
    fn named_by_others(&self, holder: &HolderId, now: i64) -> HashSet<UnitId> {
        let others = self.holders.iter().filter(|(other, record)| *other != holder && now - record.seen < LIVELY);
        others.flat_map(|(_, record)| record.wanted.keys().filter_map(Kind::named)).collect()
    }

    fn is_lent_to(&self, unit: &UnitId, holder: &HolderId, now: i64) -> bool {
        self.units.get(unit).is_some_and(|record| record.holder.as_ref() == Some(holder) && record.until > now)
    }
}

/// Grants what is claimed as far as it is free, and says what others lack.
pub(super) fn serve(state: &mut BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    let mut kinds: BTreeMap<Kind, Vec<(UnitId, u64)>> = BTreeMap::new();
    let Some(roster) = state.rosters.get(&renewal.roster) else { return };
    if let Some(record) = state.holders.get_mut(&renewal.holder) {
        record.wanted.clear();
    }
    let lively = |other: &HolderId| state.holders.get(other).is_some_and(|record| now - record.seen < LIVELY);
    reply.alone = renewal.noting && !state.holders.keys().any(|other| *other != renewal.holder && lively(other));
    if reply.alone && renewal.claims.is_empty() {
        // There is nobody to lack anything.
        return;
    }
    let guards = roster.iter().filter_map(|info| Some((info.guard.clone()?, info.unit.clone())));
    let guards: BTreeMap<UnitId, UnitId> = guards.map(|(guard, unit)| (unit, guard)).collect();
    let elsewhere = state.named_by_others(&renewal.holder, now);
    for info in roster {
        let units = kinds.entry(info.kind.clone()).or_default();
        units.push((info.unit.clone(), counts::size(&info.limits)));
    }
    for (kind, units) in &kinds {
        let mut shares = Shares::of(state, kind, units, now);
        for claim in renewal.claims.iter().filter(|claim| claim.kind == *kind) {
            let stock = Stock { units, guards: &guards, elsewhere: &elsewhere };
            let left = grant(state, renewal, claim, stock, &mut shares, now, reply);
            let left = draws::draw(state, renewal, claim, units, left, now, reply);
            if left > 0 {
                reply.dry.push(kind.clone());
                if let Some(record) = state.holders.get_mut(&renewal.holder) {
                    record.wanted.insert(kind.clone(), left);
                }
            }
        }
        if shares.others_lack(&renewal.holder) {
            reply.wanted.insert(kind.clone(), shares.lack_of_others(&renewal.holder));
            let beyond = shares.beyond(&renewal.holder);
            if beyond > 0 {
                reply.give.insert(kind.clone(), beyond);
            }
        }
        if shares.demand.len() > 1 {
            reply.crowd.insert(kind.clone(), (shares.units, shares.demand.len() as u64));
        }
    }
    for held in renewal.held.iter().filter(|held| elsewhere.contains(&held.unit)) {
        reply.wanted.insert(Kind::naming(&held.unit), 1);
    }
}

/// What may be granted of a kind.
#[derive(Clone, Copy)]
struct Stock<'a> {
    /// Its units, each with how many requests a minute it allows.
    units: &'a [(UnitId, u64)],
    /// Of all kinds: the guards of units.
    guards: &'a BTreeMap<UnitId, UnitId>,
    /// Units that others want by their names.
    elsewhere: &'a HashSet<UnitId>,
}

/// Grants what is wanted by name, then free units until there is room for what is claimed; how much is still lacking.
fn grant(
    state: &mut BoardState,
    renewal: &Renewal,
    claim: &Claim,
    Stock { units, guards, elsewhere }: Stock<'_>,
    shares: &mut Shares,
    now: i64,
    reply: &mut Reply,
) -> u64 {
    let holder = &renewal.holder;
    let mut left = claim.requests;
    let named: HashSet<&UnitId> = claim.units.iter().collect();
    // Alone, a process takes drawn units back as a whole.
    let alone = shares.demand.keys().all(|other| other == holder) && shares.lacking.keys().all(|other| other == holder);
    // Of one who noted what he started it is known what is left.
    let ended = |unit: &&UnitId| {
        let record = &state.units[*unit];
        record.holder.is_some() && record.is_free(now) && record.ahead.is_some()
    };
    for unit in units.iter().map(|unit| &unit.0).filter(ended).cloned().collect::<Vec<_>>() {
        state.abandon(&unit, now);
    }
    let joining: BTreeSet<UnitId> =
        units.iter().map(|unit| &unit.0).filter(|unit| state.is_joining(unit)).cloned().collect();
    let mut free: Vec<_> = units
        .iter()
        .filter(|(unit, _)| {
            let record = &state.units[unit];
            let whole = record.mode == Mode::Whole || (alone && !record.is_drawn_from(now));
            let opens = record.opens.is_none_or(|opens| opens <= now + SOON);
            let opens = opens || reply.alone || counts::grew(&record.counts, &state.limits(unit));
            // Who had it leaves it to whoever wants it by its name.
            let leaves = record.before.as_ref() == Some(holder) && elsewhere.contains(unit);
            record.is_free(now) && whole && opens && !leaves && !joining.contains(unit)
        })
        .map(|(unit, size)| {
            let record = &state.units[unit];
            let ended = record.holder.is_some().then_some(record.until);
            let limits = state.limits(unit);
            let room = counts::room(&record.counts, &limits, record.unknown.max(ended), now + SOON);
            // What one had oneself one need not learn anew.
            (room, record.before.as_ref() == Some(holder), unit, *size)
        })
        .filter(|found| found.0 > 0 || reply.alone)
        .collect();
    // What its keys may do at a time only one process can know.
    let mut kept = Vec::new();
    free.retain(|(_, _, unit, _)| {
        let Some(guard) = guards.get(*unit) else { return true };
        let may = state.may_guard(guard, holder, now) && !state.is_joining(guard);
        if !may && kept.len() < ASKED_BACK && !kept.contains(guard) {
            kept.push(guard.clone());
        }
        may
    });
    free.sort_by_key(|(room, own, unit, _)| Reverse((named.contains(*unit), *own, *room)));
    // Whoever is alone keeps all windows himself, and knows when each opens.
    let all = reply.alone && free.len() <= AT_ONCE;
    let granted: HashSet<UnitId> = reply.granted.iter().map(|granted| granted.unit.clone()).collect();
    for (room, _, unit, size) in free {
        let taken = shares.held(holder);
        let enough = left == 0 && !all;
        let share = shares.others_lack(holder) && taken > 0 && taken + size > shares.share(holder);
        if (enough || share) && !named.contains(unit) {
            break;
        }
        if granted.contains(unit) {
            continue;
        }
        if let Some(guard) = guards.get(unit) {
            let held = |record: &UnitRecord| record.holder.as_ref() == Some(holder) && record.until > now;
            if !state.units.get(guard).is_some_and(held) {
                reply.granted.extend(state.grant(guard, renewal, None, now));
            }
        }
        reply.granted.extend(state.grant(unit, renewal, Some(claim.dates), now));
        *shares.held.entry(holder.clone()).or_default() += size;
        left = left.saturating_sub(room);
    }
    let missing = units.iter().map(|unit| &unit.0).filter(|unit| named.contains(unit));
    let missing: Vec<Kind> = missing.filter(|unit| !state.is_lent_to(unit, holder, now)).map(Kind::naming).collect();
    if let Some(record) = state.holders.get_mut(holder) {
        record.wanted.extend(missing.into_iter().map(|unit| (unit, 1)));
    }
    if left > 0
        && let Some(record) = state.holders.get_mut(holder)
    {
        record.wanted.extend(kept.into_iter().map(|guard| (Kind::from(guard.as_str()), 1)));
    }
    left
}
