//! What belongs to somebody: files, caches, tuned models, batches, operations, interactions and whatever else only the
//! keys of one owner see.
//!
//! Whose a name is, and which owner's keys see it, is learned from the answers that name it first, and kept. A request
//! that names it goes to those keys, and only for the tenant whose it is; for everybody else there is no such thing.

mod at_once;
mod body_model;
pub(in crate::gateway) mod compatible;
mod gathered;
pub(in crate::gateway) mod ids;
pub(in crate::gateway) mod kept;
mod learned;
mod listed;
pub(in crate::gateway) mod made;
mod makers;
mod mentioned;
mod named;
mod overheard;
mod owners;
mod path;
mod runs;
mod shortened;
mod shown;
mod sought;
mod spelled;
mod spoken;
mod tried;
mod unseen;
mod uploads;
mod whereabouts;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
};

use http::{StatusCode, request::Parts};
use keypool_client::names::life;
use serde::{Deserialize, Serialize};
use tower_keypool::{
    Affinity, Clock, Demand, KeyId, KeyPool,
    store::{Ledger, LedgerEntry, Placing, StoreError},
};

use crate::{
    database::Records,
    gateway::{
        admit::{capability::hash_of, tenant::Tenant},
        dialect::Refusal,
        unix_time::unix_ms,
    },
};

pub(in crate::gateway) use at_once::{Coming, at_once};
pub(super) use gathered::BROKE_OFF;
pub(in crate::gateway) use listed::{Listed, Unlisted, list};
pub(in crate::gateway) use mentioned::may_name_compatible;
pub(in crate::gateway) use overheard::Overheard;
pub(in crate::gateway) use owners::{Holder, holders, in_reach};
pub(super) use owners::{Reach, back_in};
pub(super) use path::model_of;
pub(in crate::gateway) use sought::{LATE, Listening, Read, Sought, Target, look_through, seek};
pub(in crate::gateway) use spoken::{names_nothing, names_of, naming, tuned};
pub(in crate::gateway) use tried::find;
pub(in crate::gateway) use whereabouts::{AT_ANOTHER, AT_SEVERAL};

use self::{named::Subject, runs::Runs, shown::Shown};
pub(in crate::gateway) use makers::{Gives, Together};

/// The kind of its records.
const RESOURCE: &str = "resource";
/// Names that are at hand without a look at the records.
const AT_HAND: usize = 10_000;

/// What becomes of a name that nobody here has heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// It is tried nowhere.
    #[default]
    Refuse,
    /// Each owner is asked for it, and it is whoever's names it first.
    Try,
}

/// Whose what is.
#[derive(Clone, Debug)]
pub struct Resources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    records: Records,
    clock: Clock,
    pool: Option<KeyPool>,
    at_hand: Mutex<HashMap<String, Owned>>,
    /// Whether anything was ever anybody's, and when that was looked up last.
    used: AtomicBool,
    looked: AtomicI64,
    runs: Runs,
    /// Whose turn it is to have the first of a run of files.
    turn: AtomicUsize,
    shown: Shown,
}

/// How often it is looked up whether other processes have learned of anything.
const LOOK: i64 = 500;

/// Whose something is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    tenant: Arc<str>,
    by: By,
    until: Option<i64>,
}

/// The key that made it, and that key's owner: what of both is still in the pool sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct By {
    key: String,
    owner: Option<String>,
}

pub(in crate::gateway) const NOT_HERE: Refusal = Refusal::new(
    StatusCode::NOT_FOUND,
    "what the request names is not known here: it was not made through this gateway, belongs to somebody else, or has \
     ended",
);
const NO_KEY: Refusal =
    Refusal::new(StatusCode::NOT_FOUND, "what the request names was made with a key that this gateway has no more");
const SEVERAL: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "what the request names belongs to several projects, of which no key sees all: make it anew, one after the other, before any of it is \
     asked about; or name a session with all of it (x-keypool-session)",
);

impl Resources {
    /// What these records know, of a pool.
    pub fn new(records: Records, clock: Clock, pool: Option<KeyPool>) -> Self {
        Self(Arc::new(Inner {
            records,
            clock,
            pool,
            at_hand: Mutex::default(),
            used: AtomicBool::new(false),
            looked: AtomicI64::new(i64::MIN),
            runs: Runs::default(),
            turn: AtomicUsize::new(0),
            shown: Shown::default(),
        }))
    }

