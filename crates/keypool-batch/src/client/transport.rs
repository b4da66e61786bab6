//! The HTTP client below the layers.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};
use tower_keypool::{BoxError, ReplayBody};

/// A request to the HTTP client.
pub type TransportRequest = Request<ReplayBody<Full<Bytes>>>;
/// The body of its response.
pub(super) type TransportBody = UnsyncBoxBody<Bytes, BoxError>;
/// Any HTTP client.
pub(super) type Transport = BoxCloneSyncService<TransportRequest, Response<TransportBody>, BoxError>;

/// Timeout of a connection to one address. After it, another address or another attempt is tried.
const CONNECT: Duration = Duration::from_secs(10);

/// Returns an HTTP client that uses the network and trusts Mozilla's roots.
pub(super) fn network() -> Transport {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    // The TLS connector above it handles the scheme.
    http.enforce_http(false);
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider's own suites fit the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // With HTTP/2 all workers would share one connection, and with it the provider's maximum number of streams.
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
    over(
        Pooled::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(50))
            .pool_timer(TokioTimer::new())
            .build::<_, ReplayBody<Full<Bytes>>>(connector),
    )
}

/// Boxes the caller's HTTP client.
pub(super) fn over<S, R>(service: S) -> Transport
where
    S: Service<TransportRequest, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let boxed = |answer: Response<R>| answer.map(|body| body.map_err(Into::into).boxed_unsync());
    BoxCloneSyncService::new(service.map_response(boxed).map_err(Into::into))
}
