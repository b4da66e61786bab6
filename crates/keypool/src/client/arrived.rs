//! The provider's body: here already, as most are, or still to come.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Response, header, response::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower_keypool::BoxError;

use crate::entire::Entire;

/// The body of an answer.
#[derive(Debug)]
pub enum Arrived {
    /// All of it; its connection is done with it.
    Whole(Option<Bytes>),
    /// What came of it, and what will.
    Flowing(Option<Bytes>, UnsyncBoxBody<Bytes, BoxError>),
    /// Nothing but what stands behind a body.
    Trailed(Option<Box<HeaderMap>>),
}

impl Arrived {
    /// Takes what is there, from a connection that has read the answer to its end.
    ///
    /// hyper tells the connection when a body is dropped, which would wake somebody for nothing later.
    pub(super) fn taken(mut body: Entire) -> Self {
        if body.is_end_stream() {
            return Self::Whole(None);
        }
        let Some(length) = body.size_hint().exact() else { return Self::flowing(None, body) };
        match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            // An answer of a known length has no trailers.
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.len() as u64 == length => Self::Whole(Some(data)),
                Ok(data) => Self::flowing(Some(data), body),
                Err(_) => Self::flowing(None, body),
            },
            _ => Self::flowing(None, body),
        }
    }

    /// Of an answer whose body is not here with its head. One of JSON is handed on once its body has begun: what ends
    /// before can be asked for again, since nobody was told anything. Of streams the layers hold the beginning themselves.
    pub(super) async fn begun(
        response: Response<impl Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static>,
    ) -> Result<Response<Self>, BoxError> {
        let (head, mut body) = response.into_parts();
        if !is_good_json(&head) || body.is_end_stream() {
            return Ok(Response::from_parts(head, Self::flowing(None, body)));
        }
        let body = match body.frame().await.transpose()?.map(Frame::into_data) {
            None => Self::Whole(None),
            Some(Ok(data)) if body.is_end_stream() => Self::Whole(Some(data)),
            Some(Ok(data)) => Self::flowing(Some(data), body),
            Some(Err(frame)) => Self::Trailed(frame.into_trailers().ok().map(Box::new)),
        };
        Ok(Response::from_parts(head, body))
    }

    fn flowing(begun: Option<Bytes>, rest: impl Body<Data = Bytes, Error = BoxError> + Send + 'static) -> Self {
        Self::Flowing(begun, rest.boxed_unsync())
    }

    /// Whether it is all here.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl Body for Arrived {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Flowing(data, rest) => match data.take() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None => Pin::new(rest).poll_frame(cx),
            },
            Self::Trailed(trailers) => Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(data) => data.is_none(),
            Self::Flowing(data, rest) => data.is_none() && rest.is_end_stream(),
            Self::Trailed(trailers) => trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            // Trailers go in chunks alone.
            Self::Trailed(_) => SizeHint::new(),
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

fn is_good_json(head: &Parts) -> bool {
    let json = |kind: &http::HeaderValue| kind.as_bytes().starts_with(b"application/json");
    head.status.is_success() && head.headers.get(header::CONTENT_TYPE).is_some_and(json)
}
