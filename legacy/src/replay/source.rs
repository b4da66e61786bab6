//! What all attempts share: the caller's body, and what is kept of it.

use std::{
    ops::Range,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, SizeHint};

use super::{
    body_scan::BodyScan,
    budget::Budget,
    chunks::{Chunks, Next, Rest},
    model_scan::ModelScan,
    sync::{Mutex, MutexGuard},
};
use crate::{
    body_error::BodyError,
    error::BoxError,
    pool::{Granted, OnGrant, Start},
    provider::strip_trailers,
};

/// Shared by the attempts of one request.
pub(super) struct Shared<B> {
    /// Held within a poll only, never over an await.
    source: Mutex<Source<B>>,
}

/// The caller's body and its kept chunks. One attempt at a time reads; it alone is woken.
pub(super) struct Source<B> {
    /// `None` once it ended, or when nobody is left who could read it.
    body: Option<B>,
    end: End,
    chunks: Chunks,
    trailers: Option<Box<HeaderMap>>,
    /// Bytes that came out of the caller's body.
    pulled: u64,
    /// Bytes that are to come out of it, where its head says so.
    length: Option<u64>,
    /// Bytes to keep at most.
    limit: u64,
    /// More came than is kept: what was read is gone.
    overflow: bool,
    scan: Option<Box<BodyScan>>,
    /// Bodies that may still read: attempts that were given up for another are not among them.
    handles: u32,
    /// Numbers the attempts; the latest is the one that reads.
    attempts: u32,
    /// The attempt that took the body over last: bodies from before it, which have not begun, do not begin any more.
    taken_over: u32,
    /// The chunk that the reading attempt wants next; `None` when it was dropped.
    reading: Option<usize>,
    waker: Option<Waker>,
    /// The lease of the attempt that is out.
    start: Option<Start>,
    #[cfg(test)]
    pub(super) stamps: usize,
}

enum End {
    /// More may come.
    Open,
    /// It ended well.
    Whole,
    /// It failed; the error is for the first who asks.
    Failed(Option<Box<BodyError>>),
}

/// What left the source and is to be dropped outside of its lock.
pub(super) struct Leftover<B> {
    _body: Option<B>,
    _chunks: (Option<Bytes>, Rest),
}

