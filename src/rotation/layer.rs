//! [`KeyRotationLayer`].

use std::time::Duration;

use tower_layer::Layer;

use super::KeyRotation;
use crate::KeyPool;

/// Gives each request a key of a pool.
///
/// It reads what the request needs ([`KeyRequest`](crate::KeyRequest)) from its extensions, or else from its head and its
/// [`CollectedBody`](crate::replay::CollectedBody). Then it waits for a key, sends the request to the provider's
/// [`Base`](crate::Base) without any credential of the caller, and puts the key in. An `Arc<`[`Lease`](crate::Lease)`>` is
/// an extension of the request, so that a client below can choose its proxy by [`Lease::exit`](crate::Lease::exit). The key is
/// in use for as long as that client keeps the request's extensions.
///
/// Answers carry [`Attempts`](crate::Attempts) as an extension, errors as a part. The error is [`Error`](crate::Error). An
/// answer of status 101 carries the `Arc<Lease>`, too: hold it for as long as the connection is used.
///
/// The service below must be `Clone`, its error `Into<BoxError>`. `poll_ready` is satisfied before the key
/// wait, so put concurrency limits above this layer.
///
/// ```
/// use http::{Request, Response};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
/// use tower_keypool::{Attempts, Gemini, Key, KeyPool, KeyRotationLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001").named("first")).build()?;
/// let mut client = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).service(service_fn(
///     async |request: Request<String>| {
///         assert_eq!(request.headers()["x-goog-api-key"], "AIza-not-a-real-key-001");
///         Ok::<_, BoxError>(Response::new(request.into_body()))
///     },
/// ));
/// let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body("{}".to_owned())?;
/// let answer = client.ready().await?.call(request).await?;
/// let attempts = answer.extensions().get::<Attempts>().expect("every answer has them");
/// assert_eq!(attempts.last().expect("one").key().to_string(), "first");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyRotationLayer {
    pool: KeyPool,
    wait: Option<Duration>,
}

impl KeyRotationLayer {
    /// Keys of this pool.
    pub fn new(pool: &KeyPool) -> Self {
        Self { pool: pool.clone(), wait: None }
    }

    /// How long a request that does not say so itself waits for a key, all its attempts together; the pool's wait unless
    /// set.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// What the layer finds out about a request that carries no [`KeyRequest`](crate::KeyRequest): its model, its cost, whether it may be sent twice.
    /// Change it and insert it into the extensions, for example with an affinity.
    ///
    /// The body is known if the extensions hold a [`CollectedBody`](crate::replay::CollectedBody).
    pub fn key_request(provider: &dyn crate::Provider, head: &http::request::Parts) -> crate::KeyRequest {
        super::needs::derive(provider, head)
    }
}

impl<S> Layer<S> for KeyRotationLayer {
    type Service = KeyRotation<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyRotation::new(inner, &self.pool, self.wait)
    }
}
