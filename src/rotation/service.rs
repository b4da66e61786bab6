//! The service: a request comes in, a lease is taken, the request goes on.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, request::Parts};
use tower_service::Service;

use super::{body::LeaseBody, future::KeyRotationFuture, layer::Rules, outgoing, outgoing::Outgoing};
use crate::{
    error::{BoxError, Error},
    pool::{Demand, Granted, KeyPool, trace},
    time::Now,
};

/// Gives each request a key of a pool: the service of [`KeyRotationLayer`](crate::KeyRotationLayer).
#[derive(Clone, Debug)]
pub struct KeyRotation<S> {
    inner: S,
    pool: KeyPool,
    rules: Arc<Rules>,
}

impl<S> KeyRotation<S> {
    pub(super) fn new(inner: S, pool: KeyPool, rules: Arc<Rules>) -> Self {
        Self { inner, pool, rules }
    }

    /// The service below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service below.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn wait_of(&self, demand: &Demand) -> Duration {
        demand.wait.or(self.rules.wait).unwrap_or_else(|| self.pool.default_wait())
    }
}

impl<S: Clone> KeyRotation<S> {
    /// Lets go of the instance that was polled ready, with whatever place it holds below.
    fn give_back(&mut self) {
        self.inner = self.inner.clone();
    }

    #[cold]
    fn fail<B, F>(&mut self, error: Error) -> KeyRotationFuture<S, B, F> {
        self.give_back();
        KeyRotationFuture::failed(error)
    }
}

impl<S, B, R> Service<Request<B>> for KeyRotation<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: http_body::Body,
{
    type Response = Response<LeaseBody<R>>;
    type Error = Error;
    type Future = KeyRotationFuture<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_box(error.into()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut demand = Demand::of(head.extensions.remove::<Demand>(), &head, &self.pool);
        let now = self.pool.clock().now();
        self.carry(head, body, &mut demand, now, |inner, mut head, body, granted| {
            head.extensions.insert(granted.clone());
            inner.call(Request::from_parts(head, body))
        })
    }
}

impl<S> KeyRotation<S> {
    /// Whose keys it gives.
    pub(crate) fn pool(&self) -> &KeyPool {
        &self.pool
    }

    /// Takes a lease for a complete demand and sends the request on with it, or lets both wait. `send` hands both down,
    /// in whatever way. No lease that was taken before is left in the demand.
    #[inline]
    pub(crate) fn carry<B, R>(
        &mut self,
        mut head: Parts,
        body: B,
        demand: &mut Demand,
        now: Now,
        send: impl FnOnce(&mut S, Parts, B, &Granted) -> S::Future,
    ) -> KeyRotationFuture<S, B, S::Future>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        let provider = self.pool.provider();
        if let Err(error) = outgoing::prepare(&mut head, provider, &self.rules.allowed) {
            return self.fail(error);
        }
        let waited = demand.prepared.take();
        let again = waited.is_some();
        let prepared = waited.and_then(|prepared| prepared.take());
        // One that is granted here and now counts from here and now.
        let counts = prepared.is_none() && !demand.starts_later();
        let lease = match prepared.map_or_else(|| self.pool.try_lease(demand, now), Ok) {
            Ok(lease) => lease,
            // It fails at once where no key can come in time: the caller, or another model, loses no time.
            Err(error) if error.may_end_within(self.wait_of(demand)) => {
                let demand = Demand { wait: Some(self.wait_of(demand)), ..demand.clone() };
                self.give_back();
                let outgoing = Outgoing { head, body, on_grant: demand.on_grant.clone() };
                return KeyRotationFuture::waiting(&self.pool, demand, self.inner.clone(), outgoing);
            }
            Err(error) => {
                // One that waited before, in vain, was counted then.
                if !again && error.is_exhausted() {
                    self.pool.count_exhausted();
                }
                return self.fail(error.tried(demand));
            }
        };
        if let Err(error) = outgoing::equip(&mut head, lease.granted()) {
            return self.fail(error);
        }
        if !counts && let Err(error) = outgoing::start(lease.granted(), demand.on_grant.as_ref()) {
            return self.fail(error);
        }
        // The fast path: the very instance that was polled ready is the one that is called.
        match trace::attempt(lease.granted()) {
            None => KeyRotationFuture::calling(send(&mut self.inner, head, body, lease.granted()), lease, None),
            Some(span) => {
                let future = span.in_scope(|| send(&mut self.inner, head, body, lease.granted()));
                KeyRotationFuture::calling(future, lease, Some(span))
            }
        }
    }
}
