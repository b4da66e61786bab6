//! The client at the bottom: connections to the provider, kept, over TLS or not; or another one, such as a simulator.

use std::{sync::Arc, time::Duration};

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

use crate::Redialing;

/// What goes out.
pub(crate) type Sent = Request<ReplayBody<Full<Bytes>>>;
/// What comes back.
pub(crate) type Received = UnsyncBoxBody<Bytes, BoxError>;
/// Any client.
pub(crate) type Transport = BoxCloneSyncService<Sent, Response<Received>, BoxError>;

/// A connection that is not there by then goes to another address, or another attempt.
const CONNECT: Duration = Duration::from_secs(10);

/// Over the network. `roots`: whom to trust in the place of Mozilla's.
pub(crate) fn network(roots: Option<Arc<RootCertStore>>) -> Transport {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    // The TLS connector above it decides on the scheme.
    http.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(roots))
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    over(Redialing::new(move || {
        Pooled::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(50))
            .pool_timer(TokioTimer::new())
            .build::<_, ReplayBody<Full<Bytes>>>(connector.clone())
    }))
}

/// Over a client of one's own.
pub(crate) fn over<S, R>(service: S) -> Transport
where
    S: Service<Sent, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let boxed = |answer: Response<R>| answer.map(|body| body.map_err(Into::into).boxed_unsync());
    BoxCloneSyncService::new(service.map_response(boxed).map_err(Into::into))
}

fn tls(roots: Option<Arc<RootCertStore>>) -> ClientConfig {
    let mozilla = || Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's own suites fit the default versions")
        .with_root_certificates(roots.unwrap_or_else(mozilla))
        .with_no_client_auth()
}
