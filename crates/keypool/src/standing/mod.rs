//! How keys stand, as a database tells it: what commands said, what rests, and what was used today.

mod calendar;
mod configured;
mod days;
mod state;
mod sum;
mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use tower_keypool::{
    Limits, Scope, Span, Unit, VerdictKind,
    config::KeySpec,
    store::{
        BookKey, Image, KeptSecret, KeyBook, KeyRecord, KeySettings, KeyStanding, RestRecord, StoreError, UnitRecord,
        UsageRecord,
    },
};

use crate::database::Database;

pub use calendar::{Calendar, now_ms};
pub use configured::Configured;
pub use days::Days;
pub use state::State;
pub use sum::Sum;
pub use window::Window;

/// Why a day is closed of which nobody knows what was used.
const LOST: &str = "unknown since the store lost what it knew, until midnight";

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
    /// What the adaptive strategy made of it.
    pub weight_now: f32,
    /// Who owns its quota.
    pub owner: Option<String>,
    /// Where it is from: its label.
    pub source: Option<String>,
    /// Where its secret is: `encrypted`, `plain`, `env:NAME`, `file:PATH`, `elsewhere` (a key file, a variable), or `removed`.
    pub secret: String,
    /// Where it is from, as far as the configuration and the database tell now.
    pub origins: Vec<String>,
    /// What commands said of its limits, by model.
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
    /// What rests of it, of its owner and its account.
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
        let days = Days::new(&book, configured);
        let usage = match (store, days.span("today")) {
            (Some(store), Some((first, last))) => store.usage(&first, &last).await?,
            _ => Vec::new(),
        };
        let is_todays = |used: &UsageRecord| *used.day == *days.of(&used.key).today();
        let usage: Vec<UsageRecord> = usage.into_iter().filter(is_todays).collect();
        for spec in &configured.keys {
            book.know(KeyRecord::of(&spec.key(), KeptSecret::Elsewhere, calendar.now_ms()));
        }
        let scene = Scene::new(&book, &image, &usage, &days, calendar.now_ms());
        let mut keys: Vec<Stand> = book.keys().map(|(hash, key)| scene.stand(hash, key)).collect();
        let origins = configured.origins();
        let said: HashMap<String, &KeySpec> = configured.keys.iter().map(|spec| (spec.hash(), spec)).collect();
        for key in &mut keys {
            key.origins.extend(origins.get(&key.hash).into_iter().flatten().cloned());
            let filed = said.get(&key.hash).copied();
            if let Some(spec) = filed {
                key.go_by(spec);
            }
            let settings = book.by_hash(&key.hash).and_then(|key| key.settings.as_ref());
            if !matches!(key.state, State::Disabled | State::Removed)
                && let Some(why) = configured.nowhere(filed, settings)
            {
                (key.state, key.reason) = (State::Faulty, why);
            }
        }
        keys.retain(|key| !key.id.is_empty());
        let gone = |key: &Stand| key.state == State::Removed;
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
    }
}

/// What a key's standing is read from.
struct Scene<'a> {
    /// By whom they concern.
    rests: HashMap<&'a str, Vec<&'a RestRecord>>,
    /// By owner.
    units: HashMap<&'a str, Vec<&'a UnitRecord>>,
    /// By key.
    usage: HashMap<&'a str, Vec<&'a UsageRecord>>,
    days: &'a Days,
    now: i64,
    /// What owners are called that the provider calls the same.
    called: HashMap<&'a str, BTreeSet<String>>,
}

impl<'a> Scene<'a> {
    fn new(book: &'a KeyBook, image: &'a Image, usage: &'a [UsageRecord], days: &'a Days, now: i64) -> Self {
        let mut called: HashMap<&str, BTreeSet<String>> = HashMap::new();
        for (hash, key) in book.keys() {
            if let Some(consumer) = key.record.consumer.as_deref() {
                called.entry(consumer).or_default().extend(names(hash, key));
            }
        }
        let (mut rests, mut units, mut used) = (HashMap::new(), HashMap::new(), HashMap::new());
        for rest in image.rests.values() {
            rests.entry(&*rest.id.whom).or_insert_with(Vec::new).push(rest);
        }
        for unit in image.units.values() {
            units.entry(&*unit.owner).or_insert_with(Vec::new).push(unit);
        }
        for record in usage {
            used.entry(&*record.key).or_insert_with(Vec::new).push(record);
        }
        Self { rests, units, usage: used, days, now, called }
    }

