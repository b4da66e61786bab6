//! The providers: each with a pool of keys and a client over it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, ServiceExt};
use tower_keypool::{
    Key, KeyChange, KeyId, KeyPool, KeyPoolLayer, ModelFallbackLayer, RetryPolicy, Scope,
    pool::CircuitBreaker,
    stack::{KeyPoolBody, KeyPoolService},
};

use super::{route::PathTarget, upstream::Upstream};
use crate::{
    config::{Loaded, PoolPlan, ProviderKind},
    error::{ApiError, Dialect},
    keys::{self, Listed},
    store::Stores,
    tenants::matches,
};

/// The body of a provider's answer.
pub type AnswerBody = KeyPoolBody<Incoming>;

/// A provider with its keys.
pub struct ProviderPool {
    pub name: Arc<str>,
    pub dialect: Dialect,
    /// Models that go to it; none for the gateway's own provider.
    pub models: Vec<String>,
    pub pool: KeyPool,
    service: KeyPoolService<Upstream>,
    /// The keys that the database lists, and nothing else.
    stored: ArcSwap<HashSet<KeyId>>,
}

impl ProviderPool {
    /// Whether a key is listed in the database alone, so that it can be changed there.
    pub fn is_stored(&self, key: &KeyId) -> bool {
        self.stored.load().contains(key)
    }

    /// Sends a request with a key of the pool.
    ///
    /// # Errors
    /// Where no key, or no answer, can be had.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<AnswerBody>, tower_keypool::Error> {
        self.service.clone().oneshot(request).await
    }

    /// Whether some key is not disabled.
    pub fn has_usable_key(&self) -> bool {
        let stats = self.pool.stats();
        let open = self.pool.snapshot(0, 0).open_breakers;
        let disabled = open.iter().filter(|count| count.scope == Scope::Key && count.state == CircuitBreaker::Disabled);
        stats.keys > disabled.map(|count| count.count).sum::<usize>()
    }
}

/// All providers; the first is the gateway's own.
pub struct Pools {
    providers: Vec<Arc<ProviderPool>>,
    upstream: Upstream,
}

impl Pools {
    /// Opens the pools of a configuration, with all keys that are listed anywhere.
    ///
    /// # Errors
    /// Those of the stores, and of the configuration.
    pub async fn open(loaded: &Loaded, stores: &Stores) -> anyhow::Result<Self> {
        let listed = keys::all(loaded, stores).await?;
        for (plan, keys) in &listed {
            tell(plan, keys);
        }
        Self::of(loaded, stores, listed).await
    }

