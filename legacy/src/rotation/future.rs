//! The walk of one request through a rotation.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;
use tracing::Span;

use super::{body::LeaseBody, outgoing::Outgoing};
use crate::{
    error::{BoxError, Error, Kind},
    pool::{Acquire, Demand, Kept, KeyPool, Lease, ServedBy, trace},
    verdict::{Verdict, judge_error},
};

pin_project! {
    /// The walk of one request through a [`KeyRotation`](crate::KeyRotation). Dropping it frees the key's slot.
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyRotationFuture<S, B, F> {
        #[pin]
        state: State<S, B, F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        // No key was ready. The ready instance below was given back.
        Waiting {
            #[pin]
            acquire: Acquire,
            held: Option<Box<Held<S, B>>>,
        },
        // A key is here; the fresh instance is not ready yet.
        Readying {
            lease: Option<Lease>,
            held: Option<Box<Held<S, B>>>,
        },
        Calling {
            // Dropped before the lease, so that what judges on drop still finds it.
            #[pin]
            future: F,
            lease: Option<Lease>,
            span: Option<Box<Span>>,
        },
        Failed {
            error: Option<Error>,
        },
    }
}

/// What a request that waits takes along; on the heap, so that those that do not wait stay small.
struct Held<S, B> {
    service: S,
    outgoing: Outgoing<B>,
    tried: Option<ServedBy>,
}

impl<S, B, F> KeyRotationFuture<S, B, F> {
    pub(super) fn failed(error: Error) -> Self {
        Self { state: State::Failed { error: Some(error) } }
    }

    #[inline]
    pub(super) fn calling(future: F, lease: Lease, span: Option<Box<Span>>) -> Self {
        Self { state: State::Calling { future, lease: Some(lease), span } }
    }

    pub(super) fn waiting(pool: &KeyPool, demand: Demand, service: S, outgoing: Outgoing<B>) -> Self {
        let held = Box::new(Held { service, outgoing, tried: demand.tried() });
        Self { state: State::Waiting { acquire: pool.acquire_in_time(demand), held: Some(held) } }
    }
}

impl<S, B, R> Future for KeyRotationFuture<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
{
    type Output = Result<Response<LeaseBody<R>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const ONCE: &str = "the future is not polled after it was ready";
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Waiting { acquire, held } => match ready!(acquire.poll(cx)) {
                    Ok(lease) => State::Readying { lease: Some(lease), held: held.take() },
                    Err(error) => {
                        let tried = held.take().and_then(|held| held.tried);
                        return Poll::Ready(Err(match tried {
                            Some(tried) => error.with_served_by(tried),
                            None => error,
                        }));
                    }
                },
                StateProj::Readying { lease, held } => {
                    let service = &mut held.as_mut().expect(ONCE).service;
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        let error = Error::from_box(error.into());
                        return Poll::Ready(Err(match held.take().and_then(|held| held.tried) {
                            Some(tried) => error.with_served_by(tried),
                            None => error,
                        }));
                    }
                    let Held { mut service, outgoing, .. } = *held.take().expect(ONCE);
                    let lease = lease.take().expect(ONCE);
                    let (request, span) = (outgoing.with_key(&lease)?, trace::attempt(lease.granted()));
                    let future = match &span {
                        None => service.call(request),
                        Some(span) => span.in_scope(|| service.call(request)),
                    };
                    State::Calling { future, lease: Some(lease), span }
                }
                StateProj::Calling { future, lease, span } => {
                    let result = ready!(match span {
                        None => future.poll(cx),
                        Some(span) => span.in_scope(|| future.poll(cx)),
                    });
                    let lease = lease.take().expect(ONCE);
                    if let Some(span) = span.take() {
                        return Poll::Ready(traced(&span, result, lease));
                    }
                    return Poll::Ready(match result {
                        Ok(response) => Ok(answered(response, lease)),
                        Err(error) => Err(failed(error.into(), &lease)),
                    });
                }
                StateProj::Failed { error } => return Poll::Ready(Err(error.take().expect(ONCE))),
            };
            state.set(next);
        }
    }
}

/// The same, and the span is told what it came to. Apart, so that answers that nobody traces are not moved once more.
#[cold]
fn traced<R: Body, E: Into<BoxError>>(
    span: &Span,
    result: Result<Response<R>, E>,
    lease: Lease,
) -> Result<Response<LeaseBody<R>>, Error> {
    let result = match result {
        Ok(response) => Ok(answered(response, lease)),
        Err(error) => Err(failed(error.into(), &lease)),
    };
    let served_by = match &result {
        Ok(response) => response.extensions().get::<ServedBy>(),
        Err(error) => error.served_by(),
    };
    if let Some(served_by) = served_by {
        trace::end(span, served_by.verdict());
    }
    result
}

/// Makes the answer's body, or whoever runs the upgraded connection, hold the lease.
#[inline]
pub(crate) fn answered<R: Body>(response: Response<R>, lease: Lease) -> Response<LeaseBody<R>> {
    let (mut head, body) = response.into_parts();
    let status = head.status;
    if head.extensions.get::<ServedBy>().is_none() {
        let verdict = unlooked_at(status);
        lease.judge(&verdict);
        let served_by = lease.granted().served_by(verdict);
        head.extensions.insert(served_by);
    }
    let slot = if status == StatusCode::SWITCHING_PROTOCOLS
        && let Some(served_by) = head.extensions.get_mut::<ServedBy>()
    {
        served_by.keep = Some(Kept::new(lease));
        None
    } else {
        Some(lease.into_slot())
    };
    Response::from_parts(head, LeaseBody::new(body, slot))
}

/// What is booked when nobody below judged the answer.
fn unlooked_at(status: StatusCode) -> Verdict {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(name: "keypool.unjudged", "no CooldownLayer stands below KeyRotationLayer: limits that keys reach go unnoticed");
    }
    if status.as_u16() < 400 { Verdict::SUCCESS.status(status) } else { Verdict::UNJUDGED.status(status) }
}

/// Names the key in the error; judges it where nobody below did (a time-out between, or no Cooldown).
pub(crate) fn failed(error: BoxError, lease: &Lease) -> Error {
    named(error, lease).hiding(&lease.granted().secret)
}

fn named(error: BoxError, lease: &Lease) -> Error {
    if error.downcast_ref::<Error>().is_some_and(|ours| ours.served_by().is_some()) {
        return Error::from_box(error);
    }
    let judged = Error::find(&*error).and_then(|ours| Some((ours.verdict()?.clone(), ours.served_by()?.clone())));
    let (verdict, served_by) = judged.unwrap_or_else(|| {
        let verdict = judge_error(&*error);
        lease.judge(&verdict);
        (verdict.clone(), lease.granted().served_by(verdict))
    });
    Error::new(Kind::Upstream { verdict, source: error })
        .with_served_by(served_by)
        .with_provider(lease.granted().pool.provider())
}
