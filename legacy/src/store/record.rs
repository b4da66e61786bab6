//! What is kept: of a key, of an owner in a lane, of a rest, of a day's use, of an import.
//!
//! Every record serialises, so that a store can keep it as it is. Fields may be added: a record that an older version
//! wrote is read with their defaults.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[cfg(any(feature = "sqlite", feature = "redis"))]
use super::Image;
use super::secret::KeptSecret;
use crate::{
    key::Key,
    limit::{Limit, Limits, Unit},
    verdict::{Scope, VerdictKind},
};
#[cfg(any(feature = "sqlite", feature = "redis"))]
use crate::{
    limit::{Told, date_text},
    share::Seen,
};

/// A key. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyRecord {
    /// SHA-256 of the secret, in hex: what state is bound to. A key that is renamed keeps it.
    pub hash: String,
    /// The name that is shown.
    pub id: String,
    /// How its secret is had; `Elsewhere` for keys of a file or a variable.
    pub secret: KeptSecret,
    /// `free`, `paid`, or a provider's own name.
    pub tier: Option<String>,
    /// Lower comes first.
    pub priority: u16,
    /// The share of the load that was configured.
    pub weight: f32,
    /// What the adaptive strategy made of it.
    pub weight_now: f32,
    /// Steps of the ramp still to go.
    pub ramp: u8,
    /// Who owns its quota, where somebody said so.
    pub owner: Option<String>,
    /// What the provider calls the owner; learned.
    pub consumer: Option<String>,
    /// Where it came from: its label `source`.
    pub source: Option<String>,
    /// Whether it may serve.
    pub state: KeyStanding,
    /// Why not, or an empty text.
    pub reason: String,
    /// Its last good answer. Of several processes' records the latest holds; so it does of the last fault.
    pub last_success: Option<i64>,
    /// Its last fault, a 429 included.
    pub last_failure: Option<i64>,
    /// Faults since the last good answer.
    pub consecutive_failures: u32,
    /// When it was first seen.
    pub created: i64,
}

impl KeyRecord {
    /// Takes the place of what was written before, maybe by another process that saw the key later.
    pub(super) fn follow(&mut self, held: Self) {
        if self.secret.is_elsewhere() {
            self.secret = held.secret;
        }
        self.created = held.created;
        if self.last_success.max(self.last_failure) < held.last_success.max(held.last_failure) {
            self.consecutive_failures = held.consecutive_failures;
        }
        self.last_success = self.last_success.max(held.last_success);
        self.last_failure = self.last_failure.max(held.last_failure);
    }

    /// A key that is added to a store, before any pool has seen it. `created`: now, in Unix milliseconds.
    ///
    /// ```
    /// use tower_keypool::{Key, store::{KeptSecret, KeyRecord}};
    ///
    /// let key = Key::paid("AIza-not-a-real-key-001").id("work").owner("project-a");
    /// let record = KeyRecord::of(&key, KeptSecret::Reference("env:WORK_KEY".to_owned()), 1_781_550_000_000);
    /// assert_eq!((&*record.id, record.priority, record.owner.as_deref()), ("work", 10, Some("project-a")));
    /// ```
    pub fn of(key: &Key, secret: KeptSecret, created: i64) -> Self {
        Self {
            hash: secret_hash(&key.secret),
            id: key.key_id().to_string(),
            secret,
            tier: key.tier.as_ref().map(|tier| tier.name().to_owned()),
            priority: key.priority.0,
            weight: key.weight,
            weight_now: key.weight,
            owner: key.owner.clone(),
            source: key.labels.get("source").cloned(),
            created,
            ..Self::default()
        }
    }
}

/// What a key's state is bound to.
pub(crate) fn secret_hash(secret: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha256::digest(secret.as_bytes());
    let mut text = String::with_capacity(2 * hash.len());
    for byte in hash {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Whether a key may serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum KeyStanding {
    /// It may, when no rest and no limit is in the way.
    #[default]
    Active,
    /// Switched off by hand, until it is switched on.
    Disabled,
    /// It rests without end for a fault of its own; its [`RestRecord`] says which.
    Faulty,
    /// Taken out of the pool; what is known of it stays.
    Removed,
}

impl KeyStanding {
    /// Its name in a store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Faulty => "faulty",
            Self::Removed => "removed",
        }
    }

    /// Of a name in a store; one that a later version wrote is taken for [`KeyStanding::Active`].
    pub fn of_name(name: &str) -> Self {
        [Self::Disabled, Self::Faulty, Self::Removed].into_iter().find(|it| it.name() == name).unwrap_or_default()
    }
}

/// What an owner used in a lane, and what it may use before the next write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitRecord {
    /// Its name, or `key:` and the hash of its key.
    pub owner: String,
    /// The model; empty: requests without one, `*`: models without a lane of their own.
    pub lane: String,
    /// In which run of a process this was so: see [`Run`](super::Run).
    pub epoch: u64,
    /// What each window counts.
    pub windows: Vec<WindowRecord>,
    /// The high-water mark: so much may have been started since without a word of it here.
    pub credit: Credit,
    /// Limits that the provider's answers told.
    pub learned: Limits,
    /// Until then, in Unix milliseconds, its days may have been used up: processes shared it, and their store lost what it
    /// knew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<i64>,
}

