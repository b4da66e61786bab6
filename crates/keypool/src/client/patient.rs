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

/// So many times it is looked whether a request is gone, or more of an answer came.
const LOOKS: u32 = 16;

/// Waits for an answer that is to begin in this time after its request is gone, or a sixteenth of it sooner.
pub(super) async fn begun<T>(
    mut answer: Pin<&mut impl Future<Output = Result<T, Error>>>,
    sent: &IsSent,
    within: Duration,
) -> Result<T, Error> {
    let mut pause = pin!(sleep(within / LOOKS));
    let mut silent = 0;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = &mut pause => {
                // What is still on its way the caller sends as it likes.
                silent += u32::from(sent.is());
                if silent == LOOKS {
                    sent.give_up();
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

/// An answer's body, which breaks off where its sender says nothing for so long, or a sixteenth of it more. Pieces that come
/// set no timer.
#[derive(Debug)]
pub struct Patient<B> {
    body: B,
    within: Duration,
    /// Until the next look, while somebody waits for it.
    pause: Option<Pin<Box<Sleep>>>,
    /// So many looks ago the last piece came.
    silent: u32,
}

impl<B> Patient<B> {
    pub(super) fn new(body: B, within: Duration) -> Self {
        Self { body, within, pause: None, silent: 0 }
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Patient<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.silent = 0;
            return Poll::Ready(frame);
        }
        let Self { within, pause, silent, .. } = &mut *self;
        let next = || sleep(*within / LOOKS);
        let pause = pause.get_or_insert_with(|| Box::pin(next()));
        while pause.as_mut().poll(cx).is_ready() {
            // The first look may come right behind a piece.
            if *silent == LOOKS {
                return Poll::Ready(Some(Err(timed_out().into())));
            }
            *silent += 1;
            // From now on: while nobody asks for more, nobody waits.
            pause.set(next());
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

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use tower_keypool::Clock;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(600);

    /// When an answer ends whose pieces come so many seconds after each other, and then no more. A reader takes a while with each.
    async fn ends_after(pauses: &'static [u64], reader: u64) -> (u64, bool) {
        let pieces = stream::unfold(pauses.iter(), |mut pauses| async move {
            match pauses.next() {
                Some(pause) => sleep(Duration::from_secs(*pause)).await,
                None => std::future::pending().await,
            }
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x"))), pauses))
        });
        let mut body = Patient::new(StreamBody::new(Box::pin(pieces)), WITHIN);
        let clock = Clock::system();
        let mut last = clock.tick();
        for _ in pauses {
            body.frame().await.expect("it goes on").expect("it is not late");
            last = clock.tick();
            sleep(Duration::from_secs(reader)).await;
        }
        let end = body.frame().await.expect("it does not just end");
        (clock.tick().since(last).as_secs() - reader, end.is_err())
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_is_waited_for_as_long_as_is_said_and_hardly_longer() {
        for pauses in [&[][..], &[0], &[1, 1, 1], &[590], &[20, 36, 38, 590, 300], &[599, 599, 599]] {
            let (waited, is_late) = ends_after(pauses, 0).await;
            assert!(is_late && (600..=640).contains(&waited), "{pauses:?}: {waited} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_a_reader_takes_is_its_own() {
        for reader in [500, 700, 5_000] {
            let (waited, is_late) = ends_after(&[0, 10, 590], reader).await;
            assert!(is_late && (600..=640).contains(&waited), "{reader}: {waited} s");
        }
    }
}
