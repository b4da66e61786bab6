//! An answer that comes while it is read: whoever reads it runs the connection that it comes over.
//!
//! In a task of its own a connection would be woken for each piece, and wake the reader in turn, who would have one piece at a
//! time to send. So what came at once goes on at once.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tower_keypool::BoxError;

use super::{dial::Carrier, line::Line, shelf::Shelf};
use crate::entire::Entire;

/// Bytes of an answer that are read at once, where as much is here, before others have their turn.
const MOST_AT_ONCE: usize = 256 << 10;
/// A small piece costs as much as so many.
const LEAST: usize = 128;

/// The body of an answer over HTTP/1.1, and its connection.
pub(super) struct Along<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// `None`: it came to its end, or is dropped.
    body: Option<Entire>,
    /// Until it can carry another request.
    line: Option<Box<Line<B>>>,
    shelf: Arc<Shelf<B>>,
    /// Bytes that were read since it had to be waited for.
    at_once: usize,
}

impl<B> Along<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Of a connection that has nothing more to send.
    pub(super) fn new(body: Entire, line: Box<Line<B>>, shelf: Arc<Shelf<B>>) -> Self {
        Self { body: Some(body), line: Some(line), shelf, at_once: 0 }
    }

    /// Nobody reads any further: the connection is laid aside, or ends.
    fn end(&mut self) {
        // First, since it is what tells the connection.
        drop(self.body.take());
        if let Some(mut line) = self.line.take() {
            if line.settles() {
                self.shelf.put(Carrier::Line(line));
            } else if !line.is_over() && Handle::try_current().is_ok() {
                line.run_apart(&self.shelf);
            }
        }
    }
}

impl<B> Body for Along<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let (Some(body), Some(line)) = (&mut this.body, &mut this.line) else { return Poll::Ready(None) };
        if this.at_once >= MOST_AT_ONCE {
            this.at_once = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(frame) = line.poll_along(cx, |cx| Pin::new(&mut *body).poll_frame(cx)) else {
            this.at_once = 0;
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame {
            this.at_once += frame.data_ref().map_or(0, Bytes::len).max(LEAST);
        }
        if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
            this.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Along<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        self.end();
    }
}
