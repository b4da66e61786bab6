//! What a [`ModelFallback`] is made of.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{ModelFallback, Models, unknown::Unknown};
use crate::pool::KeyPool;

/// Asks for another model when the one asked for is out.
///
/// Stands above the retry, so that a model is left only when no key serves it. The body needs a
/// [`TryClone`](crate::TryClone). Without a list it passes everything through. Its error is [`Error`](crate::Error).
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use tower::ServiceBuilder;
/// use tower_keypool::{KeyRotationLayer, ModelFallbackLayer, RetryPolicy};
///
/// let client = ServiceBuilder::new()
///     .layer(ModelFallbackLayer::new(&pool).models(["gemini-2.5-pro", "gemini-2.5-flash"]))
///     .retry(RetryPolicy::new(&pool))
///     .layer(KeyRotationLayer::new(&pool))
///     .service(http_client);
/// # drop(client);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ModelFallbackLayer {
    pool: KeyPool,
    given: Arc<Given>,
}

/// What it is given: behind one pointer, since a service is copied for each request.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) models: Models,
    /// How long a request may wait, where it does not say so; else as the pool says.
    pub(super) wait: Option<Duration>,
    pub(super) unknown: Arc<Unknown>,
}

impl ModelFallbackLayer {
    /// Over this pool, without any list yet.
    pub fn new(pool: impl Borrow<KeyPool>) -> Self {
        Self { pool: pool.borrow().clone(), given: Arc::default() }
    }

    /// How long after a request came it may still wait for a model of its list, where all are out and its demand does not say
    /// so; unless set, as long as the pool says. The same as [`KeyRotationLayer::wait`](crate::KeyRotationLayer::wait) below.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        Arc::make_mut(&mut self.given).wait = Some(wait);
        self
    }

    /// These lists.
    #[must_use]
    pub fn lists(mut self, models: Models) -> Self {
        Arc::make_mut(&mut self.given).models = models.of(&**self.pool.provider());
        self
    }

    /// The list for all requests, best first; see [`Models::for_all`].
    #[must_use]
    pub fn models(self, models: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        self.with(|lists| lists.for_all(models))
    }

    /// The list for requests that name `model`; see [`Models::for_model`].
    #[must_use]
    pub fn for_model(self, model: impl Into<String>, models: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        self.with(|lists| lists.for_model(model, models))
    }

    /// The same by number: lower first; see [`Models::for_model_by_priority`].
    #[must_use]
    pub fn for_model_by_priority(
        self,
        model: impl Into<String>,
        models: impl IntoIterator<Item = (impl Into<Arc<str>>, u16)>,
    ) -> Self {
        self.with(|lists| lists.for_model_by_priority(model, models))
    }

    /// The list for requests that name `alias`, which is no model itself; see [`Models::alias`].
    #[must_use]
    pub fn alias(self, alias: impl Into<String>, models: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        self.with(|lists| lists.alias(alias, models))
    }

    /// Whether a model that is overloaded still after all retries is a reason to take the next. Off unless set.
    #[must_use]
    pub fn on_overloaded(self, step: bool) -> Self {
        self.with(|lists| lists.on_overloaded(step))
    }

    fn with(mut self, change: impl FnOnce(Models) -> Models) -> Self {
        let models = std::mem::take(&mut Arc::make_mut(&mut self.given).models);
        self.lists(change(models))
    }
}

impl<S> Layer<S> for ModelFallbackLayer {
    type Service = ModelFallback<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ModelFallback::new(inner, self.pool.clone(), Arc::clone(&self.given))
    }
}
