//! The service that passes the lease of a request to the future.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{CooldownBody, CooldownFuture, layer::Peek};
use crate::{BoxError, KeyPool, Lease};

/// The service of [`CooldownLayer`](crate::CooldownLayer), which reports outcomes to the pool.
#[derive(Clone, Debug)]
pub struct Cooldown<S> {
    inner: S,
    pool: KeyPool,
    peek: Peek,
}

impl<S> Cooldown<S> {
    pub(super) fn new(inner: S, pool: &KeyPool, peek: Peek) -> Self {
        Self { inner, pool: pool.clone(), peek }
    }
}

impl<S, B, R> Service<Request<B>> for Cooldown<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body + Unpin,
{
    type Response = Response<CooldownBody<R>>;
    type Error = BoxError;
    type Future = CooldownFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let lease = request.extensions().get::<Arc<Lease>>();
        let lease = lease.filter(|lease| Arc::ptr_eq(lease.shared(), &self.pool.shared)).cloned();
        CooldownFuture::new(self.inner.call(request), lease, self.peek)
    }
}
