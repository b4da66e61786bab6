//! [`CooldownLayer`].

use std::time::Duration;

use tower_layer::Layer;

use super::Cooldown;
use crate::KeyPool;

/// Reads what answers mean for their keys and tells the pool.
///
/// It stands below [`KeyRotationLayer`](crate::KeyRotationLayer). A request without a lease of this pool passes through as
/// it is.
///
/// - Of an error up to 64 KiB are read, for 5 s at most, then classified and passed on. The key never stands in it, plain or
///   percent-encoded, neither in its body nor in its headers.
/// - Of a good answer the first event is read, so that an error there is an error of the request, which another key may
///   serve; the answer then has the error's status. A good answer is passed on from its first event on as it comes. Usage and
///   an error within the stream are read as it passes.
/// - A failure of the client below is told, too.
///
/// Status 499, with which Google cancels requests of its own, becomes 503, which clients send again. Bodies that are
/// compressed by gzip or deflate are read in a copy; others are passed on unread. The error is [`BoxError`](crate::BoxError).
///
/// ```
/// use http::{Request, Response};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
/// use tower_keypool::{CooldownLayer, Gemini, Key, KeyPool, KeyRotationLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).build()?;
/// let mut client = ServiceBuilder::new()
///     .layer(KeyRotationLayer::new(&pool))
///     .layer(CooldownLayer::new(&pool))
///     .service(service_fn(async |_: Request<String>| {
///         Ok::<_, BoxError>(Response::builder().status(429).body("slow down".to_owned())?)
///     }));
/// let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body("{}".to_owned())?;
/// assert_eq!(client.ready().await?.call(request).await?.status(), 429);
/// assert!(pool.try_acquire("gemini-2.5-flash").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CooldownLayer {
    pool: KeyPool,
    peek: Peek,
}

/// How much of a good answer is read before its head goes up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peek {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

impl CooldownLayer {
    /// Tells this pool.
    pub fn new(pool: &KeyPool) -> Self {
        Self { pool: pool.clone(), peek: Peek { bytes: 16 << 10, time: Duration::from_secs(5) } }
    }

    /// How many bytes of a good answer, and for how long, are read in search of its first event; 16 KiB and 5 s unless set. With
    /// 0 bytes nothing is read before the head goes up.
    #[must_use]
    pub fn peek(mut self, bytes: usize, time: Duration) -> Self {
        self.peek = Peek { bytes, time };
        self
    }
}

impl<S> Layer<S> for CooldownLayer {
    type Service = Cooldown<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cooldown::new(inner, &self.pool, self.peek)
    }
}
