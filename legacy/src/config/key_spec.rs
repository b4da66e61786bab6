//! A key as its sources describe it: what one does not say, another may.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    LimitsByModel, Origin,
    key_file::{self, LineError},
};
use crate::{
    key::{Key, Priority, Tier},
    limit::Limits,
    store::{KeySettings, secret_hash},
};

/// A key, with only what somebody said of it.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct KeySpec {
    pub(crate) secret: String,
    /// What it is called.
    pub id: Option<String>,
    /// What the account pays.
    pub tier: Option<Tier>,
    /// Its place in the order; 0 for `free` and no tier, 10 for any paid one, unless said.
    pub priority: Option<Priority>,
    /// Its share of the load.
    pub weight: Option<f32>,
    /// Who owns the quota.
    pub owner: Option<String>,
    /// Who pays.
    pub billing_account: Option<String>,
    /// The exit that its requests go out by.
    pub exit: Option<String>,
    /// Requests in flight at once.
    pub max_concurrent: Option<u16>,
    /// Between two starts.
    pub min_interval: Option<Duration>,
    /// Where its day ends.
    pub zone: Option<String>,
    /// Shown beside it.
    pub labels: BTreeMap<String, String>,
    /// By model, `*` for the rest.
    pub limits: LimitsByModel,
    /// Of every model, where nothing is given or learned.
    pub assumed: Limits,
    /// Switched off, and why. One source is enough.
    pub disabled: Option<String>,
    /// Everywhere it comes from, the most telling first.
    pub origins: Vec<Origin>,
}

impl KeySpec {
    /// A key of which nothing else is known.
    pub fn new(secret: impl Into<String>, origin: Origin) -> Self {
        Self { secret: secret.into(), origins: vec![origin], ..Self::default() }
    }

    /// A key that was made elsewhere. What it has by default counts as not said.
    pub fn of(key: &Key, origin: Origin) -> Self {
        let usual = Key::new("");
        Self {
            secret: key.secret.clone(),
            id: key.id.as_ref().map(ToString::to_string),
            tier: key.tier.clone(),
            priority: (key.priority != usual.priority).then_some(key.priority),
            weight: ((key.weight - usual.weight).abs() > f32::EPSILON).then_some(key.weight),
            owner: key.owner.clone(),
            billing_account: key.billing_account.clone(),
            exit: key.exit.clone(),
            max_concurrent: key.max_concurrent,
            min_interval: (!key.min_interval.is_zero()).then_some(key.min_interval),
            zone: key.zone.clone(),
            labels: key.labels.clone(),
            limits: key.limits.iter().cloned().collect(),
            assumed: key.assumed.clone(),
            disabled: key.disabled.clone(),
            origins: vec![origin],
        }
    }

    /// A key whose secret somebody typed or pasted. `not_keys` are values that may not stand there: the clients' token.
    ///
    /// # Errors
    /// Why it is none. Says nothing of what it holds.
    pub fn read(secret: &str, not_keys: &[&str], origin: Origin) -> Result<Self, LineError> {
        let secret = secret.trim();
        key_file::check(secret, not_keys)?;
        Ok(Self::new(secret, origin))
    }

    /// Takes an option as it stands in a key file: `rpm`, `10`.
    ///
    /// # Errors
    /// What the option takes. Says nothing of what was given.
    pub fn set(&mut self, option: &str, value: &str) -> Result<(), LineError> {
        key_file::set(self, option, value)
    }

    /// What its state in a store is bound to: SHA-256 of the secret, in hex.
    pub fn hash(&self) -> String {
        secret_hash(self.secret.trim())
    }

    /// The secret itself, for whoever keeps it.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Where it stands first.
    pub fn origin(&self) -> Origin {
        self.origins.first().cloned().unwrap_or_default()
    }

