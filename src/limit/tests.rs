//! What all windows together promise.

mod days;
mod sliding;

use std::time::Duration;

use super::{At, DayAt, Days, Limits, Need, Plan};
use crate::time::Tick;

pub(super) const GUARD: Duration = Duration::from_millis(250);

/// A moment of a day that never ends.
pub(super) fn at(nanos: u64) -> At {
    let days = Days { first: 20_000, last: 20_000 };
    At { tick: Tick::from_nanos(nanos), day: DayAt { wall_ms: 0, days, opens_ms: 0, next_ms: i64::MAX / 2 } }
}

pub(super) fn millis(millis: u64) -> At {
    at(millis * 1_000_000)
}

pub(super) fn requests(requests: u32) -> Need {
    Need { requests, ..Need::default() }
}

/// A plan and its empty log.
pub(super) fn empty(limits: &Limits) -> (Plan, Vec<u16>) {
    let plan = Plan::compile(limits, GUARD);
    let log = vec![0; plan.words()];
    (plan, log)
}