/// What one window counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// Which limit held.
    pub limit: Limit,
    /// When and how much began, oldest first; none of a day.
    #[serde(default, with = "super::moments", skip_serializing_if = "Vec::is_empty")]
    pub moments: Vec<(i64, u64)>,
    /// Granted, and nobody has said yet that it began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Counts by date of the owner's zone (`2026-06-15`), of a day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<(String, u64)>,
}

#[cfg(any(feature = "sqlite", feature = "redis"))]
impl WindowRecord {
    /// As it was told by the store's time.
    pub(crate) fn of(told: Told) -> Self {
        let days = told.dates.into_iter().map(|(date, count)| (date_text(date), count)).collect();
        Self { limit: told.limit, moments: told.moments, held: 0, days }
    }
}

#[cfg(any(feature = "sqlite", feature = "redis"))]
impl Image {
    /// What the board tells of units counts, and nothing else.
    pub(crate) fn see(&mut self, units: Vec<Seen>) {
        for Seen { unit, counts, lost } in units {
            let Some((lane, owner)) = unit.as_str().split_once('\n') else { continue };
            let blank = || UnitRecord { owner: owner.to_owned(), lane: lane.to_owned(), ..UnitRecord::default() };
            let record = self.units.entry(unit.to_string()).or_insert_with(blank);
            record.windows = counts.into_iter().map(WindowRecord::of).collect();
            record.lost = lost;
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How much of each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credit {
    /// Requests.
    pub requests: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Images.
    pub images: u64,
}

impl Credit {
    /// The same, as processes tell it each other.
    pub(crate) fn as_spent(self) -> crate::share::Spent {
        let Self { requests, input_tokens, output_tokens, images } = self;
        crate::share::Spent { requests, input_tokens, output_tokens, images }
    }

    /// How much of `unit`; [`Unit::Tokens`] is prompt and answer together.
    pub fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::Images => self.images,
        }
    }
}

/// Which rest: at most one for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RestId {
    /// Whom it concerns.
    pub scope: Scope,
    /// A key's hash, an owner or an account by the name it has here; empty for lanes and the exit.
    pub whom: String,
    /// The lane, where it is bound to one.
    pub lane: Option<String>,
}

/// A rest, or the memory of one: its steps count until a success. Times are Unix milliseconds of the wall clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestRecord {
    /// Which.
    #[serde(flatten)]
    pub id: RestId,
    /// What the answer meant.
    pub kind: VerdictKind,
    /// The provider's own short word for it.
    pub code: String,
    /// What a person can do about it.
    pub advice: String,
    /// Since when.
    pub since: i64,
    /// Until when; `None`: without end.
    pub ends: Option<i64>,
    /// It ends at a midnight, whatever the clock was set to meanwhile.
    #[serde(default)]
    pub at_midnight: bool,
    /// Incidents so far, less one.
    #[serde(default)]
    pub step: u8,
    /// Unclear faults so far.
    #[serde(default)]
    pub strikes: u8,
    /// When a real request may try it, and how long until the one after, in milliseconds.
    #[serde(default)]
    pub probe: Option<(i64, u64)>,
    /// It waits for a confirmation.
    #[serde(default)]
    pub confirming: bool,
    /// Held until it is clear whether the fault is ours.
    #[serde(default)]
    pub held: bool,
    /// An answer raised it, and none cleared it since.
    #[serde(default)]
    pub raised: bool,
}

/// A key's use of a lane on a day. In a batch it is what came to it; read back it is all of the day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageRecord {
    /// The date in the owner's zone: `2026-06-15`.
    pub day: Arc<str>,
    /// The key's hash.
    pub key: Arc<str>,
    /// The name that the key had last.
    pub id: Arc<str>,
    /// The model; empty: none was named.
    pub lane: Arc<str>,
    /// Requests sent, failed ones included. Negative in a batch where a request proved never to have left.
    pub requests: i64,
    /// Tokens of prompts, as answers told.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Verdicts other than a success.
    pub errors: BTreeMap<VerdictKind, u64>,
    /// In a batch: the key's last good answer, in Unix milliseconds, where that alone is new of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<i64>,
}

impl UsageRecord {
    /// As it is told: whatever an earlier version wrote, nobody sent less than nothing.
    #[cfg(any(feature = "sqlite", feature = "redis"))]
    pub(crate) fn told(self) -> Self {
        Self { requests: self.requests.max(0), ..self }
    }

    /// Adds what came to it.
    pub fn add(&mut self, more: &Self) {
        if !Arc::ptr_eq(&self.id, &more.id) {
            self.id.clone_from(&more.id);
        }
        self.last_success = self.last_success.max(more.last_success);
        self.requests += more.requests;
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        for (kind, count) in &more.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
    }
}

/// An import of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportRecord {
    /// When, in Unix milliseconds.
    pub time: i64,
    /// The file's path, or `-` for standard input.
    pub from: String,
    /// What the keys are labelled with.
    pub source: String,
    /// Lines read.
    pub lines: u64,
    /// Keys that were new.
    pub added: u64,
    /// Keys that were there already.
    pub duplicate: u64,
    /// Lines without a usable key: number and why. Never the line.
    pub rejected: Vec<(u64, String)>,
}
