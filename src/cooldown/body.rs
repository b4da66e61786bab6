//! [`CooldownBody`].

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    future::classify,
    reader::{Decoder, Encoding},
};
use crate::{
    Lease,
    classify::{ErrorClass, Failure, Scope, UsageReader},
};

pin_project! {
    /// The body of an answer of [`Cooldown`](crate::cooldown::Cooldown): the provider's bytes as they came, but for a key in an
    /// error.
    pub struct CooldownBody<B: Body> {
        #[pin]
        inner: B,
        held: Held<B::Error>,
        // In boxes stands what most answers do not have, so that they are small.
        watch: Option<Box<Watch>>,
    }
}

/// What was read before the head went up.
struct Held<E> {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    bytes: usize,
    /// What followed the data: trailers or an error.
    last: Option<Box<Result<Frame<Bytes>, E>>>,
    /// Nothing more comes from the body below.
    ended: bool,
}

impl<B: Body> CooldownBody<B> {
    pub(super) fn new(inner: B) -> Self {
        let held = Held { first: None, more: VecDeque::new(), bytes: 0, last: None, ended: false };
        Self { inner, held, watch: None }
    }

    /// Reads usage and errors as it passes.
    pub(super) fn watch(&mut self, watch: Watch) {
        if !self.is_end_stream() {
            self.watch = Some(Box::new(watch));
        }
    }

    /// Reads a frame and holds it. Whether there may be more.
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

    /// Whether all of it is held.
    pub(super) fn is_read(&self) -> bool {
        self.held.ended || self.held.last.is_some() || self.inner.is_end_stream()
    }

    /// How many bytes are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.bytes
    }

    /// What is held, in one piece.
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

    /// Other bytes in place of those that are held.
    pub(super) fn replace_held(&mut self, data: Bytes) {
        self.held.more.clear();
        self.held.bytes = data.len();
        self.held.first = Some(data);
    }

    /// Nothing comes after what is held.
    pub(super) fn cut(&mut self) {
        self.held.ended = true;
        self.held.last = None;
    }
}

impl<E> Held<E> {
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

/// `Bytes` are handed on without a copy.
fn to_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

impl<B: Body> Body for CooldownBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.as_mut().project();
        let frame = if let Some(data) = this.held.pop() {
            Some(Ok(Frame::data(data)))
        } else if let Some(last) = this.held.last.take() {
            this.held.ended |= last.is_err();
            Some(*last)
        } else if this.held.ended {
            None
        } else {
            ready!(this.inner.poll_frame(cx)).map(|frame| frame.map(to_bytes))
        };
        let Some(watch) = this.watch else { return Poll::Ready(frame) };
        let frame = match frame {
            Some(Ok(frame)) => Some(Ok(frame.map_data(|data| watch.pass(data)))),
            Some(Err(error)) => {
                watch.broke();
                Some(Err(error))
            }
            None => None,
        };
        if !matches!(frame, Some(Ok(_))) || self.is_end_stream() {
            *self.project().watch = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let held = &self.held;
        held.first.is_none() && held.last.is_none() && (held.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.bytes as u64;
        if self.held.ended {
            return SizeHint::with_exact(held);
        }
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

impl<B: Body> fmt::Debug for CooldownBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CooldownBody").field("held", &self.held.bytes).finish_non_exhaustive()
    }
}

/// Reads a good answer as it passes. At its end, or when it is dropped, the pool is told what it used.
pub(super) struct Watch {
    lease: Arc<Lease>,
    decoder: Decoder,
    reader: UsageReader,
    /// Its length was told, so no byte of it may change.
    sized: bool,
    told: bool,
}

impl Watch {
    pub(super) fn new(lease: Arc<Lease>, encoding: Encoding, reader: UsageReader, sized: bool) -> Self {
        Self { lease, decoder: Decoder::new(encoding), reader, sized, told: false }
    }

    fn pass(&mut self, data: Bytes) -> Bytes {
        let reader = &mut self.reader;
        self.decoder.decode(&data, |text| reader.push(text));
        if self.tell_error(true) && !self.sized && matches!(self.decoder, Decoder::Identity) {
            return self.lease.secret().redact_bytes(&data).map_or(data, Bytes::from);
        }
        data
    }

    /// Tells the first error. Whether there is one now.
    fn tell_error(&mut self, in_stream: bool) -> bool {
        let Some(event) = self.reader.take_error() else { return false };
        if !std::mem::replace(&mut self.told, true)
            && let Some(failure) = classify(&self.lease, StatusCode::OK, &http::HeaderMap::new(), &event, in_stream)
        {
            self.lease.report(&failure.into());
        }
        true
    }

    /// The connection broke within the body: nobody's fault.
    fn broke(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            self.lease.report(&Failure::new(ErrorClass::Transient).scope(Scope::Request).code("closed").into());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(usage) = self.reader.finish() {
            self.lease.used(usage);
        }
        self.tell_error(false);
    }
}
