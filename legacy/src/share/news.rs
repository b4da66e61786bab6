//! What is accepted from whoever tells it: it adds up, or the larger holds.

use hashbrown::HashMap;

use super::{
    counts::{heard, stricter},
    names::is_name,
    state::BoardState,
    wire::{Correction, News, Renewal, Reply, Rest},
};

/// Books what is new, each once, whether the answer arrived or not.
pub(super) fn hear(state: &mut BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    state.facts.forget_old(now);
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
                if state.facts.is_news(scope, *generation, until, why) {
                    state.revision += 1;
                    let (why, revision) = (why.clone(), state.revision);
                    state.facts.put(scope, Rest { until, generation: *generation, why, revision });
                }
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

/// The names that a renewal says: generation and words by scope.
fn names_in(renewal: &Renewal) -> HashMap<&str, (u32, &str)> {
    let mut names = HashMap::new();
    for (_, news) in &renewal.news {
        if let News::Rest { scope, generation, why, .. } = news
            && is_name(scope)
        {
            names.insert(&**scope, (*generation, &**why));
        }
    }
    names
}

/// Tells what others told since, and what concerns the units that are held.
pub(super) fn tell(state: &mut BoardState, renewal: &Renewal, now: i64, reply: &mut Reply) {
    state.facts.forget_old(now);
    let heard = if renewal.generation == state.generation { renewal.revision } else { 0 };
    let names = names_in(renewal);
    for (scope, rest) in state.facts.iter().filter(|fact| fact.1.revision > heard) {
        // A name that it says itself holds as soon as this is answered.
        if names.get(&**scope) == Some(&(rest.generation, &*rest.why)) {
            continue;
        }
        let until = if rest.until == i64::MAX { i64::MAX } else { rest.until - now };
        reply.facts.insert(scope.clone(), Rest { until, ..rest.clone() });
    }
    reply.revision = state.revision;
    let roster = state.rosters.get(&renewal.roster).map_or(&[][..], |roster| roster);
    let held = renewal.held.iter().map(|held| &held.unit).chain(reply.granted.iter().map(|granted| &granted.unit));
    let held: Vec<_> = held.filter(|unit| !reply.refused.contains(unit)).cloned().collect();
    // Where all say the same, only what answers named can be stricter.
    let agreed = state.are_agreed(renewal.roster);
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
