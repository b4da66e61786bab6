//! The service that cannot fail.

use std::{
    convert::Infallible,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use tower_service::Service;

use super::{AnswerBody, ExhaustedAsResponseFuture};
use crate::{
    error::{BoxError, Error},
    received::Received,
};

/// Answers where there would be an error: the service of
/// [`ExhaustedAsResponseLayer`](crate::ExhaustedAsResponseLayer).
#[derive(Debug)]
pub struct ExhaustedAsResponse<S> {
    inner: S,
    /// The service below could not become ready: the next request is told so.
    broken: Option<Error>,
}

impl<S> ExhaustedAsResponse<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, broken: None }
    }

    /// The service below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service below.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone> Clone for ExhaustedAsResponse<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S, B, R> Service<Request<B>> for ExhaustedAsResponse<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    type Response = Response<AnswerBody<R>>;
    type Error = Infallible;
    type Future = ExhaustedAsResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.broken.is_none()
            && let Err(error) = ready!(self.inner.poll_ready(cx))
        {
            self.broken = Some(Error::from_box(error.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Over HTTP/1 nobody names an authority who does not take the server for a proxy, which it is not.
        if request.version() >= Version::HTTP_2 && request.uri().authority().is_some() {
            request.extensions_mut().insert(Received);
        }
        match self.broken.take() {
            Some(error) => ExhaustedAsResponseFuture::answered(error),
            None => ExhaustedAsResponseFuture::calling(self.inner.call(request)),
        }
    }
}
