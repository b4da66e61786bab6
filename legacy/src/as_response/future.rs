//! An answer in any case.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::AnswerBody;
use crate::error::{BoxError, Error};

pin_project! {
    /// The future of [`ExhaustedAsResponse`](crate::ExhaustedAsResponse).
    #[must_use = "futures do nothing unless polled"]
    pub struct ExhaustedAsResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling {
            #[pin]
            future: F,
        },
        Answered {
            error: Option<Error>,
        },
    }
}

impl<F> ExhaustedAsResponseFuture<F> {
    pub(super) fn calling(future: F) -> Self {
        Self { state: State::Calling { future } }
    }

    pub(super) fn answered(error: Error) -> Self {
        Self { state: State::Answered { error: Some(error) } }
    }
}

impl<F, R, E> Future for ExhaustedAsResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<AnswerBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match self.project().state.project() {
            StateProj::Calling { future } => ready!(future.poll(cx)).map_err(|error| Error::from_box(error.into())),
            StateProj::Answered { error } => Err(error.take().expect("the future is not polled after it was ready")),
        };
        Poll::Ready(Ok(match result {
            Ok(response) => response.map(AnswerBody::theirs),
            Err(error) => answer(&error),
        }))
    }
}

/// The error as an answer; who was asked goes with it.
fn answer<R>(error: &Error) -> Response<AnswerBody<R>> {
    let mut response = error.to_response().map(AnswerBody::ours);
    if let Some(served_by) = error.served_by() {
        response.extensions_mut().insert(served_by.clone());
    }
    response
}

impl<F> fmt::Debug for ExhaustedAsResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExhaustedAsResponseFuture").finish_non_exhaustive()
    }
}
