//! The walk of one request down its list of models.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Plan,
    service::{retarget, spare},
    step::{error_steps_down, steps_down},
    unknown::{Form, Unknown},
};
use crate::{
    error::{BoxError, Error},
    pool::{Demand, KeyPool, Lease, ServedBy},
    replay::TryClone,
    time::Tick,
};

pin_project! {
    /// The walk of one request through a [`ModelFallback`](crate::ModelFallback).
    #[must_use = "futures do nothing unless polled"]
    pub struct ModelFallbackFuture<S, B, F> {
        #[pin]
        state: State<S, B, F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Calling {
            #[pin]
            future: F,
            again: Option<Box<Again<S, B>>>,
        },
        // Goes on with another model; its key travels with the request.
        Readying {
            held: Option<Box<(S, Request<B>)>>,
            again: Option<Box<Again<S, B>>>,
        },
    }
}

/// What it takes to ask another model; on the heap, so that requests without a list stay small.
pub(super) struct Again<S, B> {
    pub(super) pool: KeyPool,
    /// What goes on, where a model is left: a service that is not ready, and is polled when it is wanted, and the request.
    pub(super) spare: Option<(S, Request<B>)>,
    pub(super) plan: Plan,
    /// What was asked for last, without a lease.
    pub(super) demand: Demand,
    /// Until when it may stand waiting for a key.
    pub(super) until: Tick,
    /// What is heard of the models of lists.
    pub(super) unknown: Arc<Unknown>,
    pub(super) form: Form,
    /// It is a model of the list that was asked for last, not one that the request names itself.
    pub(super) is_listed: bool,
}

impl<S, B, F> ModelFallbackFuture<S, B, F> {
    #[inline]
    pub(super) fn passing(future: F) -> Self {
        Self { state: State::Calling { future, again: None } }
    }

    pub(super) fn calling(future: F, again: Option<Again<S, B>>) -> Self {
        Self { state: State::Calling { future, again: again.map(Box::new) } }
    }
}

impl<S, B> Again<S, B>
where
    S: Clone,
    B: TryClone + Body,
{
    /// The same request for the next model that a key stands ready for.
    fn step<F>(mut self, tried: Option<&ServedBy>) -> Option<State<S, B, F>> {
        self.spare.as_ref()?;
        self.tried(tried);
        let (model, lease) = self.plan.step(&self.pool, &self.demand, tried.and_then(|tried| tried.seat))?;
        self.go_on(model, Some(lease))
    }

    /// The same where this error is all that came of the one before; where no key stands ready for another, for the first
    /// that one comes for in time. Else the error says when the first of the whole list is back: it is asked again from
    /// the top.
    fn step_from<F>(mut self, error: &mut BoxError) -> Option<State<S, B, F>> {
        let told = Error::find(&**error)?;
        let tried = told.served_by();
        self.tried(tried);
        let out = told.is_exhausted() || told.is_never_fits();
        let seat = tried.and_then(|tried| tried.seat);
        let mut left = self.plan.clone();
        if self.spare.is_some()
            && let Some((model, lease)) = self.plan.step(&self.pool, &self.demand, seat)
        {
            return self.go_on(model, Some(lease));
        }
        let wait = self.until.since(self.pool.clock().tick());
        let may_go_on = out && self.spare.is_some();
        if let Some(model) = may_go_on.then(|| left.soonest(&self.pool, &self.demand, wait)).flatten() {
            left.pass(&model);
            self.plan = left;
            return self.go_on(model, None);
        }
        if let Some(exhausted) = error.downcast_mut::<Error>().and_then(Error::exhausted_mut)
            && let Some((model, after)) = left.soonest_of_all(&self.pool, &self.demand)
        {
            exhausted.sooner_as(model, after);
        }
        None
    }

    fn tried(&mut self, tried: Option<&ServedBy>) {
        if let Some(tried) = tried {
            self.demand.particulars.earlier = Some(self.pool.attempts(tried, &self.demand));
        }
    }

    fn go_on<F>(mut self, model: Arc<str>, lease: Option<Lease>) -> Option<State<S, B, F>> {
        self.demand.model = Some(model);
        // What the models before it waited is part of what the request may wait.
        self.demand.wait = Some(self.until.since(self.pool.clock().tick()));
        let (service, spare_request) = self.spare?;
        let (mut head, mut body) = spare_request.into_parts();
        if !retarget(&mut head, &mut body, &**self.pool.provider(), &self.demand, lease) || !body.reclaim() {
            return None;
        }
        let request = Request::from_parts(head, body);
        let spare = spare(&request, &self.plan).map(|spare| (service.clone(), spare));
        let again = Some(Box::new(Self { spare, is_listed: true, ..self }));
        Some(State::Readying { held: Some(Box::new((service, request))), again })
    }
}

impl<S, B, R> Future for ModelFallbackFuture<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: TryClone + Body,
{
    type Output = Result<Response<R>, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const ONCE: &str = "the future is not polled after it was ready";
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Calling { future, again } => {
                    let result = ready!(future.poll(cx));
                    let Some(again) = again.take() else {
                        return Poll::Ready(result.map_err(|error| Error::from_box(error.into())));
                    };
                    let mut result = result.map_err(Into::into);
                    match after(*again, &mut result) {
                        Some(next) => next,
                        None => return Poll::Ready(result.map_err(Error::from_box)),
                    }
                }
                StateProj::Readying { held, again } => {
                    let (service, _) = held.as_deref_mut().expect(ONCE);
                    ready!(service.poll_ready(cx)).map_err(|error| Error::from_box(error.into()))?;
                    let (mut service, request) = *held.take().expect(ONCE);
                    let future = service.call(request);
                    State::Calling { future, again: again.take() }
                }
            };
            state.set(next);
        }
    }
}

/// Goes on where the answer is a reason to, and where there is a model and a key for it.
fn after<S, B, R, F>(again: Again<S, B>, result: &mut Result<Response<R>, BoxError>) -> Option<State<S, B, F>>
where
    S: Clone,
    B: TryClone + Body,
{
    let overloaded = again.plan.steps_on_overloaded();
    match result {
        Ok(response) => {
            let served_by = response.extensions().get::<ServedBy>()?;
            if let Some(model) = again.demand.model.as_ref().filter(|_| again.is_listed) {
                again.unknown.hear(model, again.form, served_by.verdict(), again.pool.clock().tick());
            }
            steps_down(served_by.verdict(), &again.demand, overloaded).then(|| again.step(Some(served_by)))?
        }
        Err(error) => error_steps_down(&**error, &again.demand, overloaded).then(|| again.step_from(error))?,
    }
}
