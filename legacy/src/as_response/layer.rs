//! What an [`ExhaustedAsResponse`] is made of.

use tower_layer::Layer;

use super::ExhaustedAsResponse;

/// Answers where there would be an error, in the provider's shape: 503 with `Retry-After` when every key is out, and
/// what [`Error::status`](crate::Error::status) says for the others.
///
/// Stands outermost, directly below a server whose error is `Infallible`. An error that is none of ours becomes a 500 that
/// tells nothing of it.
///
/// Over HTTP/2 the scheme and authority of a request name the server that received it. The layers below are told so, and
/// send it to the provider;
/// [`KeyRotationLayer::as_server`](crate::KeyRotationLayer::as_server) is for servers without this layer.
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use tower::ServiceBuilder;
/// use tower_keypool::{ExhaustedAsResponseLayer, KeyPoolLayer};
///
/// let service = ServiceBuilder::new()
///     .layer(ExhaustedAsResponseLayer::new())
///     .layer(KeyPoolLayer::new(&pool))
///     .service(http_client);
/// # drop(service);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ExhaustedAsResponseLayer(());

impl ExhaustedAsResponseLayer {
    /// It has no options.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for ExhaustedAsResponseLayer {
    type Service = ExhaustedAsResponse<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ExhaustedAsResponse::new(inner)
    }
}
