//! Making connections.

use std::{future::Future, sync::Arc};

use http::Uri;
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::Connection;
use tokio::sync::Notify;
use tower::Service;
use tower_keypool::{BoxError, Exit};

use super::{
    Error, Roots,
    door::{Door, Secured},
    line::Line,
    trunk::{Seat, Trunk},
    unheard::Unheard,
    ways::WayOut,
};
use crate::one_write::{OneWrite, Owes};

/// Bytes to the provider and back, over TLS or not.
pub(super) type Stream = <Secured as Service<Uri>>::Response;

/// What carries a request.
pub(super) enum Carrier<B: Body + 'static> {
    /// HTTP/1.1: one request at a time.
    Line(Box<Line<B>>),
    /// HTTP/2: as many as its peer has room for; a place among them.
    Shared(Seat<B>),
}

impl<B: Body + 'static> Carrier<B> {
    /// The how many-th it was laid aside; `None`: it is not.
    pub(super) fn laid(&self) -> Option<u64> {
        match self {
            Self::Line(line) => Some(line.laid),
            Self::Shared(_) => None,
        }
    }
}

/// Connects to one place.
#[derive(Debug)]
pub(super) struct Dial {
    connector: Secured,
    place: Uri,
}

impl Dial {
    /// To `place`, which has a scheme, a host and a port, by a way out.
    pub(super) fn new(place: Uri, roots: Roots, way: Option<(Exit, &WayOut)>) -> Self {
        Self { connector: Door::new(way, &roots).secured(roots, true), place }
    }

    /// The same, by HTTP/1.1 alone.
    pub(super) fn of_http1(place: Uri, roots: Roots, way: Option<(Exit, &WayOut)>) -> Self {
        Self { connector: Door::new(way, &roots).secured(roots, false), place }
    }

    /// One more way for bytes there and back.
    pub(super) fn stream(&self) -> impl Future<Output = Result<Stream, Error>> + Send + use<> {
        let connecting = self.connector.clone().call(self.place.clone());
        async move { connecting.await.map_err(Error::connect) }
    }

    /// One more connection, in the version that both sides prefer.
    pub(super) fn connect<B>(
        &self,
        keeper: &Arc<Notify>,
    ) -> impl Future<Output = Result<Carrier<B>, Error>> + Send + use<B>
    where
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let connecting = self.connector.clone().call(self.place.clone());
        let keeper = Arc::clone(keeper);
        async move {
            let stream = connecting.await.map_err(Error::connect)?;
            if stream.connected().is_negotiated_h2() {
                return Ok(Carrier::Shared(Trunk::over(stream).await?));
            }
            let owes = Owes::default();
            let stream = OneWrite::telling(Unheard::new(stream), &owes);
            let (sender, connection) = http1::handshake(stream).await.map_err(Error::sent)?;
            Ok(Carrier::Line(Line::new(sender, connection, owes, &keeper)))
        }
    }
}
