//! Pools of the providers beside the gateway's own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::JoinHandle;
use tower_keypool::{Clock, KeyPool, KeyPoolService, OpenError, config::Source};

use crate::{
    admin::{Side, Sides},
    client::{Client, Roots, WaysOut},
    config::{self, Loaded, ProviderName},
    database::{
        Database, InBoth, Joined, Keys, Looks, Records, Site, Told,
        processes::{self, Process},
    },
    gateway::{AllBelongings, Belongings, dialect::Dialect, route::Beside},
    stack,
    status::Traffic,
};

/// All of them. A pool outlives a reload of the configuration, by its provider's name; what it knows is kept beside what
/// the gateway's own knows.
pub(super) struct Pools {
    site: Site,
    held: HashMap<String, Held>,
    traffic: Arc<Traffic>,
    /// The gateway's: what pools note of a request is told in its time.
    clock: Clock,
    /// This one, which says in each database that it works on it.
    process: Process,
    /// Why one of them has no pool: what it is to count in is not to be had.
    lacking: Option<anyhow::Error>,
}

struct Held {
    /// Whose, where, whom it trusts, and its ways out: another one needs another pool.
    place: (ProviderName, String),
    roots: Roots,
    ways: WaysOut,
    pool: KeyPool,
    client: Client,
    goes_by: Arc<Mutex<GoesBy>>,
    /// Follows the keys of its database.
    following: JoinHandle<()>,
    /// Says in it that this process is there.
    present: JoinHandle<()>,
    records: Records,
    database: Option<Database>,
    looks: Looks,
    /// Of Gemini's: what tenants have there.
    belongings: Option<Arc<Belongings>>,
}

impl Held {
    /// It ends: what it holds goes back, what it knows is kept, and this process is there no more.
    async fn end(&self, process: &Process) {
        self.present.abort();
        tokio::join!(self.pool.shutdown(), processes::leave(&self.records, process));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.following.abort();
        self.present.abort();
    }
}

/// What a pool goes by.
struct GoesBy {
    /// What the configuration says.
    configured: config::Beside,
    /// What its database says.
    more: Vec<Source>,
}

impl GoesBy {
    /// With the keys of both.
    fn whole(&self) -> config::Beside {
        self.configured.with(&self.more)
    }

    fn say_in_both(&self, both: &InBoth) {
        both.are(self.configured.sources(), &self.more);
    }

    /// From now on it goes by something else.
    fn change(&mut self, pool: &KeyPool, change: impl FnOnce(&mut Self)) {
        let before = self.whole();
        change(self);
        let now = self.whole();
        if let Err(error) = pool.reconfigure(now.builder()) {
            tracing::error!("providers.{}: {error}", now.name);
        }
        config::switch_off(pool, now.keys(), before.keys());
        now.warn_of_none();
    }

    /// The keys of the database, from now on.
    fn hear(&mut self, pool: &KeyPool, told: Told) {
        let Told { source, lifted, .. } = told;
        self.change(pool, |this| this.more = vec![source]);
        let whole = self.whole();
        for spec in whole.keys().keys.iter().filter(|spec| lifted.contains(&spec.hash())) {
            if let Err(error) = pool.enable(&spec.key().key_id()) {
                tracing::warn!("{error}");
            }
        }
    }
}

impl Pools {
    pub(super) fn new(site: Site, traffic: Arc<Traffic>, clock: Clock, process: Process) -> Self {
        Self { site, held: HashMap::new(), traffic, clock, process, lacking: None }
    }

    /// The pools by their providers' names.
    pub(super) fn pools(&self) -> BTreeMap<String, KeyPool> {
        self.held.iter().map(|(name, held)| (name.clone(), held.pool.clone())).collect()
    }

    /// What tenants have at those of Gemini's.
    pub(super) fn belongings(&self) -> AllBelongings {
        let all = self.held.iter();
        all.filter_map(|(name, held)| Some((name.clone(), held.belongings.clone()?))).collect()
    }

    /// The same as the admin API changes their keys.
    pub(super) fn sides(&self) -> Sides {
        let side = |held: &Held| {
            let goes_by = Arc::clone(&held.goes_by);
            let keys = move || goes_by.lock().unwrap_or_else(PoisonError::into_inner).whole().keys().keys.clone();
            let (pool, database, looks) = (held.pool.clone(), held.database.clone(), held.looks.clone());
            Side { pool, database, looks, keys: Arc::new(keys) }
        };
        self.held.iter().map(|(name, held)| (name.clone(), side(held))).collect()
    }

