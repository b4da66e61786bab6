//! A request's body on its way: it says when it is gone, since the time for an answer begins then.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// When all of a body was sent, or nobody wanted more of it.
pub(super) type SentAt = Arc<OnceLock<Instant>>;

/// A body that says so.
#[derive(Debug)]
pub(super) struct Sending<B> {
    body: B,
    _gone: Gone,
}

#[derive(Debug)]
struct Gone(SentAt);

impl Drop for Gone {
    fn drop(&mut self) {
        // Whoever sends a body lets go of it at its end.
        let _ = self.0.set(Instant::now());
    }
}

impl<B> Sending<B> {
    pub(super) fn new(body: B) -> (Self, SentAt) {
        let sent = SentAt::default();
        (Self { body, _gone: Gone(Arc::clone(&sent)) }, sent)
    }
}

impl<B: Body + Unpin> Body for Sending<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
