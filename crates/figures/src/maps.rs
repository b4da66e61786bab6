//! What the `http` crate's own maps take where a key, a handle for whoever judges and who served travel in a request and its
//! answer. With what a pick may cost it is less than any `KeyRotationLayer` and `CooldownLayer` add: nothing is looked at here,
//! nothing decided, counted or told, and nobody waits.

use std::{
    future::{Ready, ready},
    mem,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response};
use tower::Service;
use tower_keypool::BoxError;

use crate::by_hand::KEY;

/// Puts a key in, hands a number down, and another up.
pub struct Maps<S> {
    key: HeaderValue,
    service: S,
}

impl<S> Maps<S> {
    /// Over this service.
    ///
    /// # Panics
    /// When the secret is no header's value.
    pub fn new(secret: &str, service: S) -> Self {
        Self { key: secret.parse().expect("a header's value"), service }
    }
}

impl<S, B, R> Service<Request<B>> for Maps<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError, Future = Ready<Result<Response<R>, BoxError>>>,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.headers_mut().insert(KEY, self.key.clone());
        // Numbers, in the place of a lease's handle and of `ServedBy`.
        request.extensions_mut().insert(1_u64);
        let handle = request.extensions_mut().remove::<u64>();
        // The emptied map is the answer's: another would cost more.
        let map = mem::take(request.extensions_mut());
        ready(self.service.call(request).into_inner().map(|mut answer| {
            *answer.extensions_mut() = map;
            answer.extensions_mut().insert(handle.unwrap_or_default());
            answer
        }))
    }
}
