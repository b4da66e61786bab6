//! The answer's body, which holds the key's slot.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::pool::Slot;

pin_project! {
    /// An answer's body that holds its key's slot until it ends, fails or is dropped. Passes everything through.
    pub struct LeaseBody<B> {
        // Dropped before the slot, so that what judges on drop still finds the lease.
        #[pin]
        body: B,
        slot: Option<Slot>,
    }
}

impl<B: Body> LeaseBody<B> {
    #[inline]
    pub(crate) fn new(body: B, slot: Option<Slot>) -> Self {
        let slot = slot.filter(|_| !body.is_end_stream());
        Self::holding(body, slot)
    }
}

impl<B> LeaseBody<B> {
    /// Of a body that is known to have come to its end, or not to have.
    #[inline]
    pub(crate) fn holding(body: B, slot: Option<Slot>) -> Self {
        Self { body, slot }
    }

    /// The body below.
    pub fn get_ref(&self) -> &B {
        &self.body
    }

    /// The body below; the slot is free from here on.
    pub fn into_inner(self) -> B {
        self.body
    }
}

impl<B: Body> Body for LeaseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        // Handed on where it is, not moved: a frame is as large as its trailers may be.
        let frame = this.body.as_mut().poll_frame(cx);
        let goes_on = match &frame {
            Poll::Pending => true,
            Poll::Ready(Some(Ok(_))) => !this.body.is_end_stream(),
            Poll::Ready(_) => false,
        };
        if !goes_on {
            *this.slot = None;
        }
        frame
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Default> Default for LeaseBody<B> {
    fn default() -> Self {
        Self { body: B::default(), slot: None }
    }
}

impl<B> fmt::Debug for LeaseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseBody").field("holds_slot", &self.slot.is_some()).finish_non_exhaustive()
    }
}
