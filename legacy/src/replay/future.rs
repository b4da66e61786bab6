//! The future.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{ReplayBody, derive};
use crate::{
    error::BoxError,
    pool::{Behind, Demand, KeyPool},
};

pin_project! {
    /// The future of [`ReplayService`](crate::ReplayService).
    #[must_use = "futures do nothing unless polled"]
    pub struct ReplayFuture<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        /// Reading the body until what it demands is known.
        Reading { reading: Option<Box<Reading<S, B>>> },
        /// On its way down.
        Called {
            #[pin]
            future: F,
        },
        /// The answer's head is here: no other attempt follows, and what could start one is dropped.
        Done,
    }
}

struct Reading<S, B> {
    service: S,
    /// The service is the one that was polled ready by the caller.
    is_ready: bool,
    request: Request<ReplayBody<B>>,
    pool: KeyPool,
    /// The demand is complete.
    known: bool,
}

impl<S, B> ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    pub(super) fn reading(ready: S, request: Request<ReplayBody<B>>, pool: KeyPool) -> Self {
        let reading = Reading { service: ready, is_ready: true, request, pool, known: false };
        Self { state: State::Reading { reading: Some(Box::new(reading)) } }
    }

    #[inline]
    pub(super) fn called(future: S::Future) -> Self {
        Self { state: State::Called { future } }
    }
}

impl<S, B> Future for ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>> + Clone,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const ONCE: &str = "a future is not polled after it was ready";
        let mut state = self.project().state;
        loop {
            let output = match state.as_mut().project() {
                StateProj::Reading { reading } => {
                    let ready = ready!(reading.as_mut().expect(ONCE).poll(cx));
                    let Reading { mut service, request, .. } = *reading.take().expect(ONCE);
                    match ready {
                        Ok(()) => {
                            let future = service.call(request);
                            state.set(State::Called { future });
                            continue;
                        }
                        Err(error) => Err(error),
                    }
                }
                StateProj::Called { future } => ready!(future.poll(cx)),
                StateProj::Done => panic!("{ONCE}"),
            };
            state.set(State::Done);
            return Poll::Ready(output);
        }
    }
}

impl<S, B> Reading<S, B>
where
    S: Service<Request<ReplayBody<B>>> + Clone,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// Ready when the demand is complete and the service may be called.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if !self.known {
            let scanned = self.request.body().shared().lock().poll_scan(cx);
            if scanned.is_pending() && self.is_ready {
                // The rest of the body may take long. Whatever the ready service holds is for others meanwhile.
                self.service = self.service.clone();
                self.is_ready = false;
            }
            ready!(scanned);
            self.complete();
            self.known = true;
        }
        if self.is_ready { Poll::Ready(Ok(())) } else { self.service.poll_ready(cx) }
    }

    fn complete(&mut self) {
        let Some(mut demand) = self.request.extensions_mut().remove::<Demand>() else { return };
        let source = self.request.body().shared().lock();
        if let Some(scan) = source.scan() {
            let lengths = (source.pulled(), source.rest_hint().lower());
            derive::complete_from(&mut demand, scan, &self.pool, lengths);
            let (cut, too_long) = source.is_cut();
            if cut && demand.model.is_none() && scan.model().is_some_and(|model| !model.is_settled()) {
                demand.particulars.behind = Some(if too_long { Behind::Kept } else { Behind::Room });
            }
        }
        drop(source);
        self.request.extensions_mut().insert(demand);
    }
}

impl<S, B> fmt::Debug for ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFuture").finish_non_exhaustive()
    }
}
