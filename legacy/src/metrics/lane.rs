//! What holds for a lane.

use std::{collections::BTreeMap, fmt};

use super::{family::Families, name, total::end};
use crate::pool::{LaneView, Snapshot};

/// Whether a name does nothing to a terminal that shows it: callers choose it, where a provider serves whatever is asked.
fn is_plain(name: &str) -> bool {
    let turns = |letter| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !name.contains(|letter: char| letter.is_control() || turns(letter))
}

/// The lanes that have series: those that are known, each name once. What callers make up comes and goes.
pub(super) struct Shown<'a>(BTreeMap<&'a str, &'a LaneView>);

impl<'a> Shown<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let known = snapshot.lanes.iter().filter(|lane| lane.confirmed && is_plain(name::lane(lane.model.as_deref())));
        Self(known.rev().map(|lane| (name::lane(lane.model.as_deref()), lane)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn has(&self, model: Option<&str>) -> bool {
        self.0.contains_key(name::lane(model))
    }

    fn rows<V>(&self, value: impl Fn(&LaneView) -> V) -> impl Iterator<Item = ([(&'static str, &'a str); 1], V)> {
        self.0.iter().map(move |(name, lane)| ([("lane", *name)], value(lane)))
    }

    pub(super) fn write(&self, families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
        families.gauges(
            "keypool_lane_available_keys",
            "Keys that may carry a request of this model now.",
            self.rows(|lane| lane.available_keys),
        )?;
        families.gauges(
            "keypool_lane_requests_in_flight",
            "Requests in flight for this model.",
            self.rows(|lane| lane.in_flight),
        )?;
        families.gauges(
            "keypool_lane_waiters",
            "Demands that wait for a key for this model.",
            self.rows(|lane| lane.waiters),
        )?;
        families.counters(
            "keypool_lane_requests",
            "Requests for this model that went out and ended.",
            self.rows(|lane| lane.started.saturating_sub(u64::from(lane.in_flight))),
        )?;
        families.counters(
            "keypool_lane_spills",
            "Requests for this model that went over to keys of a later priority.",
            self.rows(|lane| lane.spilled),
        )?;
        let rests = self.0.iter().filter_map(|(name, lane)| Some((*name, lane.rest.as_ref()?)));
        families.times(
            "keypool_lane_rest_until_timestamp",
            "When the whole lane may be used again.",
            rests.map(|(lane, rest)| ([("lane", lane), ("verdict", rest.kind.word())], end(rest, snapshot))),
        )?;
        self.limits(families)
    }

    fn limits(&self, families: &mut Families<'_>) -> fmt::Result {
        let limits: Vec<_> = self
            .0
            .iter()
            .flat_map(|(name, lane)| lane.limits.iter().map(move |limit| (*name, name::span(limit.span), limit)))
            .collect();
        let rows = |value: fn(&crate::pool::LaneLimitView) -> u64| {
            limits.iter().map(move |(lane, span, limit)| {
                ([("lane", *lane), ("unit", name::unit(limit.unit)), ("span", span.as_ref())], value(limit))
            })
        };
        families.gauges(
            "keypool_lane_limit",
            "What the owners may use together in a span.",
            rows(|limit| limit.amount),
        )?;
        families.gauges("keypool_lane_limit_used", "What they have used of it.", rows(|limit| limit.used))
    }
}
