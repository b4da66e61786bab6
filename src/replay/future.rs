//! Collects the body of a request, then sends the request.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{CollectedBody, ReplayBody, TooLarge};
use crate::{BoxError, Error, ErrorKind};

pin_project! {
    /// The future of [`Replay`](crate::replay::Replay).
    #[must_use = "futures do nothing unless polled"]
    pub struct ReplayFuture<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Collecting { inner: S, request: Option<Request<B>>, buffer: Buffer },
        Calling { #[pin] future: F },
    }
}

impl<S, B> ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    pub(super) fn calling(future: S::Future) -> Self {
        Self { state: State::Calling { future } }
    }

    pub(super) fn collecting(inner: S, request: Request<B>, limit: usize) -> Self
    where
        B: Body,
    {
        let expected = request.body().size_hint().exact().map_or(0, |exact| exact as usize);
        let buffer = Buffer { data: Data::None, trailers: None, expected, limit };
        Self { state: State::Collecting { inner, request: Some(request), buffer } }
    }
}

impl<S, B, ResBody> Future for ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>>,
    S::Error: From<Error>,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Collecting { inner, request, buffer } => {
                    let body = request.as_mut().expect("the future is not polled after it was ready").body_mut();
                    let whole = match ready!(buffer.poll_collect(body, cx)) {
                        Ok(whole) => whole,
                        Err(error) => {
                            *request = None;
                            return Poll::Ready(Err(body_error(error.into()).into()));
                        }
                    };
                    let (mut head, rest) = request.take().expect("the request is present").into_parts();
                    let (data, trailers) = buffer.take();
                    let body = if whole {
                        head.extensions.insert(CollectedBody::new(data.clone()));
                        ReplayBody::collected(data, trailers)
                    } else {
                        head.extensions.insert(TooLarge);
                        ReplayBody::streamed_after(data, rest)
                    };
                    let future = inner.call(Request::from_parts(head, body));
                    state.set(State::Calling { future });
                }
                StateProj::Calling { future } => return future.poll(cx),
            }
        }
    }
}

/// Creates the error of a request whose body could not be read.
pub(super) fn body_error(source: BoxError) -> Error {
    Error::new(ErrorKind::Request, "the body of the request could not be read").with_source(source)
}

/// The part of a body that is collected so far.
struct Buffer {
    data: Data,
    trailers: Option<HeaderMap>,
    /// The length of the body, or 0 if it is not known.
    expected: usize,
    limit: usize,
}

/// The collected data. A single frame is kept without a copy; several frames are copied into one buffer.
enum Data {
    None,
    One(Bytes),
    Several(BytesMut),
}

impl Buffer {
    /// Reads the body. Returns true if it was read to its end, or false if it is larger than the limit.
    fn poll_collect<B>(&mut self, body: &mut B, cx: &mut Context<'_>) -> Poll<Result<bool, B::Error>>
    where
        B: Body + Unpin,
    {
        loop {
            let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)?) else { return Poll::Ready(Ok(true)) };
            self.push(frame);
            if self.len() > self.limit {
                return Poll::Ready(Ok(false));
            }
        }
    }

    fn push<D: Buf>(&mut self, frame: Frame<D>) {
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.trailers = Some(trailers);
                }
                return;
            }
        };
        if !data.has_remaining() {
            return;
        }
        self.data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => Data::One(data.copy_to_bytes(data.remaining())),
            Data::One(first) => {
                let expected = self.expected.min(self.limit).max(first.len() + data.remaining());
                let mut several = BytesMut::with_capacity(expected);
                several.extend_from_slice(&first);
                several.put(data);
                Data::Several(several)
            }
            Data::Several(mut several) => {
                several.put(data);
                Data::Several(several)
            }
        };
    }

    fn len(&self) -> usize {
        match &self.data {
            Data::None => 0,
            Data::One(data) => data.len(),
            Data::Several(data) => data.len(),
        }
    }

    fn take(&mut self) -> (Bytes, Option<HeaderMap>) {
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => Bytes::new(),
            Data::One(data) => data,
            Data::Several(data) => data.freeze(),
        };
        (data, self.trailers.take())
    }
}

debug_with_fields!([S: Service<Request<ReplayBody<B>>>, B] ReplayFuture<S, B>, "ReplayFuture");
