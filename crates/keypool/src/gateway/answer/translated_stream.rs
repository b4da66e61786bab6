//! A stream that is translated as it comes.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, response::Parts};
use http_body::{Body, Frame};
use keypool_dialect::{Exchange, Fault};
use tower_keypool::{BoxError, KeyMask, ServedBy, StreamEnd};

use super::unpacked::Unpacked;
use crate::gateway::farewell::Parting;

/// After so long a silence the client is told that it goes on: what stands between gives up after a minute, mostly.
const SILENCE: Duration = Duration::from_secs(10);

/// An answer whose head is not there yet, though the client has one.
pub(in crate::gateway) type Awaited<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Missed>> + Send>>;

/// Why there is none, and the head that would have said so.
pub(in crate::gateway) struct Missed {
    pub(in crate::gateway) fault: Fault,
    pub(in crate::gateway) head: Response<()>,
}

/// Is told of the head that was awaited: of the provider's, or of the one that would have said why there is none.
pub(in crate::gateway) type Told = Box<dyn FnOnce(&Response<()>) + Send + Sync>;

/// The provider's events, in the client's dialect. When it is dropped, so is the provider's answer.
pub(in crate::gateway) struct Telling<B> {
    source: Source<B>,
    exchange: Exchange,
    out: Vec<u8>,
    silence: tokio::time::Interval,
    parting: Parting,
    /// Overwrites the key in what is said: where it was escaped it reads as itself now.
    mask: Option<KeyMask>,
    told: Option<Told>,
    /// Where it is said that it failed: its client is told by an event, and reads it to its end.
    end: Option<StreamEnd>,
}

enum Source<B> {
    Awaited(Awaited<B>),
    Here(Pin<Box<Unpacked<B>>>),
    Over,
}

impl<B> fmt::Debug for Telling<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl<B> Telling<B> {
    /// Whether the answer's head is awaited.
    pub(super) fn awaits_head(&self) -> bool {
        matches!(self.source, Source::Awaited(_))
    }

    /// Tells of it once it is there.
    pub(super) fn tell_of_head(&mut self, told: Told) {
        self.told = Some(told);
    }

    /// Says there should it fail behind its head.
    pub(super) fn tell_of_failure(&mut self, end: StreamEnd) {
        self.end = Some(end);
    }
}

/// Another model than the first may: they tell some things in other ways.
fn say_who_answers(exchange: &mut Exchange, head: &Parts) {
    if let Some(model) = head.extensions.get::<ServedBy>().and_then(ServedBy::used_model) {
        exchange.answers(model);
    }
}

impl<B> Telling<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Of an answer that is here.
    pub(in crate::gateway) fn of(answer: Response<B>, mut exchange: Exchange, parting: Parting) -> Self {
        let (mut head, body) = answer.into_parts();
        say_who_answers(&mut exchange, &head);
        let mask = head.extensions.remove();
        let body = Box::pin(Unpacked::of(&head, body));
        Self { mask, ..Self::new(Source::Here(body), exchange, parting) }
    }

    /// Of one that has not begun. The client is told so at once.
    pub(in crate::gateway) fn awaiting(answer: Awaited<B>, exchange: Exchange, parting: Parting) -> Self {
        let mut telling = Self::new(Source::Awaited(answer), exchange, parting);
        telling.exchange.pause(&mut telling.out);
        telling
    }

    fn new(source: Source<B>, exchange: Exchange, parting: Parting) -> Self {
        let mut silence = tokio::time::interval(SILENCE);
        silence.reset();
        Self { source, exchange, out: Vec::new(), silence, parting, mask: None, told: None, end: None }
    }

    /// Hears how the answer begins, for as long as there is `patience`; then the client is told that it goes on.
    ///
    /// # Errors
    /// Why there will be none, where that is known by then: an answer's head can still say it.
    pub(in crate::gateway) async fn begun(mut self, patience: impl Future<Output = ()>) -> Result<Self, Fault> {
        let heard = poll_fn(|cx| {
            while !self.exchange.has_begun() {
                ready!(self.poll_heard(cx));
            }
            Poll::Ready(())
        });
        tokio::select! {
            biased;
            () = heard => {}
            () = patience => self.exchange.pause(&mut self.out),
        }
        match self.exchange.stillborn() {
            Some(mut fault) => {
                if let Some(mask) = &self.mask {
                    let mut words = fault.message.into_bytes();
                    mask.hide_spelled(&mut words);
                    fault.message = String::from_utf8_lossy(&words).into_owned();
                }
                Err(fault)
            }
            None => Ok(self),
        }
    }

    /// The next that the client gets.
    pub(in crate::gateway) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            if !self.out.is_empty() {
                if self.exchange.has_failed()
                    && let Some(end) = self.end.take()
                {
                    end.spoil();
                }
                return Poll::Ready(Some(Frame::data(std::mem::take(&mut self.out).into())));
            }
            if self.exchange.is_over() {
                // After a fault there may be more, which nobody waits for.
                self.source = Source::Over;
                return Poll::Ready(None);
            }
            if self.poll_heard(cx).is_pending() {
                if let Poll::Ready(why) = self.parting.poll(cx) {
                    // It is over with this, and not asked again.
                    self.exchange.fail(&Fault::of_status(why.status(), why.message()), &mut self.out);
                } else if self.silence.poll_tick(cx).is_ready() {
                    self.exchange.pause(&mut self.out);
                } else {
                    return Poll::Pending;
                }
            }
        }
    }

    /// Hears what comes next.
    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { source, exchange, out, silence, mask, told, end, .. } = self;
        let polled = match source {
            Source::Awaited(answer) => {
                let head = match ready!(answer.as_mut().poll(cx)) {
                    Ok(response) => {
                        let (mut head, body) = response.into_parts();
                        say_who_answers(exchange, &head);
                        *mask = head.extensions.remove();
                        *source = Source::Here(Box::pin(Unpacked::of(&head, body)));
                        Response::from_parts(head, ())
                    }
                    Err(Missed { fault, head }) => {
                        exchange.fail(&fault, out);
                        // Its status says so.
                        *end = None;
                        head
                    }
                };
                if let Some(told) = told.take() {
                    told(&head);
                }
                return Poll::Ready(());
            }
            Source::Here(body) => ready!(body.as_mut().poll_frame(cx)),
            Source::Over => None,
        };
        let before = out.len();
        match polled {
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    exchange.hear(chunk, out);
                    silence.reset();
                }
            }
            Some(Err(_)) => exchange.broke(out),
            None => exchange.end(out),
        }
        if let Some(mask) = mask {
            let said = &mut out[before..];
            // An error's words are looked through as an error is.
            if exchange.has_failed() { mask.hide_spelled(said) } else { mask.hide(said) }
        }
        Poll::Ready(())
    }
}
