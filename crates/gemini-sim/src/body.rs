//! The body of an answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::{Body, Frame, SizeHint};

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
    Reset,
    /// The body neither goes on nor ends.
    Stall,
}

/// A body without a length that does one step after the other.
pub(crate) fn scripted(steps: Vec<Step>, reset: Option<ConnectionReset>) -> axum::body::Body {
    axum::body::Body::from_stream(stream::unfold((steps.into_iter(), reset), async |(mut steps, reset)| {
        loop {
            match steps.next()? {
                Step::Data(data) => {
                    // Each chunk is sent before the next is made, as by a model that takes its time.
                    tokio::task::yield_now().await;
                    return Some((Ok(data), (steps, reset)));
                }
                Step::Wait(duration) => tokio::time::sleep(duration).await,
                Step::Stall => std::future::pending().await,
                Step::Reset => {
                    if let Some(reset) = &reset {
                        reset.request();
                    }
                    return Some((Err(SimError::Reset), (Vec::new().into_iter(), None)));
                }
            }
        }
    }))
}
