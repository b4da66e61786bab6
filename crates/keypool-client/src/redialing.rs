//! A pooled client that does not try one dead connection after the other.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::Service;
use tower_keypool::judge_error;

/// A client whose idle connections are all let go when one of its connections was closed before any byte of an answer.
///
/// Whoever drops connections that lie idle without a word (a NAT, a balancer) has mostly dropped them all; a pool would
/// hand the next request, and each of its retries, another dead one. Pools as hyper-util's cannot be emptied, so that
/// another client takes the place of the one that is there; what is under way over that one goes on. Meant for clients
/// that are always ready.
pub struct Redialing<C>(Arc<Shared<C>>);

struct Shared<C> {
    make: Box<dyn Fn() -> C + Send + Sync>,
    /// The client, and the how many-th it is.
    now: Mutex<(u64, C)>,
}

impl<C> Redialing<C> {
    /// One that is made so, each time anew.
    pub fn new(make: impl Fn() -> C + Send + Sync + 'static) -> Self {
        let now = Mutex::new((0, make()));
        Self(Arc::new(Shared { make: Box::new(make), now }))
    }
}

impl<C> Shared<C> {
    fn now(&self) -> MutexGuard<'_, (u64, C)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once for all that fail over the same one.
    fn renew(&self, failed: u64) {
        let mut now = self.now();
        if now.0 == failed {
            *now = (failed + 1, (self.make)());
        }
    }
}

impl<C, R> Service<R> for Redialing<C>
where
    C: Service<R> + Clone + Send + 'static,
    C::Response: Send,
    C::Error: StdError + Send + 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = RedialingFuture<C, C::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let shared = Arc::clone(&self.0);
        let mut now = shared.now();
        let (count, answering) = (now.0, now.1.call(request));
        drop(now);
        RedialingFuture { answering, shared, count }
    }
}

pin_project! {
    /// Waits for the answer over one client of a [`Redialing`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RedialingFuture<C, F> {
        #[pin]
        answering: F,
        shared: Arc<Shared<C>>,
        count: u64,
    }
}

impl<C, F, T, E> Future for RedialingFuture<C, F>
where
    F: Future<Output = Result<T, E>>,
    E: StdError + 'static,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.answering.poll(cx));
        if let Err(error) = &answered
            && judge_error(error).code_of() == "closed"
        {
            this.shared.renew(*this.count);
        }
        Poll::Ready(answered)
    }
}

impl<C, F> fmt::Debug for RedialingFuture<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedialingFuture").finish_non_exhaustive()
    }
}

impl<C> Clone for Redialing<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Redialing<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redialing").finish_non_exhaustive()
    }
}
