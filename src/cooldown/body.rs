//! A response body that is searched for usage and late errors as it passes.

use std::{
    collections::VecDeque,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    future::classify,
    reader::{Decoder, Encoding},
};
use crate::{
    Lease,
    body::{size_hint, to_bytes},
    classify::{ErrorClass, Failure, Scope, UsageReader},
};

pin_project! {
    /// The response body of [`Cooldown`](crate::cooldown::Cooldown): the provider's bytes unchanged, except that
    /// errors are decompressed and the key is removed from them.
    pub struct CooldownBody<B: Body> {
        #[pin]
        inner: B,
        held: Held<B::Error>,
        // Boxed, so that the many bodies without one stay small.
        observer: Option<Box<StreamObserver>>,
    }
}

/// The frames that were read before the head was returned.
struct Held<E> {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    bytes: usize,
    /// The frame after the data: trailers or an error.
    last: Option<Box<Result<Frame<Bytes>, E>>>,
    /// Whether the body below is no longer read.
    ended: bool,
}

impl<B: Body> CooldownBody<B> {
    pub(super) fn new(inner: B) -> Self {
        let held = Held { first: None, more: VecDeque::new(), bytes: 0, last: None, ended: false };
        Self { inner, held, observer: None }
    }

    /// Reads usage and errors while the body is passed on.
    pub(super) fn observe(&mut self, observer: StreamObserver) {
        if !self.is_end_stream() {
            self.observer = Some(Box::new(observer));
        }
    }

    /// Reads and holds a frame. Returns whether there may be more.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool>
    where
        B: Unpin,
    {
        if self.is_read() {
            return Poll::Ready(false);
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => self.held.ended = true,
            Some(Err(error)) => self.held.last = Some(Box::new(Err(error))),
            Some(Ok(frame)) => match to_bytes(frame).into_data() {
                Ok(data) => {
                    self.held.push(data);
                    return Poll::Ready(!self.inner.is_end_stream());
                }
                Err(frame) => self.held.last = Some(Box::new(Ok(frame))),
            },
        }
        Poll::Ready(false)
    }

    /// Reports whether the whole body was read.
    pub(super) fn is_read(&self) -> bool {
        self.held.ended || self.held.last.is_some() || self.inner.is_end_stream()
    }

    /// Reports whether the body broke while its start was read.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.held.last.as_deref(), Some(Err(_)))
    }

    /// Returns how many bytes are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.bytes
    }

    /// Returns the held bytes in one piece.
    pub(super) fn held(&self) -> Bytes {
        let first = self.held.first.clone().unwrap_or_default();
        if self.held.more.is_empty() {
            return first;
        }
        let mut joined = BytesMut::with_capacity(self.held.bytes);
        joined.extend_from_slice(&first);
        self.held.more.iter().for_each(|data| joined.extend_from_slice(data));
        joined.freeze()
    }

    /// Returns how many bytes the observer holds back.
    fn held_back(&self) -> usize {
        self.observer.as_ref().map_or(0, |observer| observer.held.len())
    }

    /// Replaces the body by these bytes.
    pub(super) fn replace(&mut self, data: Bytes) {
        let bytes = data.len();
        let first = Some(data).filter(|data| !data.is_empty());
        self.held = Held { first, more: VecDeque::new(), bytes, last: None, ended: true };
    }
}

impl<E> Held<E> {
    /// Reports whether nothing is held and the body below has ended.
    fn is_over<B: Body<Error = E>>(&self, inner: &B) -> bool {
        self.first.is_none() && self.last.is_none() && (self.ended || inner.is_end_stream())
    }

    fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        match self.first {
            None => self.first = Some(data),
            Some(_) => self.more.push_back(data),
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        let data = self.first.take()?;
        self.first = self.more.pop_front();
        self.bytes -= data.len();
        Some(data)
    }
}

/// Concatenates two pieces; copies only if both are non-empty.
fn joined(first: Bytes, second: Bytes) -> Bytes {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (_, true) => first,
        _ => [first, second].concat().into(),
    }
}

