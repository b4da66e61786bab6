//! An attempt from its start to the last byte of the provider's answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tower_keypool::Tick;

use super::traffic::Traffic;

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct Sent {
    traffic: Arc<Traffic>,
    began: Tick,
}

impl Sent {
    /// It goes out now.
    pub(crate) fn now(traffic: &Arc<Traffic>) -> Self {
        Self { began: traffic.now(), traffic: Arc::clone(traffic) }
    }

    /// There is an answer's head, or no answer.
    pub(crate) fn answered(&self, status: Option<StatusCode>) {
        self.traffic.upstream_answered(status, self.began);
    }

    /// Follows the answer to its end.
    pub(crate) fn receive<B>(self, body: B) -> Received<B> {
        Received { inner: body, _attempt: Receiving(self) }
    }
}

/// Tells when it is dropped.
#[derive(Debug)]
struct Receiving(Sent);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.traffic.upstream_ended(self.0.began);
    }
}

/// The provider's answer; when it is dropped, the attempt has ended.
#[derive(Debug)]
pub struct Received<B> {
    inner: B,
    _attempt: Receiving,
}

impl<B: Body + Unpin> Body for Received<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
