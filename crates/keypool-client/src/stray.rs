//! What a stream holds that is no event, and its last event where nobody closed it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::error::Error;

/// Kept of it: the provider's errors are shorter.
const MOST_KEPT: usize = 64 << 10;

/// A stream's body. What is no line of an event is kept, and a blank line behind the last one closes what is still open there:
/// by the standard an event that nobody closed is none, and providers leave their last one open.
pub(crate) struct Closed<B> {
    body: B,
    seen: Seen,
}

/// What was seen of a body.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    stray: Vec<u8>,
    within: Within,
    /// A line of an event stands behind what is kept: what comes next has nothing to do with it.
    apart: bool,
    ended: bool,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Default, PartialEq)]
enum Within {
    #[default]
    Nothing,
    Event,
    Stray,
}

impl<B> Closed<B> {
    pub(crate) fn new(body: B) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { body, seen: seen.clone() }, seen)
    }
}

impl Seen {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the body came to its end: an event from then on is one that nobody closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.lines().ended
    }

    /// The error that the provider tells of outside of any event.
    pub(crate) fn error(&self) -> Option<Error> {
        Error::told_in(&self.lines().stray)
    }
}

impl Lines {
    fn see(&mut self, mut data: &[u8]) {
        while let Some(first) = data.first() {
            if self.within == Within::Nothing {
                self.within = match first {
                    b'\r' | b'\n' => Within::Nothing,
                    // `data`, `event`, `id`, `retry`, a comment, the mark at the very beginning: JSON begins no line so.
                    b'd' | b'e' | b'i' | b'r' | b':' | 0xef => Within::Event,
                    _ => Within::Stray,
                };
                self.begin();
            }
            let end = data.iter().position(|byte| matches!(byte, b'\r' | b'\n')).map(|at| at + 1);
            let (line, rest) = data.split_at(end.unwrap_or(data.len()));
            if self.within == Within::Stray {
                let room = MOST_KEPT.saturating_sub(self.stray.len());
                self.stray.extend_from_slice(&line[..line.len().min(room)]);
            }
            if end.is_some() {
                self.within = Within::Nothing;
            }
            data = rest;
        }
    }

    fn begin(&mut self) {
        match self.within {
            Within::Nothing => {}
            Within::Event => self.apart = true,
            Within::Stray => {
                if std::mem::take(&mut self.apart) {
                    self.stray.clear();
                }
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Closed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.seen.has_ended() {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let mut lines = self.seen.lines();
        match &frame {
            Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|data| lines.see(data)),
            Some(Err(_)) => {}
            None => {
                lines.ended = true;
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\n\n")))));
            }
        }
        drop(lines);
        Poll::Ready(frame)
    }
}
