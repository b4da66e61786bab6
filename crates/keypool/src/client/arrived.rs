//! The provider's body: here already, as most are, or still to come.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// The body of an answer.
#[derive(Debug)]
pub enum Arrived {
    /// All of it; its connection is done with it.
    Whole(Option<Bytes>),
    /// What came of it, and what will.
    Flowing(Option<Bytes>, Incoming),
}

impl Arrived {
    /// Takes what is there, from a connection that has read the answer to its end.
    ///
    /// hyper tells the connection when a body is dropped, which would wake somebody for nothing later.
    pub(super) fn taken(mut body: Incoming) -> Self {
        if body.is_end_stream() {
            return Self::Whole(None);
        }
        let Some(length) = body.size_hint().exact() else { return Self::Flowing(None, body) };
        match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            // An answer of a known length has no trailers.
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.len() as u64 == length => Self::Whole(Some(data)),
                Ok(data) => Self::Flowing(Some(data), body),
                Err(_) => Self::Flowing(None, body),
            },
            _ => Self::Flowing(None, body),
        }
    }

    /// Whether it is all here.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl Body for Arrived {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Flowing(data, rest) => match data.take() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None => Pin::new(rest).poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(data) => data.is_none(),
            Self::Flowing(data, rest) => data.is_none() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            Self::Flowing(data, rest) => {
                let (here, rest) = (data.as_ref().map_or(0, |data| data.len() as u64), rest.size_hint());
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(here));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(here));
                }
                hint
            }
        }
    }
}
