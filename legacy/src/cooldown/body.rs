//! The body of an answer, watched.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{flow::Flow, fresh::Fresh};
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
        passage: Passage,
    }
}

/// How far it has come. Small, since it is moved along with every answer.
enum Passage {
    /// Nothing came yet.
    Fresh(Fresh),
    Flows(Box<Flow>),
    /// All of it came, in one piece, and went on.
    Over,
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
    pub(super) fn fresh(body: B, fresh: Fresh) -> Self {
        Self { source: Source::Direct { body }, passage: Passage::Fresh(fresh) }
    }

    pub(super) fn flowing(body: B, flow: Box<Flow>) -> Self {
        Self { source: Source::Direct { body }, passage: Passage::Flows(flow) }
    }

    pub(super) fn begun(body: Pin<Box<B>>, flow: Box<Flow>) -> Self {
        Self { source: Source::Begun { body }, passage: Passage::Flows(flow) }
    }
}

impl<B> Body for CooldownBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        match (this.source.project(), &mut *this.passage) {
            (SourceProj::Direct { body }, Passage::Fresh(_)) => poll_first(body, this.passage, cx),
            (SourceProj::Direct { body }, Passage::Flows(flow)) => poll_flow(body, flow, cx),
            (SourceProj::Begun { body }, Passage::Flows(flow)) => poll_flow(body.as_mut(), flow, cx),
            _ => Poll::Ready(None),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.passage {
            Passage::Fresh(_) => self.source.body().is_end_stream(),
            Passage::Flows(flow) => flow.is_end_stream(self.source.body()),
            Passage::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.passage {
            Passage::Fresh(_) => self.source.body().size_hint(),
            Passage::Flows(flow) => flow.size_hint(self.source.body()),
            Passage::Over => SizeHint::with_exact(0),
        }
    }
}

/// The first frame: often it is all there is.
#[inline]
fn poll_first<B>(
    mut body: Pin<&mut B>,
    passage: &mut Passage,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let frame = ready!(body.as_mut().poll_frame(cx));
    let Passage::Fresh(fresh) = passage else { return Poll::Ready(None) };
    let frame = match frame {
        Some(Ok(frame)) if body.is_end_stream() => match frame.into_data() {
            Ok(mut data) => {
                let chunk = fresh.whole(data.copy_to_bytes(data.remaining()));
                *passage = Passage::Over;
                return Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))));
            }
            Err(trailers) => Some(Ok(trailers)),
        },
        frame => frame,
    };
    let mut flow = fresh.flow();
    flow.take_in(frame, &*body);
    *passage = Passage::Flows(flow);
    let Passage::Flows(flow) = passage else { return Poll::Ready(None) };
    poll_flow(body, flow, cx)
}

fn poll_flow<B>(
    mut body: Pin<&mut B>,
    flow: &mut Flow,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    loop {
        if let Some(chunk) = flow.chunk() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(trailers) = flow.trailers() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if flow.is_over() {
            return Poll::Ready(flow.take_failure().map(Err));
        }
        ready!(flow.poll_intake(body.as_mut(), cx));
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