    fn at_hand(&self) -> MutexGuard<'_, HashMap<String, Owned>> {
        self.0.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is anybody's: as long as nothing is, nobody can name what is another's.
    pub(in crate::gateway) async fn is_used(&self) -> bool {
        if self.0.used.load(Ordering::Relaxed) {
            return true;
        }
        let now = unix_ms(&self.0.clock);
        let looked = self.0.looked.load(Ordering::Relaxed);
        if now.saturating_sub(looked) >= LOOK {
            self.0.looked.store(now, Ordering::Relaxed);
            let used = self.0.records.revision(RESOURCE).await.is_ok_and(|revision| revision > 0);
            self.0.used.fetch_or(used, Ordering::Relaxed);
        }
        self.0.used.load(Ordering::Relaxed)
    }

    /// Whether it was looked up of late that nothing is.
    pub(in crate::gateway) fn is_known_to_be_unused(&self) -> bool {
        let looked = self.0.looked.load(Ordering::Relaxed);
        !self.0.used.load(Ordering::Relaxed) && unix_ms(&self.0.clock).saturating_sub(looked) < LOOK
    }

    /// Says of a request that it names nothing of anybody's, where that matters: once a key refused some as if it did.
    fn say_it_names_nothing(&self, parts: &mut Parts) {
        if self.0.pool.as_ref().is_some_and(KeyPool::met_unclear_refusals) {
            let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
            parts.extensions.insert(demand.names_nothing());
        }
    }

