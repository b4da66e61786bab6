//! The layer that gives each request a key.

use std::time::Duration;

use tower_layer::Layer;

use super::KeyRotation;
use crate::KeyPool;

/// Gives each request a key of a pool.
///
/// It derives the [`KeyRequest`](crate::KeyRequest) from the head and the
/// [`CollectedBody`](crate::replay::CollectedBody). One in the request's extensions takes precedence; what it leaves out
/// is derived. Then it waits for a key, directs the request to the provider's [`Base`](crate::Base), removes the caller's
/// credentials and adds the key. An `Arc<`[`Lease`](crate::Lease)`>` is an extension of the request, so that a client below can choose
/// its proxy by [`Lease::exit`](crate::Lease::exit). The key is in use for as long as that client keeps the request's
/// extensions.
///
/// Put a [`CooldownLayer`](crate::CooldownLayer) below: it reads errors and usage in bodies. Without one, the outcome is
/// reported by the status and headers alone.
///
/// Responses carry [`Attempts`](crate::Attempts) as an extension, errors as a part. The error is
/// [`Error`](crate::Error). A response with status 101 also carries the `Arc<Lease>`: hold it for as long as the
/// connection is used.
///
/// The service below must be `Clone`, its error `Into<BoxError>`. `poll_ready` completes before the wait for a key, so
/// put concurrency limits above this layer.
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
/// let response = client.ready().await?.call(request).await?;
/// let attempts = response.extensions().get::<Attempts>().expect("every response has them");
/// assert_eq!(attempts.last().expect("one attempt").key().to_string(), "first");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyRotationLayer {
    pool: KeyPool,
    wait: Option<Duration>,
}

impl KeyRotationLayer {
    /// Returns a layer that uses the keys of this pool.
    pub fn new(pool: &KeyPool) -> Self {
        Self { pool: pool.clone(), wait: None }
    }

    /// Sets how long a request waits for a key, in all its attempts and with all models together, unless its own
    /// [`KeyRequest`](crate::KeyRequest) sets a wait. The default is the pool's wait.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Returns the [`KeyRequest`](crate::KeyRequest) that the layer derives for a request without one: its model, its
    /// cost, and whether it may be retried.
    ///
    /// The body is read if the extensions contain a [`CollectedBody`](crate::replay::CollectedBody).
    pub fn key_request(provider: &dyn crate::Provider, head: &http::request::Parts) -> crate::KeyRequest {
        super::needs::derive(provider, head, crate::KeyRequest::default())
    }
}

impl<S> Layer<S> for KeyRotationLayer {
    type Service = KeyRotation<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyRotation::new(inner, &self.pool, self.wait)
    }
}
