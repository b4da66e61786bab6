//! Connections that become sockets: each a new one over HTTP/1.1, which is its caller's once both sides agree.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, client::conn::http1, upgrade::OnUpgrade};
use tower::Service;
use tower_keypool::{Base, Clock, ReplayBody};

use super::{Error, Place, Roots, WaysOut, dial::Dial, ways::ByExit};
use crate::{
    outgoing::Outgoing,
    status::{Sent, Traffic},
};

/// What stands in the place of a key, for who brings a token of the provider's own.
#[derive(Clone, Debug)]
pub struct InPlaceOfKey(pub HeaderName, pub HeaderValue);

/// What is said over a socket as soon as it is open, and hears what is said to it first: an answer that refuses it, which
/// stands in the place of the one that opened it, or none.
#[derive(Clone)]
pub struct Greeting(pub Arc<Greets>);

type Greets = dyn Fn(OnUpgrade) -> Pin<Box<dyn Future<Output = Option<Response<Full<Bytes>>>> + Send>> + Send + Sync;

/// A provider's answer, or what stands in its place.
pub type SocketBody = Either<Incoming, Full<Bytes>>;

/// Opens sockets to one provider. A cheap handle.
#[derive(Clone)]
pub struct Sockets {
    dials: Arc<ByExit<Dial>>,
    place: Arc<Place>,
    traffic: Arc<Traffic>,
}

impl Sockets {
    /// To the provider at `base`, with these roots of trust.
    pub fn trusting(base: &Base, roots: &Roots) -> Self {
        Self::through(base, roots, &WaysOut::default())
    }

    /// The same, each by the exit of its key.
    pub fn through(base: &Base, roots: &Roots, ways: &WaysOut) -> Self {
        let place = Place::of(base);
        let dials = ByExit::of(ways, |way| Dial::of_http1(place.root(), roots.clone(), way));
        Self { dials: Arc::new(dials), place: Arc::new(place), traffic: Arc::new(Traffic::new(Clock::system())) }
    }

    /// Counts its attempts in `traffic`.
    #[must_use]
    pub fn counting(mut self, traffic: &Arc<Traffic>) -> Self {
        self.traffic = Arc::clone(traffic);
        self
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Service<Request<ReplayBody<Outgoing>>> for Sockets {
    type Response = Response<SocketBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<SocketBody>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReplayBody<Outgoing>>) -> Self::Future {
        let sent = Sent::now(&self.traffic);
        if !self.place.has(request.uri()) {
            return Box::pin(std::future::ready(Err(Error::address())));
        }
        let target = std::mem::take(request.uri_mut()).into_parts().path_and_query;
        *request.uri_mut() = target.map_or_else(Uri::default, Uri::from);
        *request.version_mut() = Version::HTTP_11;
        if let Some(InPlaceOfKey(name, token)) = request.extensions_mut().remove() {
            request.headers_mut().remove("x-goog-api-key");
            request.headers_mut().insert(name, token);
        }
        request.headers_mut().insert(header::HOST, self.place.host());
        let greeting = request.extensions_mut().remove::<Greeting>();
        let connecting = match self.dials.take(request.extensions_mut()) {
            Ok(dial) => dial.stream(),
            Err(error) => return Box::pin(std::future::ready(Err(Error::connect(error)))),
        };
        Box::pin(async move {
            let answer = async {
                let stream = connecting.await?;
                let (mut sender, connection) = http1::handshake(stream).await.map_err(Error::sent)?;
                tokio::spawn(async move {
                    if let Err(error) = connection.with_upgrades().await {
                        tracing::debug!("a connection for a socket ended: {error}");
                    }
                });
                let mut answer = sender.send_request(request).await.map_err(Error::sent)?;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS
                    && let Some(Greeting(greets)) = greeting
                    && let Some(refused) = greets(hyper::upgrade::on(&mut answer)).await
                {
                    return Ok(refused.map(Either::Right));
                }
                Ok(answer.map(Either::Left))
            }
            .await;
            sent.answered(answer.as_ref().ok().map(Response::status));
            answer
        })
    }
}
