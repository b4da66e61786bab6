//! The tables of a file that make a pool: `[pool]`, `[retry]`, `[rests]`, `[limits]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amounts, Interval, Whole, interval::YEAR, patterns};
use crate::{
    pool::{RestBackoff, RestTable, Spill, Strategy},
    rule::{Backoff, Retry},
};

/// `[pool]`: how keys are chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSection {
    /// Files with a key a line, as CSV or as JSON; relative to this configuration's folder.
    #[schemars(inner(length(min = 1)), extend("uniqueItems" = true))]
    pub key_files: Vec<PathBuf>,
    /// The order among ready keys of one priority.
    #[schemars(schema_with = "strategy_schema")]
    pub strategy: Strategy,
    /// When a later priority opens: `limits` when every key of the earlier ones rests, is disabled or at a limit; `any`
    /// when none of them is ready, for whatever reason.
    #[schemars(schema_with = "spill_schema")]
    pub spill: Spill,
    /// How long a request waits for an earlier priority before a later one opens.
    pub spill_after: Interval<0, 3_600>,
    /// How long a request waits for a key; unless set not at all in the library, 5 s in the gateway.
    pub wait: Option<Interval<0, 3_600>>,
    /// Models to step down to, best first, instead of those of `[[models]]` that have a priority.
    #[schemars(inner(regex(pattern = patterns::MODEL)), extend("uniqueItems" = true))]
    pub fallback: Vec<String>,
    /// Whether a model that is overloaded still after all retries is a reason to step down.
    pub fallback_on_overloaded: bool,
}

fn strategy_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "enum": Strategy::NAMES.map(|(name, _)| name) })
}

fn spill_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "enum": ["limits", "any"] })
}

/// `[retry]`: what happens after a provider's fault. Faults of keys go to another key at once and are not counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySection {
    /// How often a request is sent again.
    pub max_retries: Whole<0, 100>,
    /// The first pause.
    pub first: Interval<10, 600>,
    /// What each pause is multiplied by for the next: 1 to 100.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub factor: f64,
    /// The longest pause; no less than the first.
    pub cap: Interval<10, 3_600>,
    /// Whether each pause is drawn evenly from zero to its length.
    pub jitter: bool,
    /// No retry begins later than this after the request came; no end unless set.
    pub deadline: Option<Interval<1_000, 86_400>>,
    /// Whether retries are paid from a budget: a fifth of what succeeds, and 10 a second.
    pub budget: bool,
}

impl Default for RetrySection {
    fn default() -> Self {
        Self {
            max_retries: Whole(3),
            first: Interval::seconds(1),
            factor: 2.0,
            cap: Interval::seconds(30),
            jitter: true,
            deadline: None,
            budget: true,
        }
    }
}

impl RetrySection {
    /// The rule.
    pub fn rule(&self) -> Retry {
        let backoff =
            Backoff::exponential().first(self.first.0).factor(self.factor).cap(self.cap.0).jitter(self.jitter);
        let mut rule = Retry::new().max_retries(self.max_retries.0.into()).backoff(backoff);
        if let Some(deadline) = self.deadline {
            rule = rule.deadline(deadline.0);
        }
        if self.budget { rule } else { rule.without_budget() }
    }
}

/// A day, in seconds.
const DAY: u64 = 86_400;
/// The longest rest, in seconds: longer than any month's quota.
const LONGEST: u64 = 32 * DAY;

/// A rest that doubles; what is not set stays as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestRow {
    /// The first incident's rest.
    pub first: Option<Interval<100, DAY>>,
    /// The longest; no less than the first.
    pub cap: Option<Interval<100, LONGEST>>,
}

impl RestRow {
    /// With what is not set as it is by default.
    pub(super) fn or(&self, default: RestBackoff) -> RestBackoff {
        RestBackoff {
            first: self.first.map_or(default.first, |first| first.0),
            cap: self.cap.map_or(default.cap, |cap| cap.0),
        }
    }
}

