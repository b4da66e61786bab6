//! Response bodies.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

/// The error of an in-process caller when a connection ends before the end of the response. Over HTTP, the TCP
/// connection is reset instead (with HTTP/2, the stream).
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

/// The body of a simulated response.
pub type SimBody = UnsyncBoxBody<Bytes, SimError>;

/// A handle with which a response resets its connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionReset(Arc<Socket>);

impl ConnectionReset {
    pub(crate) fn of(stream: &TcpStream) -> io::Result<Self> {
        SockRef::from(stream).try_clone().map(|socket| Self(Arc::new(socket)))
    }

    /// Makes the connection end with a reset when it is closed.
    pub(crate) fn request(&self) {
        let _ = self.0.set_linger(Some(Duration::ZERO));
    }
}

/// One step of a response body.
#[derive(Debug)]
pub(crate) enum Step {
    Data(Bytes),
    Wait(Duration),
    Reset,
    /// The body neither goes on nor ends.
    Stall,
}

/// Creates a body without a length that performs the steps in order.
pub(crate) fn scripted(steps: Vec<Step>, reset: Option<ConnectionReset>) -> axum::body::Body {
    axum::body::Body::from_stream(stream::unfold((steps.into_iter(), reset), async |(mut steps, reset)| {
        loop {
            match steps.next()? {
                Step::Data(data) => {
                    // Yields so that each chunk is sent before the next one is produced.
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
