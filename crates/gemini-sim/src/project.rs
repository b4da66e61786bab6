//! Projects with their keys, tiers and limits.

use std::collections::HashMap;
use std::fmt;

use crate::Refusal;

/// The billing tier of a project. It determines the names of its quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// No billing.
    #[default]
    Free,
    /// Billing is linked.
    Tier1,
    /// A paid tier with a history.
    Tier2,
    /// The highest self-service tier.
    Tier3,
}

/// An API key of a project, as an opaque string.
#[derive(Clone)]
pub struct Key {
    pub(crate) secret: String,
    pub(crate) label: Option<String>,
    pub(crate) refused: Option<Refusal>,
}

impl Key {
    /// Creates a valid key.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into(), label: None, refused: None }
    }

    /// Sets a name for rules and reports, which never show the secret. The default is `key-0`, `key-1`, …, in the order
    /// of definition.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Refuses every request with this key, from the start.
    #[must_use]
    pub fn refused(mut self, refusal: Refusal) -> Self {
        self.refused = Some(refusal);
        self
    }
}

impl From<&str> for Key {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl From<String> for Key {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("label", &self.label).field("refused", &self.refused).finish_non_exhaustive()
    }
}

/// A Google Cloud project, which owns quotas, files and caches. All of its keys share them.
///
/// ```
/// use gemini_sim::{Key, Limits, Project, Refusal, Tier};
/// let project = Project::new("projects/123456789012")
///     .tier(Tier::Free)
///     .limits(Limits::none().rpm(10))
///     .limit("gemini-2.5-pro", Limits::zero())
///     .key("AIzaSy-first")
///     .key(Key::new("AIzaSy-second").refused(Refusal::ConsumerSuspended));
/// ```
#[derive(Clone, Debug)]
pub struct Project {
    pub(crate) number: String,
    pub(crate) tier: Tier,
    pub(crate) keys: Vec<Key>,
    pub(crate) limits: Limits,
    pub(crate) per_model: Vec<(String, Limits)>,
}

impl Project {
    /// Creates a project of the free tier without keys or limits. The name is `projects/NNN` or just the number.
    pub fn new(name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        Self {
            number: name.strip_prefix("projects/").unwrap_or(name).to_owned(),
            tier: Tier::Free,
            keys: Vec::new(),
            limits: Limits::none(),
            per_model: Vec::new(),
        }
    }

    /// Sets the billing tier (default: free).
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Adds a key. Building the simulator panics if two keys, in any projects, have the same secret.
    #[must_use]
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Sets the limits of each model that has none of its own.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the limits of one (quota) model.
    #[must_use]
    pub fn limit(mut self, model: impl Into<String>, limits: Limits) -> Self {
        self.per_model.push((model.into(), limits));
        self
    }

    pub(crate) fn limits_of(&self, quota_model: &str) -> Limits {
        let own = self.per_model.iter().rev().find(|(model, _)| model == quota_model);
        own.map_or(self.limits, |(_, limits)| *limits)
    }
}

/// A key, identified by its index in the order of definition.
#[derive(Debug)]
pub(crate) struct KnownKey {
    pub(crate) label: String,
    /// The index of its project in the order of definition.
    pub(crate) project: usize,
    pub(crate) refused: Option<Refusal>,
}

/// All projects and their keys.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) projects: Vec<Project>,
    pub(crate) keys: Vec<KnownKey>,
    by_secret: HashMap<String, usize>,
}

impl Accounts {
    /// # Panics
    ///
    /// If two keys have the same secret.
    pub(crate) fn new(projects: Vec<Project>) -> Self {
        let (mut keys, mut by_secret) = (Vec::new(), HashMap::new());
        for (index, project) in projects.iter().enumerate() {
            for key in &project.keys {
                let number = keys.len();
                let label = key.label.clone().unwrap_or_else(|| format!("key-{number}"));
                let earlier = by_secret.insert(key.secret.clone(), number);
                assert!(earlier.is_none(), "the secret of {label} is defined twice");
                keys.push(KnownKey { label, project: index, refused: key.refused.clone() });
            }
        }
        Self { projects, keys, by_secret }
    }

    pub(crate) fn by_secret(&self, secret: &str) -> Option<usize> {
        self.by_secret.get(secret).copied()
    }
}

/// The limits of one project for one model. Units without a limit are unlimited.
///
/// Minutes are exact sliding windows: the last 60 seconds never contain more than the limit. Days start at midnight in
/// `America/Los_Angeles`.
///
/// ```
/// use gemini_sim::Limits;
/// let limits = Limits::none().rpm(10).tpm(250_000).rpd(250);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub(crate) rpm: Option<u64>,
    pub(crate) tpm: Option<u64>,
    pub(crate) rpd: Option<u64>,
    pub(crate) tpd: Option<u64>,
}

impl Limits {
    /// Returns no limits.
    pub const fn none() -> Self {
        Self { rpm: None, tpm: None, rpd: None, tpd: None }
    }

    /// Returns limits without an entitlement: every request gets the real 429 with `limit: 0`.
    pub const fn zero() -> Self {
        Self { rpm: Some(0), tpm: Some(0), rpd: Some(0), tpd: Some(0) }
    }

    /// Sets the maximum number of requests in any 60 seconds.
    #[must_use]
    pub const fn rpm(mut self, requests: u64) -> Self {
        self.rpm = Some(requests);
        self
    }

    /// Sets the maximum number of input tokens in any 60 seconds.
    #[must_use]
    pub const fn tpm(mut self, tokens: u64) -> Self {
        self.tpm = Some(tokens);
        self
    }

    /// Sets the maximum number of requests in a Pacific day.
    #[must_use]
    pub const fn rpd(mut self, requests: u64) -> Self {
        self.rpd = Some(requests);
        self
    }

    /// Sets the maximum number of input tokens in a Pacific day.
    #[must_use]
    pub const fn tpd(mut self, tokens: u64) -> Self {
        self.tpd = Some(tokens);
        self
    }

    pub(crate) fn is_zero(self) -> bool {
        self.rpm == Some(0) || self.rpd == Some(0)
    }
}
