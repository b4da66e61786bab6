//! An answer piece by piece.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use http_body_util::{BodyExt, combinators::MapErr};
use sse_stream::SseStream;
use tower_keypool::{BoxError, KeyId, ServedBy};
use tracing::Span;

use crate::{
    api::GenerateContentResponse,
    client::RawAnswer,
    error::{Error, ErrorKind},
    generate::{answered, told},
    listened::AnswerBody,
    stray::{Closed, Seen},
};

type Body = Closed<MapErr<AnswerBody, fn(BoxError) -> Broke>>;
type Events = SseStream<Body>;

/// Why a body ended early, as an error by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broke(BoxError);

/// An answer piece by piece, each in the form of a whole one. A stream that breaks, or in which the provider tells of an
/// error, ends with that error; so does one that ends without a reason for its end, such as `STOP`: what came is not all.
pub struct AnswerStream {
    events: Pin<Box<Events>>,
    seen: Seen,
    served_by: Option<ServedBy>,
    request_id: Option<String>,
    /// What is told of it stands in there.
    span: Span,
    /// Something came that an event holds.
    begun: bool,
    /// It was said why it ends.
    finished: bool,
    ended: bool,
}

impl AnswerStream {
    pub(crate) fn new(answer: RawAnswer, request_id: Option<String>, span: Span) -> Self {
        let (mut head, body) = answer.into_parts();
        let served_by = head.extensions.remove::<ServedBy>();
        let (body, seen) = Closed::new(body.map_err(Broke as fn(BoxError) -> Broke));
        Self {
            events: Box::pin(SseStream::new(body)),
            seen,
            served_by,
            request_id,
            span,
            begun: false,
            finished: false,
            ended: false,
        }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<GenerateContentResponse, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Who serves.
    pub fn served_by(&self) -> Option<&ServedBy> {
        self.served_by.as_ref()
    }

    /// The key that serves.
    pub fn key_id(&self) -> Option<&KeyId> {
        self.served_by.as_ref()?.key()
    }

    /// The id that the request was given.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// What a whole event says; `None`: nothing that is of the answer.
    fn piece(&mut self, data: &str) -> Result<Option<GenerateContentResponse>, Error> {
        if data.is_empty() || data == "[DONE]" {
            return Ok(None);
        }
        let unreadable = |error: serde_json::Error| Error::new(ErrorKind::Unreadable(error.to_string()));
        let told: serde_json::Value = serde_json::from_str(data).map_err(|error| {
            let cut = || Error::new(ErrorKind::Broken("it ends inside of an event".to_owned()));
            if self.seen.has_ended() { cut() } else { unreadable(error) }
        })?;
        if let Some(error) = Error::told(&told, data.as_bytes()) {
            return Err(error);
        }
        let piece: GenerateContentResponse = serde_json::from_value(told).map_err(unreadable)?;
        let mut reasons = piece.candidates.iter().filter_map(|candidate| candidate.finish_reason.as_deref());
        self.finished |= piece.block_reason().is_some() || reasons.any(|reason| !reason.is_empty());
        Ok(Some(piece))
    }

    /// Why its end is no good one.
    fn wrong_end(&self) -> Option<Error> {
        self.seen.error().or_else(|| match (self.begun, self.finished) {
            // A page, or nothing at all, under a good status.
            (false, _) => Some(Error::new(ErrorKind::Unreadable("no event is in it".to_owned()))),
            (true, false) => Some(Error::new(ErrorKind::Broken("it ends without a reason for its end".to_owned()))),
            (true, true) => None,
        })
    }
}

impl Stream for AnswerStream {
    type Item = Result<GenerateContentResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let span = self.span.clone();
        let _within = span.enter();
        while !self.ended {
            let next = match ready!(self.events.as_mut().poll_next(cx)) {
                Some(Ok(event)) => {
                    self.begun |= event.data.is_some();
                    self.piece(event.data.as_deref().unwrap_or_default())
                }
                Some(Err(error)) => Err(Error::new(ErrorKind::Broken(error.to_string()))),
                None => {
                    self.ended = true;
                    let wrong = self.wrong_end();
                    if wrong.is_none() {
                        answered(self.served_by());
                    }
                    wrong.map_or(Ok(None), Err)
                }
            };
            match next {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    let error = error.with(self.request_id.as_deref(), self.served_by.clone());
                    return Poll::Ready(Some(Err(told(error))));
                }
            }
        }
        Poll::Ready(None)
    }
}

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream").field("served_by", &self.served_by).finish_non_exhaustive()
    }
}
