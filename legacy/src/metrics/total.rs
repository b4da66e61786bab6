//! What holds for the pool as a whole.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use prometheus_client::registry::Unit;

use super::{family::Families, name::VERDICTS};
use crate::{
    key::Exit,
    pool::{RestView, Snapshot},
    verdict::VerdictKind,
};

/// Exits that have a series, however many are configured.
const MOST_EXITS: usize = 256;

/// A point in time as Prometheus has it: seconds since the Unix epoch, rounded up, so that it stands still from scrape to
/// scrape.
pub(super) fn seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64().ceil()
}

/// When a rest ends; infinite: not by itself.
pub(super) fn end(rest: &RestView, snapshot: &Snapshot) -> f64 {
    rest.ends_in.map_or(f64::INFINITY, |left| seconds(snapshot.at + left))
}

pub(super) fn write(families: &mut Families<'_>, snapshot: &Snapshot, omitted_lanes: usize) -> fmt::Result {
    families.info(
        "keypool",
        "The pool.",
        &[("provider", snapshot.provider.clone()), ("strategy", snapshot.strategy.to_string())],
    )?;
    keys(families, snapshot)?;
    priorities(families, snapshot)?;
    requests(families, snapshot)?;
    let exits = snapshot.exits.iter().filter_map(|exit| Some((exit.name.as_ref(), exit.rest.as_ref()?)));
    families.times(
        "keypool_exit_rest_until_timestamp",
        "When the keys of an exit may be used again: its address is refused, or lets nothing out.",
        exits.take(MOST_EXITS).map(|(name, rest)| {
            ([("exit", name.map_or("", Exit::name)), ("verdict", rest.kind.word())], end(rest, snapshot))
        }),
    )?;
    families.gauge_in(
        "keypool_day_end_timestamp",
        &Unit::Seconds,
        "When the quotas of days begin anew, in the provider's zone.",
        &seconds(snapshot.day_ends),
    )?;
    families.gauge_in(
        "keypool_memory",
        &Unit::Bytes,
        "What the pool holds, secrets included.",
        &snapshot.total_memory_bytes,
    )?;
    families.gauge(
        "keypool_omitted_keys",
        "Keys that have no series of their own, since they are too many.",
        &(snapshot.total_keys - snapshot.keys.len()),
    )?;
    families.gauge(
        "keypool_omitted_lanes",
        "Lanes in which keys have no series of their own, since keys times lanes are too many.",
        &omitted_lanes,
    )
}

fn keys(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let states = [
        ("available", snapshot.available_keys),
        ("busy", snapshot.busy_keys),
        ("resting", snapshot.resting_keys),
        ("disabled", snapshot.disabled_keys),
    ];
    families.gauges(
        "keypool_keys",
        "Keys by state; available: in some lane.",
        states.map(|(state, keys)| ([("state", state)], keys)),
    )?;
    families.gauges(
        "keypool_disabled_keys",
        "Keys that rest without end, by whom the fault concerns and what the answer meant.",
        snapshot.disabled.iter().map(|held| ([("scope", held.scope.word()), ("verdict", held.kind.word())], held.keys)),
    )
}

fn priorities(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let named: Vec<_> = snapshot.priorities.iter().map(|view| (view.priority.to_string(), view)).collect();
    families.gauges(
        "keypool_priority_keys",
        "Keys of a priority by state; available: in some lane.",
        named.iter().flat_map(|(priority, view)| {
            let busy = view.keys - view.available - view.resting - view.disabled;
            [("available", view.available), ("busy", busy), ("resting", view.resting), ("disabled", view.disabled)]
                .map(|(state, keys)| ([("priority", priority.as_str()), ("state", state)], keys))
        }),
    )?;
    families.gauges(
        "keypool_priority_requests_in_flight",
        "Requests in flight over keys of a priority.",
        named.iter().map(|(priority, view)| ([("priority", priority.as_str())], view.in_flight)),
    )
}

fn requests(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    families.gauge("keypool_requests_in_flight", "Requests in flight.", &snapshot.in_flight)?;
    families.gauge("keypool_waiters", "Demands that wait for a key.", &snapshot.waiters)?;
    // What is in flight may turn out never to have started; what has ended stays.
    let ended = snapshot.started.saturating_sub(snapshot.in_flight as u64);
    families.counter("keypool_requests", "Requests that went out and ended.", &ended)?;
    let count = |kind: &VerdictKind| snapshot.verdicts.get(kind).copied().unwrap_or_default();
    families.counters(
        "keypool_verdicts",
        "What answers meant.",
        VERDICTS.map(|kind| ([("verdict", kind.word())], count(&kind))),
    )?;
    families.counter(
        "keypool_limit_hits",
        "Answers that said a limit was reached.",
        &(count(&VerdictKind::RateLimited) + count(&VerdictKind::QuotaExhausted)),
    )?;
    families.counter("keypool_spills", "Requests that went over to keys of a later priority.", &snapshot.spills)?;
    families.counter("keypool_exhausted", "Demands that no key could serve.", &snapshot.exhausted)?;
    families.counter("keypool_events_lost", "Events that subscribers did not read in time.", &snapshot.events_lost)
}
