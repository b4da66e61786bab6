//! Removes the request's key from successful responses.
//!
//! [`CooldownLayer`](crate::CooldownLayer) removes the key from errors and passes successful responses on unchanged.
//! Providers do not repeat a key there, but a model whose prompt contains the key may. [`RedactLayer`] prevents that.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    body::{size_hint, to_bytes},
    pool::{Attempts, Lease},
    secret::Secret,
};

/// Replaces each byte of the request's key in the body by `*`, and the key in headers by `***`. It is found plain,
/// percent-encoded or escaped as in JSON.
///
/// It belongs above [`KeyRotationLayer`](crate::KeyRotationLayer); below, it also works. The length of a body does not
/// change. Trailing bytes that may be the start of the key, less than six times its length, are held back until more
/// arrive. A key in compressed data is not found: put a layer that decodes it below. A key of fewer than 8 bytes is not
/// redacted.
///
/// ```no_run
/// # fn stack<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use tower::ServiceBuilder;
/// use tower_keypool::{KeyPoolLayer, RedactLayer};
///
/// let client = ServiceBuilder::new()
///     .layer(RedactLayer::new())
///     .layer(KeyPoolLayer::new(&pool))
///     .service(http_client);
/// # drop(client);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RedactLayer(());

impl RedactLayer {
    /// Returns the layer, which has no options.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for RedactLayer {
    type Service = Redact<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Redact { inner }
    }
}

/// The service of [`RedactLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Redact<S> {
    inner: S,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Redact<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    type Response = Response<RedactBody<ResBody>>;
    type Error = S::Error;
    type Future = RedactFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let secret = request.extensions().get::<Arc<Lease>>().map(|lease| lease.secret().clone());
        RedactFuture { inner: self.inner.call(request), secret }
    }
}

pin_project! {
    /// The future of [`Redact`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct RedactFuture<F> {
        #[pin]
        inner: F,
        // The key, if the layer is below the one that chooses it.
        secret: Option<Secret>,
    }
}

impl<F, B, E> Future for RedactFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<RedactBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx)?);
        let last = response.extensions().get::<Attempts>().and_then(Attempts::last_secret);
        let filter = last.cloned().or_else(|| this.secret.take()).map(|secret| {
            secret.redact_headers(response.headers_mut());
            Filter { secret, held: Bytes::new() }
        });
        Poll::Ready(Ok(response.map(|inner| RedactBody { inner, filter, trailers: None, ended: false })))
    }
}

pin_project! {
    /// The response body of [`Redact`].
    pub struct RedactBody<B> {
        #[pin]
        inner: B,
        // None if the body passes unchanged.
        filter: Option<Filter>,
        trailers: Option<Frame<Bytes>>,
        // Whether the body below must not be polled again.
        ended: bool,
    }
}

impl<B: Body> Body for RedactBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        loop {
            if *this.ended {
                return Poll::Ready(None);
            }
            let frame = ready!(this.inner.as_mut().poll_frame(cx)?);
            *this.ended = frame.is_none();
            let frame = frame.map(to_bytes);
            let Some(filter) = this.filter else { return Poll::Ready(frame.map(Ok)) };
            let (data, last) = match frame.map(Frame::into_data) {
                Some(Ok(data)) => (data, this.inner.is_end_stream()),
                Some(Err(trailers)) if filter.held.is_empty() => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(trailers)) => {
                    *this.trailers = Some(trailers);
                    (Bytes::new(), true)
                }
                None if filter.held.is_empty() => return Poll::Ready(None),
                None => (Bytes::new(), true),
            };
            let data = filter.mask(data, last);
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.held() == 0 && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        size_hint(self.held(), &self.inner.size_hint())
    }
}

impl<B> RedactBody<B> {
    fn held(&self) -> usize {
        self.filter.as_ref().map_or(0, |filter| filter.held.len())
    }
}

debug_with_fields!([B] RedactBody<B>, "RedactBody");

/// Masks a secret in bytes that arrive in pieces.
struct Filter {
    secret: Secret,
    /// The last bytes so far, which may be the start of the secret.
    held: Bytes,
}

