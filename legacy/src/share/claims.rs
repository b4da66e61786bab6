//! Who gets what: claims on free units, and shares that follow demand.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use hashbrown::HashSet;

use super::{
    apply::LIVELY,
    counts, draws,
    free::{self, Alone, Asked, Free, Offer, SOON},
    names::{HolderId, Kind, UnitId},
    state::{BoardState, HolderRecord},
    wire::{Claim, Mode, Renewal, Reply},
};

/// So many units are granted to one who is alone before he needs them.
const AT_ONCE: usize = 1_000;

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
    fn of(state: &BoardState, kind: &Kind, units: &[Offer<'_>], now: i64) -> Self {
        let lively = state.holders.iter().filter(|(_, record)| now - record.seen < LIVELY);
        let of_kind = lively.clone().filter_map(|(id, record)| Some((id.clone(), *record.demand.get(kind)?)));
        let lacking = lively.filter_map(|(id, record)| Some((id.clone(), *record.wanted.get(kind)?)));
        let lacking: BTreeMap<HolderId, u64> = lacking.collect();
        let mut held: BTreeMap<HolderId, u64> = BTreeMap::new();
        // Nobody asks what others hold of what nobody lacks.
        for (offer, record) in state.units.along(if lacking.is_empty() { &[] } else { units }, Offer::name) {
            let holder = record.filter(|record| !record.is_free(now)).and_then(|record| record.holder.as_ref());
            if let Some(holder) = holder {
                *held.entry(holder.clone()).or_default() += offer.size;
            }
        }
        Self {
            total: units.iter().map(|offer| offer.size).sum(),
            units: units.len() as u64,
            held,
            demand: of_kind.filter(|demand| demand.1 > 0).collect(),
            lacking,
        }
    }

    /// How much of the demand is a process's, and how much there is: all of it where there is none.
    fn part(&self, holder: &HolderId) -> (u128, u128) {
        let all: u64 = self.demand.values().sum();
        let own = self.demand.get(holder).copied().unwrap_or(0);
        if all == 0 { (1, 1) } else { (own.into(), all.into()) }
    }

    /// What a process has a right to while others lack some: its part of the demand.
    fn share(&self, holder: &HolderId) -> u64 {
        let (own, all) = self.part(holder);
        (u128::from(self.total) * own / all) as u64
    }

    /// Whether a process has its part, or more. Units have no halves: who has less may have one that is larger than what
    /// it lacks, or that would be lent to nobody.
    fn has_its_part(&self, holder: &HolderId) -> bool {
        let (own, all) = self.part(holder);
        u128::from(self.held(holder)) * all >= u128::from(self.total) * own
    }

    fn held(&self, holder: &HolderId) -> u64 {
        self.held.get(holder).copied().unwrap_or(0)
    }

    /// Whether nobody else asks for any, or lacks some.
    fn are_all_of(&self, holder: &HolderId) -> bool {
        self.demand.keys().chain(self.lacking.keys()).all(|other| other == holder)
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
    pub(super) fn may_guard(&self, guard: &UnitId, holder: &HolderId, now: i64) -> bool {
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
    let mut kinds: BTreeMap<&Kind, Vec<Offer<'_>>> = BTreeMap::new();
    let Some(roster) = state.rosters.get(&renewal.roster).map(Arc::clone) else { return };
    if let Some(record) = state.holders.get_mut(&renewal.holder) {
        record.wanted.clear();
    }
    let lively = |other: &HolderId| state.holders.get(other).is_some_and(|record| now - record.seen < LIVELY);
    reply.alone = renewal.noting && !state.holders.keys().any(|other| *other != renewal.holder && lively(other));
    if reply.alone && renewal.claims.is_empty() {
        // There is nobody to lack anything.
        return;
    }
    let elsewhere = state.named_by_others(&renewal.holder, now);
    for info in &*roster {
        kinds.entry(&info.kind).or_default().push(Offer { info, size: counts::size(&info.limits) });
    }
    for (kind, units) in kinds {
        let units = &units;
        let mut shares = Shares::of(state, kind, units, now);
        for claim in renewal.claims.iter().filter(|claim| claim.kind == *kind) {
            let stock = Stock { units, elsewhere: &elsewhere };
            let left = grant(state, renewal, claim, stock, &mut shares, now, reply);
            let left = draws::draw(state, renewal, claim, units, left, now, reply);
            if left > 0 {
                reply.dry.push(kind.clone());
                if let Some(opens) = opens(state, units, &renewal.holder, now) {
                    reply.opens.insert(kind.clone(), opens - now);
                }
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

/// When the first of these has room that are not lent to this process, where all of them were given back full. What another
/// holds may have room, or be given back, at any time.
fn opens(state: &BoardState, units: &[Offer<'_>], holder: &HolderId, now: i64) -> Option<i64> {
    let mut soonest = None;
    for (offer, record) in state.units.along(units, Offer::name) {
        let record = record?;
        if record.holder.as_ref() == Some(holder) && record.until > now {
            continue;
        }
        let opens = record.opens.filter(|opens| record.holder.is_none() && *opens > now + SOON)?;
        let whole = record.mode == Mode::Whole && record.into.is_none();
        if !whole || counts::grew(&record.counts, &state.limits(offer.name())) {
            return None;
        }
        soonest = Some(soonest.map_or(opens, |held: i64| held.min(opens)));
    }
    soonest
}

/// What may be granted of a kind.
#[derive(Clone, Copy)]
struct Stock<'a> {
    /// Its units, by name.
    units: &'a [Offer<'a>],
    /// Units that others want by their names.
    elsewhere: &'a HashSet<UnitId>,
}

/// Grants what is wanted by name, then free units until there is room for what is claimed; how much is still lacking.
fn grant(
    state: &mut BoardState,
    renewal: &Renewal,
    claim: &Claim,
    Stock { units, elsewhere }: Stock<'_>,
    shares: &mut Shares,
    now: i64,
    reply: &mut Reply,
) -> u64 {
    let holder = &renewal.holder;
    let named: HashSet<&UnitId> = claim.units.iter().collect();
    free::abandon_ended(state, units, now);
    let alone = if reply.alone {
        Alone::There
    } else if shares.are_all_of(holder) {
        Alone::Asking
    } else {
        Alone::No
    };
    let asked = Asked { holder, roster: renewal.roster, claim, named: &named, elsewhere, alone };
    let mut free = asked.free_of(state, units, now);
    let kept = asked.take_out_guarded(&mut free, state, now);
    free.sort_by_key(|free| Reverse((named.contains(free.offer.name()), free.own, free.room)));

    let mut left = claim.requests;
    // Whoever is alone keeps all windows himself, and knows when each opens.
    let all = reply.alone && free.len() <= AT_ONCE;
    let granted: HashSet<UnitId> = reply.granted.iter().map(|granted| granted.unit.clone()).collect();
    for Free { room, offer, .. } in free {
        let unit = offer.name();
        let enough = left == 0 && !all;
        let share = shares.others_lack(holder) && shares.held(holder) > 0 && shares.has_its_part(holder);
        if (enough || share) && !named.contains(unit) {
            break;
        }
        if granted.contains(unit) {
            continue;
        }
        if let Some(guard) = &offer.info.guard
            && !state.is_lent_to(guard, holder, now)
        {
            reply.granted.extend(state.grant(guard, renewal, None, now));
        }
        reply.granted.extend(state.grant(unit, renewal, Some(claim.dates), now));
        *shares.held.entry(holder.clone()).or_default() += offer.size;
        left = left.saturating_sub(room);
    }

    let missing = units.iter().map(Offer::name).filter(|unit| named.contains(unit));
    let missing = missing.filter(|unit| !state.is_lent_to(unit, holder, now)).map(Kind::naming);
    let kept = kept.into_iter().filter(|_| left > 0).map(|guard| Kind::from(guard.as_str()));
    let wanted: Vec<Kind> = missing.chain(kept).collect();
    if let Some(record) = state.holders.get_mut(holder) {
        record.wanted.extend(wanted.into_iter().map(|kind| (kind, 1)));
    }
    left
}
