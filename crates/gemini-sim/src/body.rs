//! The body of an answer.

use std::collections::VecDeque;
use std::fmt;
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

/// The body of a simulated answer.
#[derive(Debug)]
pub struct SimBody(axum::body::Body);

impl SimBody {
    pub(crate) fn new(body: axum::body::Body) -> Self {
        Self(body)
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = SimError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SimError>>> {
        // The only error of a scripted body.
        Pin::new(&mut self.0).poll_frame(cx).map_err(|_| SimError::Reset)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Lets an answer reset its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionReset(Arc<AtomicBool>);

impl ConnectionReset {
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One step of an answer's body.
#[derive(Debug)]
pub(crate) enum Step {
    Data(Bytes),
    Wait(Duration),
    Trailers(HeaderMap),
    Reset,
    /// The body neither goes on nor ends.
    Stall,
}

/// A body that does one step after the other.
#[derive(Debug)]
pub(crate) struct ScriptedBody {
    pub(crate) steps: VecDeque<Step>,
    // Boxed, so that the body is Unpin: few bodies wait at all.
    pub(crate) wait: Option<Pin<Box<Sleep>>>,
    /// The most bytes of a frame.
    pub(crate) max_frame: usize,
    /// The length is announced.
    pub(crate) exact: bool,
    /// Each frame is sent before the next is made, as by a model that takes its time.
    pub(crate) flush_each: bool,
    pub(crate) flush_due: bool,
    pub(crate) reset: Option<ConnectionReset>,
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = SimError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SimError>>> {
        if std::mem::take(&mut self.flush_due) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            return Poll::Ready(match self.steps.pop_front() {
                None => None,
                Some(Step::Wait(duration)) => {
                    self.wait = Some(Box::pin(sleep(duration)));
                    continue;
                }
                Some(Step::Data(mut data)) => {
                    if data.len() > self.max_frame {
                        let rest = data.split_off(self.max_frame);
                        self.steps.push_front(Step::Data(rest));
                    }
                    self.flush_due = self.flush_each && !self.steps.is_empty();
                    Some(Ok(Frame::data(data)))
                }
                Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Some(Step::Reset) => {
                    self.steps.clear();
                    if let Some(reset) = &self.reset {
                        reset.request();
                    }
                    Some(Err(SimError::Reset))
                }
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.wait.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = |step: &Step| if let Step::Data(data) = step { data.len() as u64 } else { 0 };
        if self.exact { SizeHint::with_exact(self.steps.iter().map(length).sum()) } else { SizeHint::default() }
    }
}
