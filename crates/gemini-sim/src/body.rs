//! The body of an answer, over either face.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// What a connection's end looks like to an in-process caller: the answer, or
/// the rest of it, never comes. Over HTTP the TCP connection is reset instead
/// (under HTTP/2 the stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimError {
    /// The connection was reset by a script.
    Reset,
    /// The caller's own request body failed while it was read.
    RequestBody,
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "connection reset by the simulator's script",
            Self::RequestBody => "the request body failed before its end",
        })
    }
}

impl std::error::Error for SimError {}

/// Lets an answer tell its connection to die with a reset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abort(Arc<AtomicBool>);

impl Abort {
    pub(crate) fn order(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One step of an answer's body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Wait(Duration),
    Trailers(HeaderMap),
    Reset,
    /// The body neither goes on nor ends.
    Hang,
}

/// The body of a simulated answer.
#[derive(Debug)]
pub struct SimBody {
    pieces: VecDeque<Piece>,
    // Boxed, so that the body is Unpin: few bodies wait at all.
    wait: Option<Pin<Box<Sleep>>>,
    // Upper bound of a frame, where a script wants small ones.
    frame: usize,
    abort: Option<Abort>,
    exact: bool,
    // Lets each frame leave the machine before the next is made, as a stream
    // that takes its time does.
    breathes: bool,
    breath_due: bool,
}

impl SimBody {
    /// A body in one piece, or none.
    pub(crate) fn whole(data: Option<Bytes>) -> Self {
        Self::announced(data.into_iter().map(Piece::Data).collect::<VecDeque<_>>())
    }

    /// A body of pieces of data, whose length is announced.
    pub(crate) fn announced(pieces: impl Into<VecDeque<Piece>>) -> Self {
        Self { exact: true, ..Self::pieces(pieces) }
    }

    /// A body whose length is not announced.
    pub(crate) fn pieces(pieces: impl Into<VecDeque<Piece>>) -> Self {
        Self {
            pieces: pieces.into(),
            wait: None,
            frame: usize::MAX,
            abort: None,
            exact: false,
            breathes: false,
            breath_due: false,
        }
    }

    pub(crate) fn frames_of(mut self, bytes: usize) -> Self {
        self.frame = bytes.max(1);
        self.breathing()
    }

    pub(crate) fn breathing(mut self) -> Self {
        self.breathes = true;
        self
    }

    pub(crate) fn aborting(mut self, abort: Option<Abort>) -> Self {
        self.abort = abort;
        self
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = SimError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SimError>>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.breath_due) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(wait) = &mut this.wait {
                ready!(wait.as_mut().poll(cx));
                this.wait = None;
            }
            return Poll::Ready(match this.pieces.pop_front() {
                None => None,
                Some(Piece::Wait(duration)) => {
                    this.wait = Some(Box::pin(sleep(duration)));
                    continue;
                }
                Some(Piece::Data(mut data)) => {
                    if data.len() > this.frame {
                        let rest = data.split_off(this.frame);
                        this.pieces.push_front(Piece::Data(rest));
                    }
                    this.breath_due = this.breathes && !this.pieces.is_empty();
                    Some(Ok(Frame::data(data)))
                }
                Some(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Some(Piece::Reset) => {
                    this.pieces.clear();
                    if let Some(abort) = &this.abort {
                        abort.order();
                    }
                    Some(Err(SimError::Reset))
                }
                Some(Piece::Hang) => {
                    this.pieces.push_front(Piece::Hang);
                    return Poll::Pending;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.wait.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.exact {
            return SizeHint::default();
        }
        let left = self.pieces.iter().map(|piece| match piece {
            Piece::Data(data) => data.len() as u64,
            _ => 0,
        });
        SizeHint::with_exact(left.sum())
    }
}
