//! Resets a stream of HTTP/2 whose client does not read the response.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Instant;

/// Runs the streams of HTTP/2 connections, and resets a stream whose client does not read. `TimeoutStream` cannot see
/// this: flow control stops the writes, so none of them times out.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) reader_timeout: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (unread, timeout) = (Unread::default(), self.reader_timeout);
        tokio::spawn(UNREAD.scope(unread.clone(), async move {
            tokio::select! {
                _ = stream => {}
                () = unread.lasts(timeout) => tracing::debug!("a client stopped reading a response over HTTP/2"),
            }
        }));
    }
}

tokio::task_local! {
    static UNREAD: Unread;
}

/// Since when hyper holds a piece; `None` once it asks for the next one. With HTTP/2 it asks when the client has room.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<Mutex<Option<Instant>>>);

impl Unread {
    /// Watches the body of a response over HTTP/2.
    pub(super) fn watched(body: Body) -> Body {
        match UNREAD.try_with(Self::clone) {
            Ok(unread) => Body::new(WatchedBody { inner: body, rest: Bytes::new(), unread }),
            Err(_) => body,
        }
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Waits until a piece has not been read for this time.
    async fn lasts(&self, timeout: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = since.unwrap_or_else(Instant::now) + timeout;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Splits a response into pieces of 16 KiB: once hyper has a piece, we cannot tell whether the client reads it.
struct WatchedBody {
    inner: Body,
    /// The rest of the last piece.
    rest: Bytes,
    unread: Unread,
}

/// Maximum size of a piece: that of a frame of HTTP/2.
const PIECE: usize = 16 << 10;

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.unread.set(None);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        self.unread.set(Some(Instant::now()));
        let size = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // hyper asks before it reads the first piece.
        if self.rest.is_empty() { self.inner.size_hint() } else { SizeHint::default() }
    }
}
