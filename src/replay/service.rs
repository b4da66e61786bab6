//! The service that decides whether to collect the body of a request.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{CollectedBody, ReplayBody, ReplayFuture, TooLarge};
use crate::{BoxError, Error};

/// The service of [`ReplayLayer`](crate::ReplayLayer): collects request bodies.
#[derive(Clone, Copy, Debug)]
pub struct Replay<S> {
    inner: S,
    limit: usize,
}

impl<S> Replay<S> {
    pub(super) fn new(inner: S, limit: usize) -> Self {
        Self { inner, limit }
    }
}

impl<S, B, ResBody> Service<Request<B>> for Replay<S>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>> + Clone,
    S::Error: From<Error>,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReplayFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A service above may have collected the body.
        let collected = request.extensions().get::<CollectedBody>().map(|body| body.data().clone());
        if let Some(data) = collected.or_else(|| request.body().is_end_stream().then(Bytes::new)) {
            return ReplayFuture::calling(self.inner.call(request.map(|_| ReplayBody::collected(data, None))));
        }
        if request.body().size_hint().lower() > self.limit as u64 {
            let mut request = request.map(ReplayBody::streamed);
            request.extensions_mut().insert(TooLarge);
            return ReplayFuture::calling(self.inner.call(request));
        }
        // Call the service that is ready, and keep its clone, which may not be ready.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        ReplayFuture::collecting(inner, request, self.limit)
    }
}
