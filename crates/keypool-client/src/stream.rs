//! An answer piece by piece.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use http::StatusCode;
use http_body_util::{BodyExt, combinators::MapErr};
use sse_stream::SseStream;
use tower_keypool::{BoxError, KeyId, ServedBy};

use crate::{
    api::GenerateContentResponse,
    client::RawAnswer,
    error::{Error, ErrorKind},
    listened::AnswerBody,
};

type Body = MapErr<AnswerBody, fn(BoxError) -> Broke>;
type Events = SseStream<Body>;

/// Why a body ended early, as an error by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broke(BoxError);

/// An answer piece by piece, each in the form of a whole one. A stream that breaks, or in which the provider tells of an
/// error, ends with that error.
pub struct AnswerStream {
    events: Pin<Box<Events>>,
    served_by: Option<ServedBy>,
    request_id: Option<String>,
    /// Something came that an event holds.
    begun: bool,
    ended: bool,
}

impl AnswerStream {
    pub(crate) fn new(answer: RawAnswer, request_id: Option<String>) -> Self {
        let (mut head, body) = answer.into_parts();
        let served_by = head.extensions.remove::<ServedBy>();
        Self {
            events: Box::pin(SseStream::new(body.map_err(Broke as fn(BoxError) -> Broke))),
            served_by,
            request_id,
            begun: false,
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

    fn error(&mut self, error: Error) -> Poll<Option<Result<GenerateContentResponse, Error>>> {
        self.ended = true;
        Poll::Ready(Some(Err(error.with(self.request_id.as_deref(), self.served_by.clone()))))
    }
}

impl Stream for AnswerStream {
    type Item = Result<GenerateContentResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.ended {
            let event = match ready!(self.events.as_mut().poll_next(cx)) {
                Some(Ok(event)) => event,
                Some(Err(error)) => return self.error(Error::new(ErrorKind::Broken(error.to_string()))),
                None if !self.begun => {
                    // A page, or nothing at all, under a good status.
                    return self.error(Error::new(ErrorKind::Unreadable("no event is in it".to_owned())));
                }
                None => break,
            };
            self.begun |= event.data.is_some();
            let Some(data) = event.data.filter(|data| !data.is_empty() && data != "[DONE]") else { continue };
            let told: serde_json::Value = match serde_json::from_str(&data) {
                Ok(told) => told,
                Err(error) => return self.error(Error::new(ErrorKind::Unreadable(error.to_string()))),
            };
            if let Some(error) = told.get("error") {
                let code = error["code"].as_u64().and_then(|code| StatusCode::from_u16(code as u16).ok());
                return self.error(Error::refused(code.unwrap_or(StatusCode::BAD_GATEWAY), data.as_bytes()));
            }
            match serde_json::from_value(told) {
                Ok(piece) => return Poll::Ready(Some(Ok(piece))),
                Err(error) => return self.error(Error::new(ErrorKind::Unreadable(error.to_string()))),
            }
        }
        self.ended = true;
        Poll::Ready(None)
    }
}

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream").field("served_by", &self.served_by).finish_non_exhaustive()
    }
}