    /// Takes from a source of less weight what was not said yet. Labels are united; limits are taken by model.
    pub fn complete(&mut self, later: Self) {
        fn or<T>(held: &mut Option<T>, later: Option<T>) {
            *held = held.take().or(later);
        }
        // A tier that was said settles the place in the order, too, where nobody names that.
        or(&mut self.id, later.id);
        or(&mut self.tier, later.tier);
        or(&mut self.priority, later.priority);
        or(&mut self.weight, later.weight);
        or(&mut self.owner, later.owner);
        or(&mut self.billing_account, later.billing_account);
        or(&mut self.exit, later.exit);
        or(&mut self.max_concurrent, later.max_concurrent);
        or(&mut self.min_interval, later.min_interval);
        or(&mut self.zone, later.zone);
        or(&mut self.disabled, later.disabled);
        for (name, value) in later.labels {
            self.labels.entry(name).or_insert(value);
        }
        if self.limits.is_empty() {
            self.limits = later.limits;
        } else {
            for (model, limits) in &later.limits {
                if !self.limits.contains_key(model) {
                    self.limits.insert(model.clone(), limits.clone());
                }
            }
        }
        if self.assumed.is_empty() {
            self.assumed = later.assumed;
        }
        self.origins.extend(later.origins);
    }

    /// What a store's commands said of a key.
    pub fn of_settings(secret: impl Into<String>, said: &KeySettings, origins: Vec<Origin>) -> Self {
        Self {
            secret: secret.into(),
            id: said.id.clone(),
            tier: said.tier.as_deref().map(Tier::of_name),
            priority: said.priority.map(Priority),
            weight: said.weight,
            owner: said.owner.clone(),
            billing_account: said.billing_account.clone(),
            exit: said.exit.clone(),
            max_concurrent: said.max_concurrent,
            min_interval: said.min_interval,
            zone: said.zone.clone(),
            labels: said.labels.clone(),
            limits: said.limits.clone().into(),
            assumed: Limits::new(),
            disabled: said.disabled.clone(),
            origins,
        }
    }

    /// The same the other way round, for whoever keeps it in a store.
    pub fn settings(&self) -> KeySettings {
        KeySettings {
            hash: self.hash(),
            id: self.id.clone(),
            tier: self.tier.as_ref().map(|tier| tier.name().to_owned()),
            priority: self.priority.map(|priority| priority.0),
            weight: self.weight,
            owner: self.owner.clone(),
            billing_account: self.billing_account.clone(),
            exit: self.exit.clone(),
            max_concurrent: self.max_concurrent,
            min_interval: self.min_interval,
            zone: self.zone.clone(),
            labels: self.labels.clone(),
            limits: (*self.limits).clone(),
            disabled: self.disabled.clone(),
            ..KeySettings::default()
        }
    }

    /// As a pool takes it.
    pub fn key(&self) -> Key {
        let by_tier = if matches!(self.tier, None | Some(Tier::Free)) { Priority::FREE } else { Priority::PAID };
        let mut key = Key::new(self.secret.as_str()).priority(self.priority.unwrap_or(by_tier));
        key = key.assumed_limits(self.assumed.clone());
        if let Some(id) = &self.id {
            key = key.id(id.as_str());
        }
        if let Some(reason) = &self.disabled {
            key = key.disabled(reason.as_str());
        }
        if let Some(tier) = &self.tier {
            key = key.tier(tier.clone());
        }
        if let Some(weight) = self.weight {
            key = key.weight(weight);
        }
        if let Some(owner) = &self.owner {
            key = key.owner(owner.as_str());
        }
        if let Some(account) = &self.billing_account {
            key = key.billing_account(account.as_str());
        }
        if let Some(exit) = &self.exit {
            key = key.exit(exit.as_str());
        }
        if let Some(most) = self.max_concurrent {
            key = key.max_concurrent(most);
        }
        if let Some(interval) = self.min_interval {
            key = key.min_interval(interval);
        }
        if let Some(zone) = &self.zone {
            key = key.zone(zone.as_str());
        }
        for (name, value) in &self.labels {
            key = key.label(name.as_str(), value.as_str());
        }
        for (model, limits) in &self.limits {
            key = key.limits(model.as_str(), limits.clone());
        }
        key
    }
}

impl fmt::Debug for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySpec")
            .field("id", &self.id)
            .field("tier", &self.tier)
            .field("owner", &self.owner)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
