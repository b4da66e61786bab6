//! What is accepted from whoever tells it: it adds up, or the larger holds.

use super::{
    counts::{heard, stricter},
    state::BoardState,
    wire::{Correction, News, Renewal, Reply, Rest},
};

/// Books what is new, each once, whether the answer arrived or not.
pub(super) fn hear(state: &mut BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    let booked = state.holders.get(&renewal.holder).map_or(0, |record| record.news);
    let mut last = booked;
    for (number, news) in renewal.news.iter().filter(|news| news.0 > booked) {
        last = last.max(*number);
        match news {
            News::Used { name, more } => *state.used.entry(name.clone()).or_default() += more,
            News::Corrected { unit, of, began, more } => {
                let unit = state.counted_in(unit);
                if let Some(record) = state.units.get_mut(&unit) {
                    record.corrected += 1;
                    let began = heard(*began, now);
                    let correction =
                        Correction { unit: unit.clone(), number: record.corrected, of: *of, began, more: *more };
                    record.corrections.push(correction);
                }
            }
            News::Rest { scope, until, generation, why } => {
                let until = if *until == i64::MAX { i64::MAX } else { now.saturating_add(*until) };
                let rest = Rest { until, generation: *generation, why: why.clone(), revision: 0 };
                rest_of(state, scope, rest);
            }
            News::Learned { unit, limits } => {
                let unit = state.counted_in(unit);
                if let Some(record) = state.units.get_mut(&unit) {
                    record.learned = stricter(&record.learned, limits);
                }
            }
        }
    }
    if let Some(record) = state.holders.get_mut(&renewal.holder) {
        record.news = last;
    }
    reply.news = last;
}

fn rest_of(state: &mut BoardState, scope: &str, rest: Rest) {
    let longer = |held: &Rest| (rest.generation, rest.until) > (held.generation, held.until);
    if state.facts.get(scope).is_none_or(longer) {
        state.revision += 1;
        state.facts.insert(scope.to_owned(), Rest { revision: state.revision, ..rest });
    }
}

/// Tells what others told since, and what concerns the units that are held.
pub(super) fn tell(state: &mut BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    // Rests that are long over concern nobody.
    state.facts.retain(|_, rest| rest.until == i64::MAX || now - rest.until < 3_600_000);
    let heard = if renewal.generation == state.generation { renewal.revision } else { 0 };
    for (scope, rest) in state.facts.iter().filter(|fact| fact.1.revision > heard) {
        let until = if rest.until == i64::MAX { i64::MAX } else { rest.until - now };
        reply.facts.insert(scope.clone(), Rest { until, ..rest.clone() });
    }
    reply.revision = state.revision;
    let roster = state.rosters.get(&renewal.roster).map_or(&[][..], Vec::as_slice);
    let held = renewal.held.iter().map(|held| &held.unit).chain(reply.granted.iter().map(|granted| &granted.unit));
    let held: Vec<_> = held.filter(|unit| !reply.refused.contains(unit)).cloned().collect();
    // Where all say the same, only what answers named can be stricter.
    let agreed = state.holders.values().all(|holder| holder.roster == renewal.roster);
    for unit in held {
        let record = state.units.get(&unit);
        let corrected = record.is_some_and(|record| !record.corrections.is_empty());
        if !agreed || record.is_some_and(|record| !record.learned.is_empty()) {
            let limits = state.limits(&unit);
            let own = roster.binary_search_by(|info| info.unit.cmp(&unit)).ok().map(|at| &roster[at].limits);
            if own.is_some_and(|own| stricter(own, &limits) != *own) {
                reply.stricter.insert(unit.clone(), limits);
            }
        }
        if !corrected {
            continue;
        }
        if let Some(record) = state.units.get_mut(&unit) {
            let since = now - 25 * 3_600_000;
            record.corrections.retain(|correction| correction.began > since);
            let told = |correction: &Correction| Correction { began: correction.began - now, ..correction.clone() };
            reply.corrections.extend(record.corrections.iter().map(told));
        }
    }
}
