//! A response body that keeps its lease until it ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::Lease;

pin_project! {
    /// The response body of [`KeyRotation`](crate::rotation::KeyRotation). It keeps the key in use until it ends or is
    /// dropped, unless it is that of an error.
    pub struct LeaseBody<B> {
        #[pin]
        inner: B,
        lease: Option<Arc<Lease>>,
    }
}

impl<B: Body> LeaseBody<B> {
    /// Creates the body of a response. An error keeps no key in use, since a layer above may hold it for long.
    pub(super) fn new(inner: B, lease: Arc<Lease>, is_error: bool) -> Self {
        let lease = (!is_error && !inner.is_end_stream()).then_some(lease);
        Self { inner, lease }
    }
}

impl<B: Body> Body for LeaseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let mut frame = ready!(this.inner.as_mut().poll_frame(cx));
        if let (Some(Ok(frame)), Some(lease)) = (&mut frame, &this.lease)
            && let Some(trailers) = frame.trailers_mut()
        {
            lease.secret().redact_headers(trailers);
        }
        if !matches!(frame, Some(Ok(_))) || this.inner.is_end_stream() {
            *this.lease = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

debug_with_fields!([B] LeaseBody<B>, "LeaseBody", lease);
