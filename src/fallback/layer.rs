//! [`ModelFallbackLayer`].

use std::sync::Arc;

use tower_layer::Layer;

use super::{ModelFallback, lists::Lists};
use crate::pool::KeyPool;

/// Sends a request again with another model when its model cannot serve.
///
/// A model is left when the last answer's error concerns the model (not found, not for this project, out of quota,
/// overloaded), or when no key is available for it ([`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable)). A request
/// that is not idempotent is not sent again after a fault of the provider. When no model of the list serves, the
/// answer is that of the first one. [`Attempts`](crate::Attempts) has the attempts with all models.
///
/// The body needs a [`TryClone`](crate::replay::TryClone), and a model that is named in the body a
/// [`ReplayLayer`](crate::ReplayLayer) above. A body that cannot be cloned is sent once. The error type is that of the
/// service below.
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use tower::ServiceBuilder;
/// use tower_keypool::{KeyRotationLayer, ModelFallbackLayer, ReplayLayer, RetryPolicy};
///
/// let client = ServiceBuilder::new()
///     .layer(ReplayLayer::new())
///     .layer(ModelFallbackLayer::new(&pool, ["gemini-2.5-pro", "gemini-2.5-flash"]))
///     .retry(RetryPolicy::new(&pool))
///     .layer(KeyRotationLayer::new(&pool))
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
    /// A request for one of these models, best first, goes on with those after it. Requests for other models pass through.
    pub fn new<M: Into<Arc<str>>>(pool: &KeyPool, models: impl IntoIterator<Item = M>) -> Self {
        Self { pool: pool.clone(), lists: Arc::new(Lists::new(models.into_iter().map(Into::into).collect())) }
    }

    /// A request for `model` goes on with these models, best first.
    #[must_use]
    pub fn for_model<M: Into<Arc<str>>>(mut self, model: &str, models: impl IntoIterator<Item = M>) -> Self {
        let models = models.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.lists).insert(self.pool.provider().quota_model(model), models, false);
        self
    }

    /// A request for `alias`, which is no model itself, is sent with these models, best first.
    #[must_use]
    pub fn alias<M: Into<Arc<str>>>(mut self, alias: &str, models: impl IntoIterator<Item = M>) -> Self {
        let models = models.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.lists).insert(self.pool.provider().quota_model(alias), models, true);
        self
    }
}

impl<S> Layer<S> for ModelFallbackLayer {
    type Service = ModelFallback<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ModelFallback::new(inner, self.pool.clone(), Arc::clone(&self.lists))
    }
}
