//! The providers, each with a pool of keys and a client on top of it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response};
use tower::{Layer, ServiceExt};
use tower_keypool::{
    Key, KeyId, KeyPool, KeyPoolLayer, ModelFallbackLayer, RedactLayer, Scope,
    pool::BreakerState,
    stack::{KeyPoolBody, KeyPoolService},
};

use super::{
    body,
    check_key::{CheckedKey, check_key},
    route::PathTarget,
    upstream::{TimedBody, Upstream},
};
use crate::{
    config::{Loaded, PoolSettings, default_models, matches},
    dialect::Dialect,
    error::ApiError,
    key_sources::{self, Listed},
    store::Stores,
};

/// The body of a provider's response.
pub type AnswerBody = KeyPoolBody<TimedBody>;

/// A provider with its keys.
pub struct ProviderPool {
    pub name: Arc<str>,
    pub dialect: Dialect,
    /// Patterns of the models that it lists.
    pub models: Vec<String>,
    /// Whether other models can serve instead of the requested one: fallback models, or the models of aliases.
    pub has_fallback: bool,
    pub pool: KeyPool,
    service: KeyPoolService<Upstream>,
    /// The settings at the start, which say where keys are sent.
    pub settings: PoolSettings,
    /// The keys that only the database lists.
    stored: ArcSwap<HashSet<KeyId>>,
}

impl ProviderPool {
    /// Reports whether only the database lists a key, so that it can be changed there.
    pub fn is_stored(&self, key: &KeyId) -> bool {
        self.stored.load().contains(key)
    }

    /// Reports whether its kind, upstream or header has changed since the start, or whether it is no longer configured.
    /// A key of the configuration could then be sent to the wrong provider.
    pub fn is_moved(&self, loaded: &Loaded) -> bool {
        let pools = loaded.pools();
        !pools.iter().any(|settings| settings.name == *self.name && settings.sends_like(&self.settings))
    }

    /// Sends a request with a key of the pool.
    ///
    /// # Errors
    /// If no key is available, or the provider does not respond.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<AnswerBody>, tower_keypool::Error> {
        self.service.clone().oneshot(request).await
    }

    /// Sends a request whose response the gateway reads itself. The body is decompressed, and the key is masked in it.
    ///
    /// # Errors
    /// If no key is available, or the provider does not respond.
    pub async fn send_to_read(&self, request: Request<Body>) -> Result<Response<Body>, tower_keypool::Error> {
        let service = ServiceExt::<Request<Body>>::map_response(self.service.clone(), body::decompress_response);
        Ok(RedactLayer::new().layer(service).oneshot(request).await?.map(Body::new))
    }

    /// Reports whether any key is not disabled.
    pub fn has_usable_key(&self) -> bool {
        let stats = self.pool.stats();
        let open = self.pool.snapshot(0, 0).open_breakers;
        let disabled = open.iter().filter(|count| count.scope == Scope::Key && count.state == BreakerState::Disabled);
        stats.keys > disabled.map(|count| count.count).sum::<usize>()
    }
}

/// All providers. The first is the gateway's own.
pub struct Pools {
    providers: Vec<Arc<ProviderPool>>,
    /// The model of each alias, as the layers of the pools replace it.
    aliases: HashMap<String, String>,
    upstream: Upstream,
}

impl Pools {
    /// Opens the pools of a configuration with the keys of all sources.
    ///
    /// # Errors
    /// If a store fails, or the configuration of a provider is invalid.
    pub async fn open(loaded: &Loaded, stores: &Stores) -> anyhow::Result<Self> {
        let listed = key_sources::all(loaded, stores).await?;
        for (settings, keys) in &listed {
            log_keys(settings, keys);
        }
        Self::of(loaded, stores, listed).await
    }

