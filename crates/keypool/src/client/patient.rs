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
use tokio::time::{Sleep, sleep};
use tower_keypool::BoxError;

use super::{Error, sending::IsSent};

/// So many times it is looked whether a request is gone.
const LOOKS: u32 = 16;

/// Waits for an answer that is to begin in this time after its request is gone, or a sixteenth of it sooner.
pub(super) async fn begun<T>(
    answer: impl Future<Output = Result<T, Error>>,
    sent: IsSent,
    within: Duration,
) -> Result<T, Error> {
    let (mut answer, mut pause) = (pin!(answer), pin!(sleep(within / LOOKS)));
    let mut silent = 0;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = &mut pause => {
                // What is still on its way the caller sends as it likes.
                silent += u32::from(sent.is());
                if silent == LOOKS {
                    return Err(Error::late(timed_out()));
                }
                let next = pause.deadline() + within / LOOKS;
                pause.as_mut().reset(next);
            }
        }
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the provider said nothing for as long as it may (gateway.answer_timeout)")
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
                return Poll::Ready(Some(Err(timed_out().into())));
            }
            let next = pause.deadline() + *within;
            pause.as_mut().reset(next);
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
