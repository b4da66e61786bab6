//! The whole stack as one layer.
//!
//! ```text
//! ReplayLayer          collects the body, so that it can be sent again
//! ModelFallbackLayer   asks for another model, if one is set
//! RetryPolicy          decides what is sent again, in tower's own Retry
//! KeyRotationLayer     gives each attempt a key
//! CooldownLayer        classifies the answers
//! ```

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

/// Everything: [`ReplayLayer`], [`ModelFallbackLayer`] if one is set, tower's retry with [`RetryPolicy`],
/// [`KeyRotationLayer`] and [`CooldownLayer`], over any HTTP client. The same as all of them one by one.
///
/// The client is a `Service<http::Request<`[`ReplayBody<B>`](ReplayBody)`>>` that is `Clone` and whose error is
/// `Into<BoxError>`; the bodies of requests and answers are `Unpin`. Answers are
/// `http::Response<`[`KeyPoolBody<R>`](KeyPoolBody)`>`, the error is [`Error`]. A timeout below this layer applies to each
/// attempt, one above it to all of them.
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
    /// The whole stack over this pool, each part with its defaults.
    pub fn new(pool: &KeyPool) -> Self {
        Self {
            replay: ReplayLayer::new(),
            fallback: ModelFallbackLayer::new(pool, [""; 0]),
            retry: RetryPolicy::new(pool),
            rotation: KeyRotationLayer::new(pool),
            cooldown: CooldownLayer::new(pool),
        }
    }

    /// Bodies of up to this many bytes are kept for another attempt; see [`ReplayLayer::up_to`].
    #[must_use]
    pub fn replay_up_to(mut self, bytes: usize) -> Self {
        self.replay = ReplayLayer::up_to(bytes);
        self
    }

    /// How long a request waits for a key; see [`KeyRotationLayer::wait`].
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.rotation = self.rotation.wait(wait);
        self
    }

    /// How much of a good answer is read before its head is returned; see [`CooldownLayer::peek`].
    #[must_use]
    pub fn peek(mut self, bytes: usize, time: Duration) -> Self {
        self.cooldown = self.cooldown.peek(bytes, time);
        self
    }

    /// Which models take the place of one that cannot serve; none unless set.
    #[must_use]
    pub fn fallback(mut self, fallback: ModelFallbackLayer) -> Self {
        self.fallback = fallback;
        self
    }

    /// What is sent again, and how often.
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

/// A client with the keys of a pool: the service of [`KeyPoolLayer`].
#[derive(Clone, Debug)]
pub struct KeyPoolService<S> {
    inner: Replay<Inner<S>>,
}

/// The body of an answer of [`KeyPoolService`].
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
