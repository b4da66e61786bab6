//! The client at the bottom of the stack: pooled connections to the provider, over TLS or not.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Error, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;
use tower_keypool::{Clock, ReplayBody};

use crate::status::{Received, Sent, Traffic};

/// A connection that is not there by then goes to another address, or another attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// hyper-util's client behind one pointer: every layer clones what is below it, and that client is half a KiB.
#[derive(Clone, Debug)]
pub struct Client(Arc<Connected>);

#[derive(Debug)]
struct Connected {
    pool: legacy::Client<HttpsConnector<HttpConnector>, ReplayBody<Incoming>>,
    traffic: Arc<Traffic>,
}

impl Client {
    /// One for `http` and `https`, HTTP/1.1 and HTTP/2.
    pub fn new() -> Self {
        Self::counting(&Arc::new(Traffic::new(Clock::system())))
    }

    /// One that counts its attempts, and how long they take, in `traffic`.
    pub fn counting(traffic: &Arc<Traffic>) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_keepalive(Some(Duration::from_secs(60)));
        // The TLS connector above it decides on the scheme.
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        Self(Arc::new(Connected { pool: builder.build(connector), traffic: Arc::clone(traffic) }))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<Request<ReplayBody<Incoming>>> for Client {
    type Response = Response<Received<Incoming>>;
    type Error = Error;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // It is always ready, as hyper-util's is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody<Incoming>>) -> Answer {
        Answer { sent: Some(Sent::now(&self.0.traffic)), response: self.0.pool.request(request) }
    }
}

/// The provider's answer to come.
#[derive(Debug)]
pub struct Answer {
    response: ResponseFuture,
    sent: Option<Sent>,
}

impl Future for Answer {
    type Output = Result<Response<Received<Incoming>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.response).poll(cx));
        let sent = self.sent.take().expect("polled after it was done");
        sent.answered(answered.as_ref().ok().map(Response::status));
        Poll::Ready(answered.map(|response| response.map(|body| sent.receive(body))))
    }
}

/// Roots of Mozilla's programme, so that a container needs none of its own.
fn tls() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider's own suites fit the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
