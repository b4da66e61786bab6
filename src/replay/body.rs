//! The body that goes down: a view of the caller's, from its beginning, for one attempt.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    cut::{Cutter, Splice},
    source::{Next, Shared, Source},
    try_clone::TryClone,
};
use crate::{body_error::BodyError, error::BoxError};

/// The body of a request that can be sent again, made by [`ReplayLayer`](crate::ReplayLayer).
///
/// It streams the caller's body and keeps the chunks, by reference, as long as a [clone](TryClone::try_clone) lives that
/// may have to send them again. Its chunks are the caller's own; nothing is joined or copied. The attempt that began
/// last reads; an earlier one gets an error from then on ([`BodyError::is_superseded`]).
///
/// Size hint and end of stream are those of this attempt: exact where the caller's body is.
pub struct ReplayBody<B> {
    shared: Arc<Shared<B>>,
    /// The number of this attempt; `None` before it begins to read.
    attempt: Option<u64>,
    /// The chunk that it wants next.
    next: usize,
    cutter: Cutter,
    polled: bool,
    /// The first frame went out.
    flowing: bool,
    done: bool,
}

impl<B> ReplayBody<B> {
    /// The first body over this source.
    pub(super) fn new(shared: Arc<Shared<B>>) -> Self {
        Self::at_beginning(shared, None)
    }

    fn at_beginning(shared: Arc<Shared<B>>, splice: Option<Splice>) -> Self {
        let cutter = Cutter::new(splice);
        Self { shared, attempt: None, next: 0, cutter, polled: false, flowing: false, done: false }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<B>> {
        &self.shared
    }

    /// Makes this attempt the one that reads.
    fn begin(&mut self, source: &mut Source<B>, earlier: &mut Option<Waker>) -> Result<(), BodyError> {
        match self.attempt {
            None => {
                let (attempt, waker) = source.begin()?;
                self.attempt = Some(attempt);
                *earlier = waker;
                Ok(())
            }
            Some(attempt) if source.is_reading(attempt) => Ok(()),
            Some(_) => Err(BodyError::superseded()),
        }
    }
}

impl<B> ReplayBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, BodyError>> {
        let shared = Arc::clone(&self.shared);
        let mut earlier = None;
        let polled = self.poll_source(&mut shared.lock(), &mut earlier, cx);
        // Outside of the lock: a waker may do anything.
        if let Some(earlier) = earlier {
            earlier.wake();
        }
        polled
    }

    fn poll_source(
        &mut self,
        source: &mut Source<B>,
        earlier: &mut Option<Waker>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, BodyError>> {
        self.begin(source, earlier)?;
        loop {
            if let Some(piece) = self.cutter.next() {
                return Poll::Ready(Ok(Next::Data(piece)));
            }
            match ready!(source.poll_next(&mut self.next, cx))? {
                Next::Data(chunk) => self.cutter.load(chunk),
                end => return Poll::Ready(Ok(end)),
            }
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        let again = std::mem::replace(&mut this.polled, true);
        if !again {
            this.shared.stamp();
        }
        let next = ready!(this.poll_next(cx));
        if again && !this.flowing {
            this.shared.stamp();
        }
        this.flowing = true;
        this.done = !matches!(next, Ok(Next::Data(_)));
        Poll::Ready(match next {
            Ok(Next::Data(piece)) => Some(Ok(Frame::data(piece))),
            Ok(Next::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Next::End) => None,
            Err(error) => Some(Err(error.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        if self.done {
            return true;
        }
        if !self.flowing {
            // A connection asks this when it writes the head: the request goes out now, and perhaps no frame follows.
            self.shared.stamp();
        }
        let source = self.shared.lock();
        source.is_end() && self.cutter.rest_of(source.pulled()) == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.done {
            return SizeHint::with_exact(0);
        }
        let source = self.shared.lock();
        let rest = source.rest_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(self.cutter.rest_of(source.pulled().saturating_add(rest.lower())));
        if let Some(upper) = rest.upper() {
            hint.set_upper(self.cutter.rest_of(source.pulled().saturating_add(upper)));
        }
        hint
    }
}

impl<B> TryClone for ReplayBody<B> {
    fn try_clone(&self) -> Option<Self> {
        let mut source = self.shared.lock();
        if !source.is_whole() {
            return None;
        }
        source.add_handle();
        Some(Self::at_beginning(Arc::clone(&self.shared), self.cutter.splice().cloned()))
    }

    fn reclaim(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut earlier = None;
        let mut source = shared.lock();
        let whole = source.is_whole() && self.begin(&mut source, &mut earlier).is_ok();
        drop(source);
        if let Some(earlier) = earlier {
            earlier.wake();
        }
        whole
    }

    fn retarget(&mut self, model: &str) -> bool {
        if self.polled {
            return false;
        }
        let place = self.shared.lock().model_place();
        let Some(place) = place else { return false };
        self.cutter = Cutter::new(Some(Splice::new(place, model)));
        true
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        // In two steps, so that the caller's body is dropped outside of the lock.
        let leftover = self.shared.lock().drop_handle(self.attempt);
        drop(leftover);
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("attempt", &self.attempt).field("done", &self.done).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
