//! What commands call the provider by, who bring a request of another kind than the gateway's: each by its key's exit.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::Client as Pooled,
    rt::{TokioExecutor, TokioTimer},
};
use keypool_client::Redialing;
use tower::Service;
use tower_keypool::{BoxError, ReplayBody};

use super::{
    Roots,
    door::Door,
    ways::{ByExit, WaysOut},
};

type Sent = ReplayBody<Full<Bytes>>;
type Pool = Redialing<Pooled<HttpsConnector<Door>, Sent>>;

/// Calls by the exits of keys. A cheap handle.
#[derive(Clone, Debug)]
pub struct Calls(Arc<ByExit<Pool>>);

impl Calls {
    /// By these ways, with these roots of trust.
    pub fn new(roots: &Roots, ways: &WaysOut) -> Self {
        Self(Arc::new(ByExit::of(ways, |way| {
            let connector = Door::new(way, roots).secured(roots.clone(), true);
            Redialing::new(move || {
                Pooled::builder(TokioExecutor::new())
                    .pool_idle_timeout(Duration::from_secs(50))
                    .pool_timer(TokioTimer::new())
                    .build(connector.clone())
            })
        })))
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
        match self.0.take(request.extensions_mut()) {
            Ok(pooled) => {
                let answering = pooled.clone().call(request);
                Box::pin(async move { answering.await.map_err(BoxError::from) })
            }
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }
}
