//! What commands said of a key.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::KeyRecord;
use crate::limit::Limits;

/// What commands said of a key: only what somebody said. A pool reads it and never writes it, and a command never
/// counts on what a pool writes into the key's [record](super::KeyRecord): so neither overwrites the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySettings {
    /// Of the secret, in hex: which key it is.
    #[serde(skip)]
    pub hash: String,
    /// Of the change that was the last to touch it; later changes have higher numbers.
    #[serde(skip)]
    pub revision: u64,
    /// The name that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `free`, `paid`, or a provider's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Lower comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// The share of the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
    /// Who owns its quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_account: Option<String>,
    /// The exit that its requests go out by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// Requests in flight at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u16>,
    /// Between two starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_interval: Option<Duration>,
    /// Where its day ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Shown beside it; `source` says where it is from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// By model, `*` for the rest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Limits>,
    /// Switched off, and why: wins over every other source of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
    /// The last change by which it was enabled: whoever has seen fewer lifts its rests.
    #[serde(skip_serializing_if = "is_zero")]
    pub lifted: u64,
    /// Hashes of the secrets that this one came in the place of: what is known of them is known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

impl KeySettings {
    /// What a program said of a key that it wrote into the store itself; nothing of a key that is kept elsewhere, whose
    /// record says what that place says.
    pub(super) fn recorded(record: &KeyRecord) -> Self {
        let hash = record.hash.clone();
        if record.secret.is_elsewhere() {
            return Self { hash, ..Self::default() };
        }
        let source = record.source.clone().map(|source| ("source".to_owned(), source));
        Self {
            hash,
            id: Some(record.id.clone()),
            tier: record.tier.clone(),
            priority: Some(record.priority),
            weight: Some(record.weight),
            owner: record.owner.clone(),
            labels: source.into_iter().collect(),
            ..Self::default()
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What changed since a revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyNews {
    /// Of the last change.
    pub revision: u64,
    /// Keys that were touched since.
    pub settings: Vec<KeySettings>,
}
