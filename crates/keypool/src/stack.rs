//! THE stack: the walk of a request from the gateway to the provider, in one function.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::{Service, ServiceBuilder};
use tower_keypool::{
    BoxError, CooldownLayer, Error, KeyPool, KeyRotationLayer, ModelFallbackLayer, ReplayBody, ReplayLayer, RetryPolicy,
};

/// A connection that is not there by then goes to another address, or another attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The stack over a pool, with models to step down to (best first; none: no stepping down).
pub fn stack(
    pool: &KeyPool,
    fallback: &[String],
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
    Error = Error,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    ServiceBuilder::new()
        // Keeps what is sent, by reference, so that it can be sent again; finds the model where the body names it.
        .layer(ReplayLayer::default().pool(pool))
        // No key for this model, now or within the wait: the next model of the list.
        .layer(ModelFallbackLayer::new(pool).models(fallback.iter().map(String::as_str)))
        // A key's fault: another key at once. The provider's: again after a pause.
        .retry(RetryPolicy::new(pool))
        // Takes the key that may carry the request, waiting for one if need be, and holds it to the answer's end.
        .layer(KeyRotationLayer::new(pool))
        // Learns from the answer what it means for the key.
        .layer(CooldownLayer::new(pool))
        // Connections to the provider, pooled.
        .service(client())
}

fn client() -> Client<HttpsConnector<HttpConnector>, ReplayBody<Incoming>> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    // The TLS connector above it decides on the scheme.
    http.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls()).https_or_http().enable_all_versions().wrap_connector(http);
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).timer(TokioTimer::new()).build(connector)
}

/// Roots of Mozilla's programme, so that a container needs none of its own.
fn tls() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider's own suites fit the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
