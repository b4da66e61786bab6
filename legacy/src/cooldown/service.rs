//! The service that judges answers.

use std::{
    mem,
    task::{Context, Poll},
};

use http::{Extensions, Method, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use super::{CooldownBody, CooldownFuture, head::Asked};
use crate::{
    error::{BoxError, Error},
    pool::Granted,
    provider::UsageFormat,
};

/// Judges the answers of the service below it. Made by [`CooldownLayer`](super::CooldownLayer).
#[derive(Clone, Debug)]
pub struct Cooldown<S> {
    inner: S,
    usage: UsageFormat,
}

impl<S> Cooldown<S> {
    pub(super) fn new(inner: S, usage: UsageFormat) -> Self {
        Self { inner, usage }
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
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Cooldown<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<CooldownBody<ResBody>>;
    type Error = Error;
    type Future = CooldownFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_box(error.into()))
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        // It must not travel on: nobody below may judge.
        let granted = request.extensions_mut().remove::<Granted>();
        self.send(request, granted)
    }
}

impl<S> Cooldown<S> {
    /// Sends a request on that goes out with this lease, or with none.
    #[inline]
    pub(crate) fn send<ReqBody, ResBody>(
        &mut self,
        mut request: Request<ReqBody>,
        granted: Option<Granted>,
    ) -> CooldownFuture<S::Future, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    {
        // What the lease, or the demand, travelled in is good for the answer's own, where nothing else is in it.
        let vessel = if granted.is_some() && request.extensions().is_empty() {
            mem::take(request.extensions_mut())
        } else {
            Extensions::new()
        };
        let asked = self.asked(request.method(), request.uri());
        CooldownFuture::new(self.inner.call(request), granted, asked, vessel)
    }

    /// What will matter of this request when its answer comes.
    #[inline]
    pub(crate) fn asked(&self, method: &Method, uri: &Uri) -> Asked {
        Asked::by(method, uri, self.usage)
    }
}
