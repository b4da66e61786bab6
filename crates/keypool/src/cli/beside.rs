//! Pools of the providers beside the gateway's own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tower_keypool::{Clock, KeyPool, KeyPoolService};

use crate::{
    client::{Client, Roots, WaysOut},
    config::{Loaded, ProviderName},
    gateway::{beside::Beside, dialect::Dialect},
    stack,
    status::Traffic,
};

/// All of them. A pool outlives a reload of the configuration, by its provider's name; it keeps nothing on disk.
pub(super) struct Pools {
    held: HashMap<String, Held>,
    traffic: Arc<Traffic>,
    /// The gateway's: what pools note of a request is told in its time.
    clock: Clock,
}

struct Held {
    /// Whose, where, whom it trusts, and its ways out: another one needs another pool.
    place: (ProviderName, String),
    roots: Roots,
    ways: WaysOut,
    pool: KeyPool,
    client: Client,
}

impl Pools {
    pub(super) fn new(traffic: Arc<Traffic>, clock: Clock) -> Self {
        Self { held: HashMap::new(), traffic, clock }
    }

    /// The pools by their providers' names.
    pub(super) fn pools(&self) -> BTreeMap<String, KeyPool> {
        self.held.iter().map(|(name, held)| (name.clone(), held.pool.clone())).collect()
    }

    /// Goes by a configuration, and says what stands beside from now on. One whose keys cannot make a pool is left out.
    pub(super) fn stand(&mut self, loaded: &Loaded) -> Vec<Beside<KeyPoolService<Client>>> {
        let mut before = std::mem::take(&mut self.held);
        let mut standing = Vec::new();
        for beside in &loaded.beside {
            let base = beside.provider.base();
            let place = (beside.kind, base.to_string());
            let kept = before
                .remove(&beside.name)
                .filter(|held| held.place == place && held.roots == loaded.roots && held.ways == loaded.exits.ways);
            let (pool, made) = match &kept {
                Some(held) => (Some(held.pool.clone()), held.pool.reconfigure(beside.builder()).map(drop)),
                None => match beside.builder().clock(self.clock.clone()).build() {
                    Ok(pool) => (Some(pool), Ok(())),
                    Err(error) => (None, Err(error)),
                },
            };
            if let Err(error) = made {
                tracing::error!("providers.{}: {error}", beside.name);
            }
            let Some(pool) = pool else { continue };
            pool.bound_waiting(loaded.waiting().most);
            let client = kept.map_or_else(
                || Client::through(base, &loaded.roots, &loaded.exits.ways).counting(&self.traffic),
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
            let (roots, ways) = (loaded.roots.clone(), loaded.exits.ways.clone());
            self.held.insert(beside.name.clone(), Held { place, roots, ways, pool, client });
        }
        standing
    }
}
