//! How long a provider may be silent: until its answer begins, once it has the request, and within an answer.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tower_keypool::BoxError;

use super::{Error, sending::SentAt};

/// Waits for an answer that is to begin in this time after its request is gone.
pub(super) async fn begun<T>(
    answer: impl Future<Output = Result<T, Error>>,
    sent: SentAt,
    within: Duration,
) -> Result<T, Error> {
    let mut answer = pin!(answer);
    let mut deadline = Instant::now() + within;
    loop {
        match timeout_at(deadline, answer.as_mut()).await {
            Ok(answer) => return answer,
            Err(elapsed) => {
                let now = Instant::now();
                // What is still on its way the caller sends as it likes.
                deadline = sent.get().copied().unwrap_or(now) + within;
                if deadline <= now {
                    return Err(Error::late(elapsed));
                }
            }
        }
    }
}

/// An answer's body, which breaks off where its sender says nothing for so long.
#[derive(Debug)]
pub struct Patient<B> {
    body: B,
    within: Duration,
    /// Since somebody waits for it.
    pause: Option<Pin<Box<Sleep>>>,
    /// Something came since the pause began.
    moved: bool,
}

impl<B> Patient<B> {
    pub(super) fn new(body: B, within: Duration) -> Self {
        Self { body, within, pause: None, moved: false }
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Patient<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.moved = true;
            return Poll::Ready(frame);
        }
        let Self { within, pause, moved, .. } = &mut *self;
        let pause = pause.get_or_insert_with(|| Box::pin(sleep(*within)));
        while pause.as_mut().poll(cx).is_ready() {
            if !std::mem::take(moved) {
                let silent =
                    io::Error::new(io::ErrorKind::TimedOut, "the provider said no more for gateway.answer_timeout");
                return Poll::Ready(Some(Err(silent.into())));
            }
            pause.as_mut().reset(Instant::now() + *within);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
