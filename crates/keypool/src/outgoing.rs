//! Bodies on their way to the provider.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// The caller's body as it comes, or one that was written here.
#[derive(Debug)]
pub enum Outgoing {
    /// As it comes.
    Came(Incoming),
    /// In pieces, some of which may lie in the caller's own.
    Written(VecDeque<Bytes>),
}

impl Outgoing {
    /// A body of these pieces.
    pub fn written(pieces: Vec<Bytes>) -> Self {
        Self::Written(pieces.into())
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Came(body) => Pin::new(body).poll_frame(cx),
            Self::Written(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Came(body) => body.is_end_stream(),
            Self::Written(pieces) => pieces.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Came(body) => body.size_hint(),
            Self::Written(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
        }
    }
}
