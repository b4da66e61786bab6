//! What a [`KeyRotation`] is made of.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use http::uri::Authority;
use tower_layer::Layer;

use super::service::KeyRotation;
use crate::pool::KeyPool;

/// Gives each request a key of a pool.
///
/// Stands below [`RetryPolicy`](crate::RetryPolicy) and above [`CooldownLayer`](crate::CooldownLayer). Keeps the body
/// type; wraps the answer's body in a [`LeaseBody`](crate::LeaseBody). Its error is [`Error`](crate::Error).
///
/// A request counts from when the service below is called, unless its body is a
/// [`ReplayLayer`](crate::ReplayLayer::pool)'s that knows the pool: then from when the connection takes it. So where
/// requests stand below (a `Buffer`, a client that connects first) have one above; else they go out later than they count, and
/// the provider may see more of them within a window than its limit.
///
/// Whatever repeats a request (a retry, a hedge) belongs above it: what is sent twice below it goes out twice with one lease,
/// and counts once.
///
/// It reads the head alone. Where a provider has the model in the body (`OpenAi`, `Anthropic`), somebody above says which it
/// is: [`ReplayLayer::pool`](crate::ReplayLayer::pool) looks for it, or the request brings its
/// [`Demand`](crate::Demand) as an extension. Else it counts as a request of no model: by the limits of `*`, in a lane of all
/// such requests, and limits that were given for a model alone do not hold for it.
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use std::time::Duration;
/// use tower::ServiceBuilder;
/// use tower_keypool::KeyRotationLayer;
///
/// let client = ServiceBuilder::new()
///     .layer(KeyRotationLayer::new(pool).wait(Duration::from_secs(5)))
///     .service(http_client);
/// # drop(client);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyRotationLayer {
    pool: KeyPool,
    rules: Arc<Rules>,
}

/// What a rotation was told beside its pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// How long a request waits that does not say so itself; `None`: as the pool says.
    pub(super) wait: Option<Duration>,
    /// Requests are as a server received them.
    pub(super) as_server: bool,
    /// Where else a key may be sent.
    pub(super) allowed: Vec<Authority>,
}

impl KeyRotationLayer {
    /// Gives each request a key of this pool.
    pub fn new(pool: impl Borrow<KeyPool>) -> Self {
        Self { pool: pool.borrow().clone(), rules: Arc::default() }
    }

    /// How long a request waits for a key that does not say so itself; unless set, as long as the pool says.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        Arc::make_mut(&mut self.rules).wait = Some(wait);
        self
    }

    /// Requests come as a server receives them. Over HTTP/2, and from hosts that write it in any case, their scheme and
    /// authority name that server itself: where they are neither the provider's nor an
    /// [allowed host](Self::allow_host)'s they are dropped, and the request goes to the provider's base instead of being
    /// refused. [`ExhaustedAsResponseLayer`](crate::ExhaustedAsResponseLayer) above says it for requests over HTTP/2.
    #[must_use]
    pub fn as_server(mut self) -> Self {
        Arc::make_mut(&mut self.rules).as_server = true;
        self
    }

    /// Lets keys be sent to another `host` or `host:port` too, over the same scheme as the provider's base.
    ///
    /// # Panics
    /// When `host` is no authority: it is written by whoever writes the program, not by its users.
    #[must_use]
    pub fn allow_host(mut self, host: &str) -> Self {
        let authority = host.parse().expect("allow_host takes a host or host:port");
        Arc::make_mut(&mut self.rules).allowed.push(authority);
        self
    }
}

impl<S> Layer<S> for KeyRotationLayer {
    type Service = KeyRotation<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyRotation::new(inner, self.pool.clone(), Arc::clone(&self.rules))
    }
}
