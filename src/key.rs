//! A key: a secret and what is known of it.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::limit::Limits;

/// The name of a key in logs, errors, metrics and the admin API. It never tells the secret.
///
/// Unless one is given it is `k-` and the first 12 hexadecimal digits of the secret's SHA-256.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// A name given by the user.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The name of a secret that was given none.
    pub fn of_secret(secret: &str) -> Self {
        let hash = hmac_sha256::Hash::hash(secret.as_bytes());
        let digits = u64::from_be_bytes([0, 0, hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]]);
        Self(format!("k-{digits:012x}").into())
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for KeyId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

/// Whether a key's account pays. It selects the assumed limits and the default priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tier {
    /// Not known: no limits are assumed.
    #[default]
    Unknown,
    /// A free key: used first.
    Free,
    /// A paid key: used when no free key is ready.
    Paid,
}

/// A credential and what is known of it. Only the secret is needed.
///
/// ```
/// use tower_keypool::{Key, Limits};
///
/// let key = Key::free("AIza-not-a-real-key-001").project("a").limits("gemini-2.5-flash", Limits::new().per_minute(10));
/// assert_eq!(key.id().as_str(), "k-0fe415fb7faf");
/// assert!(!format!("{key:?}").contains("AIza"));
/// ```
#[derive(Clone, PartialEq)]
pub struct Key {
    pub(crate) secret: Arc<str>,
    pub(crate) id: Option<KeyId>,
    pub(crate) project: Option<Arc<str>>,
    pub(crate) billing_account: Option<Arc<str>>,
    pub(crate) tier: Tier,
    pub(crate) priority: Option<u16>,
    pub(crate) weight: u16,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) min_interval: Option<Duration>,
    pub(crate) limits: Vec<(Arc<str>, Limits)>,
    pub(crate) models: Option<Arc<[Arc<str>]>>,
    pub(crate) exit: Option<Arc<str>>,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) label: Option<Arc<str>>,
}

impl Key {
    /// A key of an unknown tier. The secret is checked when the key enters a pool.
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Self {
            secret: secret.into(),
            id: None,
            project: None,
            billing_account: None,
            tier: Tier::Unknown,
            priority: None,
            weight: 1,
            max_concurrent: None,
            min_interval: None,
            limits: Vec::new(),
            models: None,
            exit: None,
            zone: None,
            label: None,
        }
    }

    /// A key of a free account.
    pub fn free(secret: impl Into<Arc<str>>) -> Self {
        Self::new(secret).tier(Tier::Free)
    }

    /// A key of a paid account.
    pub fn paid(secret: impl Into<Arc<str>>) -> Self {
        Self::new(secret).tier(Tier::Paid)
    }

    /// Names the key; without it the name is made of the secret's hash.
    #[must_use]
    pub fn named(mut self, id: impl Into<KeyId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The project (quota group) that owns the quota. Keys of one project share limits and cooldowns. A key without one is a
    /// project of its own until an answer of the provider names its project.
    #[must_use]
    pub fn project(mut self, project: impl Into<Arc<str>>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The account that pays for the project: when its money is gone all its projects stop.
    #[must_use]
    pub fn billing_account(mut self, account: impl Into<Arc<str>>) -> Self {
        self.billing_account = Some(account.into());
        self
    }

    /// Whether the account pays.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Keys of a lower number are used first; 0 unless set, 10 for a paid key.
    #[must_use]
    pub fn priority(mut self, priority: u16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// The share of the requests that this key takes compared with others, 1 unless set; 0 counts as 1.
    #[must_use]
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight.max(1);
        self
    }

    /// At most this many requests at the same time. 0 counts as 1.
    #[must_use]
    pub fn max_concurrent(mut self, requests: u32) -> Self {
        self.max_concurrent = Some(requests.max(1));
        self
    }

    /// At least this time between the starts of two requests with this key, at most a day.
    #[must_use]
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = Some(interval);
        self
    }

    /// The limits of this key's project for a model; `"*"` stands for every model without limits of its own.
    #[must_use]
    pub fn limits(mut self, model: impl Into<Arc<str>>, limits: Limits) -> Self {
        let model = model.into();
        self.limits.retain(|(held, _)| *held != model);
        self.limits.push((model, limits));
        self
    }

    /// The only models that this key may be used for; a name may end in `*`.
    #[must_use]
    pub fn models<M: Into<Arc<str>>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.models = Some(models.into_iter().map(Into::into).collect());
        self
    }

    /// The exit (a proxy or a local address) that requests with this key leave by. The client below the layers reads it
    /// from the request's [`Lease`](crate::Lease) extension.
    #[must_use]
    pub fn exit(mut self, exit: impl Into<Arc<str>>) -> Self {
        self.exit = Some(exit.into());
        self
    }

    /// The IANA time zone in which this key's project ends its days; the provider's unless set.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// A free text for people, shown in snapshots.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        self.id.clone().unwrap_or_else(|| KeyId::of_secret(&self.secret))
    }

    /// The project that it was given; none: the key is a project of its own, named by its id.
    pub fn project_name(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// The exit that it was given.
    pub fn exit_name(&self) -> Option<&str> {
        self.exit.as_deref()
    }

    /// The label that it was given.
    pub fn label_text(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Whether this is its secret.
    pub fn has_secret(&self, secret: &str) -> bool {
        *self.secret == *secret
    }

    /// The models that it has limits for or may be used for.
    pub(crate) fn model_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let allowed = self.models.iter().flat_map(|models| models.iter()).filter(|name| !name.ends_with('*'));
        self.limits.iter().map(|(model, _)| model).chain(allowed)
    }

    pub(crate) fn effective_priority(&self) -> u16 {
        self.priority.unwrap_or(if self.tier == Tier::Paid { 10 } else { 0 })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id())
            .field("project", &self.project)
            .field("tier", &self.tier)
            .field("priority", &self.effective_priority())
            .finish_non_exhaustive()
    }
}
