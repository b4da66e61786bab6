//! The layer that collects the bodies of requests, and its settings.

use tower_layer::Layer;

use super::Replay;

/// The default limit.
const DEFAULT_LIMIT: usize = 2 << 20;

/// Collects request bodies so that the inner layers can send them again.
///
/// Place it above [`RetryPolicy`](crate::RetryPolicy) and [`ModelFallbackLayer`](crate::ModelFallbackLayer). It calls
/// the inner service with a [`ReplayBody`](crate::ReplayBody). A body larger than the limit streams through once.
///
/// The error type is that of the inner service, which must implement `From<`[`Error`](crate::Error)`>`. The errors of
/// the layers of this crate and [`BoxError`](crate::BoxError) do. If the inner service is a plain client, put
/// `map_err(BoxError::from)` between the two.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
/// use tower_keypool::{ReplayBody, ReplayLayer, replay::TryClone};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let mut client = ServiceBuilder::new().layer(ReplayLayer::up_to(32 << 20)).service(service_fn(
///     async |request: Request<ReplayBody<Full<Bytes>>>| {
///         let again = request.body().try_clone().expect("the body is within the limit");
///         assert_eq!(again.collect().await?.to_bytes(), "hello");
///         Ok::<_, BoxError>(Response::new(request.into_body()))
///     },
/// ));
/// let response = client.ready().await?.call(Request::new(Full::from("hello"))).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ReplayLayer {
    limit: usize,
}

impl ReplayLayer {
    /// Creates a layer that collects bodies of up to 2 MiB.
    pub const fn new() -> Self {
        Self::up_to(DEFAULT_LIMIT)
    }

    /// Creates a layer that collects bodies of up to `bytes` bytes. The body of a request in flight is kept in memory.
    pub const fn up_to(bytes: usize) -> Self {
        Self { limit: bytes }
    }
}

impl Default for ReplayLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ReplayLayer {
    type Service = Replay<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Replay::new(inner, self.limit)
    }
}
