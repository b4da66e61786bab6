//! Counts of requests that arrived, were accepted, or exceeded a limit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::Arrival;

/// Counts of one key, of one project, or of all requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// Requests that arrived, regardless of their outcome.
    pub arrivals: u64,
    /// Requests that passed authentication, validation and quota, including calls that cost nothing, and including
    /// those that then failed with an error of the model (5xx) or a scripted reset.
    pub accepted: u64,
    /// Responses with a 429 because a limit was exceeded.
    pub over_limit: u64,
    /// Prompt tokens of accepted requests.
    pub tokens: u64,
    /// Requests charged against quotas: one per call, or one per item of a batch of embeddings.
    pub charged: u64,
    /// Unsuccessful responses by kind, including `over_limit`; see [`Refusal::kind`](crate::Refusal::kind).
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Returns the number of unsuccessful responses of one kind.
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
    /// The key's label, never its secret.
    pub label: String,
    /// The key's project, as `projects/NNN`.
    pub project: String,
    /// The counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The counts of one project: the sum of its keys.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProjectReport {
    /// The project's name, `projects/NNN`.
    pub name: String,
    /// The counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A snapshot of all counts.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The counts of each key, in the order of definition.
    pub keys: Vec<KeyReport>,
    /// The counts of each project, in the order of definition.
    pub projects: Vec<ProjectReport>,
    /// The counts of all requests, including those without a known key.
    pub total: Tally,
}

impl Report {
    /// Returns the counts of the key with this label.
    pub fn key(&self, label: &str) -> Option<&Tally> {
        let found = self.keys.iter().find(|key| key.label == label)?;
        Some(&found.tally)
    }

    /// Returns the counts of a project, given as `projects/NNN` or just the number.
    pub fn project(&self, name: &str) -> Option<&Tally> {
        let number = |name: &str| name.trim_start_matches("projects/").to_owned();
        let wanted = number(name);
        let mut found = self.projects.iter().filter(|p| number(&p.name) == wanted);
        found.next().map(|project| &project.tally)
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("plain data")
    }
}