    fn stand(&self, hash: &str, key: &BookKey) -> Stand {
        let record = &key.record;
        let said = key.settings.clone().unwrap_or_default();
        let mut owners: BTreeSet<String> = names(hash, key).collect();
        owners.extend(record.consumer.as_deref().and_then(|name| self.called.get(name)).into_iter().flatten().cloned());
        let rests = self.rests(hash, &owners, &said);
        let out = self.out(self.days.of(hash), &owners, &rests);
        let (state, reason) = self.state(hash, key, &owners, &rests, &out);
        let limits = said.limits.iter().map(|(model, limits)| (model.clone(), amounts(limits))).collect();
        Stand {
            id: record.id.clone(),
            hash: hash.to_owned(),
            tier: record.tier.clone(),
            priority: record.priority,
            weight: record.weight,
            weight_now: record.weight_now,
            owner: record.owner.clone(),
            source: record.source.clone(),
            secret: place(key),
            origins: key.is_kept().then(|| "database".to_owned()).into_iter().collect(),
            limits,
            state,
            reason,
            last_success: record.last_success,
            last_failure: record.last_failure,
            consecutive_failures: record.consecutive_failures,
            created: record.created,
            used_today: self.used(hash).map(|used| used.requests).sum(),
            rests,
            out_for_today: out,
            windows: self.units(&owners).flat_map(|unit| window::of(unit, self.days.of(hash), self.now)).collect(),
        }
    }

    fn used(&self, hash: &str) -> impl Iterator<Item = &UsageRecord> {
        self.usage.get(hash).into_iter().flatten().copied()
    }

    fn units(&self, owners: &BTreeSet<String>) -> impl Iterator<Item = &UnitRecord> {
        owners.iter().filter_map(|owner| self.units.get(&**owner)).flatten().copied()
    }

    fn rests(&self, hash: &str, owners: &BTreeSet<String>, said: &KeySettings) -> Vec<Rest> {
        let concerns = |rest: &&RestRecord| match rest.id.scope {
            Scope::Key | Scope::KeyLane => rest.id.whom == hash,
            Scope::Owner | Scope::OwnerLane => owners.contains(&rest.id.whom),
            Scope::BillingAccount => said.billing_account.as_ref() == Some(&rest.id.whom),
            _ => false,
        };
        let lasts = |rest: &&RestRecord| rest.ends.is_none_or(|ends| ends > self.now);
        let whom = owners.iter().map(String::as_str).chain([hash]).chain(said.billing_account.as_deref());
        let mut seen = BTreeSet::new();
        let whom = whom.filter(|whom| seen.insert(*whom));
        let rests = whom.filter_map(|whom| self.rests.get(whom)).flatten().copied();
        let rests = rests.filter(concerns).filter(lasts);
        let shown = |rest: &RestRecord| Rest {
            scope: rest.id.scope,
            model: rest.id.lane.clone(),
            kind: rest.kind,
            code: rest.code.clone(),
            advice: rest.advice.clone(),
            until: rest.ends,
        };
        rests.map(shown).collect()
    }

