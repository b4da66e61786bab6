//! What all windows together promise, held against an oracle that remembers every start.

mod carry;
mod days;
mod layout;
mod oracle;
mod sliding;

use std::time::Duration;

use super::{
    At, Limits, Need, Plan,
    zone::{DayAt, Days},
};
use crate::time::Tick;

const GUARD: Duration = Duration::from_millis(250);

/// A moment of a day that never ends.
fn at(nanos: u64) -> At {
    let days = Days { first: 20_000, last: 20_000 };
    At { tick: Tick::from_nanos(nanos), day: DayAt { wall_ms: 0, days, opens_ms: 0, next_ms: i64::MAX / 2 } }
}

fn millis(millis: u64) -> At {
    at(millis * 1_000_000)
}

fn requests(requests: u32) -> Need {
    Need { requests, ..Need::default() }
}

fn tokens(input_tokens: u64) -> Need {
    Need { requests: 1, input_tokens, ..Need::default() }
}

/// A plan and its empty log.
fn empty(limits: &Limits) -> (Plan, Vec<u16>) {
    let plan = Plan::compile(limits, GUARD);
    let log = vec![0; plan.words()];
    (plan, log)
}