    /// Opens the pools with these keys.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn of(loaded: &Loaded, stores: &Stores, listed: Vec<(PoolSettings, Listed)>) -> anyhow::Result<Self> {
        let upstream = Upstream::new(loaded)?;
        let mut pools = Vec::new();
        for (settings, keys) in listed {
            let stored = keys.stored();
            let pool = stores.open_pool(settings.builder()?.keys(keys.keys)).await?;
            let layer = KeyPoolLayer::new(&pool)
                .replay_up_to(loaded.config.gateway.replay_limit())
                .fallback(fallback(loaded, &settings, &pool));
            pools.push(Arc::new(ProviderPool {
                name: settings.name.as_str().into(),
                dialect: settings.kind.dialect(),
                models: settings.models.clone(),
                has_fallback: !settings.fallback.is_empty()
                    || loaded.config.models.iter().any(|it| !it.aliases.is_empty()),
                service: layer.layer(upstream.clone()),
                pool,
                settings,
                stored: ArcSwap::from_pointee(stored),
            }));
        }
        let models = loaded.config.models.iter();
        let aliases = models.flat_map(|model| model.aliases.iter().map(|alias| (alias.clone(), model.name.clone())));
        Ok(Self { providers: pools, aliases: aliases.collect(), upstream })
    }

    /// Replaces the keys by those that the sources list now. A key that cannot be added is logged. If a whole key file
    /// cannot be read or parsed, or has only invalid entries, no key is removed, except those that were removed from the
    /// database. If the provider's kind, upstream or header has changed, which takes effect at the next start, no key is
    /// added either: it could be sent to the wrong provider.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn reload(&self, loaded: &Loaded, stores: &Stores) -> anyhow::Result<()> {
        for (settings, mut keys) in key_sources::all(loaded, stores).await? {
            let Some(provider) = self.providers.iter().find(|provider| *provider.name == *settings.name) else {
                continue;
            };
            log_keys(&settings, &keys);
            keys.keys.retain(|key| {
                let has_exit = self.upstream.has_exit(key.exit_name());
                if !has_exit {
                    tracing::warn!(provider = settings.name, key = %key.id(), "the key's exit is new: it needs a restart");
                }
                has_exit
            });
            let stored_before = provider.stored.swap(Arc::new(keys.stored()));
            let is_moved = !settings.sends_like(&provider.settings);
            let pool = &provider.pool;
            let changes: Vec<_> = if keys.has_failed_file || is_moved {
                let why = if is_moved {
                    "the provider's kind, upstream or header has changed, which needs a restart"
                } else {
                    "a key file cannot be read or parsed, or has no valid entry"
                };
                tracing::error!(provider = settings.name, "{why}, so the keys that the pool has stay in use");
                let listed: HashSet<KeyId> = keys.keys.iter().map(Key::id).collect();
                let removed = stored_before.difference(&listed).map(|id| pool.remove(id));
                // A key of the failed file that is also in the database keeps the file's options.
                let known: HashSet<_> = pool.snapshot(0, usize::MAX).keys.into_iter().map(|view| view.id).collect();
                let is_of_file = |id: &KeyId| known.contains(id) && !stored_before.contains(id);
                let put = keys.keys.into_iter().filter(|key| !is_moved && !is_of_file(&key.id()));
                removed.chain(put.map(|key| pool.put(key).map(|_| ()))).collect()
            } else {
                vec![pool.replace_all(&keys.keys)]
            };
            for error in changes.into_iter().filter_map(Result::err) {
                tracing::warn!(provider = settings.name, %error, "a key was not added or removed");
            }
        }
        Ok(())
    }

    /// Returns the keys of a provider from all sources, with their secrets.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn listed(&self, loaded: &Loaded, stores: &Stores, provider: &ProviderPool) -> anyhow::Result<Vec<Key>> {
        let all = key_sources::all(loaded, stores).await?;
        let of_provider = all.into_iter().find(|(settings, _)| settings.name == *provider.name);
        Ok(of_provider.map(|(_, listed)| listed.keys).unwrap_or_default())
    }

    /// Tests a key: see [`check_key`].
    pub async fn check_key(&self, provider: &ProviderPool, key: Key) -> CheckedKey {
        check_key(&provider.settings, key, &self.upstream).await
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ProviderPool>> {
        self.providers.iter()
    }

    /// Returns the gateway's own provider.
    pub fn own(&self) -> &Arc<ProviderPool> {
        &self.providers[0]
    }

    pub fn named(&self, name: &str) -> Option<&Arc<ProviderPool>> {
        self.providers.iter().find(|provider| &*provider.name == name)
    }

    /// Returns the model of an alias, and any other name unchanged.
    pub fn resolved<'a>(&'a self, model: &'a str) -> &'a str {
        self.aliases.get(model.trim_start_matches("models/")).map_or(model, String::as_str)
    }

    /// Returns the provider that is configured for a model or an alias. Of several it is the first one of the dialect;
    /// else one of Gemini, for which requests are translated.
    pub fn of_model(&self, model: &str, dialect: Dialect) -> Option<&Arc<ProviderPool>> {
        let model = self.resolved(model);
        let listing =
            self.providers.iter().filter(|provider| provider.models.iter().any(|pattern| matches(pattern, model)));
        listing.min_by_key(|provider| (provider.dialect != dialect, provider.dialect != Dialect::Gemini))
    }

    /// Chooses the provider for a request: by the name in the path, else by the model, else by the dialect.
    ///
    /// # Errors
    /// 404 if the path names an unknown provider.
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
        if let Some(provider) = model.and_then(|model| self.of_model(model, dialect)) {
            return Ok(provider);
        }
        let of_dialect = || self.providers.iter().find(|provider| provider.dialect == dialect);
        // Without a model, as for lists of files and batches, only the dialect can decide. Translation is only for Gemini.
        let is_own =
            |model| default_models(self.own().settings.kind).iter().any(|own| matches(own, self.resolved(model)));
        let is_by_dialect = *target == PathTarget::OfDialect
            || model.is_none_or(|model| self.own().dialect != Dialect::Gemini && !is_own(model));
        Ok(is_by_dialect.then(of_dialect).flatten().unwrap_or_else(|| self.own()))
    }
}

/// Returns the layer for fallback models and model aliases.
pub fn fallback(loaded: &Loaded, settings: &PoolSettings, pool: &KeyPool) -> ModelFallbackLayer {
    let mut fallback = ModelFallbackLayer::new(pool, settings.fallback.iter().map(String::as_str));
    for model in &loaded.config.models {
        for alias in &model.aliases {
            let chain = std::iter::once(model.name.as_str()).chain(settings.fallback.iter().map(String::as_str));
            fallback = fallback.alias(alias, chain);
        }
    }
    fallback
}

/// Logs the number of keys and the problems of entries.
fn log_keys(settings: &PoolSettings, keys: &Listed) {
    for problem in &keys.problems {
        tracing::warn!("{}", key_sources::described(problem));
    }
    let skipped = keys.problems.iter().filter(|problem| problem.skips_entry).count();
    tracing::info!(provider = settings.name, keys = keys.keys.len(), skipped, "keys loaded");
    if keys.keys.is_empty() {
        tracing::warn!(provider = settings.name, sources = settings.sources(), "no source has a key");
    }
}
