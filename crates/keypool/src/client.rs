//! The client at the bottom of the stack: pooled connections to the provider, over TLS or not.

mod connector;
mod roots;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Uri, header,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{self, Error, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;
use tower_keypool::{Base, Clock, ReplayBody};

use crate::{
    outgoing::Outgoing,
    status::{Received, Sent, Traffic},
};

use connector::Connector;
pub use roots::{Roots, RootsError};

/// A connection that is not there by then goes to another address, or another attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// hyper-util's client behind one pointer: every layer clones what is below it, and that client is half a KiB. Its
/// bodies stand behind one, too: it moves each request some twenty times.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    traffic: Arc<Traffic>,
}

#[derive(Debug)]
struct Inner {
    pooled: legacy::Client<Connector, Box<ReplayBody<Outgoing>>>,
    host: Option<Host>,
}

/// The `Host` of a provider that is reached without TLS, ready to be sent: hyper-util writes it anew for each request.
/// With TLS, the two sides may agree on HTTP/2, which has none.
#[derive(Debug)]
struct Host {
    authority: Authority,
    value: HeaderValue,
}

impl Host {
    fn of(base: &Base) -> Option<Self> {
        let authority = base.authority().clone();
        let usual = authority.port_u16().is_none_or(|port| port == 80);
        let name = if usual { authority.host() } else { authority.as_str() };
        let value = HeaderValue::from_str(name).ok()?;
        (*base.scheme() == Scheme::HTTP).then_some(Self { authority, value })
    }

    /// Whether a request goes there.
    fn is_of(&self, uri: &Uri) -> bool {
        uri.scheme() == Some(&Scheme::HTTP)
            && uri.authority().is_some_and(|authority| authority.as_str() == self.authority.as_str())
    }
}

impl Client {
    /// One for `http` and `https`, HTTP/1.1 and HTTP/2. Most requests will go to `base`.
    pub fn new(base: &Base) -> Self {
        Self::trusting(base, Roots::mozilla())
    }

    /// The same, with these roots of trust.
    pub fn trusting(base: &Base, roots: Roots) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_keepalive(Some(Duration::from_secs(60)));
        // The TLS connector above it decides on the scheme.
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(roots.into_config())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        Self {
            inner: Arc::new(Inner { pooled: builder.build(Connector::from(connector)), host: Host::of(base) }),
            traffic: Arc::new(Traffic::new(Clock::system())),
        }
    }

    /// Counts its attempts, and how long they take, in `traffic`.
    #[must_use]
    pub fn counting(mut self, traffic: &Arc<Traffic>) -> Self {
        self.traffic = Arc::clone(traffic);
        self
    }
}

impl Service<Request<ReplayBody<Outgoing>>> for Client {
    type Response = Response<Received<Incoming>>;
    type Error = Error;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // It is always ready, as hyper-util's is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReplayBody<Outgoing>>) -> Answer {
        let Inner { pooled, host } = &*self.inner;
        if let Some(host) = host.as_ref().filter(|host| host.is_of(request.uri())) {
            request.headers_mut().insert(header::HOST, host.value.clone());
        }
        Answer { sent: Some(Sent::now(&self.traffic)), response: pooled.request(request.map(Box::new)) }
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
