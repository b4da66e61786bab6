//! Bodies that are sent more than once, and the number of bytes that this copies.

use std::{
    collections::HashSet,
    future::{Ready, ready},
    ops::Range,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::{Body, Frame};
use tower::{Layer, Service, ServiceExt, retry::Policy};
use tower_keypool::{BoxError, ReplayLayer, replay::TryClone};

/// A body of chunks, as from a connection.
pub struct Chunked {
    rest: Bytes,
    chunk: usize,
}

impl Chunked {
    /// Creates a body of `whole`, in chunks of at most `chunk` bytes.
    pub fn new(whole: Bytes, chunk: usize) -> Self {
        Self { rest: whole, chunk }
    }
}

impl Body for Chunked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let next = self.chunk.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(next)))))
    }
}

/// A service that counts bytes at new addresses, which are neither the caller's own nor those of an earlier attempt.
#[derive(Clone)]
struct Reader {
    own: Range<usize>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    bytes: AtomicUsize,
    copied: AtomicUsize,
    attempts: AtomicUsize,
    addresses: Mutex<HashSet<usize>>,
}

impl<B> Service<Request<B>> for Reader
where
    B: Body<Data = Bytes>,
{
    type Response = Response<()>;
    type Error = BoxError;
    type Future = Ready<Result<Response<()>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut body = std::pin::pin!(request.into_body());
        self.seen.attempts.fetch_add(1, Ordering::Relaxed);
        while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
            let Some(data) = frame.data_ref() else { continue };
            self.seen.bytes.fetch_add(data.remaining(), Ordering::Relaxed);
            let at = data.as_ptr() as usize;
            if !self.own.contains(&at) && self.seen.addresses.lock().is_ok_and(|mut known| known.insert(at)) {
                self.seen.copied.fetch_add(data.remaining(), Ordering::Relaxed);
            }
        }
        ready(Ok(Response::builder().status(503).body(()).expect("a response")))
    }
}

/// A policy that always retries this number of times.
#[derive(Clone)]
struct Again(usize);

impl<B: TryClone> Policy<Request<B>, Response<()>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<B>, _: &mut Result<Response<()>, BoxError>) -> Option<Ready<()>> {
        let left = self.0.checked_sub(1)?;
        self.0 = left;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(Request::new(request.body().try_clone()?))
    }
}

/// Sends a body of this size three times through the replay layer. Returns the number of copied bytes.
///
/// # Panics
/// If an attempt does not read the whole body.
pub fn copied(bytes: usize) -> usize {
    let whole = Bytes::from(vec![b'x'; bytes]);
    let from = whole.as_ptr() as usize;
    let seen = Arc::new(Seen::default());
    let reader = Reader { own: from..from + bytes, seen: Arc::clone(&seen) };
    let retried = tower::retry::RetryLayer::new(Again(2)).layer(reader);
    let replayed = ReplayLayer::up_to(32 << 20).layer(retried);
    let request = Request::post("http://127.0.0.1:1/").body(Chunked::new(whole, 64 << 10)).expect("a request");
    let mut future = std::pin::pin!(replayed.oneshot(request));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_ready(), "nothing here waits");
    assert_eq!(seen.attempts.load(Ordering::Relaxed), 3);
    assert_eq!(seen.bytes.load(Ordering::Relaxed), 3 * bytes, "each attempt reads all of it");
    seen.copied.load(Ordering::Relaxed)
}