    /// For which models the day is used up: as the provider said, or by a limit that is known.
    /// A quota that comes back before this day ends was not the day's.
    fn out(&self, calendar: &Calendar, owners: &BTreeSet<String>, rests: &[Rest]) -> Vec<Out> {
        let (today, midnight) = (calendar.today(), calendar.midnight_ms());
        let lasts = |rest: &&Rest| rest.until.is_some_and(|until| until >= midnight);
        let said = rests.iter().filter(|rest| rest.kind == VerdictKind::QuotaExhausted).filter(lasts);
        let mut out: BTreeMap<Option<String>, String> =
            said.map(|rest| (rest.model.clone(), rest.code.clone())).collect();
        let is_today = |lost: &i64| calendar.date_of(*lost) == today;
        for unit in self.units(owners) {
            let days = || unit.windows.iter().filter(|window| window.limit.span == Span::Day);
            let counted = |used: &tower_keypool::store::WindowRecord| used.days.iter().any(|(day, _)| *day == today);
            // Nobody has asked for it since.
            if unit.lost.as_ref().is_some_and(is_today) && !days().any(counted) {
                out.entry(Some(unit.lane.clone())).or_insert_with(|| LOST.to_owned());
            }
            for window in unit.windows.iter().filter(|window| window.limit.span == Span::Day) {
                let used = window.days.iter().find(|(day, _)| *day == today).map_or(0, |(_, used)| *used);
                if used >= window.limit.amount {
                    let lost = unit.lost.as_ref().is_some_and(is_today);
                    let known = || format!("{used} of {} {}", window.limit.amount, window.limit);
                    let why = if lost { LOST.to_owned() } else { known() };
                    out.entry(Some(unit.lane.clone())).or_insert(why);
                }
            }
        }
        out.into_iter().map(|(model, why)| Out { model, why }).collect()
    }

    fn state(
        &self,
        hash: &str,
        key: &BookKey,
        owners: &BTreeSet<String>,
        rests: &[Rest],
        out: &[Out],
    ) -> (State, String) {
        let record = &key.record;
        if let Some(reason) = key.disabled() {
            return (State::Disabled, reason.to_owned());
        }
        if !key.is_kept() && record.state == KeyStanding::Removed {
            return (State::Removed, String::new());
        }
        // By a program, not by a command.
        let untouched = key.settings.as_ref().is_none_or(|said| said.lifted == 0);
        if record.state == KeyStanding::Disabled && untouched {
            return (State::Disabled, record.reason.clone());
        }
        let why = |rest: &Rest| if rest.advice.is_empty() { rest.code.clone() } else { rest.advice.clone() };
        let whole: Vec<&Rest> = rests.iter().filter(|rest| rest.model.is_none()).collect();
        if let Some(rest) = whole.iter().find(|rest| rest.until.is_none()) {
            return (State::Faulty, format!("{}: {}", rest.code, why(rest)));
        }
        if let Some(out) = out.iter().find(|out| out.model.is_none()) {
            return (State::OutForToday, out.why.clone());
        }
        if let Some(rest) = whole.iter().max_by_key(|rest| rest.until) {
            return (State::Resting, why(rest));
        }
        let lanes: BTreeSet<&str> =
            self.units(owners).map(|unit| &*unit.lane).chain(self.used(hash).map(|used| &*used.lane)).collect();
        let closed = |lane: &&str| out.iter().any(|out| out.model.as_deref() == Some(*lane));
        if !out.is_empty() && lanes.iter().all(closed) {
            return (State::OutForToday, out[0].why.clone());
        }
        match (rests.first(), out.first()) {
            (_, Some(out)) => (State::Partly, out.why.clone()),
            (Some(rest), None) => (State::Partly, why(rest)),
            (None, None) => (State::Usable, String::new()),
        }
    }
}

/// What its owner may be called in a store.
fn names(hash: &str, key: &BookKey) -> impl Iterator<Item = String> {
    let owner = key.record.owner.clone();
    [Some(format!("key:{hash}")), owner].into_iter().flatten()
}

fn place(key: &BookKey) -> String {
    match &key.record.secret {
        KeptSecret::Reference(place) => place.clone(),
        KeptSecret::Sealed(_) => "encrypted".to_owned(),
        KeptSecret::Plain(_) => "plain".to_owned(),
        _ if key.record.state == KeyStanding::Removed => "removed".to_owned(),
        _ => "elsewhere".to_owned(),
    }
}

fn amounts(limits: &Limits) -> Vec<String> {
    limits.iter().map(|limit| format!("{} {limit}", limit.amount)).collect()
}

#[cfg(test)]
mod tests;
