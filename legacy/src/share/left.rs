//! What processes knew of units that they gave back, where the board lost it. Each keeps what it told of a unit when that
//! went back, for as long as its windows count that. All of that was started, and nobody ever starts more than limits allow:
//! what else may have been used of those windows is what is left of them, up to the end of the recovery.

use serde::{Deserialize, Serialize};

use super::{counts::all_heard, names::UnitId, state::BoardState, wire::Renewal};
use crate::limit::Told;

/// So long a renewal may have been on its way: what it tells would seem to be there for longer than it is, and its place may
/// have been taken again.
const ON_THE_WAY: i64 = 1_000;

/// What a unit counted when it went back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Which.
    pub unit: UnitId,
    /// Its sliding windows, as of now.
    pub counts: Vec<Told>,
}

/// Hears what was started before of units that nobody may hold. Of several who tell of one it is believed who tells most.
pub(super) fn hear(state: &mut BoardState, renewal: &Renewal, now: i64) {
    if state.recovery.is_none() || renewal.generation != state.generation || !is_in_time(state, renewal, now) {
        return;
    }
    for left in &renewal.left {
        let told = all_heard(&left.counts, now);
        if state.left.get(&left.unit).is_none_or(|known| sum(known) < sum(&told)) {
            state.left.insert(left.unit.clone(), told);
        }
    }
}

/// By the time that its sender has seen pass since the board last answered it.
fn is_in_time(state: &BoardState, renewal: &Renewal, now: i64) -> bool {
    let came = state.holders.get(&renewal.holder).map_or(&[][..], |record| &record.came);
    let came = came.iter().find(|came| came.0 == renewal.acknowledged);
    came.zip(renewal.elapsed)
        .is_some_and(|((_, came), elapsed)| now - came - elapsed as i64 + renewal.trip as i64 <= ON_THE_WAY)
}

fn sum(counts: &[Told]) -> u64 {
    counts.iter().flat_map(|told| &told.moments).map(|moment| moment.1).sum()
}
