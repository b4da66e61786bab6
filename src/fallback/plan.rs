//! Decides whether to fall back, and builds the request for the next model.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, header, request::Parts};

use super::{body::BodyForModel, lists::Models};
use crate::{
    Error,
    classify::{ErrorClass, Failure, Scope},
    pool::{Attempts, KeyPool, KeyRequest},
    provider::SetModel,
    replay::{CollectedBody, TryClone, with_model},
    time::Tick,
};

/// A request, and the models that it may use.
pub(super) struct Plan<B> {
    pool: KeyPool,
    model: Arc<str>,
    models: Models,
    not_idempotent: bool,
    head: Parts,
    body: B,
}

impl<B: TryClone> Plan<B> {
    /// Creates the plan of a request that names `model`.
    pub(super) fn new(
        pool: KeyPool,
        model: Arc<str>,
        models: Models,
        not_idempotent: bool,
        (head, body): (Parts, B),
    ) -> Self {
        Self { pool, model, models, not_idempotent, head, body }
    }

    /// Returns the request for the next model, or `None` if no model is left or the request cannot be changed. The
    /// deadline is that of the first model, if one was tried.
    pub(super) fn next_request(&mut self, deadline: Option<Tick>) -> Option<Request<B>> {
        let model = self.models.next(&self.model)?;
        tracing::debug!(from = %self.model, to = %model, "the model cannot serve, falling back to another one");
        let mut head = self.head.clone();
        let changed = match (self.pool.provider().set_model(&mut head, &model), head.extensions.get::<BodyForModel>()) {
            (SetModel::No, _) => return None,
            (_, Some(body)) => match body.get(&model) {
                Some(data) => Some(data),
                None => return self.next_request(deadline),
            },
            (SetModel::InBody, None) => Some(with_model(head.extensions.get::<CollectedBody>()?.data(), &model)?),
            (SetModel::Done, None) => None,
        };
        let body = match changed {
            None => self.body.try_clone()?,
            Some(data) => {
                if let Some(length) = head.headers.get_mut(header::CONTENT_LENGTH) {
                    *length = HeaderValue::from(data.len());
                }
                head.extensions.insert(CollectedBody::new(data.clone()));
                self.body.with_data(data)?
            }
        };
        if let Some(request) = head.extensions.get_mut::<KeyRequest>().filter(|request| request.model.is_some()) {
            request.model = Some(Arc::clone(&model));
        }
        head.extensions.get_or_insert_default::<Attempts>().deadline = deadline;
        self.model = model;
        Some(Request::from_parts(head, body))
    }

    /// Reports whether another model may succeed after this result.
    pub(super) fn falls_back<R, E: 'static>(&self, result: &Result<Response<R>, E>) -> bool {
        match result {
            Ok(response) => {
                let last = response.extensions().get::<Attempts>().and_then(Attempts::last);
                last.and_then(|attempt| attempt.outcome().failure()).is_some_and(|failure| self.retries_after(failure))
            }
            Err(error) => {
                let unavailable = Error::find(error).and_then(Error::as_unavailable);
                unavailable.is_some_and(|unavailable| unavailable.keys() > 0)
            }
        }
    }

    fn retries_after(&self, failure: &Failure) -> bool {
        use ErrorClass::{Billing, DailyQuota, ModelNotFound, NotEntitled, RateLimit, Transient};
        let affects_model = matches!(failure.scope(), Scope::Model | Scope::ProjectModel | Scope::KeyModel);
        match failure.class() {
            ModelNotFound => true,
            // The provider may have processed the request.
            Transient => affects_model && !self.not_idempotent,
            // Another model may cost less, or have another quota.
            NotEntitled | Billing | RateLimit | DailyQuota if failure.scope() == Scope::Request => true,
            _ => affects_model,
        }
    }
}
