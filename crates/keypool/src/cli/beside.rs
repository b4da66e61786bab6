//! Pools of the providers beside the gateway's own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tower_keypool::{Clock, KeyPool, KeyPoolService, OpenError};

use crate::{
    client::{Client, Roots},
    config::{self, Loaded, ProviderName},
    database::{Joined, Site},
    gateway::{beside::Beside, dialect::Dialect},
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
}

struct Held {
    /// Whose, where, and whom it trusts: another one needs another pool.
    place: (ProviderName, String),
    roots: Roots,
    pool: KeyPool,
    client: Client,
}

impl Pools {
    pub(super) fn new(site: Site, traffic: Arc<Traffic>, clock: Clock) -> Self {
        Self { site, held: HashMap::new(), traffic, clock }
    }

    /// The pools by their providers' names.
    pub(super) fn pools(&self) -> BTreeMap<String, KeyPool> {
        self.held.iter().map(|(name, held)| (name.clone(), held.pool.clone())).collect()
    }

    /// Goes by a configuration, and says what stands beside from now on. One whose keys cannot make a pool is left out.
    pub(super) async fn stand(&mut self, loaded: &Loaded) -> Vec<Beside<KeyPoolService<Client>>> {
        let mut before = std::mem::take(&mut self.held);
        let mut standing = Vec::new();
        for beside in &loaded.beside {
            let base = beside.provider.base();
            let place = (beside.kind, base.to_string());
            let is_same = |held: &Held| held.place == place && held.roots == loaded.roots;
            let kept = if before.get(&beside.name).is_some_and(is_same) { before.remove(&beside.name) } else { None };
            let pool = match &kept {
                Some(held) => {
                    if let Err(error) = held.pool.reconfigure(beside.builder()) {
                        tracing::error!("providers.{}: {error}", beside.name);
                    }
                    Some(held.pool.clone())
                }
                None => self.open(beside, loaded).await,
            };
            let Some(pool) = pool else { continue };
            pool.bound_waiting(loaded.waiting().most);
            let client = kept.map_or_else(
                || Client::trusting(base, loaded.roots.clone()).counting(&self.traffic),
                |held| held.client,
            );
            let settings = beside.settings();
            standing.push(Beside {
                name: beside.name.clone(),
                dialect: match beside.kind {
                    ProviderName::Gemini => Dialect::Gemini,
                    ProviderName::OpenAi => Dialect::OpenAi,
                    ProviderName::Anthropic => Dialect::Anthropic,
                },
                models: beside.models.clone(),
                stack: stack::stack_over(&pool, settings.fallback(), settings.retry(), client.clone()),
            });
            let roots = loaded.roots.clone();
            self.held.insert(beside.name.clone(), Held { place, roots, pool, client });
        }
        // What they hold goes back, once what is under way has ended.
        for gone in before.into_values() {
            tokio::spawn(async move { gone.pool.shutdown().await });
        }
        standing
    }

    /// The pool, with what was kept of it. Where that is not to be had it counts in memory, which is said: the others go on.
    async fn open(&self, beside: &config::Beside, loaded: &Loaded) -> Option<KeyPool> {
        let builder = || beside.builder().clock(self.clock.clone());
        let name = &beside.name;
        let why = match Joined::of(&self.site.beside(name)).await {
            Ok(joined) => match joined.open(builder(), &loaded.store).await {
                Ok(pool) => return Some(pool),
                Err(OpenError::Key(error)) => {
                    tracing::error!("providers.{name}: {error}");
                    return None;
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        tracing::error!("providers.{name}: {why}; its pool counts in memory until the next start");
        builder().build().inspect_err(|error| tracing::error!("providers.{name}: {error}")).ok()
    }

    /// They end: what they hold goes back, and what they know is kept.
    pub(super) async fn shutdown(&self) {
        futures_util::future::join_all(self.held.values().map(|held| held.pool.shutdown())).await;
    }
}
