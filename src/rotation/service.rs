//! The service that finds out what a request needs and starts to acquire a key.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{KeyRotationFuture, LeaseBody, needs};
use crate::{
    BoxError, Error, KeyPool,
    pool::{Acquire, Attempts},
};

/// The service of [`KeyRotationLayer`](crate::KeyRotationLayer), which gives each request a key.
#[derive(Clone, Debug)]
pub struct KeyRotation<S> {
    inner: S,
    pool: KeyPool,
    wait: Option<Duration>,
}

impl<S> KeyRotation<S> {
    pub(super) fn new(inner: S, pool: &KeyPool, wait: Option<Duration>) -> Self {
        Self { inner, pool: pool.clone(), wait }
    }
}

impl<S, B, R> Service<Request<B>> for KeyRotation<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: Body,
{
    type Response = Response<LeaseBody<R>>;
    type Error = Error;
    type Future = KeyRotationFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_below(error.into()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut attempts = head.extensions.remove::<Attempts>().unwrap_or_default();
        let needs = needs::of_attempt(&self.pool, &head, &mut attempts, self.wait);
        if let Err(error) = self.pool.provider().base().apply(&mut head) {
            return KeyRotationFuture::failed(error);
        }
        // The ready service must be the one that is called; the clone replaces it.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let acquire = Acquire::new(Arc::clone(&self.pool.shared), needs);
        KeyRotationFuture::acquiring(acquire, attempts, inner, (head, body))
    }
}
