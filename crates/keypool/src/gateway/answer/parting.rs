//! A stream that has not ended when the gateway does: its client is told so by an error event, in the shape that it knows.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::{Body, Frame};
use keypool_dialect::{Fault, Kind};
use tokio::sync::watch;
use tower_keypool::{BoxError, StreamEnd};

use super::{unpacked::is_gzip, untold::Untold};
use crate::gateway::dialect::Dialect;

const STOPPING: &str = "the gateway is stopping and could not wait for the rest of this answer: ask again";

/// Tells all streams at once that the gateway ends.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Farewell {
    told: watch::Sender<()>,
    bid: Arc<AtomicBool>,
}

impl Farewell {
    /// Those that have not ended end now.
    pub(in crate::gateway) fn bid(&self) {
        self.bid.store(true, Ordering::Release);
        self.told.send_replace(());
    }

    /// Whoever waits for that.
    pub(in crate::gateway) fn awaited(&self) -> Parting {
        let (mut told, bid) = (self.told.subscribe(), Arc::clone(&self.bid));
        let asked = Arc::clone(&bid);
        let told = Box::pin(async move {
            while !asked.load(Ordering::Acquire) {
                if told.changed().await.is_err() {
                    // There is no gateway to end any more.
                    std::future::pending::<()>().await;
                }
            }
        });
        Parting { told, bid, waker: None }
    }
}

/// Resolves when the gateway ends before its streams do.
pub(in crate::gateway) struct Parting {
    told: Pin<Box<dyn Future<Output = ()> + Send>>,
    bid: Arc<AtomicBool>,
    /// Who is woken then: with each piece of a stream he is the same as a rule, and nobody need be told.
    waker: Option<Waker>,
}

impl fmt::Debug for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parting")
    }
}

impl Parting {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_waited_for = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_waited_for && !self.bid.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        self.told.as_mut().poll(cx)
    }

    /// From now on nobody is waited for.
    fn forget(&mut self) {
        (self.told, self.bid) = (Box::pin(std::future::pending()), Arc::default());
    }

    /// Why the answer is not whole.
    pub(super) fn fault() -> Fault {
        Fault::new(Kind::Overloaded, STOPPING)
    }
}

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
        ready!(self.parting.poll(cx));
        // Polled once more it would panic.
        self.parting.forget();
        if !(self.tail.ends_with(b"\n\n") || self.tail == *b"\r\n\r\n" || self.tail.ends_with(b"\r\r")) {
            // Half an event would take this one for its end: that the connection breaks off tells as much.
            return Poll::Pending;
        }
        self.over = true;
        if let Some(end) = &self.end {
            end.spoil();
        }
        Poll::Ready(Some(Ok(Frame::data(event(self.dialect)))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.over
            || self.then.is_none() && self.body.is_end_stream() && self.untold.as_ref().is_none_or(Untold::is_empty)
    }
}

/// The last event.
fn event(dialect: Dialect) -> Bytes {
    let name: &[u8] = if dialect == Dialect::Anthropic { b"event: error\n" } else { b"" };
    let told = dialect.body(StatusCode::SERVICE_UNAVAILABLE, STOPPING, None);
    [name, b"data: ", &told, b"\n\n"].concat().into()
}
