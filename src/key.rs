//! Keys and key ids.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::limit::Limits;

/// The name of a key in logs, errors, metrics and the admin API. It never reveals the secret.
///
/// The default is `k-` and the first 12 hexadecimal digits of the secret's SHA-256.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Returns an id with a name that the user chose.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// Returns the default id of a secret.
    pub fn from_secret(secret: &str) -> Self {
        let hash = hmac_sha256::Hash::hash(secret.as_bytes());
        let digits = u64::from_be_bytes([0, 0, hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]]);
        Self(format!("k-{digits:012x}").into())
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Returns the name as text.
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

impl<T: Into<Arc<str>>> From<T> for KeyId {
    fn from(id: T) -> Self {
        Self::new(id)
    }
}

impl AsRef<str> for KeyId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Whether a key's account is free or paid. It selects the assumed limits and the default priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tier {
    /// Unknown: no limits are assumed.
    #[default]
    Unknown,
    /// Free: used first.
    Free,
    /// Paid: used when no free key is ready.
    Paid,
}

display_serialized!(Tier);

/// A credential with its project, limits and options. Only the secret is required.
///
/// ```
/// use tower_keypool::{Key, Limits};
///
/// let key = Key::free("AIza-not-a-real-key-001").project("a").limits("gemini-2.5-flash", Limits::new().per_minute(10));
/// assert_eq!(key.id().as_str(), "k-0fe415fb7faf");
/// assert!(!format!("{key:?}").contains("AIza"));
/// ```
#[derive(Clone, PartialEq)]
#[must_use]
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
    /// Returns a key of an unknown tier. The secret is checked when the key is added to a pool.
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

    /// Returns a key of a free account.
    pub fn free(secret: impl Into<Arc<str>>) -> Self {
        Self::new(secret).tier(Tier::Free)
    }

    /// Returns a key of a paid account.
    pub fn paid(secret: impl Into<Arc<str>>) -> Self {
        Self::new(secret).tier(Tier::Paid)
    }

    /// Sets the id of the key. The default is made from the hash of the secret.
    pub fn named(mut self, id: impl Into<KeyId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the project (quota group) that owns the quota. Keys of one project share limits and cooldowns. A key
    /// without one is a project of its own until a response of the provider names its project.
    pub fn project(mut self, project: impl Into<Arc<str>>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Sets the account that pays for the project. When its funds run out, all its projects stop.
    pub fn billing_account(mut self, account: impl Into<Arc<str>>) -> Self {
        self.billing_account = Some(account.into());
        self
    }

    /// Sets whether the account is free or paid.
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Sets the priority. Keys with a lower number are used first. The default is 0, and 10 for a paid key.
    pub fn priority(mut self, priority: u16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets this key's share of the requests relative to other keys. The default is 1; 0 counts as 1. Each
    /// [`Strategy`](crate::Strategy) says whether weights matter.
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the maximum number of concurrent requests. 0 counts as 1.
    pub fn max_concurrent(mut self, requests: u32) -> Self {
        self.max_concurrent = Some(requests.max(1));
        self
    }

    /// Sets the minimum time between the starts of two requests with this key. More than a day counts as a day.
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = Some(interval.min(Duration::from_secs(86_400)));
        self
    }

    /// Sets the limits of this key's project for a model. A name may end in `*`; `"*"` stands for every model
    /// without limits of its own.
    pub fn limits(mut self, model: impl Into<Arc<str>>, limits: Limits) -> Self {
        let model = model.into();
        self.limits.retain(|(held, _)| *held != model);
        self.limits.push((model, limits));
        self
    }

    /// Restricts this key to these models; a name may end in `*`.
    pub fn models<M: Into<Arc<str>>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.models = Some(models.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the exit (a proxy or a local address) through which requests with this key are sent. The client below the
    /// layers reads it from the request's [`Lease`](crate::Lease) extension.
    pub fn exit(mut self, exit: impl Into<Arc<str>>) -> Self {
        self.exit = Some(exit.into());
        self
    }

    /// Sets the IANA time zone in which the days of this key's project end. The default is the provider's.
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets a free text for people, shown in snapshots.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Returns the key's id.
    pub fn id(&self) -> KeyId {
        self.id.clone().unwrap_or_else(|| KeyId::from_secret(&self.secret))
    }

    /// Returns the project that was set; with `None` the key is a project of its own, named by its id.
    pub fn project_name(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// Returns the exit that was set.
    pub fn exit_name(&self) -> Option<&str> {
        self.exit.as_deref()
    }

    /// Returns the label that was set.
    pub fn label_text(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Reports whether the key has this secret.
    #[doc(hidden)]
    pub fn has_secret(&self, secret: &str) -> bool {
        *self.secret == *secret
    }

    /// Returns the models that the key has limits for or is restricted to. Patterns of allowed models are left out.
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
