//! How keys stand, as a database tells it: what commands said, what rests, and what was used today.

mod calendar;
mod configured;
mod days;
mod opens;
mod scene;
mod state;
mod sum;
mod window;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use serde::Serialize;
use tower_keypool::{
    Scope, Span, Unit, VerdictKind,
    config::KeySpec,
    store::{BookKey, KeptSecret, KeyRecord, StoreError, UsageRecord},
};

use self::{opens::Opens, scene::Scene};
use crate::database::{Database, Records, zones};

pub use calendar::{Calendar, now_ms};
pub use configured::Configured;
pub use days::Days;
pub use state::State;
pub use sum::Sum;
pub use window::Window;

/// A key as a database knows it.
#[derive(Clone, Debug, Serialize)]
pub struct Stand {
    /// Its name.
    pub id: String,
    /// Of its secret.
    #[serde(skip)]
    pub hash: String,
    /// What the account pays.
    pub tier: Option<String>,
    /// Lower comes first.
    pub priority: u16,
    /// The share of the load that was configured.
    pub weight: f32,
    /// What the adaptive strategy makes of it; another strategy makes nothing of it.
    pub weight_now: f32,
    /// Who owns its quota.
    pub owner: Option<String>,
    /// Where it is from: its label.
    pub source: Option<String>,
    /// What else somebody calls it, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where its secret is: `encrypted`, `plain`, `env:NAME`, `file:PATH`, `elsewhere` (a key file, a variable), or `removed`.
    pub secret: String,
    /// Where it is from, as far as the configuration and the database tell now.
    pub origins: Vec<String>,
    /// What files and commands say of its limits, by model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Vec<String>>,
    /// How it stands.
    pub state: State,
    /// Why it is not usable.
    pub reason: String,
    /// Unix milliseconds.
    pub last_success: Option<i64>,
    /// The same.
    pub last_failure: Option<i64>,
    /// Faults since the last good answer.
    pub consecutive_failures: u32,
    /// When it was first seen.
    pub created: i64,
    /// Requests of today.
    pub used_today: i64,
    /// What rests of it, of its owner, its account and its exit.
    pub rests: Vec<Rest>,
    /// Models for which its day is used up.
    pub out_for_today: Vec<Out>,
    /// What its owner has used of its limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
}

/// A rest.
#[derive(Clone, Debug, Serialize)]
pub struct Rest {
    /// Whom it concerns.
    pub scope: Scope,
    /// In which lane, where it is bound to one; empty: requests without a model.
    pub model: Option<String>,
    /// What the answer meant.
    pub kind: VerdictKind,
    /// The provider's word for it.
    pub code: String,
    /// What a person can do.
    pub advice: String,
    /// Until when, in Unix milliseconds; none: without end.
    pub until: Option<i64>,
}

/// A model for which a day is used up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Out {
    /// The model; none: all.
    pub model: Option<String>,
    /// Why.
    pub why: String,
}

/// All keys, and what was used today.
#[derive(Clone, Debug)]
pub struct Standings {
    /// By priority and name; those that left come last.
    pub keys: Vec<Stand>,
    /// Of each key's today.
    pub usage: Vec<UsageRecord>,
    /// Which day it is for each of them.
    pub days: Days,
}

