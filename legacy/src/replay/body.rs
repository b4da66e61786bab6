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
    chunks::Next,
    cut::{Cutter, Splice},
    source::{Shared, Source},
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
    /// Attempts that had begun before this body was made.
    born: u32,
    /// The number of this attempt; `None` before it begins to read.
    attempt: Option<u32>,
    /// The chunk that it wants next.
    next: usize,
    cutter: Cutter,
    polled: bool,
    /// The first frame went out.
    flowing: bool,
    done: bool,
}

impl<B> ReplayBody<B> {
    /// A body over this source that was made together with it.
    #[inline]
    pub(super) fn new(shared: Arc<Shared<B>>) -> Self {
        Self::at_beginning(shared, 0, None)
    }

    #[inline]
    fn at_beginning(shared: Arc<Shared<B>>, born: u32, splice: Option<Splice>) -> Self {
        let cutter = Cutter::new(splice);
        Self { shared, born, attempt: None, next: 0, cutter, polled: false, flowing: false, done: false }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<B>> {
        &self.shared
    }

    /// Makes this attempt the one that reads; whoever read before is to be woken, outside of the lock.
    fn begin(attempt: &mut Option<u32>, source: &mut Source<B>) -> Result<Option<Waker>, BodyError> {
        match *attempt {
            None => {
                let (begun, earlier) = source.begin()?;
                *attempt = Some(begun);
                Ok(earlier)
            }
            Some(begun) if source.is_reading(begun) => Ok(None),
            Some(_) => Err(BodyError::superseded()),
        }
    }
}

impl<B> ReplayBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// What comes next, the start told; `None` where the request must not go out any more.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Next, BodyError>>> {
        let again = std::mem::replace(&mut self.polled, true);
        let mut source = self.shared.lock();
        if !again && !source.stamp() {
            return Poll::Ready(None);
        }
        if self.attempt.is_none() && !source.may_begin(self.born) {
            return Poll::Ready(Some(Err(BodyError::superseded())));
        }
        let earlier = match Self::begin(&mut self.attempt, &mut source) {
            Ok(earlier) => earlier,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let next = loop {
            if let Some(piece) = self.cutter.next() {
                break Poll::Ready(Ok(Next::Data(piece)));
            }
            match source.poll_next(&mut self.next, cx) {
                Poll::Ready(Ok(Next::Data(chunk))) if self.cutter.is_idle() => {
                    self.cutter.pass(&chunk);
                    break Poll::Ready(Ok(Next::Data(chunk)));
                }
                Poll::Ready(Ok(Next::Data(chunk))) => self.cutter.load(chunk),
                end => break end,
            }
        };
        if let Poll::Ready(Ok(Next::Data(_))) = &next {
            // Known here, it needs no second look at the source.
            self.done = source.is_end() && self.cutter.rest_of(source.pulled()) == 0;
        }
        // Where it had to be waited for, it goes out only now.
        let refused = again && !self.flowing && next.is_ready() && !source.stamp();
        drop(source);
        if let Some(earlier) = earlier {
            earlier.wake();
        }
        if refused { Poll::Ready(None) } else { next.map(Some) }
    }
}

impl<B> ReplayBody<B> {
    /// Its key is another process's by now.
    #[cold]
    fn refuse(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.done = true;
        Poll::Ready(Some(Err(BodyError::void().into())))
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
        let Some(next) = ready!(this.poll_next(cx)) else { return this.refuse() };
        let unsent = !std::mem::replace(&mut this.flowing, true);
        this.done |= !matches!(next, Ok(Next::Data(_)));
        Poll::Ready(match next {
            Ok(Next::Data(piece)) => Some(Ok(Frame::data(piece))),
            Ok(Next::Trailers(trailers)) => Some(Ok(Frame::trailers(*trailers))),
            Ok(Next::End) => None,
            Err(error) if unsent => Some(Err(error.unsent().into())),
            Err(error) => Some(Err(error.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        if self.done {
            return true;
        }
        let mut source = self.shared.lock();
        // A connection asks this when it writes the head: the request goes out now, and perhaps no frame follows.
        if !self.flowing && !source.stamp() {
            return false;
        }
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
        let born = source.add_handle();
        Some(Self::at_beginning(Arc::clone(&self.shared), born, self.cutter.splice().cloned()))
    }

    fn reclaim(&mut self) -> bool {
        let mut source = self.shared.lock();
        if !source.is_whole() {
            return false;
        }
        let begun = Self::begin(&mut self.attempt, &mut source);
        if begun.is_ok() {
            source.take_over();
        }
        drop(source);
        if let Ok(Some(earlier)) = &begun {
            earlier.wake_by_ref();
        }
        begun.is_ok()
    }

    fn is_out(&self) -> bool {
        self.shared.lock().is_out()
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

    fn rewrite(&mut self, pieces: Vec<Bytes>) -> bool {
        if self.polled {
            return false;
        }
        self.cutter = Cutter::new(Some(Splice::whole(pieces)));
        true
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        if Arc::strong_count(&self.shared) == 1 {
            // Nobody else is left who could read.
            return;
        }
        // In two steps, so that the caller's body is dropped outside of the lock.
        let leftover = self.shared.lock().drop_handle(self.attempt);
        drop(leftover);
    }
}

impl<B> fmt::Debug for Shared<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("attempt", &self.attempt).field("done", &self.done).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