impl<B: Body> Body for CooldownBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        loop {
            let frame = if let Some(data) = this.held.pop() {
                Some(Ok(Frame::data(data)))
            } else if let Some(last) = this.held.last.take() {
                this.held.ended |= last.is_err();
                Some(*last)
            } else if this.held.ended {
                None
            } else {
                ready!(this.inner.as_mut().poll_frame(cx)).map(|frame| frame.map(to_bytes))
            };
            let Some(observer) = this.observer else { return Poll::Ready(frame) };
            let mut data = Bytes::new();
            let mut is_over = true;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(read))) => {
                    data = observer.pass(read);
                    is_over = this.held.is_over(&*this.inner);
                }
                Some(Ok(Err(trailers))) => this.held.last = Some(Box::new(Ok(trailers))),
                Some(Err(error)) => {
                    observer.broke();
                    this.held.last = Some(Box::new(Err(error)));
                }
                None => this.held.ended = true,
            }
            if is_over {
                data = joined(data, observer.end());
                *this.observer = None;
            }
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held_back() == 0 && self.held.is_over(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        // The redaction of a late error changes the length.
        if self.observer.as_ref().is_some_and(|observer| !observer.sized) {
            return SizeHint::default();
        }
        let rest = if self.held.ended { SizeHint::with_exact(0) } else { self.inner.size_hint() };
        size_hint(self.held.bytes + self.held_back(), &rest)
    }
}

impl<B: Body> fmt::Debug for CooldownBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CooldownBody").field("held", &self.held.bytes).finish_non_exhaustive()
    }
}

/// Reads a successful response while it is passed on, and removes the key from an error within it. At the end of the
/// body, or when it is dropped, reports the usage to the pool.
pub(super) struct StreamObserver {
    lease: Arc<Lease>,
    decoder: Decoder,
    reader: UsageReader,
    /// Whether the head has a `Content-Length`, so that the length of the body must not change.
    sized: bool,
    /// Whether an error was reported.
    reported: bool,
    /// The bytes of the current event from the key, or its possible start, on. They wait until it is known whether the
    /// event is an error. The key is removed from an event of more than 64 KiB even if it is not an error.
    held: Bytes,
}

impl StreamObserver {
    pub(super) fn new(lease: Arc<Lease>, encoding: Encoding, reader: UsageReader, sized: bool) -> Self {
        Self { lease, decoder: Decoder::new(encoding), reader, sized, reported: false, held: Bytes::new() }
    }

    /// Reads the next bytes. Returns those that can be passed on now.
    fn pass(&mut self, data: Bytes) -> Bytes {
        let too_long = self.reader.is_too_long(data.len());
        self.decoder.decode(&data, |text| self.reader.push(text));
        let is_error = self.report_error();
        if self.sized || !matches!(self.decoder, Decoder::Identity) {
            return data;
        }
        let mut data = joined(mem::take(&mut self.held), data);
        if is_error || too_long {
            data = self.redacted(data);
        }
        let unread = &data[data.len().saturating_sub(self.reader.unread())..];
        self.held = data.split_off(data.len() - self.lease.secret().held_back(unread));
        data
    }

    /// Ends the observation. Returns the bytes that were held back.
    fn end(&mut self) -> Bytes {
        let too_long = self.reader.is_too_long(0);
        if let Some(usage) = self.reader.finish() {
            self.lease.report_usage(usage);
        }
        let is_error = self.report_error();
        let held = mem::take(&mut self.held);
        if is_error || too_long { self.redacted(held) } else { held }
    }

    fn redacted(&self, data: Bytes) -> Bytes {
        self.lease.secret().redact_bytes(&data).map_or(data, Bytes::from)
    }

    /// Reports the first error. Returns whether these bytes complete one.
    fn report_error(&mut self) -> bool {
        let Some(event) = self.reader.take_error() else { return false };
        if !mem::replace(&mut self.reported, true)
            && let Some(failure) = classify(&self.lease, StatusCode::OK, &http::HeaderMap::new(), &event)
        {
            self.lease.report(&failure.into());
        }
        true
    }

    /// Reports that the connection broke within the body. Neither the key nor the model is blamed.
    fn broke(&mut self) {
        if !mem::replace(&mut self.reported, true) {
            self.lease
                .report(&Failure::new(ErrorClass::Transient).with_scope(Scope::Request).with_code("closed").into());
        }
    }
}

impl Drop for StreamObserver {
    fn drop(&mut self) {
        self.end();
    }
}
