//! Retry, rotation and cooldown as one: what tower's `Retry` does with our policy, without what that costs a request
//! that is not sent again. A service is cloned only for another attempt, and lease and demand go from hand to hand.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::retry::Policy;
use tower_service::Service;

use super::{
    attempt::{Answer, Attempt},
    spare::Spare,
};
use crate::{
    cooldown::{Cooldown, CooldownBody},
    error::{BoxError, Error},
    pool::{Demand, Keeping},
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
    pub(super) inner: Keyed<S>,
    pub(super) again: Arc<Again<S>>,
}

/// What only a request needs that is sent again: the others carry a pointer to it.
pub(super) struct Again<S> {
    policy: RetryPolicy,
    /// Whoever sends again clones this one, which is never asked whether it is ready. Made with the first request.
    pub(super) idle: OnceLock<Mutex<Keyed<S>>>,
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
}

/// Sends a request, in its parts, whose demand was taken out of it; its future is made as a part of `$whole`. Written out
/// where it is used: whatever is handed to a function is copied for it, and these are the largest things on the way.
/// `$twin`: the same body for another attempt.
macro_rules! send {
    ($whole:path, $resend:expr, $head:ident, $body:expr, $twin:expr, $demand:ident) => {{
        use $crate::{
            rotation::Names,
            stack::{attempt::Attempt, resend::ResendFuture, spare::Spare},
        };
        let (resend, body, twin) = ($resend, $body, $twin);
        $demand.complete_by(&$head, resend.inner.pool());
        let mut names = Names::default();
        let spare = twin.map(|body| Spare::of(&$head, body, &mut names));
        let names = spare.as_ref().map(|_| names);
        // One reading of the clock: for when the request came, and for its lease.
        let now = resend.inner.pool().clock().now();
        resend.again.idle.get_or_init(|| std::sync::Mutex::new(resend.inner.clone()));
        let again = std::sync::Arc::clone(&resend.again);
        match resend.inner.take(&mut $head, &mut $demand, now, names) {
            Ok(lease) if $crate::pool::trace::traces_attempts() => {
                let attempt = Attempt::traced(lease, &mut resend.inner, http::Request::from_parts($head, body));
                $whole(ResendFuture::sent(attempt, $demand, now.tick, spare, again))
            }
            Ok(lease) => {
                // Emptied, it is good for the answer.
                let empty = $head.extensions.is_empty();
                let vessel = if empty { std::mem::take(&mut $head.extensions) } else { http::Extensions::new() };
                let cooldown = resend.inner.get_mut();
                let asked = cooldown.asked(&$head.method, &$head.uri);
                let call = cooldown.get_mut().call(http::Request::from_parts($head, body));
                let attempt = Attempt::Calling { call, lease: Some(lease), asked, vessel };
                $whole(ResendFuture::sent(attempt, $demand, now.tick, spare, again))
            }
            Err(refused) => {
                let attempt = Attempt::layered(resend.inner.refused(refused, $head, body, &$demand));
                $whole(ResendFuture::sent(attempt, $demand, now.tick, spare, again))
            }
        }
    }};
}
pub(super) use send;

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
    type Future = ResendFuture<S, B, S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut demand = head.extensions.remove::<Demand>().unwrap_or_default();
        let twin = body.try_clone();
        send!(std::convert::identity, self, head, body, twin, demand)
    }
}

pin_project! {
    /// The walk of one request over all its attempts.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResendFuture<S, B, F, R> {
        #[pin]
        state: State<S, B, F, R>,
        // Dropped before the spare, whose body is then the last that holds the caller's.
        attempts: Attempts,
        // What would be sent again; nothing where the body cannot be.
        spare: Option<Spare<B>>,
        again: Arc<Again<S>>,
    }
}

impl<S, B, F, R> ResendFuture<S, B, F, R> {
    /// Of a request whose first attempt is under way. Called in each place where one begins, so that it is written where it
    /// stays.
    #[expect(clippy::inline_always, reason = "on the way of every request, which is copied for a call")]
    #[inline(always)]
    pub(super) fn sent(
        attempt: Attempt<S, B, F, R>,
        demand: Demand,
        came: Tick,
        spare: Option<Spare<B>>,
        again: Arc<Again<S>>,
    ) -> Self {
        Self { state: State::Sent { attempt }, attempts: Attempts::First { demand, came }, spare, again }
    }
}

/// What is known of a request over its attempts.
enum Attempts {
    /// The first is under way.
    First { demand: Demand, came: Tick },
    /// An answer came that may not stand.
    More(Box<RetryPolicy>),
    /// None follows.
    Over,
}

