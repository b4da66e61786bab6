//! What the board lends: whole units, and places of units.

use serde::{Deserialize, Serialize};

use super::{days::Mark, ledger::Spent, names::UnitId, wire::Other};
use crate::limit::{Limits, Told};

/// A unit that is held from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// Which.
    pub unit: UnitId,
    /// Under which number.
    pub fence: u64,
    /// Its windows.
    pub counts: Vec<Told>,
    /// Until then every place may have been used that `counts` does not know.
    #[serde(default)]
    pub unknown: Option<i64>,
    /// The dates up to the one at that moment may be used up.
    #[serde(default)]
    pub days_unknown: Option<i64>,
    /// How much of each day may be used before the board has heard of it.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// How much may be started before it is noted, of one who notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Spent>,
    /// When each request of earlier holders ends at the latest.
    #[serde(default)]
    pub in_flight: Vec<i64>,
    /// When its last request started.
    #[serde(default)]
    pub last_start: Option<i64>,
    /// Who had it last did not give it back, and [noted](super::wire::Renewal::noting) what he started: nothing of it is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_over: bool,
    /// Who had it last has ended, or is known to be dead: what he had under way ended with him.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub departed: bool,
    /// The strictest limits that anybody knows.
    #[serde(default)]
    pub learned: Limits,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

/// Places of a unit that the board gives out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// Of which unit.
    pub unit: UnitId,
    /// Its number.
    pub draw: u64,
    /// How many requests.
    pub requests: u64,
    /// How many tokens of the prompt.
    pub tokens: u64,
    /// For how long, from when the renewal was sent, in milliseconds.
    pub life: u64,
}