impl Filter {
    /// Masks the held bytes and the next ones, and returns those that are not held back now. With `last` nothing is
    /// held back.
    fn mask(&mut self, bytes: Bytes, last: bool) -> Bytes {
        let mut bytes = if self.held.is_empty() {
            bytes
        } else {
            let mut joined = BytesMut::with_capacity(self.held.len() + bytes.len());
            joined.extend_from_slice(&self.held);
            joined.extend_from_slice(&bytes);
            joined.freeze()
        };
        if self.secret.find(&bytes).is_some() {
            let mut masked = BytesMut::from(bytes);
            let mut from = 0;
            while let Some(found) = self.secret.find(&masked[from..]) {
                masked[from + found.start..from + found.end].fill(b'*');
                from += found.end;
            }
            bytes = masked.freeze();
        }
        self.held = if last { Bytes::new() } else { bytes.split_off(bytes.len() - self.secret.partial_tail(&bytes)) };
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{classify::Outcome, key::KeyId, pool::Attempt};

    const KEY: &str = "AIza-AIza/not+a-key";
    const ENCODED: &str = "AIza-AIza%2Fnot%2Ba-key";

    type Chunks = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

    async fn redacted(response: http::response::Builder, chunks: &[&[u8]]) -> Response<RedactBody<Chunks>> {
        let mut attempts = Attempts::default();
        attempts.push(Attempt {
            key: KeyId::new("a"),
            project: "p".into(),
            model: None,
            outcome: Outcome::Success,
            elapsed: std::time::Duration::ZERO,
            secret: Secret::new(KEY).unwrap(),
        });
        let mut frames: Vec<_> = chunks.iter().map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))).collect();
        frames.push(Ok(Frame::trailers(HeaderMap::new())));
        let response = response.extension(attempts).body(StreamBody::new(stream::iter(frames))).unwrap();
        let mut response = Some(response);
        let service =
            service_fn(move |_: Request<()>| std::future::ready(Ok::<_, Infallible>(response.take().unwrap())));
        RedactLayer::new().layer(service).oneshot(Request::new(())).await.unwrap()
    }

    async fn body(chunks: &[&[u8]]) -> String {
        let response = redacted(Response::builder(), chunks).await;
        let collected = response.into_body().collect().await.unwrap();
        assert!(collected.trailers().is_some());
        String::from_utf8(collected.to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn key_is_masked_wherever_the_body_is_split() {
        let text = format!("a{KEY}b{KEY}{ENCODED}AIza-AIza/AIza-AI");
        let masked = text.replace(ENCODED, &"*".repeat(ENCODED.len())).replace(KEY, &"*".repeat(KEY.len()));
        for cut in 0..=text.len() {
            let (first, last) = text.as_bytes().split_at(cut);
            assert_eq!(body(&[first, last]).await, masked);
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(body(&bytes).await, masked);
    }

    #[tokio::test]
    async fn only_a_possible_start_of_the_key_is_held_back() {
        let mut body = redacted(Response::builder(), &[b"nothing here A", b"Iza-x AIza-AIz", b"a!"]).await.into_body();
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.extend(frame.unwrap().into_data().map(|data| String::from_utf8(data.to_vec()).unwrap()));
        }
        assert_eq!(frames, ["nothing here ", "AIza-x ", "AIza-AIza!"]);
    }

    #[tokio::test]
    async fn body_that_ended_is_not_polled_again() {
        let next = |first: bool| async move {
            first.then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from("ends in A"))), false))
        };
        let filter = Some(Filter { secret: Secret::new(KEY).unwrap(), held: Bytes::new() });
        // This stream panics if it is polled after its end.
        let inner = StreamBody::new(stream::unfold(true, next));
        let body = RedactBody { inner, filter, trailers: None, ended: false };
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ends in A");
    }

    #[tokio::test]
    async fn key_is_masked_in_headers_and_whatever_the_encoding_is() {
        let response = Response::builder().header("x-echo", format!("key={KEY};")).header("content-encoding", "gzip");
        let response = redacted(response, &[KEY.as_bytes()]).await;
        assert_eq!(response.headers()["x-echo"], "key=***;");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "*".repeat(KEY.len()));
    }
}
