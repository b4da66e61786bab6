//! Owners shared with other processes.

use std::fmt;

use super::family::Families;
use crate::pool::{SharingState, SharingView};

pub(super) fn write(families: &mut Families<'_>, view: &SharingView) -> fmt::Result {
    let counted = view.counters;
    families.gauges(
        "keypool_sharing_state",
        "How the store that processes share stands: 1 for what holds.",
        SharingState::ALL.map(|state| ([("state", state.word())], u64::from(state == view.state))),
    )?;
    families.gauge(
        "keypool_sharing_units",
        "Owners in a lane with limits, where somebody asked for it.",
        &view.units,
    )?;
    families.gauge("keypool_sharing_held_units", "Of these, held by this process.", &view.held)?;
    let happened = [
        ("granted", counted.granted),
        ("failed_over", counted.failed_over),
        ("returned", counted.returned),
        ("yielded", counted.yielded),
        ("lost", counted.refused),
        ("conflict", counted.conflicts),
    ];
    families.counters(
        "keypool_sharing_units_moved",
        "Units that came and went, and conflicts of their configuration.",
        happened.map(|(event, count)| ([("event", event)], count)),
    )?;
    let moments = [
        ("store_lost", counted.store_lost),
        ("board_lost", counted.generations),
        ("clocks_parted", counted.clocks_parted),
    ];
    families.counters(
        "keypool_sharing_breaks",
        "Times when leases did not hold, by why.",
        moments.map(|(event, count)| ([("event", event)], count)),
    )?;
    families.counter("keypool_sharing_claims", "Kinds of units that were asked for.", &counted.claims)?;
    families.counter("keypool_sharing_unmet_claims", "Claims that were not met in full.", &counted.dry)?;
    families.counter(
        "keypool_sharing_fail_closed_demands",
        "Demands refused since leases had ended.",
        &counted.failed_closed,
    )?;
    families.counter(
        "keypool_sharing_fair_share_starts",
        "Starts while limits were divided, the store being away.",
        &counted.fair_share,
    )?;
    let calls = [
        ("renewal", counted.renewals.saturating_sub(counted.urgent)),
        ("urgent", counted.urgent),
        ("write", counted.writes),
    ];
    families.counters(
        "keypool_sharing_store_calls",
        "Calls to the store; urgent: a renewal before its time.",
        calls.map(|(kind, count)| ([("kind", kind)], count)),
    )?;
    families.counter(
        "keypool_sharing_hints",
        "Times when the store said of its own accord that something changed: no calls.",
        &counted.hints,
    )?;
    families.counter("keypool_sharing_lost_calls", "Renewals without an answer.", &counted.lost)
}