impl Attempts {
    /// What decides on that answer and those after it.
    fn policy(&mut self, of_all: &RetryPolicy) -> &mut RetryPolicy {
        if let Self::First { demand, came } = self {
            *self = Self::More(Box::new(of_all.of_request(std::mem::take(demand), *came)));
        }
        match self {
            Self::More(policy) => policy,
            Self::First { .. } | Self::Over => unreachable!("it was made just now, and not after the last answer"),
        }
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F, R> {
        Sent {
            #[pin]
            attempt: Attempt<S, B, F, R>,
        },
        // Until there is a lease for another attempt.
        Waiting { waiting: Pin<Box<RetryFuture>> },
        Readying {
            service: Keyed<S>,
        },
        // What comes out, once the store has what its attempts taught.
        Keeping { last: Option<Box<(Keeping, Answer<R>)>> },
        Over,
    }
}

impl<S, B, R> Future for ResendFuture<S, B, S::Future, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: TryClone,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Answer<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let StateProj::Sent { attempt } = self.as_mut().project().state.project() else { return self.go_on(None, cx) };
        let mut good = false;
        let polled = attempt.poll(cx, &mut good);
        if good && !matches!(self.attempts, Attempts::More(_)) {
            self.again.policy.succeeded();
            self.end();
            return polled;
        }
        let answer = ready!(polled);
        if !good {
            return self.go_on(Some(answer), cx);
        }
        self.again.policy.succeeded();
        self.come_out(answer, true, cx)
    }
}

impl<S, B, R> ResendFuture<S, B, S::Future, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: TryClone,
    R: Body,
    R::Error: Into<BoxError>,
{
    /// What comes after this answer, or goes on without one: it is sent again as long as the policy says so.
    #[cold]
    fn go_on(mut self: Pin<&mut Self>, mut answer: Option<Answer<R>>, cx: &mut Context<'_>) -> Poll<Answer<R>> {
        loop {
            let mut this = self.as_mut().project();
            let next = match (answer.take(), this.state.as_mut().project()) {
                (Some(mut answer), _) => {
                    let good = this.again.policy.is_content(&answer);
                    let spare = if good { None } else { this.spare.take().map(Spare::into_request) };
                    let waiting = spare.and_then(|mut request| {
                        let waiting = this.attempts.policy(&this.again.policy).retry(&mut request, &mut answer)?;
                        *this.spare = Some(request.into());
                        Some(waiting)
                    });
                    let Some(waiting) = waiting else {
                        let taught = matches!(this.attempts, Attempts::More(_)) || RetryPolicy::blames(&answer);
                        return self.come_out(answer, taught, cx);
                    };
                    State::Waiting { waiting: Box::pin(waiting) }
                }
                (None, StateProj::Sent { attempt }) => {
                    answer = Some(ready!(attempt.poll(cx, &mut false)));
                    continue;
                }
                (None, StateProj::Waiting { waiting }) => {
                    ready!(waiting.as_mut().poll(cx));
                    let idle = this.again.idle.get().expect("made with the first request");
                    State::Readying { service: idle.lock().unwrap_or_else(PoisonError::into_inner).clone() }
                }
                (None, StateProj::Readying { service }) => {
                    let is_ready = ready!(service.poll_ready(cx));
                    let request = this.spare.take().expect("only what can be sent again is").into_request();
                    if let Err(error) = is_ready {
                        let error = match request.extensions().get::<Demand>() {
                            Some(demand) => error.tried(demand),
                            None => error,
                        };
                        return self.come_out(Err(error), true, cx);
                    }
                    let policy = this.attempts.policy(&this.again.policy);
                    *this.spare = Policy::<_, Response<R>, Error>::clone_request(policy, &request).map(Spare::from);
                    State::Sent { attempt: Attempt::layered(service.call(request)) }
                }
                (None, StateProj::Keeping { last }) => {
                    const ONCE: &str = "the future is not polled after it was ready";
                    ready!(last.as_mut().expect(ONCE).0.as_mut().poll(cx));
                    let (_, answer) = *last.take().expect(ONCE);
                    self.end();
                    return Poll::Ready(answer);
                }
                (None, StateProj::Over) => panic!("the future is not polled after it was ready"),
            };
            this.state.set(next);
        }
    }

    /// This answer it is: at once, or when the store has what was `taught`.
    fn come_out(mut self: Pin<&mut Self>, answer: Answer<R>, taught: bool, cx: &mut Context<'_>) -> Poll<Answer<R>> {
        let keeping = if taught { self.again.policy.pool().keeping() } else { None };
        self.as_mut().end();
        let Some(keeping) = keeping else { return Poll::Ready(answer) };
        self.as_mut().project().state.set(State::Keeping { last: Some(Box::new((keeping, answer))) });
        self.go_on(None, cx)
    }

    /// No other attempt follows: what could start one is dropped.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.state.set(State::Over);
        *this.attempts = Attempts::Over;
        *this.spare = None;
    }
}

impl<S, B, F, R> fmt::Debug for ResendFuture<S, B, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResendFuture").finish_non_exhaustive()
    }
}
