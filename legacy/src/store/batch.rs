//! What changed since the last write.

use serde::{Deserialize, Serialize};

use super::{
    record::{ImportRecord, KeyRecord, RestId, RestRecord, UnitRecord, UsageRecord},
    started::StartedRecord,
};
use crate::share::Noted;

/// What changed since the last write. A store takes all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Batch {
    /// Keys as they are now; others stay.
    pub keys: Vec<KeyRecord>,
    /// All that is new of these keys is how they fare: weights, ramps, times of successes. That may be lost as counts may.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub routine: bool,
    /// Owners in lanes as they are now; others stay.
    pub units: Vec<UnitRecord>,
    /// What owners in lanes started since their last record: it is [added](UnitRecord::add) to that, or to the one in
    /// `units`. Only where the store [takes it](super::Store::takes_started).
    pub started: Vec<StartedRecord>,
    /// Owners in lanes (owner, lane) that are no more: their counts are in another's.
    pub units_gone: Vec<(String, String)>,
    /// Models whose requests were found to count in another model's quota: (model, the other). Later ones hold.
    pub quota_models: Vec<(String, String)>,
    /// Rests as they are now; others stay.
    pub rests: Vec<RestRecord>,
    /// Rests that are over, and whose steps are forgotten.
    pub rests_gone: Vec<RestId>,
    /// What came to the day's use; it is added.
    pub usage: Vec<UsageRecord>,
    /// Imports made.
    pub imports: Vec<ImportRecord>,
    /// A process begins to work on the store, or ends.
    pub run: Option<Run>,
    /// What a process that shares owners with others notes of those that it holds; [`units`](Self::units) are empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Notes>,
}

/// What a process notes of the units that it holds: see [`Renewal::noting`](crate::share::Renewal::noting).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// One more than that of the note before, at least.
    pub number: u64,
    /// What they count.
    pub units: Vec<Noted>,
}

/// A process begins to work on a store, or ends as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// It begins. Until it ends, whoever else begins knows that it did not end as it should.
    Begun {
        /// The number of this run: one more than the last.
        epoch: u64,
        /// Runs before it that did not end as they should, as far as they may still matter.
        crashes: Vec<Crash>,
    },
    /// It ends, and all that it started is written: its marks are void.
    Ended,
}

/// A machine is not back sooner, in milliseconds.
const LONG_MS: i64 = 120_000;

/// A run that did not end as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// The number of that run.
    pub epoch: u64,
    /// When the next one noticed, in Unix milliseconds: what it started unseen, it started before.
    pub noticed: i64,
}

impl Batch {
    /// Whether it must not be lost even when the machine stops: anything but counts, how keys [fare](Self::routine),
    /// and rests that are over by the time it is back.
    pub fn is_lasting(&self) -> bool {
        !((self.keys.is_empty() || self.routine)
            && !self.rests.iter().any(is_long)
            && self.rests_gone.is_empty()
            && self.imports.is_empty())
            || self.run.is_some()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_long(rest: &RestRecord) -> bool {
    rest.ends.is_none_or(|ends| ends.saturating_sub(rest.since) > LONG_MS)
}
