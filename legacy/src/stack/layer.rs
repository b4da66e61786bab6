//! What a [`KeyPoolService`] is made of.

use std::{borrow::Borrow, time::Duration};

use tower_layer::{Layer, Stack};

use super::{KeyPoolService, resend::Resend};
use crate::{
    as_response::ExhaustedAsResponseLayer,
    cooldown::CooldownLayer,
    fallback::{ModelFallbackLayer, Models},
    pool::KeyPool,
    replay::ReplayLayer,
    retry::RetryPolicy,
    rotation::KeyRotationLayer,
    rule::Retry,
};

/// Everything: replay, model fallback, retry, key rotation and cooldown, over any HTTP client that is generic in its
/// body.
///
/// Bounds: requests are `http::Request<B>` with `B: Body + Unpin + Send + 'static`; the client is a
/// `Service<http::Request<ReplayBody<B>>, Response = http::Response<R>> + Clone` whose error is `Into<BoxError>`. Answers
/// are `http::Response<`[`KeyPoolBody<R>`](crate::KeyPoolBody)`>`, the error is [`Error`](crate::Error). A time-out around
/// the client holds for each attempt, one around this layer for the whole.
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use std::time::Duration;
/// use tower::ServiceBuilder;
/// use tower_keypool::{KeyPoolLayer, Models, Retry};
///
/// let client = ServiceBuilder::new()
///     .layer(
///         KeyPoolLayer::new(&pool)
///             .wait(Duration::from_secs(5))
///             .retry(Retry::new().max_retries(5))
///             .fallback(Models::new().for_all(["gemini-2.5-pro", "gemini-2.5-flash"])),
///     )
///     .service(http_client);
/// # drop(client);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyPoolLayer {
    pool: KeyPool,
    replay: ReplayLayer,
    models: Models,
    rule: Retry,
    wait: Option<Duration>,
    rotation: KeyRotationLayer,
}

impl KeyPoolLayer {
    /// The whole stack over this pool, each part with its defaults.
    pub fn new(pool: impl Borrow<KeyPool>) -> Self {
        let pool = pool.borrow().clone();
        Self {
            replay: ReplayLayer::default(),
            models: Models::new(),
            rule: pool.default_retry(),
            wait: None,
            rotation: KeyRotationLayer::new(&pool),
            pool,
        }
    }

    /// How long a request waits for a key that does not say so itself; unless set, as long as the pool says.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self.rotation = self.rotation.wait(wait);
        self
    }

    /// When a request is sent again; unless set, as the pool says.
    #[must_use]
    pub fn retry(mut self, rule: Retry) -> Self {
        self.rule = rule;
        self
    }

    /// Which model takes another's place.
    #[must_use]
    pub fn fallback(mut self, models: Models) -> Self {
        self.models = models;
        self
    }

    /// How bodies are kept for another attempt: how large a single one, and how much over all.
    #[must_use]
    pub fn replay(mut self, replay: ReplayLayer) -> Self {
        self.replay = replay;
        self
    }

    /// Bytes of one body that are kept for another attempt; larger ones stream and are sent once.
    #[must_use]
    pub fn replay_limit(self, bytes: u64) -> Self {
        self.replay(ReplayLayer::up_to(bytes))
    }

    /// Requests come as a server receives them; see [`KeyRotationLayer::as_server`].
    #[must_use]
    pub fn as_server(mut self) -> Self {
        self.rotation = self.rotation.as_server();
        self
    }

    /// Lets keys be sent to another host too; see [`KeyRotationLayer::allow_host`].
    ///
    /// # Panics
    /// When `host` is no authority.
    #[must_use]
    pub fn allow_host(mut self, host: &str) -> Self {
        self.rotation = self.rotation.allow_host(host);
        self
    }

    /// Answers in the provider's shape where there would be an error, for hosts whose error is `Infallible`; see
    /// [`ExhaustedAsResponseLayer`]. What comes over HTTP/2 is taken as a server receives it.
    pub fn exhausted_as_response(self) -> Stack<Self, ExhaustedAsResponseLayer> {
        Stack::new(self, ExhaustedAsResponseLayer::new())
    }

    fn policy(&self) -> RetryPolicy {
        let policy = RetryPolicy::new(&self.pool).rule(self.rule.clone());
        match self.wait {
            Some(wait) => policy.wait(wait),
            None => policy,
        }
    }
}

impl<S> Layer<S> for KeyPoolLayer {
    type Service = KeyPoolService<S>;

    fn layer(&self, client: S) -> Self::Service {
        // Judges what comes back, and lets keys rest.
        let judged = CooldownLayer::new(&self.pool).layer(client);
        // Gives each attempt a key, and holds its slot until the answer's body ends.
        let keyed = self.rotation.layer(judged);
        // Sends again what another key, or a pause, may cure.
        let retried = Resend::new(self.policy(), keyed);
        // Asks for another model where no key serves the one asked for.
        let fallback = ModelFallbackLayer::new(&self.pool).lists(self.models.clone());
        let stepped = self.wait.map_or(fallback.clone(), |wait| fallback.wait(wait)).layer(retried);
        // Keeps the body for all of them.
        KeyPoolService::new(self.replay.clone().pool(&self.pool).layer(stepped))
    }
}