    /// Goes by a configuration, and says what stands beside from now on. One whose keys cannot make a pool is left out.
    pub(super) async fn stand(&mut self, loaded: &Loaded) -> Vec<Beside<KeyPoolService<Client>>> {
        let mut before = std::mem::take(&mut self.held);
        let mut standing = Vec::new();
        for beside in &loaded.beside {
            let place = (beside.kind, beside.provider.base().to_string());
            let ways = &loaded.exits.ways;
            let is_same = |held: &Held| held.place == place && held.roots == loaded.roots && held.ways == *ways;
            let kept = if before.get(&beside.name).is_some_and(is_same) { before.remove(&beside.name) } else { None };
            let opened = match kept {
                Some(held) => {
                    let mut goes_by = held.goes_by.lock().unwrap_or_else(PoisonError::into_inner);
                    goes_by.change(&held.pool, |goes_by| goes_by.configured = beside.clone());
                    drop(goes_by);
                    Some(held)
                }
                None => self.open(beside, loaded).await,
            };
            let Some(held) = opened else { continue };
            let pool = &held.pool;
            pool.bound_waiting(loaded.waiting().most);
            let settings = beside.settings();
            let client = held.client.clone().answering_within(loaded.config.gateway.answer_timeout.0);
            standing.push(Beside {
                name: beside.name.clone(),
                dialect: match beside.kind {
                    ProviderName::Gemini => Dialect::Gemini,
                    ProviderName::OpenAi => Dialect::OpenAi,
                    ProviderName::Anthropic => Dialect::Anthropic,
                },
                models: beside.models.clone(),
                stack: stack::stack_over(pool, loaded.fallback_at(beside), settings.retry(), client),
                pool: Some(pool.clone()),
                aliases: loaded.aliases_at(beside),
            });
            self.held.insert(beside.name.clone(), held);
        }
        // What they hold goes back, once what is under way has ended.
        for gone in before.into_values() {
            let process = self.process.clone();
            tokio::spawn(async move { gone.end(&process).await });
        }
        standing
    }

    /// Why one that was to stand does not.
    pub(super) fn lacking(&mut self) -> Option<anyhow::Error> {
        self.lacking.take()
    }

    /// One whose database is not to be had is left out, which is said: in memory it would exceed what it shares with others.
    fn leave_out(&mut self, name: &str, error: impl std::fmt::Display) {
        tracing::error!("providers.{name}: {error}; it is left out until the configuration is read again");
        self.lacking = Some(anyhow::anyhow!("providers.{name}: {error}"));
    }

    /// The pool, with the keys of its database and what was kept of it.
    async fn open(&mut self, beside: &config::Beside, loaded: &Loaded) -> Option<Held> {
        let (site, name) = (self.site.beside(&beside.name), &beside.name);
        let joined = Joined::of(&site).await.map_err(|error| self.leave_out(name, error)).ok()?;
        let database = joined.database();
        let mut keys = Keys::new(&site, database.clone());
        let told = match keys.begin().await {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!("providers.{name}: {error}; keys in it are not known yet");
                None
            }
        };
        let more = told.into_iter().map(|told| told.source).collect();
        let goes_by = GoesBy { configured: beside.clone(), more };
        let whole = goes_by.whole();
        whole.warn_of_none();
        let builder = || whole.builder().clock(self.clock.clone());
        let pool = match joined.open(builder(), &loaded.store).await {
            Ok(pool) => Ok(pool),
            Err(OpenError::Key(error)) => Err(error),
            Err(error) => {
                self.leave_out(name, error);
                return None;
            }
        };
        let pool = pool.inspect_err(|error| tracing::error!("providers.{name}: {error}")).ok()?;
        let base = beside.provider.base();
        let goes_by = Arc::new(Mutex::new(goes_by));
        let looks = keys.looks();
        let both = keys.in_both();
        goes_by.lock().unwrap_or_else(PoisonError::into_inner).say_in_both(&both);
        let process = self.process.clone().with(keys.shut(), both.clone());
        let following = {
            let (goes_by, pool) = (Arc::clone(&goes_by), pool.clone());
            tokio::spawn(async move {
                loop {
                    let told = keys.changed().await;
                    let mut goes_by = goes_by.lock().unwrap_or_else(PoisonError::into_inner);
                    goes_by.hear(&pool, told);
                    goes_by.say_in_both(&both);
                }
            })
        };
        let records = Records::from(database.clone());
        let present = tokio::spawn(processes::tell(records.clone(), process, pool.clone()));
        let belongings = (beside.kind == ProviderName::Gemini).then(|| {
            let (clock, records, pool) = (self.clock.clone(), records.clone(), Some(pool.clone()));
            Arc::new(Belongings::new(base.clone(), clock, records, pool))
        });
        Some(Held {
            place: (beside.kind, base.to_string()),
            roots: loaded.roots.clone(),
            ways: loaded.exits.ways.clone(),
            client: Client::through(base, &loaded.roots, &loaded.exits.ways).counting(&self.traffic),
            pool,
            goes_by,
            following,
            present,
            records,
            database,
            looks,
            belongings,
        })
    }

    /// They end: what they hold goes back, and what they know is kept.
    pub(super) async fn shutdown(&self) {
        futures_util::future::join_all(self.held.values().map(|held| held.end(&self.process))).await;
    }
}
