//! A unit as a process has it in its configuration.

use serde::{Deserialize, Serialize};

use super::names::{Kind, UnitId};
use crate::limit::Limits;

/// A unit as a process is configured to use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnitInfo {
    /// Which.
    pub unit: UnitId,
    /// What it can serve.
    pub kind: Kind,
    /// Its limits; of processes that differ the stricter hold.
    pub limits: Limits,
    /// The unit of what its keys allow by themselves: only who holds that may hold this. Its kind has its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<UnitId>,
    /// Other names of the same quota: what is counted there is counted here from now on, and those units are lent to
    /// nobody any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<UnitId>,
}
