//! Retry, rotation and cooldown as one: what tower's `Retry` does with our policy, without what that costs a request
//! that is not sent again. A service is cloned only for another attempt, and lease and demand go from hand to hand.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::retry::Policy;
use tower_service::Service;

use super::spare::Spare;
use crate::{
    cooldown::{Cooldown, CooldownBody},
    error::{BoxError, Error},
    pool::Demand,
    replay::TryClone,
    retry::{RetryFuture, RetryPolicy},
    rotation::{KeyRotation, LeaseBody},
    time::Tick,
};

/// Gives each attempt a key.
type Keyed<S> = KeyRotation<Cooldown<S>>;

/// Sends a request with a key, and again where the policy says so.
#[derive(Clone)]
pub struct Resend<S> {
    inner: Keyed<S>,
    again: Arc<Again<S>>,
}

/// What only a request needs that is sent again: the others carry a pointer to it.
struct Again<S> {
    policy: RetryPolicy,
    /// Whoever sends again clones this one, which is never asked whether it is ready. Made with the first request.
    idle: OnceLock<Mutex<Keyed<S>>>,
}

impl<S> Resend<S> {
    pub(super) fn new(policy: RetryPolicy, inner: Keyed<S>) -> Self {
        Self { inner, again: Arc::new(Again { policy, idle: OnceLock::new() }) }
    }

    pub(super) fn get_ref(&self) -> &Keyed<S> {
        &self.inner
    }

    pub(super) fn into_inner(self) -> Keyed<S> {
        self.inner
    }

    /// Sends a request whose demand was taken out of it.
    #[inline]
    pub(super) fn send<B, R>(
        &mut self,
        head: Parts,
        body: B,
        mut demand: Demand,
    ) -> ResendFuture<S, B, <Keyed<S> as Service<Request<B>>>::Future>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        S::Error: Into<BoxError>,
        B: TryClone,
        R: Body,
        R::Error: Into<BoxError>,
    {
        demand.complete_by(&head, self.inner.pool());
        let spare = body.try_clone().map(|body| Spare::of(&head, body));
        // One reading of the clock: for when the request came, and for its lease.
        let now = self.inner.pool().clock().now();
        let future = self.inner.carry(head, body, &mut demand, now, |inner, head, body, granted| {
            inner.send(Request::from_parts(head, body), Some(granted.clone()))
        });
        self.again.idle.get_or_init(|| Mutex::new(self.inner.clone()));
        let again = Arc::clone(&self.again);
        ResendFuture {
            state: State::Called { future },
            attempts: Attempts::First { demand, came: now.tick },
            spare,
            again,
        }
    }
}

impl<S, B, R> Service<Request<B>> for Resend<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: TryClone,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<LeaseBody<CooldownBody<R>>>;
    type Error = Error;
    type Future = ResendFuture<S, B, <Keyed<S> as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let said = head.extensions.remove::<Demand>().unwrap_or_default();
        self.send(head, body, said)
    }
}

pin_project! {
    /// The walk of one request over all its attempts.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResendFuture<S, B, F> {
        #[pin]
        state: State<S, F>,
        // Dropped before the spare, whose body is then the last that holds the caller's.
        attempts: Attempts,
        // What would be sent again; nothing where the body cannot be.
        spare: Option<Spare<B>>,
        again: Arc<Again<S>>,
    }
}

/// What is known of a request over its attempts.
enum Attempts {
    /// The first is under way.
    First { demand: Demand, came: Tick },
    /// An answer came that may not stand.
    More(Box<RetryPolicy>),
}

impl Attempts {
    /// What decides on that answer and those after it.
    fn policy(&mut self, of_all: &RetryPolicy) -> &mut RetryPolicy {
        if let Self::First { demand, came } = self {
            *self = Self::More(Box::new(of_all.of_request(std::mem::take(demand), *came)));
        }
        match self {
            Self::More(policy) => policy,
            Self::First { .. } => unreachable!("it was made just now"),
        }
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        Called {
            #[pin]
            future: F,
        },
        // Until there is a lease for another attempt.
        Waiting {
            #[pin]
            waiting: RetryFuture,
        },
        Readying {
            service: Keyed<S>,
        },
    }
}

impl<S, B, R> Future for ResendFuture<S, B, <Keyed<S> as Service<Request<B>>>::Future>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: TryClone,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<LeaseBody<CooldownBody<R>>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Called { future } => {
                    let mut result = ready!(future.poll(cx));
                    if this.spare.is_none() || this.again.policy.is_content(&result) {
                        return Poll::Ready(result);
                    }
                    let Some(mut request) = this.spare.take().map(Spare::into_request) else {
                        return Poll::Ready(result);
                    };
                    match this.attempts.policy(&this.again.policy).retry(&mut request, &mut result) {
                        Some(waiting) => {
                            *this.spare = Some(request.into());
                            State::Waiting { waiting }
                        }
                        None => return Poll::Ready(result),
                    }
                }
                StateProj::Waiting { waiting } => {
                    ready!(waiting.poll(cx));
                    let idle = this.again.idle.get().expect("made with the first request");
                    State::Readying { service: idle.lock().unwrap_or_else(PoisonError::into_inner).clone() }
                }
                StateProj::Readying { service } => {
                    ready!(service.poll_ready(cx))?;
                    let request = this.spare.take().expect("only what can be sent again is").into_request();
                    let policy = this.attempts.policy(&this.again.policy);
                    *this.spare = Policy::<_, Response<R>, Error>::clone_request(policy, &request).map(Spare::from);
                    State::Called { future: service.call(request) }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B, F> fmt::Debug for ResendFuture<S, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResendFuture").finish_non_exhaustive()
    }
}