    /// Opens the pools with these keys.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn of(loaded: &Loaded, stores: &Stores, listed: Vec<(PoolPlan, Listed)>) -> anyhow::Result<Self> {
        let upstream = Upstream::new(loaded)?;
        let mut pools = Vec::new();
        for (plan, keys) in listed {
            let stored = keys.stored();
            let pool = stores.open_pool(plan.builder()?.keys(keys.keys)).await?;
            let layer = KeyPoolLayer::new(&pool)
                .replay_up_to((loaded.config.gateway.replay_mib as usize) << 20)
                .fallback(fallback(loaded, &plan, &pool));
            pools.push(Arc::new(ProviderPool {
                name: plan.name.as_str().into(),
                dialect: dialect(plan.kind),
                models: plan.models.clone(),
                service: layer.layer(upstream.clone()),
                pool,
                stored: ArcSwap::from_pointee(stored),
            }));
        }
        Ok(Self { providers: pools, upstream })
    }

    /// Replaces the keys by those that are listed now.
    ///
    /// # Errors
    /// Those of the database. Keys that cannot be added are logged.
    pub async fn reload(&self, loaded: &Loaded, stores: &Stores) -> anyhow::Result<()> {
        for (plan, keys) in keys::all(loaded, stores).await? {
            let Some(provider) = self.providers.iter().find(|provider| *provider.name == *plan.name) else { continue };
            tell(&plan, &keys);
            provider.stored.store(Arc::new(keys.stored()));
            if let Err(error) = provider.pool.apply(KeyChange::ReplaceAll(keys.keys)) {
                tracing::warn!(provider = plan.name, %error, "a key was not added");
            }
        }
        Ok(())
    }

    /// All keys of a provider that are listed anywhere, with their secrets.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn listed(&self, loaded: &Loaded, stores: &Stores, provider: &ProviderPool) -> anyhow::Result<Vec<Key>> {
        let all = keys::all(loaded, stores).await?;
        let of_provider = all.into_iter().find(|(plan, _)| plan.name == *provider.name);
        Ok(of_provider.map(|(_, listed)| listed.keys).unwrap_or_default())
    }

    /// A service with this key alone: one attempt, which changes nothing in the pools.
    ///
    /// # Errors
    /// That of the key.
    pub fn alone(
        &self,
        loaded: &Loaded,
        provider: &ProviderPool,
        key: Key,
    ) -> anyhow::Result<KeyPoolService<Upstream>> {
        let plan = loaded.pools().into_iter().find(|plan| plan.name == *provider.name);
        let plan = plan.context("the provider is not in the configuration any more")?;
        let pool = plan.builder()?.key(key).build()?;
        let layer = KeyPoolLayer::new(&pool).retry(RetryPolicy::new(&pool).max_attempts(1)).wait(Duration::ZERO);
        Ok(layer.layer(self.upstream.clone()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ProviderPool>> {
        self.providers.iter()
    }

    /// The gateway's own provider.
    pub fn own(&self) -> &Arc<ProviderPool> {
        &self.providers[0]
    }

    pub fn named(&self, name: &str) -> Option<&Arc<ProviderPool>> {
        self.providers.iter().find(|provider| &*provider.name == name)
    }

    /// The provider for a request.
    ///
    /// # Errors
    /// 404 for a name that no provider has.
    pub fn choose(
        &self,
        target: &PathTarget,
        dialect: Dialect,
        model: Option<&str>,
    ) -> Result<&Arc<ProviderPool>, ApiError> {
        if let PathTarget::Named(name) = target {
            let names = || self.providers.iter().map(|provider| &*provider.name).collect::<Vec<_>>().join(", ");
            return self
                .named(name)
                .ok_or_else(|| ApiError::not_found(format!("no provider is named {name}; there are {}", names())));
        }
        let claims = |provider: &&Arc<ProviderPool>| {
            model.is_some_and(|model| provider.models.iter().any(|pattern| matches(pattern, model)))
        };
        if let Some(provider) = self.providers.iter().find(claims) {
            return Ok(provider);
        }
        let of_dialect = || self.providers.iter().find(|provider| provider.dialect == dialect);
        // Without a model nothing but the dialect tells: a list of files, a batch.
        let by_dialect = (*target == PathTarget::OfDialect || model.is_none()).then(of_dialect).flatten();
        Ok(by_dialect.unwrap_or_else(|| self.own()))
    }
}

/// Which models take the place of others, and what else models are called.
pub fn fallback(loaded: &Loaded, plan: &PoolPlan, pool: &KeyPool) -> ModelFallbackLayer {
    let mut fallback = ModelFallbackLayer::new(pool, plan.fallback.iter().map(String::as_str));
    for model in &loaded.config.models {
        for alias in &model.aliases {
            let chain = std::iter::once(model.name.as_str()).chain(plan.fallback.iter().map(String::as_str));
            fallback = fallback.alias(alias, chain);
        }
    }
    fallback
}

fn dialect(kind: ProviderKind) -> Dialect {
    match kind {
        ProviderKind::Gemini => Dialect::Gemini,
        ProviderKind::OpenAi | ProviderKind::ApiKeyHeader => Dialect::OpenAi,
        ProviderKind::Anthropic => Dialect::Anthropic,
    }
}

/// Says how many keys there are, and which entries are none.
fn tell(plan: &PoolPlan, keys: &Listed) {
    for problem in &keys.problems {
        tracing::warn!("{problem}; the entry is skipped");
    }
    tracing::info!(provider = plan.name, keys = keys.keys.len(), skipped = keys.problems.len(), "keys loaded");
}