impl From<RestBackoff> for RestRow {
    fn from(backoff: RestBackoff) -> Self {
        Self { first: Some(Interval(backoff.first)), cap: Some(Interval(backoff.cap)) }
    }
}

/// `[rests]`: how long each kind of verdict rests its scope where the provider does not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestsSection {
    /// A 429 that names no delay.
    pub rate_limited: RestRow,
    /// A quota whose end is unknown, and a day's quota within 10 minutes of midnight.
    pub quota_exhausted: RestRow,
    /// A 401 or 403 whose cause the provider did not name.
    pub suspect: RestRow,
    /// No capacity for the model.
    pub overloaded: RestRow,
    /// The model is not to be had by this owner.
    pub model_unavailable: RestRow,
    /// Our address is refused.
    pub blocked: RestRow,
    /// An exit lets nothing out: its proxy refuses, or cannot be reached.
    pub unreachable: RestRow,
    /// Any other verdict that rests its scope.
    pub other: RestRow,
    /// Unclear 401s and 403s until a key is disabled.
    pub strikes: Whole<1, 100>,
    /// Overloaded answers in a row until the model rests.
    pub overloads: Whole<1, 100>,
    /// The longest time between two probes of what rests without end.
    pub probe_cap: Interval<60_000, LONGEST>,
    /// The longest rest that a provider's own delay can ask for.
    pub longest: Interval<60_000, YEAR>,
}

impl Default for RestsSection {
    fn default() -> Self {
        Self::from(&RestTable::default())
    }
}

impl From<&RestTable> for RestsSection {
    fn from(table: &RestTable) -> Self {
        Self {
            rate_limited: table.rate_limited.into(),
            quota_exhausted: table.quota_exhausted.into(),
            suspect: table.suspect.into(),
            overloaded: table.overloaded.into(),
            model_unavailable: table.model_unavailable.into(),
            blocked: table.blocked.into(),
            unreachable: table.unreachable.into(),
            other: table.other.into(),
            strikes: Whole(table.strikes.into()),
            overloads: Whole(table.overloads.into()),
            probe_cap: Interval(table.probe_cap),
            longest: Interval(table.longest),
        }
    }
}

impl RestsSection {
    /// As the pool takes it.
    pub fn table(&self) -> RestTable {
        let table = RestTable::default();
        RestTable {
            rate_limited: self.rate_limited.or(table.rate_limited),
            quota_exhausted: self.quota_exhausted.or(table.quota_exhausted),
            suspect: self.suspect.or(table.suspect),
            overloaded: self.overloaded.or(table.overloaded),
            model_unavailable: self.model_unavailable.or(table.model_unavailable),
            blocked: self.blocked.or(table.blocked),
            unreachable: self.unreachable.or(table.unreachable),
            other: self.other.or(table.other),
            // At most 100.
            strikes: self.strikes.0 as u8,
            overloads: self.overloads.0 as u8,
            probe_cap: self.probe_cap.0,
            longest: self.longest.0,
        }
    }
}

/// `[limits]`: how limits are kept, and what is assumed of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// How much longer than its span a window holds, since requests do not travel equally fast.
    pub guard: Interval<0, 30>,
    /// Whether limits are learned from answers. Rests hold in any case.
    pub learn: bool,
    /// Whether the provider's known limits are assumed for keys that name a tier, where nothing is given or learned;
    /// unless set not in the library, and in the gateway yes.
    pub assume_known: Option<bool>,
    /// Limits of every model without its own, by tier; `"*"` for owners of every other tier and of none. They are of the
    /// first provider's models: what holds for those of another is said at its keys, or of the models (`[[models]]`).
    #[schemars(extend("propertyNames" = patterns::tiers()))]
    pub default: BTreeMap<String, Amounts>,
    /// What is known of models (or all whose name begins so) by tier, instead of the table that ships; `{}` for a tier:
    /// nothing is assumed.
    #[schemars(schema_with = "patterns::known")]
    pub known: BTreeMap<String, BTreeMap<String, Amounts>>,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            guard: Interval(Duration::from_millis(250)),
            learn: true,
            assume_known: None,
            default: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }
}
