//! A body that came, to its end or to an error.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower_keypool::BoxError;

/// A body of hyper's that ends where its sender ended it.
///
/// hyper takes a stream of HTTP/2 that is reset with `NO_ERROR` for one that ended, since a server says so of a request
/// that it need not hear any further (RFC 9113, section 8.1). Of what somebody reads a half would pass as the whole.
#[derive(Debug)]
pub(crate) struct Entire {
    body: Incoming,
    /// Over HTTP/2.
    stream: bool,
}

impl Entire {
    /// The body of a message of this version.
    pub(crate) fn of(body: Incoming, version: Version) -> Self {
        Self { body, stream: version == Version::HTTP_2 }
    }
}

impl Body for Entire {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() && self.stream && !self.body.is_end_stream() {
            let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the stream was reset before its end");
            return Poll::Ready(Some(Err(cut.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
