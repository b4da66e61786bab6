//! The service that finds out which models a request may use.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower_service::Service;

use super::{
    ModelFallbackFuture,
    lists::{Lists, Models},
    plan::Plan,
};
use crate::{
    pool::{KeyPool, KeyRequest},
    provider::ModelIn,
    replay::{CollectedBody, TryClone},
};

/// The service of [`ModelFallbackLayer`](crate::ModelFallbackLayer): retries requests with another model.
#[derive(Clone, Debug)]
pub struct ModelFallback<S> {
    inner: S,
    pool: KeyPool,
    lists: Arc<Lists>,
}

impl<S> ModelFallback<S> {
    pub(super) fn new(inner: S, pool: KeyPool, lists: Arc<Lists>) -> Self {
        Self { inner, pool, lists }
    }

    /// Returns the model that a request names, the models that it may use, and whether it must not be sent twice.
    fn models(&self, head: &Parts) -> Option<(Arc<str>, Models, bool)> {
        let provider = self.pool.provider();
        let info = provider.inspect(head);
        let explicit = head.extensions.get::<KeyRequest>();
        let asked = match (explicit.and_then(|request| request.model.clone()), info.model) {
            (Some(model), _) => model,
            (None, ModelIn::Head(model)) => Arc::from(model),
            (None, ModelIn::Body) => head.extensions.get::<CollectedBody>()?.model()?.clone(),
            (None, ModelIn::Nowhere) => return None,
        };
        let models = self.lists.models(&asked, provider)?;
        Some((asked, models, info.not_idempotent || explicit.is_some_and(|request| request.not_idempotent)))
    }
}

impl<S, B, ResBody> Service<Request<B>> for ModelFallback<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: 'static,
    B: TryClone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ModelFallbackFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.lists.is_empty() {
            return ModelFallbackFuture::passing(self.inner.call(request));
        }
        let (head, body) = request.into_parts();
        let models = self.models(&head);
        let Some(((asked, models, not_idempotent), spare)) =
            models.and_then(|models| Some((models, body.try_clone()?)))
        else {
            return ModelFallbackFuture::passing(self.inner.call(Request::from_parts(head, body)));
        };
        // Call the service that is ready, and keep its clone, which may not be ready.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let alias = models.alias;
        let mut plan = Plan::new(self.pool.clone(), asked, models, not_idempotent, (head.clone(), spare));
        let named = if alias { plan.next_request(None) } else { None };
        let future = inner.call(named.unwrap_or_else(|| Request::from_parts(head, body)));
        ModelFallbackFuture::planned(future, inner, plan)
    }
}
