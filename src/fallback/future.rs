//! [`ModelFallbackFuture`].

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, header, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{body::BodyForModel, lists::Models};
use crate::{
    Error,
    classify::{ErrorClass, Failure, Scope},
    pool::{Attempts, KeyPool, KeyRequest},
    provider::SetModel,
    replay::{CollectedBody, TryClone, with_model},
};

pin_project! {
    /// The future of [`ModelFallback`](crate::fallback::ModelFallback).
    #[must_use = "futures do nothing unless polled"]
    pub struct ModelFallbackFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future, Request<B>>,
        // None if the request may use no other model.
        fallback: Option<Box<Fallback<S, B, Result<S::Response, S::Error>>>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        Calling { #[pin] future: F },
        // Waits until the inner service is ready for the request with the next model.
        Ready { request: Option<R> },
    }
}

struct Fallback<S, B, R> {
    service: S,
    plan: Plan<B>,
    /// The result of the first model.
    first: Option<R>,
    /// The attempts with all models so far.
    attempts: Attempts,
}

impl<S, B, R, E: 'static> Fallback<S, B, Result<Response<R>, E>> {
    /// Adds the attempts of this result to the earlier ones, and stores all of them in the result.
    fn add_attempts(&mut self, result: &mut Result<Response<R>, E>) {
        for attempt in attempts(result).into_iter().flat_map(Attempts::iter) {
            self.attempts.push(attempt.clone());
        }
        set_attempts(result, self.attempts.clone());
    }
}

impl<S, B> ModelFallbackFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn passing(future: S::Future) -> Self {
        Self { state: State::Calling { future }, fallback: None }
    }

    pub(super) fn planned(future: S::Future, service: S, plan: Plan<B>) -> Self {
        Self {
            state: State::Calling { future },
            fallback: Some(Box::new(Fallback { service, plan, first: None, attempts: Attempts::default() })),
        }
    }
}

impl<S, B, ResBody> Future for ModelFallbackFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    S::Error: 'static,
    B: TryClone,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { future } => {
                    let mut result = ready!(future.poll(cx));
                    let Some(fallback) = this.fallback.as_mut() else { return Poll::Ready(result) };
                    let falls_back = fallback.plan.falls_back(&result);
                    fallback.add_attempts(&mut result);
                    if !falls_back {
                        return Poll::Ready(result);
                    }
                    let attempts = &fallback.attempts;
                    let first = fallback.first.get_or_insert(result);
                    if let Some(request) = fallback.plan.next_request() {
                        State::Ready { request: Some(request) }
                    } else {
                        set_attempts(first, attempts.clone());
                        return Poll::Ready(fallback.first.take().expect("the first result is set above"));
                    }
                }
                StateProj::Ready { request } => {
                    let fallback = this.fallback.as_mut().expect("only a fallback waits for the service");
                    ready!(fallback.service.poll_ready(cx)?);
                    let request = request.take().expect("the future is not polled after it was ready");
                    State::Calling { future: fallback.service.call(request) }
                }
            };
            this.state.set(next);
        }
    }
}

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

    /// Returns the request for the next model, or `None` if no model is left or the request cannot be changed.
    pub(super) fn next_request(&mut self) -> Option<Request<B>> {
        let model = self.models.next(&self.model)?;
        tracing::debug!(from = %self.model, to = %model, "the model cannot serve, falling back to another one");
        let mut head = self.head.clone();
        let changed = match (self.pool.provider().set_model(&mut head, &model), head.extensions.get::<BodyForModel>()) {
            (SetModel::No, _) => return None,
            (_, Some(body)) => match body.get(&model) {
                Some(data) => Some(data),
                None => return self.next_request(),
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
        self.model = model;
        Some(Request::from_parts(head, body))
    }

    /// Reports whether another model may succeed after this result.
    fn falls_back<R, E: 'static>(&self, result: &Result<Response<R>, E>) -> bool {
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
        let affects_model = matches!(failure.affected_scope(), Scope::Model | Scope::ProjectModel | Scope::KeyModel);
        match failure.class() {
            ErrorClass::ModelNotFound => true,
            // The provider may have processed the request.
            ErrorClass::Transient => affects_model && !self.not_idempotent,
            _ => affects_model,
        }
    }
}

fn attempts<R, E: 'static>(result: &Result<Response<R>, E>) -> Option<&Attempts> {
    match result {
        Ok(response) => response.extensions().get(),
        Err(error) => Error::find(error).map(Error::attempts),
    }
}

fn set_attempts<R, E: 'static>(result: &mut Result<Response<R>, E>, attempts: Attempts) {
    match result {
        Ok(response) => drop(response.extensions_mut().insert(attempts)),
        Err(error) => {
            if let Some(error) = Error::find_mut(error) {
                error.set_attempts(attempts);
            }
        }
    }
}

impl<S, B> fmt::Debug for ModelFallbackFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFallbackFuture").finish_non_exhaustive()
    }
}
