//! What commands call the provider by, who bring a request of another kind than the gateway's: each by its key's exit.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client as Pooled,
    rt::{TokioExecutor, TokioTimer},
};
use keypool_client::Redialing;
use tower::Service;
use tower_keypool::{BoxError, ReplayBody};

use super::{
    Roots,
    door::{Door, Secured},
    ways::{ByExit, WaysOut},
};

type Sent = ReplayBody<Full<Bytes>>;
type Pool = Redialing<Pooled<Secured, Sent>>;

/// Calls by the exits of keys. A cheap handle.
#[derive(Clone, Debug)]
pub struct Calls(Arc<RwLock<Going>>);

/// How they go.
#[derive(Debug)]
struct Going {
    roots: Roots,
    ways: WaysOut,
    pools: ByExit<Pool>,
}

impl Going {
    fn by(roots: &Roots, ways: &WaysOut) -> Self {
        let pools = ByExit::of(ways, |way| {
            let connector = Door::new(way, roots).secured(roots.clone(), true);
            Redialing::new(move || {
                Pooled::builder(TokioExecutor::new())
                    .pool_idle_timeout(Duration::from_secs(50))
                    .pool_timer(TokioTimer::new())
                    .build(connector.clone())
            })
        });
        Self { roots: roots.clone(), ways: ways.clone(), pools }
    }
}

impl Calls {
    /// By these ways, with these roots of trust.
    pub fn new(roots: &Roots, ways: &WaysOut) -> Self {
        Self(Arc::new(RwLock::new(Going::by(roots, ways))))
    }

    /// By these from now on; what is under way ends as it began. Connections stay where these are the same.
    pub fn change(&self, roots: &Roots, ways: &WaysOut) {
        let mut going = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if going.roots != *roots || going.ways != *ways {
            *going = Going::by(roots, ways);
        }
    }
}

impl Service<Request<Sent>> for Calls {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Sent>) -> Self::Future {
        let pooled =
            self.0.read().unwrap_or_else(PoisonError::into_inner).pools.take(request.extensions_mut()).cloned();
        match pooled {
            Ok(mut pooled) => {
                let answering = pooled.call(request);
                Box::pin(async move { answering.await.map_err(BoxError::from) })
            }
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }
}
