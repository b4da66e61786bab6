//! How the gateway is set up by a configuration, at the start and with every reload.

use std::sync::{Arc, Mutex, PoisonError};

use tower_keypool::{KeyPool, KeyPoolService};

use crate::{
    client::{Client, Roots, Sockets, WaysOut},
    config::Loaded,
    gateway::{Setup, live::Live, token::Token},
    stack,
    status::Traffic,
};

/// Over one pool.
pub(super) struct Setups {
    pool: KeyPool,
    traffic: Arc<Traffic>,
    reaching: Mutex<Reaching>,
}

/// How the provider is reached. Connections outlive a reload, unless others are trusted from then on, or other ways go out.
struct Reaching {
    roots: Roots,
    ways: WaysOut,
    client: Client,
    sockets: Sockets,
}

impl Reaching {
    fn of(pool: &KeyPool, traffic: &Arc<Traffic>, loaded: &Loaded) -> Self {
        let (base, roots, ways) = (pool.provider().base(), loaded.roots.clone(), loaded.exits.ways.clone());
        let client = Client::through(base, &roots, &ways).counting(traffic);
        let sockets = Sockets::through(base, &roots, &ways).counting(traffic);
        Self { roots, ways, client, sockets }
    }

    fn is_as(&self, loaded: &Loaded) -> bool {
        self.roots == loaded.roots && self.ways == loaded.exits.ways
    }
}

impl Setups {
    pub(super) fn new(pool: &KeyPool, traffic: &Arc<Traffic>, loaded: &Loaded) -> Self {
        let reaching = Mutex::new(Reaching::of(pool, traffic, loaded));
        Self { pool: pool.clone(), traffic: Arc::clone(traffic), reaching }
    }

    /// What this configuration makes of the gateway.
    pub(super) fn of(&self, loaded: &Loaded) -> Setup<KeyPoolService<Client>> {
        let (client, sockets) = self.reach(loaded);
        let (pool, settings) = (&self.pool, loaded.config.pool());
        let client = client.answering_within(loaded.config.gateway.answer_timeout.0);
        let stack = stack::stack_over(pool, loaded.fallback(), settings.retry(), client);
        let sockets = stack::sockets_over(pool, settings.retry(), sockets);
        let waiting = loaded.waiting();
        pool.bound_waiting(waiting.most);
        Setup {
            names: loaded.config.gateway.served_headers,
            live: Some(Live::new(sockets, pool.clone())),
            unknown: loaded.unknown(),
            waiting,
            nearness: loaded.nearness(),
            aliases: loaded.aliases(),
            ..Setup::new(stack, loaded.guard(), Token::new(&*loaded.token), loaded.dialects())
        }
    }

    fn reach(&self, loaded: &Loaded) -> (Client, Sockets) {
        let mut reaching = self.reaching.lock().unwrap_or_else(PoisonError::into_inner);
        if !reaching.is_as(loaded) {
            *reaching = Reaching::of(&self.pool, &self.traffic, loaded);
        }
        (reaching.client.clone(), reaching.sockets.clone())
    }
}