    /// Whose these are; those that nobody knows are not in it.
    async fn look_up(&self, names: &[String]) -> Result<HashMap<String, Owned>, Refusal> {
        let now = unix_ms(&self.0.clock);
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let at_hand = self.at_hand();
            for name in names {
                match at_hand.get(name).filter(|owned| owned.until.is_none_or(|until| now < until)) {
                    Some(owned) => {
                        found.insert(name.clone(), owned.clone());
                    }
                    None => missing.push(kept_name(name)),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let kept = self.0.records.kept(RESOURCE, missing, now).await.map_err(|error| unreachable(&error))?;
        let by_name: HashMap<String, &String> = names.iter().map(|name| (kept_name(name), name)).collect();
        for entry in kept {
            let (Some(name), Some(owned)) = (by_name.get(&entry.name), read(&entry)) else { continue };
            self.keep_at_hand(name, &owned);
            found.insert((*name).clone(), owned);
        }
        Ok(found)
    }

    fn keep_at_hand(&self, name: &str, owned: &Owned) {
        let mut at_hand = self.at_hand();
        if at_hand.len() >= AT_HAND {
            at_hand.clear();
        }
        at_hand.insert(name.to_owned(), owned.clone());
    }

    /// These are this tenant's, made with this key, unless they are somebody's already.
    pub(in crate::gateway) async fn learn(&self, names: Vec<String>, tenant: &Arc<str>, key: &KeyId) {
        self.learn_in(self.0.pool.as_ref(), names, tenant, key).await;
    }

    /// The same where the key is of this pool.
    async fn learn_in(&self, pool: Option<&KeyPool>, names: Vec<String>, tenant: &Arc<str>, key: &KeyId) {
        let unknown: Vec<String> = {
            let at_hand = self.at_hand();
            let changing = |name: &String| life(name).is_some_and(|life| life > 7 * 86_400_000);
            names.into_iter().filter(|name| !at_hand.contains_key(name) || changing(name)).collect()
        };
        if unknown.is_empty() {
            return;
        }
        let by = By::key(pool, key);
        let Ok(value) = serde_json::to_string(&by) else { return };
        self.0.used.store(true, Ordering::Relaxed);
        let now = unix_ms(&self.0.clock);
        let entries = unknown.iter().map(|name| LedgerEntry {
            name: kept_name(name),
            whose: tenant.to_string(),
            value: value.clone(),
            until: life(name).map(|life| now.saturating_add(life)),
            revision: 0,
        });
        if let Err(error) = self.0.records.keep(RESOURCE, entries.collect(), Placing::Claim, now).await {
            tracing::warn!("whose new files or the like are cannot be kept, and is known here alone: {error}");
            for name in &unknown {
                let until = life(name).map(|life| now.saturating_add(life));
                self.keep_at_hand(name, &Owned { tenant: Arc::clone(tenant), by: by.clone(), until });
            }
        }
    }

    /// Something was deleted.
    async fn forget(&self, name: &str) {
        self.at_hand().remove(name);
        if let Err(error) = self.0.records.forget(RESOURCE, vec![kept_name(name)]).await {
            tracing::debug!("what was deleted is still known: {error}");
        }
    }

    /// What leads to the keys that see all of these, which are one tenant's. `None` for a name that nobody knows.
    pub(in crate::gateway) async fn way_to(
        &self,
        names: &[String],
        tenant: &Tenant,
    ) -> Result<Option<Affinity>, Refusal> {
        let found = self.look_up(names).await?;
        if found.values().any(|owned| owned.tenant != *tenant.name()) {
            return Err(NOT_HERE);
        }
        if names.iter().any(|name| !found.contains_key(name)) {
            return Ok(None);
        }
        let mut way = None;
        for owned in found.values() {
            let leads = self.leads(&owned.by).ok_or(NO_KEY)?;
            if way.get_or_insert_with(|| leads.clone()) != &leads {
                self.0.runs.renew(tenant.name());
                return Err(SEVERAL);
            }
        }
        Ok(way)
    }

    /// The first of these names that is not known to be the tenant's own, by its place among them.
    pub(in crate::gateway) async fn foreign(
        &self,
        names: &[String],
        tenant: &Tenant,
    ) -> Result<Option<usize>, Refusal> {
        let found = self.look_up(names).await?;
        Ok(names.iter().position(|name| found.get(name).is_none_or(|owned| owned.tenant != *tenant.name())))
    }

    /// Whether something is called so here, whosever it is.
    pub(in crate::gateway) async fn knows(&self, name: &str) -> bool {
        self.look_up(&[name.to_owned()]).await.is_ok_and(|found| found.contains_key(name))
    }

    /// Those of these names that nobody knows.
    pub(in crate::gateway) async fn unknown(&self, names: &[String]) -> Result<Vec<String>, Refusal> {
        let known = self.look_up(names).await?;
        Ok(names.iter().filter(|name| !known.contains_key(*name)).cloned().collect())
    }

    /// Whose something is, and what leads to the keys that see it.
    pub(in crate::gateway) async fn whose(&self, name: &str) -> Result<Option<(Arc<str>, Affinity)>, Refusal> {
        let mut found = self.look_up(&[name.to_owned()]).await?;
        let Some(owned) = found.remove(name) else { return Ok(None) };
        Ok(self.leads(&owned.by).map(|way| (owned.tenant, way)))
    }

    /// Whether this way leads to where this key is.
    pub(in crate::gateway) fn is_where(&self, way: &Affinity, key: &KeyId) -> bool {
        let of_key = self.0.pool.as_ref().and_then(|pool| pool.affinity_to(key, None));
        of_key.as_ref() == Some(way) || *way == Affinity::MustKey(key.clone())
    }

    fn leads(&self, by: &By) -> Option<Affinity> {
        by.leads_in(self.0.pool.as_ref())
    }
}

/// A token that stands for a key is no more readable in the records than a key is.
fn kept_name(name: &str) -> String {
    match name.strip_prefix("auth_tokens/") {
        Some(token) => format!("auth_tokens/#{}", hash_of(token.as_bytes())),
        None => name.to_owned(),
    }
}

/// What a message names that may be somebody's, and every model that it asks.
///
/// # Errors
/// Where it is no JSON.
pub(in crate::gateway) fn named_in(message: &[u8]) -> Result<(Vec<String>, Vec<String>), serde_json::Error> {
    Ok((mentioned::names_in(message, false)?, mentioned::models_in(message)?))
}

/// What a path names that is somebody's.
pub(in crate::gateway) fn named_by(parts: &Parts) -> Option<String> {
    match Subject::of(parts) {
        Subject::Named(name) => Some(name),
        _ => None,
    }
}

/// Whether a message may name something that is somebody's.
pub(in crate::gateway) fn may_name(message: &[u8]) -> bool {
    mentioned::may_name(message)
}

/// What a request to the compatible endpoint names; most name nothing, and are not read.
///
/// # Errors
/// Where it may, and is no JSON.
pub(in crate::gateway) fn names_in_compatible(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    if mentioned::may_name_compatible(body) { mentioned::names_in(body, true) } else { Ok(Vec::new()) }
}

/// What it names; most name nothing, and are not read.
///
/// # Errors
/// Where it may, and is no JSON.
pub(in crate::gateway) fn names_in(message: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    if may_name(message) { mentioned::names_in(message, false) } else { Ok(Vec::new()) }
}

/// Whether a collection is listed as the compatible endpoint does.
pub(in crate::gateway) fn is_compatible(collection: &str) -> bool {
    collection.starts_with(compatible::FRONT)
}

fn read(entry: &LedgerEntry) -> Option<Owned> {
    let by = serde_json::from_str(&entry.value).ok()?;
    Some(Owned { tenant: entry.whose.as_str().into(), by, until: entry.until })
}

fn unreachable(error: &StoreError) -> Refusal {
    tracing::warn!("whose something is cannot be looked up: {error}");
    Refusal::UNREACHABLE
}
