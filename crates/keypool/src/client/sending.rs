//! A request's body on its way: it says when it is gone, since the time for an answer begins then, and whom it waits for until
//! then.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
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
    /// Its next piece has not come.
    lacks: AtomicBool,
    /// How many pieces went on.
    pieces: AtomicU32,
}

impl IsSent {
    pub(super) fn is(&self) -> bool {
        self.0.is_sent.load(Ordering::Relaxed)
    }

    /// How many pieces the provider took; `None` where it would have more of them than there are.
    pub(super) fn taken(&self) -> Option<u32> {
        let lacks = self.0.lacks.load(Ordering::Relaxed);
        (!lacks).then(|| self.0.pieces.load(Ordering::Relaxed))
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
    gone: Gone,
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
        (Self { body, gone: Gone(sent.clone()) }, sent)
    }
}

impl<B: Body + Unpin> Body for Sending<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let fate = &self.gone.0.0;
        fate.lacks.store(polled.is_pending(), Ordering::Relaxed);
        if polled.is_ready() {
            // Nobody else counts.
            fate.pieces.store(fate.pieces.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
