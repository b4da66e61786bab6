//! A request's body on its way: it says when it is gone, since the time for an answer begins then.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};

/// Whether all of a body was sent, or nobody wanted more of it.
#[derive(Clone, Debug, Default)]
pub(super) struct IsSent(Arc<Fate>);

#[derive(Debug, Default)]
struct Fate {
    is_sent: AtomicBool,
    is_late: AtomicBool,
}

impl IsSent {
    pub(super) fn is(&self) -> bool {
        self.0.is_sent.load(Ordering::Relaxed)
    }

    /// No answer came in time: it is given up.
    pub(super) fn give_up(&self) {
        self.0.is_late.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.0.is_late.load(Ordering::Relaxed)
    }
}

/// A body that says so.
#[derive(Debug)]
pub(super) struct Sending<B> {
    body: B,
    _gone: Gone,
}

#[derive(Debug)]
struct Gone(IsSent);

impl Drop for Gone {
    fn drop(&mut self) {
        // Whoever sends a body lets go of it at its end.
        self.0.0.is_sent.store(true, Ordering::Relaxed);
    }
}

impl<B> Sending<B> {
    pub(super) fn new(body: B) -> (Self, IsSent) {
        let sent = IsSent::default();
        (Self { body, _gone: Gone(sent.clone()) }, sent)
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