impl<B> Shared<B> {
    /// How many bytes are kept, and how many its head says there are. `handles`: how many bodies over it there are at first.
    #[inline]
    pub(super) fn new(
        body: B,
        (limit, length): (u64, Option<u64>),
        budget: Arc<Budget>,
        scan: Option<BodyScan>,
        handles: u32,
    ) -> Self {
        Self {
            source: Mutex::new(Source {
                body: Some(body),
                end: End::Open,
                chunks: Chunks::new(budget),
                trailers: None,
                pulled: 0,
                length,
                limit,
                overflow: limit == 0,
                scan: scan.map(Box::new),
                handles,
                attempts: 0,
                taken_over: 0,
                reading: None,
                waker: None,
                start: None,
                #[cfg(test)]
                stamps: 0,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Source<B>> {
        // A body that panicked while it was polled is polled again, as it would be without us.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Send> OnGrant for Shared<B> {
    fn granted(&self, granted: &Granted) {
        let start = granted.start();
        self.lock().start = Some(start);
    }
}

impl<B> Source<B> {
    /// The connection takes the request now. False: it must not go, since the key is another process's by now.
    #[inline]
    pub(super) fn stamp(&mut self) -> bool {
        let Some(start) = &mut self.start else { return true };
        #[cfg(test)]
        {
            self.stamps += 1;
        }
        start.started()
    }

    /// Another attempt may come from the beginning.
    pub(super) fn is_whole(&self) -> bool {
        !self.chunks.lost_beginning() && !matches!(self.end, End::Failed(_))
    }

    /// All of it came, as far as is known.
    pub(super) fn is_out(&self) -> bool {
        !matches!(self.end, End::Open) || self.length.is_none_or(|length| self.pulled >= length)
    }

    /// Somebody else may read again what is read now.
    fn keeps(&self) -> bool {
        self.handles > 1 && !self.overflow
    }

    /// Another body over this source: how many attempts began before it.
    pub(super) fn add_handle(&mut self) -> u32 {
        self.handles += 1;
        self.attempts
    }

    /// The attempt that reads took the body over: none of an earlier decision begins after it.
    pub(super) fn take_over(&mut self) {
        self.taken_over = self.attempts;
    }

    /// Whether a body that came after so many attempts may begin to read.
    pub(super) fn may_begin(&self, born: u32) -> bool {
        born >= self.taken_over
    }

    /// A body over this source is gone. `attempt` is its number, where it had begun.
    pub(super) fn drop_handle(&mut self, attempt: Option<u32>) -> Option<Leftover<B>> {
        match attempt {
            Some(attempt) if !self.is_reading(attempt) => return None,
            Some(_) => {
                self.reading = None;
                self.waker = None;
            }
            None => {}
        }
        self.handles -= 1;
        self.trim();
        (self.handles == 0).then(|| Leftover { _body: self.body.take(), _chunks: self.chunks.take_all() })
    }

    /// Begins another attempt at the body's beginning: its number, and whoever read before, to be woken and told.
    pub(super) fn begin(&mut self) -> Result<(u32, Option<Waker>), BodyError> {
        if self.chunks.lost_beginning() {
            return Err(BodyError::not_kept());
        }
        self.attempts += 1;
        self.handles -= u32::from(self.reading.is_some());
        self.reading = Some(0);
        Ok((self.attempts, self.waker.take()))
    }

    /// Lets go what only the attempt that read it could read again.
    fn trim(&mut self) {
        if let (1, Some(next)) = (self.handles, self.reading) {
            self.chunks.release_before(next);
        }
    }

    pub(super) fn is_reading(&self, attempt: u32) -> bool {
        attempt == self.attempts
    }

    pub(super) fn pulled(&self) -> u64 {
        self.pulled
    }

    /// Whether more came than is kept, before the body's end; and whether that was more than is kept of any.
    pub(super) fn is_cut(&self) -> (bool, bool) {
        (self.overflow && matches!(self.end, End::Open), self.pulled > self.limit)
    }

    pub(super) fn scan(&self) -> Option<&BodyScan> {
        self.scan.as_deref()
    }

    /// Where the text of the top-level `"model"` stands, as far as the kept chunks tell.
    pub(super) fn model_place(&self) -> Option<Range<u64>> {
        if let Some(place) = self.scan().and_then(BodyScan::model).and_then(ModelScan::place) {
            return Some(place);
        }
        if self.chunks.lost_beginning() {
            return None;
        }
        let mut scan = ModelScan::new(true, None);
        for chunk in self.chunks.iter() {
            scan.feed(chunk);
            if scan.is_settled() {
                break;
            }
        }
        scan.place()
    }

    /// Nothing more is read, for this reason.
    fn refuse(&mut self, error: BodyError) -> BodyError {
        self.body = None;
        self.end = End::Failed(None);
        error
    }

    fn error(&mut self) -> BodyError {
        match &mut self.end {
            End::Failed(error) => error.take().map_or_else(BodyError::failed_before, |error| *error),
            _ => BodyError::failed_before(),
        }
    }

    /// Keeps a chunk that was pulled, unless it is too much.
    fn keep(&mut self, chunk: Bytes) -> bool {
        self.pulled <= self.limit && self.chunks.push(chunk)
    }
}

impl<B> Source<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// Bytes that are still to come out of the caller's body.
    pub(super) fn rest_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }

    /// Nothing comes behind the `pulled` bytes, not even an error.
    pub(super) fn is_end(&self) -> bool {
        if self.length.is_some_and(|length| length != self.pulled) {
            return false;
        }
        match (&self.end, &self.body) {
            (End::Whole, _) => self.trailers.is_none(),
            (End::Open, Some(body)) => body.is_end_stream(),
            _ => false,
        }
    }

    /// Chunk number `next` for the reading attempt, or what stands behind the last one.
    pub(super) fn poll_next(&mut self, next: &mut usize, cx: &mut Context<'_>) -> Poll<Result<Next, BodyError>> {
        let keeps = self.keeps();
        if !keeps {
            self.chunks.release_before(*next);
        }
        let kept = if keeps { self.chunks.get(*next).cloned() } else { self.chunks.pop() };
        let chunk = match kept {
            // It failed while it was looked through: the provider need not hear the beginning.
            Some(_) if *next == 0 && matches!(self.end, End::Failed(Some(_))) => return Poll::Ready(Err(self.error())),
            Some(chunk) => chunk,
            None => match self.poll_pull(cx) {
                Poll::Pending => {
                    if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        self.waker = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(None)) => {
                    let trailers = if keeps { self.trailers.clone() } else { self.trailers.take() };
                    return Poll::Ready(Ok(trailers.map_or(Next::End, Next::Trailers)));
                }
                Poll::Ready(Ok(Some(chunk))) => {
                    if !keeps {
                        self.chunks.pass();
                    } else if !self.keep(chunk.clone()) {
                        self.overflow = true;
                        self.chunks.release_before(*next);
                        self.chunks.pass();
                    }
                    chunk
                }
            },
        };
        *next += 1;
        self.reading = Some(*next);
        Poll::Ready(Ok(Next::Data(chunk)))
    }

    /// Pulls and keeps until the look is settled, the body ends, or no more is kept.
    pub(super) fn poll_scan(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Where nothing is kept the first chunk is looked at all the same.
            if (self.overflow && self.pulled > 0) || self.scan().is_none_or(BodyScan::is_settled) {
                return Poll::Ready(());
            }
            match ready!(self.poll_pull(cx)) {
                Ok(Some(chunk)) => {
                    if !self.keep(chunk.clone()) {
                        // It is here and nobody has read it: it has to be kept for the first who will.
                        self.overflow = true;
                        self.chunks.force(chunk);
                    }
                }
                Ok(None) => return Poll::Ready(()),
                Err(error) => {
                    self.end = End::Failed(Some(Box::new(error)));
                    return Poll::Ready(());
                }
            }
        }
    }

    /// The next chunk of the caller's body; `None` at its end.
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let End::Failed(_) = self.end {
                return Poll::Ready(Err(self.error()));
            }
            if let (Some(length), Some(rest)) = (self.length, self.rest_hint().exact())
                && self.pulled.saturating_add(rest) != length
            {
                return Poll::Ready(Err(self.refuse(BodyError::length())));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
            let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
            let ended = frame.is_none() || body.is_end_stream();
            if ended {
                self.body = None;
                self.end = End::Whole;
            }
            match frame {
                None => {}
                Some(Err(error)) => {
                    return Poll::Ready(Err(self.refuse(BodyError::failed(error.into()))));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) if data.has_remaining() => {
                        // For `Bytes` this hands out the bytes themselves; no copy is made.
                        let chunk = data.copy_to_bytes(data.remaining());
                        self.pulled += chunk.len() as u64;
                        return Poll::Ready(self.read(&chunk).map(|()| Some(chunk)));
                    }
                    Ok(_) => {}
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            // Nothing follows them.
                            self.trailers = Some(Box::new(strip_trailers(trailers)));
                            self.body = None;
                            self.end = End::Whole;
                        }
                    }
                },
            }
        }
    }

    /// Looks at a chunk, and whether it is too much.
    fn read(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        if self.length.is_some_and(|length| self.pulled > length) {
            return Err(self.refuse(BodyError::length()));
        }
        let Some(scan) = &mut self.scan else { return Ok(()) };
        scan.feed(chunk);
        if scan.named_twice() { Err(self.refuse(BodyError::two_models())) } else { Ok(()) }
    }
}
