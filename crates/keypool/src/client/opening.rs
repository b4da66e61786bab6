//! A request's body on its way over HTTP/2, which can be taken back until its stream is open.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http::Request;
use http_body::{Body, Frame, SizeHint};
use tower_keypool::BoxError;

use super::trunk::Place;

/// A body that nobody has asked for yet: hyper does so, or drops it, once the stream is open.
#[derive(Debug)]
pub(super) struct Unopened<B>(Arc<Mutex<Option<B>>>);

impl<B> Unopened<B> {
    /// The body, unless its stream is open by now. Nothing of it goes out then.
    pub(super) fn take_back(&self) -> Option<B> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same as hyper has it.
#[derive(Debug)]
pub(super) struct Opening<B> {
    unopened: Unopened<B>,
    /// Of an open stream.
    body: Option<B>,
    _place: Arc<Place>,
}

impl<B> Opening<B> {
    pub(super) fn new(body: B, place: Arc<Place>) -> (Self, Unopened<B>) {
        let shared = Arc::new(Mutex::new(Some(body)));
        (Self { unopened: Unopened(Arc::clone(&shared)), body: None, _place: place }, Unopened(shared))
    }

    /// The request as it was, of which nothing was sent.
    pub(super) fn unsent(request: Request<Self>) -> Option<Request<B>> {
        let (head, opening) = request.into_parts();
        let body = opening.unopened.take_back()?;
        Some(Request::from_parts(head, body))
    }
}

impl<B> Drop for Opening<B> {
    fn drop(&mut self) {
        // Of an empty one this is all that hyper does with it. Dropped behind the lock.
        let body = self.unopened.take_back();
        drop(body);
    }
}

impl<B> Body for Opening<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = &mut *self;
        if this.body.is_none() {
            this.body = this.unopened.take_back();
        }
        let Some(body) = &mut this.body else {
            return Poll::Ready(Some(Err(io::Error::other("the request was taken back").into())));
        };
        Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Some(body) => body.is_end_stream(),
            None => self.unopened.lock().as_ref().is_some_and(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => self.unopened.lock().as_ref().map_or_else(SizeHint::new, Body::size_hint),
        }
    }
}
