//! How long a provider may be silent: while it takes a request, then until its answer begins, and within an answer.

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

/// A provider that takes nothing of a request for so long, while there is more of it, is gone, or ours.
const TAKES_WITHIN: Duration = Duration::from_secs(60);

/// Waits for an answer that is to begin in this time after its request is gone, which is seen a few seconds later at most.
pub(super) async fn begun<T>(
    mut answer: Pin<&mut impl Future<Output = Result<T, Error>>>,
    sent: &IsSent,
    within: Duration,
) -> Result<T, Error> {
    let takes_within = within.min(TAKES_WITHIN);
    let mut pause = pin!(sleep(takes_within / LOOKS));
    // So many looks ago more of the request was taken; since it was seen to be gone.
    let (mut taken, mut stuck, mut silent) = (None, 0, None);
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = &mut pause => {
                let looks = if sent.is() {
                    silent = Some(silent.map_or(0, |silent: u32| silent + 1));
                    within
                } else {
                    // What has not come the caller sends as it likes.
                    let now = sent.taken();
                    let moves = now.is_none() || now != std::mem::replace(&mut taken, now);
                    stuck = if moves { 0 } else { stuck + 1 };
                    takes_within
                };
                if silent == Some(LOOKS) || stuck == LOOKS {
                    sent.give_up();
                    return Err(Error::late(if stuck == LOOKS { not_taken() } else { timed_out() }));
                }
                let next = pause.deadline() + looks / LOOKS;
                pause.as_mut().reset(next);
            }
        }
    }
}

fn not_taken() -> io::Error {
    let what = "the provider took nothing more of the request for a minute (or gateway.answer_timeout)";
    io::Error::new(io::ErrorKind::TimedOut, what)
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
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt, Full, StreamBody};
    use tower_keypool::Clock;

    use super::*;
    use crate::client::sending::Sending;

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

    /// After how long a request is given up whose body has such pieces, of which the provider takes one each `takes` seconds.
    async fn given_up_after(body: impl Body<Data = Bytes, Error = Infallible> + Unpin, takes: Option<u64>) -> u64 {
        let (mut body, sent) = Sending::new(body);
        let answer = async {
            while let Some(takes) = takes {
                sleep(Duration::from_secs(takes)).await;
                if body.frame().await.is_none() {
                    break;
                }
            }
            // Whoever sends one lets go of it at its end.
            let _held = takes.is_none().then_some(body);
            std::future::pending::<Result<(), Error>>().await
        };
        let clock = Clock::system();
        let begun_at = clock.tick();
        let within = Duration::from_secs(3_600);
        let answer = pin!(answer);
        let error = tokio::time::timeout(Duration::from_secs(10_000), begun(answer, &sent, within)).await;
        assert!(error.is_err() || sent.is_given_up());
        clock.tick().since(begun_at).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_takes_nothing_of_a_request_is_given_up_soon() {
        let body = || Full::new(Bytes::from_static(b"a request"));
        assert!((60..=70).contains(&given_up_after(body(), None).await));
        let pieces = || {
            let piece = |n: u64| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; n as usize])));
            StreamBody::new(stream::iter((1..5).map(piece).collect::<Vec<_>>()))
        };
        // Each of four a little before it would be given up, and then nothing.
        let after = given_up_after(pieces(), Some(50)).await;
        assert!((3_600..=4_100).contains(&after), "{after}: it was taken, and is not answered");
        // Whoever sends no more is waited for.
        let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(given_up_after(endless, Some(1)).await, 10_000);
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
