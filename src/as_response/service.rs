//! The service that cannot fail.

use std::{
    convert::Infallible,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{AnswerBody, ExhaustedAsResponseFuture};
use crate::error::{BoxError, Error};

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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.broken.take() {
            Some(error) => ExhaustedAsResponseFuture::answered(error),
            None => ExhaustedAsResponseFuture::calling(self.inner.call(request)),
        }
    }
}
