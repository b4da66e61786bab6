//! One attempt. Where its key is in hand, what rotation and cooldown do with the answer is one future, and the lease is
//! handed to whoever needs it last instead of being shared.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Extensions, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    cooldown::{self, Asked, Begun, Cooldown, CooldownBody, CooldownFuture, Hold},
    error::{BoxError, Error},
    pool::{Lease, Slot},
    rotation::{self, KeyRotation, KeyRotationFuture, LeaseBody},
};

pin_project! {
    /// Waits for the answer, and for as much of its body as tells what it means.
    #[project = AttemptProj]
    pub(super) enum Attempt<S, B, F, R> {
        Calling {
            // Dropped before the lease, so that what judges on drop still finds it.
            #[pin]
            call: F,
            lease: Option<Lease>,
            asked: Asked,
            // What the demand travelled in, emptied: the answer's own extensions need no other.
            vessel: Extensions,
        },
        // On the heap, so that answers that are not held stay small.
        Holding {
            hold: Option<Box<Hold<R>>>,
            slot: Option<Slot>,
        },
        // Through the layers: one that waits for its key, is traced, or is not the first.
        Layered {
            future: Pin<Box<Layered<S, B, F, R>>>,
        },
    }
}

type Layered<S, B, F, R> = KeyRotationFuture<Cooldown<S>, B, CooldownFuture<F, R>>;

impl<S, B, R> Attempt<S, B, S::Future, R>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    /// Sends a request with its key through the layers, each of which is traced.
    #[cold]
    pub(super) fn traced(lease: Lease, keyed: &mut KeyRotation<Cooldown<S>>, request: Request<B>) -> Self {
        Self::layered(keyed.send(lease, |cooldown, granted| cooldown.send(request, Some(granted.clone()))))
    }
}

impl<S, B, F, R> Attempt<S, B, F, R> {
    pub(super) fn layered(future: Layered<S, B, F, R>) -> Self {
        Self::Layered { future: Box::pin(future) }
    }
}

/// What came of a request.
pub(super) type Answer<R> = Result<Response<LeaseBody<CooldownBody<R>>>, Error>;

impl<S, B, R> Attempt<S, B, S::Future, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    /// What came of it. `good` is set where nobody has to look at that: said beside the answer, which is then moved less.
    #[inline(always)]
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, good: &mut bool) -> Poll<Answer<R>> {
        const ONCE: &str = "the future is not polled after it was ready";
        loop {
            let (hold, slot) = match self.as_mut().project() {
                AttemptProj::Calling { call, lease, asked, vessel } => {
                    let mut response = match ready!(call.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => {
                            let lease = lease.take().expect(ONCE);
                            return Poll::Ready(Err(failed(error.into(), &lease)));
                        }
                    };
                    if response.extensions().is_empty() {
                        *response.extensions_mut() = mem::take(vessel);
                    }
                    // Whoever runs an upgraded connection may take over the lease as a whole.
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        let lease = lease.take().expect(ONCE);
                        return Poll::Ready(upgraded(response, lease, *asked));
                    }
                    let (granted, slot) = lease.as_mut().expect(ONCE).part();
                    match cooldown::begin(response, Some(granted), *asked) {
                        Ok(Begun { head, body, good: is_good, over }) => {
                            *good = is_good;
                            let body = LeaseBody::holding(body, if over { None } else { Some(slot) });
                            return Poll::Ready(Ok(Response::from_parts(head, body)));
                        }
                        Err(hold) => (hold, slot),
                    }
                }
                AttemptProj::Holding { hold, slot } => {
                    ready!(hold.as_mut().expect(ONCE).poll(cx));
                    let answer = hold.take().expect(ONCE).finish();
                    return Poll::Ready(answer.map(|response| response.map(|body| LeaseBody::new(body, slot.take()))));
                }
                AttemptProj::Layered { future } => return future.as_mut().poll(cx),
            };
            self.set(Self::Holding { hold: Some(hold), slot: Some(slot) });
        }
    }
}

/// An answer whose connection becomes something else. It is judged by its head.
#[cold]
fn upgraded<R>(response: Response<R>, lease: Lease, asked: Asked) -> Answer<R>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    let response = match cooldown::begin(response, Some(lease.granted().clone()), asked) {
        Ok(Begun { head, body, .. }) => Response::from_parts(head, body),
        Err(hold) => hold.finish()?,
    };
    Ok(rotation::answered(response, lease))
}

/// No answer came.
#[cold]
fn failed(error: BoxError, lease: &Lease) -> Error {
    rotation::failed(cooldown::failed(Some(lease.granted().clone()), error).into(), lease)
}
