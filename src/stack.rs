//! The whole stack as one layer. The crate's documentation lists its layers.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use tower::retry::Retry;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, CooldownLayer, Error, KeyPool, KeyRotationLayer, ModelFallbackLayer, ReplayBody, ReplayLayer,
    RetryPolicy,
    cooldown::{Cooldown, CooldownBody},
    fallback::ModelFallback,
    replay::{Replay, ReplayFuture},
    rotation::{KeyRotation, LeaseBody},
};

/// The complete stack over any HTTP client: [`ReplayLayer`], [`ModelFallbackLayer`] if one is set, tower's retry with
/// [`RetryPolicy`], [`KeyRotationLayer`] and [`CooldownLayer`]. It does the same as these layers added one by one.
///
/// The client is a `Service<http::Request<`[`ReplayBody<B>`](ReplayBody)`>>` that is `Clone` and whose error is
/// `Into<BoxError>`; the bodies of requests and responses are `Unpin`. The response is
/// `http::Response<`[`KeyPoolBody<R>`](KeyPoolBody)`>`, the error is [`Error`]. A timeout below this layer applies to
/// each attempt, a timeout above it to all attempts together.
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use std::time::Duration;
/// use tower::ServiceBuilder;
/// use tower_keypool::KeyPoolLayer;
///
/// let client = ServiceBuilder::new()
///     .layer(KeyPoolLayer::new(&pool).wait(Duration::from_secs(5)).replay_up_to(32 << 20))
///     .service(http_client);
/// # drop(client);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyPoolLayer {
    replay: ReplayLayer,
    fallback: ModelFallbackLayer,
    retry: RetryPolicy,
    rotation: KeyRotationLayer,
    cooldown: CooldownLayer,
}

impl KeyPoolLayer {
    /// Creates the stack for this pool, each layer with its defaults.
    pub fn new(pool: &KeyPool) -> Self {
        Self {
            replay: ReplayLayer::new(),
            fallback: ModelFallbackLayer::new(pool, [""; 0]),
            retry: RetryPolicy::new(pool),
            rotation: KeyRotationLayer::new(pool),
            cooldown: CooldownLayer::new(pool),
        }
    }

    /// Sets the maximum size of a body that is kept for retries; see [`ReplayLayer::up_to`].
    #[must_use]
    pub fn replay_up_to(mut self, bytes: usize) -> Self {
        self.replay = ReplayLayer::up_to(bytes);
        self
    }

    /// Sets how long a request waits for a key; see [`KeyRotationLayer::wait`].
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.rotation = self.rotation.wait(wait);
        self
    }

    /// Sets how much of a successful response is read, and for how long, before its head is returned; see
    /// [`CooldownLayer::peek`].
    #[must_use]
    pub fn peek(mut self, bytes: usize, time: Duration) -> Self {
        self.cooldown = self.cooldown.peek(bytes, time);
        self
    }

    /// Sets the models that replace a model that cannot serve; none by default.
    #[must_use]
    pub fn fallback(mut self, fallback: ModelFallbackLayer) -> Self {
        self.fallback = fallback;
        self
    }

    /// Sets the policy that decides which requests are retried, and how often.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }
}

impl<S> Layer<S> for KeyPoolLayer {
    type Service = KeyPoolService<S>;

    fn layer(&self, client: S) -> Self::Service {
        let cooled = self.cooldown.layer(client);
        let rotated = self.rotation.layer(cooled);
        let retried = Retry::new(self.retry.clone(), rotated);
        KeyPoolService { inner: self.replay.layer(self.fallback.layer(retried)) }
    }
}

type Inner<S> = ModelFallback<Retry<RetryPolicy, KeyRotation<Cooldown<S>>>>;

/// The service of [`KeyPoolLayer`]: a client that uses the keys of a pool.
#[derive(Clone, Debug)]
pub struct KeyPoolService<S> {
    inner: Replay<Inner<S>>,
}

/// The response body of [`KeyPoolService`].
pub type KeyPoolBody<R> = LeaseBody<CooldownBody<R>>;

/// The future of [`KeyPoolService`].
pub type KeyPoolFuture<S, B> = ReplayFuture<Inner<S>, B>;

impl<S, B, R> Service<Request<B>> for KeyPoolService<S>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
    R: Body + Unpin,
{
    type Response = Response<KeyPoolBody<R>>;
    type Error = Error;
    type Future = KeyPoolFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request)
    }
}
