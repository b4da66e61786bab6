//! The body of an answer, theirs or ours.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of an answer that came from the provider, or was made here.
    #[derive(Debug)]
    pub struct AnswerBody<R> {
        #[pin]
        source: Source<R>,
    }
}

pin_project! {
    #[project = SourceProj]
    #[derive(Debug)]
    enum Source<R> {
        Theirs {
            #[pin]
            body: R,
        },
        Ours {
            body: Full<Bytes>,
        },
    }
}

impl<R> AnswerBody<R> {
    pub(super) fn theirs(body: R) -> Self {
        Self { source: Source::Theirs { body } }
    }

    pub(super) fn ours(body: Full<Bytes>) -> Self {
        Self { source: Source::Ours { body } }
    }
}

impl<R: Body<Data = Bytes>> Body for AnswerBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project().source.project() {
            SourceProj::Theirs { body } => body.poll_frame(cx),
            SourceProj::Ours { body } => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Theirs { body } => body.is_end_stream(),
            Source::Ours { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Theirs { body } => body.size_hint(),
            Source::Ours { body } => body.size_hint(),
        }
    }
}
