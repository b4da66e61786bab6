//! A provider's events on their way to the client as they come. A stream that may not go on, since the gateway ends or a
//! token was revoked, says so in an error event of the shape that its client knows.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame};
use tower_keypool::{BoxError, StreamEnd};

use super::{unpacked::is_gzip, untold::Untold};
use crate::gateway::{
    dialect::{Dialect, Refusal},
    farewell::Parting,
};

/// A provider's events on their way to the client as they come.
#[derive(Debug)]
pub(in crate::gateway) struct Flowing<B> {
    body: Pin<Box<B>>,
    parting: Parting,
    dialect: Dialect,
    /// Where it is said that it did not come to its own end.
    end: Option<StreamEnd>,
    /// The last bytes that came.
    tail: [u8; 4],
    over: bool,
    /// Takes out what the client did not ask for.
    untold: Option<Untold>,
    /// What comes behind what was held back.
    then: Option<Result<Frame<Bytes>, BoxError>>,
}

/// Whether an answer is a stream of events that can be read.
pub(super) fn is_readable(headers: &HeaderMap) -> bool {
    is_of_events(headers) && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The same of one that came in an encoding, though nobody had asked for that.
pub(super) fn is_to_unpack(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes().trim_ascii());
    let known = encoding.is_some_and(|encoding| is_gzip(encoding) || encoding.eq_ignore_ascii_case(b"identity"));
    known && is_of_events(headers)
}

fn is_of_events(headers: &HeaderMap) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().get(..EVENTS.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS))
}

/// Whether an answer is a stream that an event can be added to.
pub(super) fn is_open(headers: &HeaderMap, body: &impl Body) -> bool {
    is_readable(headers) && body.size_hint().exact().is_none()
}

impl<B: Body<Data = Bytes>> Flowing<B> {
    pub(super) fn new(body: B, dialect: Dialect, parting: Parting, end: Option<StreamEnd>) -> Self {
        // Before anything came an event may begin.
        Self { body: Box::pin(body), parting, dialect, end, tail: *b"\n\n\n\n", over: false, untold: None, then: None }
    }

    /// The same without the event that tells what it cost.
    pub(super) fn without_usage(mut self) -> Self {
        self.untold = Some(Untold::default());
        self
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B::Error: Into<BoxError>,
    {
        if self.over {
            return Poll::Ready(None);
        }
        if let Some(then) = self.then.take() {
            return Poll::Ready(Some(then));
        }
        // Also where there is always more to come.
        if let Some(why) = self.parting.is_due() {
            return Poll::Ready(Some(self.parted(why)));
        }
        while let Poll::Ready(polled) = self.body.as_mut().poll_frame(cx).map_err(Into::into) {
            if let Some(Ok(frame)) = &polled
                && let Some(data) = frame.data_ref()
            {
                let kept = data.len().min(4);
                self.tail.rotate_left(kept);
                self.tail[4 - kept..].copy_from_slice(&data[data.len() - kept..]);
            }
            let Some(untold) = &mut self.untold else { return Poll::Ready(polled) };
            match polled.map(|came| came.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => {
                    let left = untold.left_of(data);
                    if !left.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(left))));
                    }
                }
                other => {
                    let rest = untold.rest();
                    self.over = other.is_none();
                    let then = other.map(|came| came.and_then(|frame| frame.map(Frame::data).or_else(Ok)));
                    if rest.is_empty() {
                        return Poll::Ready(then);
                    }
                    self.then = then;
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
            }
        }
        let why = ready!(self.parting.poll(cx));
        Poll::Ready(Some(self.parted(why)))
    }

    /// The last that is said. Half an event would take it for its end: that the connection breaks off tells as much.
    fn parted(&mut self, why: Refusal) -> Result<Frame<Bytes>, BoxError> {
        self.over = true;
        let is_between = self.tail.ends_with(b"\n\n") || self.tail == *b"\r\n\r\n" || self.tail.ends_with(b"\r\r");
        if !is_between {
            return Err(why.message().into());
        }
        if let Some(end) = &self.end {
            end.spoil();
        }
        Ok(Frame::data(event(self.dialect, why)))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.over
            || self.then.is_none() && self.body.is_end_stream() && self.untold.as_ref().is_none_or(Untold::is_empty)
    }
}

/// The last event.
fn event(dialect: Dialect, why: Refusal) -> Bytes {
    let name: &[u8] = if dialect == Dialect::Anthropic { b"event: error\n" } else { b"" };
    let told = dialect.body(why.status(), why.message(), None);
    [name, b"data: ", &told, b"\n\n"].concat().into()
}
