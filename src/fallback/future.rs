//! Sends a request with one model after another, and collects the attempts.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::plan::Plan;
use crate::{Error, pool::Attempts, replay::TryClone};

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
        if let Some(attempts) = attempts(result) {
            self.attempts.deadline = attempts.deadline;
            for attempt in attempts.iter() {
                self.attempts.push(attempt.clone());
            }
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
                    let retry_after = result.as_ref().err().and_then(Error::find).and_then(Error::retry_after);
                    let first = fallback.first.get_or_insert(result);
                    if let (Some(after), Some(error)) = (retry_after, first.as_mut().err().and_then(Error::find_mut)) {
                        error.lower_retry_after(after);
                    }
                    if let Some(request) = fallback.plan.next_request(attempts.deadline) {
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

debug_with_fields!([S: Service<Request<B>>, B] ModelFallbackFuture<S, B>, "ModelFallbackFuture");
