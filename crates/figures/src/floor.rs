//! The least that a key costs: a pick, its verdict and its end, and the `http` crate's own maps where the key, a handle for whoever
//! judges and who served travel in a request and its answer. Any `KeyRotationLayer` and `CooldownLayer` add more: nothing is
//! looked at here, no model found, nothing decided or told, nobody waits, and no slot is held for as long as a body lasts.

use std::{
    future::{Ready, ready},
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;
use tower_keypool::{BoxError, Demand, KeyPool, Verdict};

use crate::by_hand::KEY;

static GOOD: Verdict = Verdict::SUCCESS;

/// Puts a key in, hands a number down, and another up.
pub struct Floor<S> {
    pool: KeyPool,
    model: Arc<str>,
    service: S,
}

impl<S> Floor<S> {
    /// Over this service, with keys for one model.
    pub fn new(pool: &KeyPool, model: &str, service: S) -> Self {
        Self { pool: pool.clone(), model: model.into(), service }
    }
}

impl<S, B, R> Service<Request<B>> for Floor<S>
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
        let lease = self.pool.try_acquire(Demand::new(Arc::clone(&self.model))).expect("a key is ready");
        request.headers_mut().insert(KEY, lease.secret().header_value().clone());
        // Numbers, in the place of a lease's handle and of `ServedBy`.
        request.extensions_mut().insert(1_u64);
        let handle = request.extensions_mut().remove::<u64>();
        // The emptied map is the answer's: another would cost more.
        let map = mem::take(request.extensions_mut());
        ready(self.service.call(request).into_inner().map(|mut answer| {
            *answer.extensions_mut() = map;
            answer.extensions_mut().insert(handle.unwrap_or_default());
            // In two steps, as where a body comes between.
            lease.judge(&GOOD);
            drop(lease);
            answer
        }))
    }
}
