//! What arrived, what was accepted, and what came over a limit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::Arrival;

/// Counts of one key, of one project, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// Requests that arrived, whatever became of them.
    pub arrivals: u64,
    /// Requests that passed authentication, validation and quota, also of
    /// calls that cost nothing; those that then met a failure of the model (5xx)
    /// or a scripted reset are among them.
    pub accepted: u64,
    /// Answers of 429 because a limit was exceeded.
    pub over_limit: u64,
    /// Prompt tokens of what was accepted.
    pub tokens: u64,
    /// Requests charged against quotas: one for a call, one for each item of a
    /// batch of embeddings.
    pub charged: u64,
    /// Answers other than success by their kind (`over_limit` among them), see
    /// [`Refusal::kind`](crate::Refusal::kind).
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Answers of one kind of rejection.
    pub fn rejected_as(&self, kind: &str) -> u64 {
        self.rejected.get(kind).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, arrival: &Arrival) {
        self.arrivals += 1;
        if arrival.accepted {
            self.accepted += 1;
            self.tokens += arrival.tokens;
            self.charged += arrival.cost;
        }
        if arrival.kind == "over_limit" {
            self.over_limit += 1;
        }
        if arrival.kind != "ok" {
            *self.rejected.entry(arrival.kind).or_default() += 1;
        }
    }
}

/// The counts of one key.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyReport {
    /// Its label; never the secret.
    pub label: String,
    /// Its project, as `projects/NNN`.
    pub project: String,
    /// Its counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The counts of one project: the sum of its keys.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProjectReport {
    /// `projects/NNN`.
    pub name: String,
    /// Its counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A snapshot of all counts.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Every key, in order of definition.
    pub keys: Vec<KeyReport>,
    /// Every project, in order of definition.
    pub projects: Vec<ProjectReport>,
    /// Everything, requests without a known key included.
    pub total: Tally,
}

impl Report {
    /// The counts of the key with this label.
    pub fn key(&self, label: &str) -> Option<&Tally> {
        let found = self.keys.iter().find(|key| key.label == label)?;
        Some(&found.tally)
    }

    /// The counts of a project, `projects/NNN` or the number alone.
    pub fn project(&self, name: &str) -> Option<&Tally> {
        let number = |name: &str| name.trim_start_matches("projects/").to_owned();
        let wanted = number(name);
        let mut found = self.projects.iter().filter(|p| number(&p.name) == wanted);
        found.next().map(|project| &project.tally)
    }

    /// The report as JSON, for other languages and for files.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("plain data")
    }
}
