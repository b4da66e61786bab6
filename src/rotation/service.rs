//! The service: a request comes in, a lease is taken, the request goes on.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tower_service::Service;

use super::{body::LeaseBody, future::KeyRotationFuture, layer::Rules, outgoing::Outgoing};
use crate::{
    error::{BoxError, Error},
    pool::{Demand, KeyPool, Lease},
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let provider = self.pool.provider();
        let mut demand = match head.extensions.remove::<Demand>() {
            Some(demand) => demand,
            None => Demand::asked_by(&head, &**provider),
        };
        let on_grant = demand.on_grant.clone();
        let prepared = demand.prepared.take().and_then(|prepared| prepared.take());
        let outgoing = match Outgoing::new(head, body, on_grant, &**provider, &self.rules.allowed) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                let error = error.with_provider(provider);
                self.give_back();
                return KeyRotationFuture::failed(error);
            }
        };
        // One that is granted here and now counts from here and now.
        let counts = prepared.is_none() && !demand.starts_later();
        match prepared.map_or_else(|| self.pool.try_lease(&demand), Ok) {
            Ok(lease) => self.send(outgoing, lease, counts),
            Err(error) if error.is_exhausted() && !self.wait_of(&demand).is_zero() => {
                demand.wait = Some(self.wait_of(&demand));
                self.give_back();
                KeyRotationFuture::waiting(&self.pool, demand, self.inner.clone(), outgoing)
            }
            Err(error) => {
                self.give_back();
                KeyRotationFuture::failed(error.tried(&demand))
            }
        }
    }
}

impl<S> KeyRotation<S> {
    /// The fast path: the instance that was polled ready is the one that is called.
    fn send<B>(&mut self, outgoing: Outgoing<B>, lease: Lease, counts: bool) -> KeyRotationFuture<S, B, S::Future>
    where
        S: Service<Request<B>> + Clone,
    {
        match outgoing.with_key(&lease, counts) {
            Ok(request) => KeyRotationFuture::calling(self.inner.call(request), lease),
            Err(error) => {
                self.give_back();
                KeyRotationFuture::failed(error)
            }
        }
    }
}
