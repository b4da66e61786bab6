//! The body of an answer, watched.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::flow::Flow;
use crate::error::BoxError;

pin_project! {
    /// The body of an answer that went through [`CooldownLayer`](super::CooldownLayer): the provider's own bytes.
    ///
    /// As they pass, it reads the usage out of them, notices a stream that turns into an error, and overwrites the key
    /// where the provider echoes it. Size hint, trailers and end of stream are those of the body below.
    #[must_use = "a body is nothing until it is polled"]
    pub struct CooldownBody<B> {
        #[pin]
        source: Source<B>,
        flow: Flow,
    }
}

pin_project! {
    /// The body below: as it was, or on the heap when its beginning was read before it was handed up.
    #[project = SourceProj]
    enum Source<B> {
        Direct { #[pin] body: B },
        Begun { body: Pin<Box<B>> },
    }
}

impl<B> CooldownBody<B> {
    #[inline]
    pub(super) fn new(body: B, flow: Flow) -> Self {
        Self { source: Source::Direct { body }, flow }
    }

    pub(super) fn begun(body: Pin<Box<B>>, flow: Flow) -> Self {
        Self { source: Source::Begun { body }, flow }
    }
}

impl<B> Body for CooldownBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            if let Some(chunk) = this.flow.chunk() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if let Some(trailers) = this.flow.trailers() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if this.flow.is_over() {
                return Poll::Ready(this.flow.take_failure().map(Err));
            }
            ready!(match this.source.as_mut().project() {
                SourceProj::Direct { body } => this.flow.poll_intake(body, cx),
                SourceProj::Begun { body } => this.flow.poll_intake(body.as_mut(), cx),
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.flow.is_end_stream(self.source.body())
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.size_hint(self.source.body())
    }
}

impl<B> Source<B> {
    fn body(&self) -> &B {
        match self {
            Self::Direct { body } => body,
            Self::Begun { body } => body,
        }
    }
}

impl<B> fmt::Debug for CooldownBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CooldownBody").finish_non_exhaustive()
    }
}
