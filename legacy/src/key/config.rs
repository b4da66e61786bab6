//! A key as it is given to a pool.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{KeyId, Secret};
use crate::limit::Limits;

/// Which keys come first: lower first. `free` (0) and `paid` (10) are names for two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(pub u16);

impl Priority {
    /// Comes first: 0.
    pub const FREE: Self = Self(0);
    /// Opens when no free key may serve: 10.
    pub const PAID: Self = Self(10);
}

/// What the provider charges for a key's account; decides which shipped limits are assumed for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// No billing account.
    Free,
    /// Billed; the lowest tier.
    Paid,
    /// A tier by the provider's own name, such as `tier-2`.
    Named(String),
}

impl Tier {
    /// Its name as it is written: `free`, `paid`, or the provider's own.
    pub fn name(&self) -> &str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
            Self::Named(name) => name,
        }
    }

    /// Whether both say the same: the lowest tier that is billed is called `paid` here and `tier-1` by providers, and a
    /// tier's number may stand alone.
    ///
    /// ```
    /// use tower_keypool::Tier;
    ///
    /// assert!(Tier::Paid.is_same(&Tier::of_name("tier-1")));
    /// assert!(!Tier::Paid.is_same(&Tier::of_name("tier-2")));
    /// ```
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || self.level() == other.level()
    }

    /// What providers number it by: `free`, `1`, `2`…
    pub(crate) fn level(&self) -> &str {
        let name = self.name().trim_start_matches("tier").trim_start_matches(['-', '_', ' ']);
        if name == "paid" { "1" } else { name }
    }

    /// The tier of this name.
    pub fn of_name(name: &str) -> Self {
        match name {
            "free" => Self::Free,
            "paid" => Self::Paid,
            named => Self::Named(named.to_owned()),
        }
    }
}

/// A credential and what it is worth: what a pool is made of.
///
/// Keys that share an account share its quota: name the same [`owner`](Key::owner) for them. For Gemini the owner is
/// the Google Cloud project. A key that names no owner is its own.
///
/// ```
/// use tower_keypool::{Key, Limits, Priority};
///
/// let key = Key::free("AIza-not-a-real-key-000").owner("project-a").weight(2.0).max_concurrent(4);
/// assert_eq!(key.priority_of(), Priority::FREE);
/// assert!(!format!("{key:?}").contains("AIza"));
/// ```
#[derive(Clone)]
pub struct Key {
    pub(crate) secret: String,
    pub(crate) id: Option<KeyId>,
    pub(crate) priority: Priority,
    pub(crate) weight: f32,
    pub(crate) owner: Option<String>,
    pub(crate) billing_account: Option<String>,
    pub(crate) max_concurrent: Option<u16>,
    pub(crate) min_interval: Duration,
    pub(crate) zone: Option<String>,
    pub(crate) tier: Option<Tier>,
    pub(crate) labels: BTreeMap<String, String>,
    /// (model or `*`, limits), later ones win for the same model.
    pub(crate) limits: Vec<(String, Limits)>,
    /// Of every model, where nothing is given or learned.
    pub(crate) assumed: Limits,
    pub(crate) disabled: Option<String>,
    pub(crate) exit: Option<String>,
}

impl Key {
    /// A key of priority 0 and weight 1 with no tier named.
    ///
    /// A secret of fewer than eight characters is taken, but hidden nowhere: it would maim good text.
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            id: None,
            priority: Priority::FREE,
            weight: 1.0,
            owner: None,
            billing_account: None,
            max_concurrent: None,
            min_interval: Duration::ZERO,
            zone: None,
            tier: None,
            labels: BTreeMap::new(),
            limits: Vec::new(),
            assumed: Limits::new(),
            disabled: None,
            exit: None,
        }
    }

    /// A text without its secret, as far as that is one.
    pub(crate) fn masked(&self, text: &str) -> String {
        let hidden = Secret::new(&self.secret).ok().and_then(|secret| secret.hidden_in(text));
        hidden.unwrap_or_else(|| text.to_owned())
    }

    /// A key of the free tier, priority [`Priority::FREE`].
    pub fn free(secret: impl Into<String>) -> Self {
        Self::new(secret).tier(Tier::Free)
    }

    /// A key of a paid tier, priority [`Priority::PAID`].
    pub fn paid(secret: impl Into<String>) -> Self {
        Self::new(secret).tier(Tier::Paid).priority(Priority::PAID)
    }

    /// Names it. Without, it is `k-` and 8 hex digits of the secret's SHA-256.
    #[must_use]
    pub fn id(mut self, id: impl Into<KeyId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets which keys come first: lower first.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Share of the load inside its priority: above 0, finite; 1.0 unless set. Checked when the pool is built.
    ///
    /// The strategy says what it is a share of. By [`LeastLoaded`](crate::Strategy::LeastLoaded), the default, it is a share of the
    /// requests in flight: of idle keys the heaviest comes first, and requests that come one after the other all go to it, until a
    /// limit is full. By [`Weighted`](crate::Strategy::Weighted) it is a share of the starts.
    #[must_use]
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// Who owns the quota. Keys of one owner share its limits and rests.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The billing account that pays for the owner; owners that share one run dry together.
    #[must_use]
    pub fn billing_account(mut self, account: impl Into<String>) -> Self {
        self.billing_account = Some(account.into());
        self
    }

    /// At most this many requests in flight at once, 1 to 65,534; unlimited unless set.
    #[must_use]
    pub fn max_concurrent(mut self, requests: u16) -> Self {
        self.max_concurrent = Some(requests);
        self
    }

    /// Shortest time between two starts; zero unless set.
    #[must_use]
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// IANA zone in which the owner's day ends. Unless set it is the provider's (Gemini: `America/Los_Angeles`).
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The account's tier; shipped limits are assumed only for keys that name one.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = Some(tier);
        self
    }

    /// A label shown in snapshots, such as `source`.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Limits of this key's owner for a model (`*`: every model without its own).
    #[must_use]
    pub fn limits(mut self, model: impl Into<String>, limits: Limits) -> Self {
        self.limits.push((model.into(), limits));
        self
    }

    /// Limits of this key's owner for every model where none are given or learned; they come before those of the
    /// provider's table.
    #[must_use]
    pub fn assumed_limits(mut self, limits: Limits) -> Self {
        self.assumed = limits;
        self
    }

    /// The [exit](super::Exit) that its requests go out by: 1 to 64 of `A-Z a-z 0-9 . _ -`, checked when the pool is built.
    /// Unless set they go out the usual way.
    #[must_use]
    pub fn exit(mut self, exit: impl Into<String>) -> Self {
        self.exit = Some(exit.into());
        self
    }

    /// It joins a pool switched off, until it is [enabled](crate::KeyPool::enable). `reason` is shown.
    #[must_use]
    pub fn disabled(mut self, reason: impl Into<String>) -> Self {
        self.disabled = Some(reason.into());
        self
    }

    /// The id it has or will get.
    pub fn key_id(&self) -> KeyId {
        self.id.clone().unwrap_or_else(|| KeyId::derived(Sha256::digest(self.secret.as_bytes()).into()))
    }

    /// The name it has where another key of a pool has the same hash as far as [`Key::key_id`] shows it; none where
    /// its name was given.
    pub(crate) fn longer_id(&self) -> Option<KeyId> {
        let derived = || KeyId::derived_longer(Sha256::digest(self.secret.as_bytes()).into());
        self.id.is_none().then(derived)
    }

    /// The priority it has.
    pub fn priority_of(&self) -> Priority {
        self.priority
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.key_id())
            .field("priority", &self.priority.0)
            .field("weight", &self.weight)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
