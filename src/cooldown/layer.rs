//! The layer that classifies responses, and its settings.

use std::time::Duration;

use tower_layer::Layer;

use super::Cooldown;
use crate::KeyPool;

/// Classifies responses and reports them to the pool.
///
/// It belongs below [`KeyRotationLayer`](crate::KeyRotationLayer). A request without a lease of this pool passes
/// through unchanged.
///
/// - An error response is read up to 64 KiB and for up to 5 s, classified and passed on decompressed and without
///   trailers. The key is removed from its body (plain, percent-encoded or with JSON escapes). The rest of a longer body
///   is dropped, and so is a body in UTF-16 or compressed twice. The headers of every response are redacted.
/// - The first event of a 2xx response is read. If it is an error, the response gets that error's status and may be
///   retried. Otherwise the response is passed on as it arrives, and usage and later errors are read on the way. The
///   key is removed from a later error, too, unless the body is compressed or is JSON with a `Content-Length`. If a
///   later event contains the key, the bytes from the key on are held back until the event ends. From an event of more
///   than 64 KiB the key is removed at once.
/// - An error of the client below is reported, too. A 2xx response that breaks before its first event, or before its
///   first bytes of JSON, becomes such an error.
///
/// Status 499 (Google cancelled the request) becomes 503, which clients retry, and a status above 599 becomes 502. Only
/// gzip and deflate can be decoded. A body in another encoding is passed on unread, and a key in it is not removed:
/// request no other encoding of a provider that you do not trust. The error is [`BoxError`](crate::BoxError).
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

/// How much of a body is read, and for how long, before the head is returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peek {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

impl CooldownLayer {
    /// Returns a layer that reports to this pool.
    pub fn new(pool: &KeyPool) -> Self {
        Self { pool: pool.clone(), peek: Peek { bytes: 16 << 10, time: Duration::from_secs(5) } }
    }

    /// Sets how many bytes of a 2xx response are read, and for how long, to find its first event. The defaults are 16
    /// KiB and 5 s. With 0 bytes nothing is read before the head is returned.
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
