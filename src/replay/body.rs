//! A request body that can be sent again, and the trait of all such bodies.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Empty, Full};

use super::future::body_error;
use crate::{
    BoxError, Error,
    body::{size_hint, to_bytes},
};

/// A body that can be sent again from its start.
///
/// [`RetryPolicy`](crate::RetryPolicy) and [`ModelFallbackLayer`](crate::ModelFallbackLayer) need one. `Full`, `Empty`
/// and `String` implement it. [`ReplayLayer`](crate::ReplayLayer) turns any other body into one.
#[diagnostic::on_unimplemented(
    message = "the body `{Self}` cannot be sent again, which a retry needs",
    note = "put a `ReplayLayer` above the layer that retries: it turns any body into a `ReplayBody`"
)]
pub trait TryClone: Sized {
    /// Returns the same body from its start, or `None` if it cannot be sent again.
    fn try_clone(&self) -> Option<Self>;

    /// Returns a body with other data, or `None` if the type cannot be created from bytes.
    fn with_data(&self, data: Bytes) -> Option<Self> {
        let _ = data;
        None
    }
}

impl TryClone for () {
    fn try_clone(&self) -> Option<Self> {
        Some(())
    }
}

impl TryClone for String {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn with_data(&self, data: Bytes) -> Option<Self> {
        Self::from_utf8(data.into()).ok()
    }
}

impl TryClone for Bytes {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn with_data(&self, data: Bytes) -> Option<Self> {
        Some(data)
    }
}

impl<D: Buf + Clone + From<Bytes>> TryClone for Full<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn with_data(&self, data: Bytes) -> Option<Self> {
        Some(Self::new(data.into()))
    }
}

impl<D> TryClone for Empty<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(Self::new())
    }
}

/// The request body that a [`ReplayLayer`](crate::ReplayLayer) passes to its inner service.
///
/// A body within the layer's limit is collected: it is one frame, which all clones share, and the trailers. A larger
/// body streams once. An error of the caller's body becomes an error of
/// [`ErrorKind::Request`](crate::ErrorKind::Request).
pub struct ReplayBody<B>(State<B>);

enum State<B> {
    Collected { data: Bytes, trailers: Option<Box<HeaderMap>> },
    Streamed { beginning: Bytes, rest: B },
}

impl<B> ReplayBody<B> {
    pub(super) fn collected(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(State::Collected { data, trailers: trailers.map(Box::new) })
    }

    pub(super) fn streamed(body: B) -> Self {
        Self::streamed_after(Bytes::new(), body)
    }

    pub(super) fn streamed_after(beginning: Bytes, rest: B) -> Self {
        Self(State::Streamed { beginning, rest })
    }
}

impl<B> TryClone for ReplayBody<B> {
    fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            State::Collected { data, trailers } => {
                Some(Self(State::Collected { data: data.clone(), trailers: trailers.clone() }))
            }
            State::Streamed { .. } => None,
        }
    }

    fn with_data(&self, data: Bytes) -> Option<Self> {
        match &self.0 {
            State::Collected { trailers, .. } => Some(Self(State::Collected { data, trailers: trailers.clone() })),
            State::Streamed { .. } => None,
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            State::Collected { data, trailers } => Poll::Ready(if data.is_empty() {
                trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))
            } else {
                Some(Ok(Frame::data(std::mem::take(data))))
            }),
            State::Streamed { beginning, .. } if !beginning.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(beginning)))))
            }
            State::Streamed { rest, .. } => {
                let frame = ready!(Pin::new(rest).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map(to_bytes).map_err(|error| body_error(error.into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Collected { data, trailers } => data.is_empty() && trailers.is_none(),
            State::Streamed { beginning, rest } => beginning.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Collected { data, .. } => SizeHint::with_exact(data.len() as u64),
            State::Streamed { beginning, rest } => size_hint(beginning.len(), &rest.size_hint()),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let collected = matches!(self.0, State::Collected { .. });
        f.debug_struct("ReplayBody").field("collected", &collected).finish_non_exhaustive()
    }
}
