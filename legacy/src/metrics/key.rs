//! What holds for a key, and for a key in a lane.

use std::{borrow::Cow, fmt};

use super::{
    family::Families,
    lane::Shown,
    name::{self, STATES},
    total::end,
};
use crate::pool::{KeyLaneView, KeyView, LimitView, Snapshot};

type Row<'a, V> = ([(&'static str, &'a str); 1], V);

pub(super) fn write(families: &mut Families<'_>, snapshot: &Snapshot, lanes: &Shown<'_>) -> fmt::Result {
    let keys: Vec<(String, &KeyView)> = snapshot.keys.iter().map(|key| (key.id.to_string(), key)).collect();
    families.gauges(
        "keypool_key_info",
        "A key's place in the pool.",
        keys.iter().map(|(id, key)| {
            let labels = [
                ("key", Cow::from(id.as_str())),
                ("owner", key.owner.as_deref().unwrap_or_default().into()),
                ("priority", key.priority.to_string().into()),
            ];
            (labels, 1u32)
        }),
    )?;
    families.gauges(
        "keypool_key_state",
        "1 for the state that the key is in.",
        keys.iter().flat_map(|(id, key)| {
            STATES.map(|state| ([("key", id.as_str()), ("state", name::state(state))], u32::from(key.state == state)))
        }),
    )?;
    families.gauges(
        "keypool_key_weight",
        "Its share of the load, ramp and learning included.",
        rows(&keys, |key| key.current_weight),
    )?;
    families.gauges(
        "keypool_key_configured_weight",
        "Its share of the load as configured.",
        rows(&keys, |key| key.weight),
    )?;
    families.gauges(
        "keypool_key_requests_in_flight",
        "Requests in flight over this key.",
        rows(&keys, |key| u32::from(key.in_flight)),
    )?;
    families.counters(
        "keypool_key_requests",
        "Requests over this key that went out and ended.",
        rows(&keys, |key| key.started.saturating_sub(u32::from(key.in_flight))),
    )?;
    families.counters("keypool_key_successes", "Good answers.", rows(&keys, |key| key.succeeded))?;
    families.counters(
        "keypool_key_failures",
        "Answers that were faults of the key, its owner or its account, those that named a limit apart.",
        rows(&keys, |key| key.failed),
    )?;
    families.counters(
        "keypool_key_limit_hits",
        "Answers that said a limit was reached.",
        rows(&keys, |key| key.limit_hits),
    )?;
    let rests = keys.iter().flat_map(|(id, key)| key.rests.iter().map(move |rest| (id, rest)));
    families.times(
        "keypool_key_rest_until_timestamp",
        "When a rest of the key, its owner or its account ends.",
        rests.filter(|(_, rest)| rest.model.is_none() || lanes.has(rest.model.as_deref())).map(|(id, rest)| {
            let labels = [
                ("key", id.as_str()),
                ("scope", rest.scope.word()),
                ("verdict", rest.kind.word()),
                ("lane", rest.model.as_deref().unwrap_or_default()),
            ];
            (labels, end(rest, snapshot))
        }),
    )
}

fn rows<'a, V>(keys: &'a [(String, &'a KeyView)], value: impl Fn(&KeyView) -> V) -> impl Iterator<Item = Row<'a, V>> {
    keys.iter().map(move |(id, key)| ([("key", id.as_str())], value(key)))
}

pub(super) fn write_lanes(families: &mut Families<'_>, snapshot: &Snapshot, lanes: &Shown<'_>) -> fmt::Result {
    let pairs: Vec<(String, &KeyLaneView)> = snapshot
        .keys
        .iter()
        .flat_map(|key| key.lanes.iter().map(|lane| (key.id.to_string(), lane)))
        .filter(|(_, lane)| lanes.has(lane.model.as_deref()))
        .collect();
    families.gauges(
        "keypool_key_lane_ready",
        "1: the key may carry a request of this model now.",
        pairs.iter().map(|(key, lane)| {
            ([("key", key.as_str()), ("lane", name::lane(lane.model.as_deref()))], u32::from(lane.out.is_none()))
        }),
    )?;
    let limits: Vec<_> = pairs
        .iter()
        .flat_map(|(key, lane)| lane.limits.iter().map(move |limit| (key, lane, name::span(limit.limit.span), limit)))
        .collect();
    let rows = |value: fn(&LimitView) -> u64| {
        limits.iter().map(move |(key, lane, span, limit)| {
            let labels = [
                ("key", key.as_str()),
                ("lane", name::lane(lane.model.as_deref())),
                ("unit", name::unit(limit.limit.unit)),
                ("span", span.as_ref()),
                ("origin", name::origin(limit.source)),
            ];
            (labels, value(limit))
        })
    };
    families.gauges(
        "keypool_key_lane_limit",
        "What the key's owner may use in a span.",
        rows(|limit| limit.limit.amount),
    )?;
    families.gauges("keypool_key_lane_limit_used", "What the owner has used of it.", rows(|limit| limit.used))
}
