//! The whole stack as one service.

use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    KeyPoolFuture,
    resend::{Resend, ResendFuture, send},
};
use crate::{
    cooldown::CooldownBody,
    error::{BoxError, Error},
    fallback::ModelFallback,
    pool::Demand,
    replay::{ReplayBody, ReplayFuture, ReplayService},
    rotation::LeaseBody,
};

/// The answer's body: the provider's own bytes, watched, holding the key's slot until they end.
pub type KeyPoolBody<R> = LeaseBody<CooldownBody<R>>;

/// Everything below the replay.
type Below<S> = ModelFallback<Resend<S>>;

/// The whole stack over a client `S`: the service of [`KeyPoolLayer`](crate::KeyPoolLayer).
#[derive(Clone)]
pub struct KeyPoolService<S>(ReplayService<Below<S>>);

impl<S> KeyPoolService<S> {
    pub(super) fn new(stack: ReplayService<Below<S>>) -> Self {
        Self(stack)
    }

    /// The client at the bottom.
    pub fn get_ref(&self) -> &S {
        self.0.get_ref().get_ref().get_ref().get_ref().get_ref()
    }

    /// The client at the bottom.
    pub fn into_inner(self) -> S {
        self.0.into_inner().into_inner().into_inner().into_inner().into_inner()
    }
}

impl<S, B, R> Service<Request<B>> for KeyPoolService<S>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<KeyPoolBody<R>>;
    type Error = Error;
    type Future = KeyPoolFuture<ReplayFuture<Below<S>, B>, ResendFuture<S, ReplayBody<B>, S::Future, R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut demand = Demand::default();
        // Most requests have nothing to do with the layers between.
        let idle = self.0.get_ref().is_idle();
        let opened = self.0.open(&mut head, body, &mut demand, idle);
        if opened.reads || !idle {
            return KeyPoolFuture::full(self.0.send(head, opened, demand));
        }
        send!(KeyPoolFuture::short, self.0.get_mut().get_mut(), head, opened.body, opened.twin, demand)
    }
}

impl<S> fmt::Debug for KeyPoolService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPoolService").finish_non_exhaustive()
    }
}
