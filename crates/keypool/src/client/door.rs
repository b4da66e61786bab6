//! A connector that leaves by one exit.

use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::Service;
use tower_keypool::{BoxError, Exit, ExitError};

use super::{Roots, silent::Silent, ways::WayOut};

/// A connection that is not there by then goes to another address, or another attempt.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The same of one that is made, over the exit, and agreed on (TLS).
const SECURED_TIMEOUT: Duration = Duration::from_secs(20);

/// A door, with TLS above it, that does not take for ever.
#[derive(Clone, Debug)]
pub(super) struct Secured(HttpsConnector<Door>);

/// Connects to a place by a way out. What the way out does wrong is its [`ExitError`]; everything else is not.
#[derive(Clone, Debug)]
pub(super) struct Door {
    by: By,
    exit: Option<Exit>,
}

#[derive(Clone, Debug)]
enum By {
    Itself(HttpConnector),
    /// Over TLS to the proxy itself where its address says so.
    Http(Tunnel<HttpsConnector<HttpConnector>>),
    Socks5(SocksV5<HttpConnector>),
}

impl Door {
    /// By this exit; `None`: the usual way. `roots`: whom a proxy's certificate goes back to.
    pub(super) fn new(exit: Option<(Exit, &WayOut)>, roots: &Roots) -> Self {
        let local = match exit {
            Some((_, WayOut::Local(address))) => Some(*address),
            _ => None,
        };
        let http = connector(local);
        let by = match exit {
            None | Some((_, WayOut::Local(_))) => By::Itself(http),
            Some((_, WayOut::Http(proxy))) => {
                let config = HttpsConnectorBuilder::new().with_tls_config(roots.clone().into_config());
                let secured = config.https_or_http().enable_http1().wrap_connector(http);
                let tunnel = Tunnel::new(proxy.place.clone(), secured);
                By::Http(match proxy.authorization() {
                    Some(authorization) => tunnel.with_auth(authorization),
                    None => tunnel,
                })
            }
            Some((_, WayOut::Socks5(proxy))) => {
                let socks = SocksV5::new(proxy.place.clone(), http);
                By::Socks5(match proxy.credentials.clone() {
                    Some((user, password)) => socks.with_auth(user, password),
                    None => socks,
                })
            }
        };
        Self { by, exit: exit.map(|(exit, _)| exit) }
    }

    /// With TLS above it where the place asks for that, in any version of HTTP or in HTTP/1.1 alone.
    pub(super) fn secured(self, roots: Roots, any_version: bool) -> Secured {
        let builder = HttpsConnectorBuilder::new().with_tls_config(roots.into_config()).https_or_http();
        let connector = if any_version {
            builder.enable_all_versions().wrap_connector(self)
        } else {
            builder.enable_http1().wrap_connector(self)
        };
        Secured(connector)
    }
}

fn connector(local: Option<IpAddr>) -> HttpConnector {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    http.set_local_address(local);
    // The TLS connector above it, or the proxy, decides on the scheme.
    http.enforce_http(false);
    http
}

impl Service<Uri> for Door {
    type Response = Silent<MaybeHttpsStream<TokioIo<TcpStream>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // So are those below.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, place: Uri) -> Self::Future {
        let exit = self.exit.clone();
        // Over TLS the provider speaks before anything of a request goes out. Else one that closes may have had it.
        let by = exit.clone().filter(|_| place.scheme() == Some(&Scheme::HTTPS));
        let of_exit = move |error: BoxError| match exit {
            Some(exit) => ExitError::new(exit, error).into(),
            None => error,
        };
        match &mut self.by {
            By::Itself(http) => {
                let connecting = http.call(place);
                Box::pin(async move {
                    let made = connecting.await.map(MaybeHttpsStream::Http).map_err(BoxError::from);
                    let made = made.map(|stream| Silent::new(stream, None));
                    // That nothing answers there is not the address's fault; that it is not this machine's is.
                    made.map_err(|error| if is_not_ours(&error) { of_exit(error) } else { error })
                })
            }
            By::Http(tunnel) => {
                let connecting = tunnel.call(place);
                Box::pin(async move {
                    let made = async { connecting.await.map_err(BoxError::from) };
                    in_time(made).await.map(|stream| Silent::new(stream, by)).map_err(of_exit)
                })
            }
            By::Socks5(socks) => {
                let connecting = socks.call(place);
                Box::pin(async move {
                    // Its error is shown by its text alone, which says why and holds no credentials.
                    let made = async { connecting.await.map_err(|error| BoxError::from(error.to_string())) };
                    in_time(made).await.map(|stream| Silent::new(MaybeHttpsStream::Http(stream), by)).map_err(of_exit)
                })
            }
        }
    }
}

impl Service<Uri> for Secured {
    type Response = <HttpsConnector<Door> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, place: Uri) -> Self::Future {
        let connecting = self.0.call(place);
        Box::pin(async move {
            match tokio::time::timeout(SECURED_TIMEOUT, connecting).await {
                Ok(made) => made,
                Err(_) => Err("the provider did not agree on TLS in time".into()),
            }
        })
    }
}

/// A proxy that says nothing is as good as none.
async fn in_time<T>(connecting: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(made) => made,
        Err(_) => Err("the proxy did not answer in time".into()),
    }
}

fn is_not_ours(error: &BoxError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(current) = next {
        let kind = current.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::AddrNotAvailable) {
            return true;
        }
        next = current.source();
    }
    false
}
