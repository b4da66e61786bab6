//! The connector behind one pointer: hyper-util's client is cloned for each request, and its connector with it.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tower::Service;

/// Connects to the provider, over TLS or not.
#[derive(Clone, Debug)]
pub(super) struct Connector(Arc<HttpsConnector<HttpConnector>>);

impl From<HttpsConnector<HttpConnector>> for Connector {
    fn from(connector: HttpsConnector<HttpConnector>) -> Self {
        Self(Arc::new(connector))
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
    type Error = <HttpsConnector<HttpConnector> as Service<Uri>>::Error;
    type Future = <HttpsConnector<HttpConnector> as Service<Uri>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // As the one behind it: it is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        HttpsConnector::clone(&self.0).call(uri)
    }
}
