//! The layer that falls back to other models, and its lists.

use std::sync::Arc;

use tower_layer::Layer;

use super::{ModelFallback, lists::Lists};
use crate::pool::KeyPool;

/// Retries a request with another model if its model cannot serve.
///
/// The next model is tried if the error of the last response applies to the model (not found, not allowed for this
/// project, out of quota, overloaded), or if no key is available for it
/// ([`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable)). A request that is not idempotent is not retried after a
/// fault of the provider. If no model of the list can serve, the result of the first model is returned, with the
/// soonest `retry_after`. All models together wait for a key once. [`Attempts`](crate::Attempts) contains the attempts
/// with all models.
///
/// The body must implement [`TryClone`](crate::replay::TryClone). If the body names the model, a
/// [`ReplayLayer`](crate::ReplayLayer) is needed above this layer. A body that cannot be cloned is sent once. If more
/// than the name depends on the model, add a [`BodyForModel`](crate::fallback::BodyForModel) to the request. The error
/// type is that of the inner service.
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use tower::ServiceBuilder;
/// use tower_keypool::{CooldownLayer, KeyRotationLayer, ModelFallbackLayer, ReplayLayer, RetryPolicy};
///
/// let client = ServiceBuilder::new()
///     .layer(ReplayLayer::new())
///     .layer(ModelFallbackLayer::new(&pool, ["gemini-2.5-pro", "gemini-2.5-flash"]))
///     .retry(RetryPolicy::new(&pool))
///     .layer(KeyRotationLayer::new(&pool))
///     .layer(CooldownLayer::new(&pool))
///     .service(http_client);
/// # drop(client);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ModelFallbackLayer {
    pool: KeyPool,
    lists: Arc<Lists>,
}

impl ModelFallbackLayer {
    /// Creates a layer with a list of models, best first. A request for one of them falls back to those after it.
    /// Requests for other models pass through unchanged, unless [`for_any_model`](Self::for_any_model) is set.
    pub fn new<M: Into<Arc<str>>>(pool: &KeyPool, models: impl IntoIterator<Item = M>) -> Self {
        Self { pool: pool.clone(), lists: Arc::new(Lists::new(models.into_iter().map(Into::into).collect())) }
    }

    /// Lets requests for models outside the list fall back to the whole list. Use it only if all requests have one
    /// purpose: an embedding, for example, cannot fall back to a chat model.
    #[must_use]
    pub fn for_any_model(mut self) -> Self {
        Arc::make_mut(&mut self.lists).for_any_model = true;
        self
    }

    /// Sends requests for `alias`, which is not a model itself, with these models, best first.
    #[must_use]
    pub fn alias<M: Into<Arc<str>>>(mut self, alias: &str, models: impl IntoIterator<Item = M>) -> Self {
        let models = models.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.lists).insert(self.pool.provider().quota_model(alias), models);
        self
    }
}

impl<S> Layer<S> for ModelFallbackLayer {
    type Service = ModelFallback<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ModelFallback::new(inner, self.pool.clone(), Arc::clone(&self.lists))
    }
}