impl Standings {
    /// As this database tells, where there is one, and the configuration, of keys that no database knows yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn of(store: Option<&Database>, configured: &Configured) -> Result<Self, StoreError> {
        let calendar = &configured.calendar;
        let (mut book, image) = match store {
            Some(store) => (store.key_book().await?, store.look().await?),
            None => Default::default(),
        };
        let zones = match store {
            Some(store) => zones::told(&Records::Kept(store.clone()), calendar.now_ms()).await?,
            None => BTreeMap::new(),
        };
        let days = Days::knowing(&book, configured, &zones);
        let usage = match (store, days.span("today")) {
            (Some(store), Some((first, last))) => store.usage(&first, &last).await?,
            _ => Vec::new(),
        };
        let is_todays = |used: &UsageRecord| *used.day == *days.of(&used.key).today();
        let usage: Vec<UsageRecord> = usage.into_iter().filter(is_todays).collect();
        for spec in &configured.keys {
            book.know(KeyRecord::of(&spec.key(), KeptSecret::Elsewhere, calendar.now_ms()));
        }
        let opens = Opens::of(store).await?;
        let scene = Scene::new(&book, &image, &usage, &days, calendar.now_ms());
        let origins = configured.origins();
        let said: HashMap<String, &KeySpec> = configured.keys.iter().map(|spec| (spec.hash(), spec)).collect();
        let stand = |(hash, key): (&str, &BookKey)| {
            let filed = said.get(hash).copied();
            let exit = configured.exit(filed, key.settings.as_ref());
            let mut stand = scene.stand(hash, key, exit);
            stand.origins.extend(origins.get(hash).into_iter().flatten().cloned());
            if let Some(spec) = filed {
                stand.go_by(spec);
            }
            if !configured.is_adaptive {
                stand.weight_now = stand.weight;
            }
            if !matches!(stand.state, State::Disabled | State::Removed)
                && let Some(why) = configured.nowhere(exit)
            {
                (stand.state, stand.reason) = (State::Faulty, why);
            }
            if !matches!(stand.state, State::Disabled | State::Removed)
                && let Some(why) = opens.why_not(&key.record)
            {
                (stand.state, stand.reason) = (State::Faulty, why);
            }
            stand
        };
        let mut keys: Vec<Stand> = book.keys().map(stand).collect();
        let gone = |key: &Stand| key.state == State::Removed;
        // What another secret took the place of is the key that has that one, and of several that left under one name the last one
        // is told of.
        let replaced: HashSet<&str> = book
            .keys()
            .flat_map(|(_, key)| &key.settings)
            .flat_map(|said| &said.replaces)
            .map(String::as_str)
            .collect();
        let stands = |key: &Stand| !gone(key) || !replaced.contains(&*key.hash);
        keys.retain(|key| !key.id.is_empty() && stands(key));
        keys.sort_unstable_by_key(|key| Reverse(key.created));
        let mut left = HashSet::new();
        keys.retain(|key| !gone(key) || left.insert(key.id.clone()));
        keys.sort_by(|a, b| (gone(a), a.priority, &a.id).cmp(&(gone(b), b.priority, &b.id)));
        Ok(Self { keys, usage, days })
    }

    /// What the owner of each key that is there has used of today's requests for a model, by the key's name. As it was
    /// written last, by whichever process: in the owner's window, or in its keys' use.
    pub fn requests_today(&self, model: &str) -> impl Iterator<Item = (&str, u64)> {
        let mut of_key: HashMap<&str, u64> = HashMap::new();
        for used in self.usage.iter().filter(|used| &*used.lane == model) {
            *of_key.entry(&*used.key).or_default() += u64::try_from(used.requests).unwrap_or_default();
        }
        let mut of_owner: HashMap<&str, u64> = HashMap::new();
        for key in self.present() {
            let used = of_key.get(&*key.hash).copied().unwrap_or_default();
            *of_owner.entry(key.owner.as_deref().unwrap_or(&key.hash)).or_default() += used;
        }
        let of_day = move |window: &&Window| {
            window.model == model && window.limit.unit == Unit::Requests && window.limit.span == Span::Day
        };
        self.present().map(move |key| {
            // An owner that goes by several names has one quota.
            let counted = key.windows.iter().filter(of_day).map(|window| window.used).max().unwrap_or_default();
            let used = of_owner.get(key.owner.as_deref().unwrap_or(&key.hash)).copied().unwrap_or_default();
            (&*key.id, counted.max(used))
        })
    }

    /// Those that did not leave.
    pub fn present(&self) -> impl Iterator<Item = &Stand> {
        self.keys.iter().filter(|key| key.state != State::Removed)
    }
}

impl Stand {
    /// What a file says of a key holds, also before a pool has read it.
    fn go_by(&mut self, spec: &KeySpec) {
        if let Some(id) = &spec.id {
            self.id.clone_from(id);
        }
        if spec.priority.is_some() || spec.tier.is_some() {
            self.priority = spec.key().priority_of().0;
        }
        self.tier = spec.tier.as_ref().map(|tier| tier.name().to_owned()).or(self.tier.take());
        self.weight = spec.weight.unwrap_or(self.weight);
        self.owner = spec.owner.clone().or(self.owner.take());
        self.source = spec.labels.get("source").cloned().or(self.source.take());
        self.labels.extend(spec.labels.clone());
        self.labels.remove("source");
        self.limits.extend(spec.limits.iter().map(|(model, limits)| (model.clone(), scene::amounts(limits))));
    }
}

#[cfg(test)]
mod tests;
