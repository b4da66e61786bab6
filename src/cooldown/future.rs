//! Reads the start of a response, classifies it and reports the outcome.

use std::{
    borrow::Cow,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{
    CooldownBody,
    body::StreamObserver,
    layer::Peek,
    reader::{Encoding, First, can_decode, first},
};
use crate::{
    BoxError, Lease,
    classify::{Failure, Outcome, UsageReader, is_good, may_be_error},
};

/// How much of an error response is read, and for how long.
const ERROR: Peek = Peek { bytes: 64 << 10, time: Duration::from_secs(5) };

pin_project! {
    /// The future of [`Cooldown`](crate::cooldown::Cooldown).
    #[must_use = "futures do nothing unless polled"]
    pub struct CooldownFuture<F, B: Body> {
        #[pin]
        future: F,
        lease: Option<Arc<Lease>>,
        partial: Option<PartialResponse<B>>,
        #[pin]
        timer: Option<Sleep>,
        peek: Peek,
    }
}

/// A response whose start is being read.
struct PartialResponse<B: Body> {
    head: response::Parts,
    body: CooldownBody<B>,
    encoding: Encoding,
    lease: Arc<Lease>,
    /// Whether its status means success.
    good: bool,
    /// The reader of usage and errors for a successful response that can be read.
    reader: Option<UsageReader>,
}

impl<F, B: Body> CooldownFuture<F, B> {
    pub(super) fn new(future: F, lease: Option<Arc<Lease>>, peek: Peek) -> Self {
        Self { future, lease, partial: None, timer: None, peek }
    }
}

impl<F, B, E> Future for CooldownFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Unpin,
    E: Into<BoxError>,
{
    type Output = Result<Response<CooldownBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut partial = if let Some(partial) = this.partial.take() {
            partial
        } else {
            let result = ready!(this.future.poll(cx)).map_err(Into::into);
            let Some(lease) = this.lease.take() else {
                return Poll::Ready(result.map(|response| response.map(CooldownBody::new)));
            };
            match result {
                Ok(response) => PartialResponse::new(response, lease),
                Err(error) => {
                    lease.report(&Failure::from_transport(&*error).into());
                    return Poll::Ready(Err(error));
                }
            }
        };
        let peek = if partial.good { *this.peek } else { ERROR };
        if partial.poll_read(peek.bytes, cx).is_pending() {
            if this.timer.is_none() {
                this.timer.set(Some(tokio::time::sleep(peek.time)));
            }
            if this.timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(cx).is_pending()) {
                *this.partial = Some(partial);
                return Poll::Pending;
            }
        }
        if partial.good && partial.body.is_broken() {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the response broke off at its start");
            let error = BoxError::from(error);
            partial.lease.report(&Failure::from_transport(&*error).into());
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(partial.finish()))
    }
}

impl<B: Body> PartialResponse<B> {
    fn new(response: Response<B>, lease: Arc<Lease>) -> Self {
        let (mut head, body) = response.into_parts();
        lease.secret().redact_headers(&mut head.headers);
        let provider = &lease.shared().provider;
        lease.learn(&provider.limits_in_headers(&head.headers));
        let encoding = Encoding::of(&head.headers);
        let good = is_good(head.status);
        let readable = good && encoding != Encoding::Other;
        let reader = if readable { UsageReader::for_headers(&head.headers) } else { None };
        Self { head, body: CooldownBody::new(body), encoding, lease, good, reader }
    }

    /// Reads the body, up to this many bytes, until it is known whether it is an error.
    fn poll_read(&mut self, most: usize, cx: &mut Context<'_>) -> Poll<()>
    where
        B: Unpin,
    {
        if self.body.is_end_stream() || (self.good && self.reader.is_none()) {
            return Poll::Ready(());
        }
        while self.body.held_bytes() < most {
            let ended = !ready!(self.body.poll_read(cx));
            if ended || (self.good && first(&self.encoding.text(&self.body.held(), most), false) != First::Incomplete) {
                break;
            }
        }
        Poll::Ready(())
    }

    fn finish(mut self) -> Response<CooldownBody<B>> {
        if !self.good || self.reader.is_some() {
            let held = self.body.held();
            if !self.good {
                self.encoding = self.encoding.of_error(&held);
            }
            let mut text = self.encoding.text(&held, ERROR.bytes);
            if !self.good && Encoding::Identity.of_error(&text) != Encoding::Identity {
                // It was compressed twice, or is in UTF-16.
                (self.encoding, text) = (Encoding::Other, Cow::default());
            }
            if let Some(failure) = self.failure(&text) {
                self.fail(failure, text.into_owned());
                return Response::from_parts(self.head, self.body);
            }
        }
        self.lease.report(&Outcome::Success);
        if let Some(reader) = self.reader {
            let headers = &mut self.head.headers;
            let mut sized = headers.contains_key(header::CONTENT_LENGTH) || self.body.size_hint().exact().is_some();
            if is_event_stream(headers) {
                // A stream needs no length, and the redaction of a late error changes it.
                headers.remove(header::CONTENT_LENGTH);
                sized = false;
            }
            self.body.observe(StreamObserver::new(self.lease, self.encoding, reader, sized));
        }
        Response::from_parts(self.head, self.body)
    }

    /// Classifies the response by the start of its text; `None` if it is successful.
    fn failure(&self, text: &[u8]) -> Option<Failure> {
        let (status, headers) = (self.head.status, &self.head.headers);
        if !self.good {
            return classify(&self.lease, status, headers, text);
        }
        match first(text, true) {
            First::MaybeError(event) if may_be_error(event) => classify(&self.lease, status, headers, event),
            _ => None,
        }
    }

    /// Reports an error and replaces its body by the text without the key. The part that was not read is dropped, and so
    /// are trailers.
    #[cold]
    fn fail(&mut self, failure: Failure, mut text: Vec<u8>) {
        let status = failure.status().unwrap_or(self.head.status);
        self.head.status = match status.as_u16() {
            499 => StatusCode::SERVICE_UNAVAILABLE,
            600.. => StatusCode::BAD_GATEWAY,
            _ => status,
        };
        let outcome = Outcome::from(failure);
        self.lease.report(&outcome);
        self.head.extensions.insert(outcome);
        // The response to a HEAD has the length of a body that is not sent.
        let headers = &mut self.head.headers;
        if self.body.is_end_stream() || (self.encoding == Encoding::Other && !can_decode(headers)) {
            return;
        }
        let secret = self.lease.secret();
        let is_read = self.body.is_read() && !self.body.is_broken() && text.len() < ERROR.bytes;
        text.truncate(ERROR.bytes);
        let mut text = secret.redact_bytes(&text).unwrap_or(text);
        // Damaged data may end within the key, too.
        if !is_read || self.encoding != Encoding::Identity {
            text.truncate(text.len() - secret.partial_tail(&text));
        }
        headers.remove(header::CONTENT_ENCODING);
        if let Some(length) = headers.get_mut(header::CONTENT_LENGTH) {
            *length = text.len().into();
        }
        self.body.replace(text.into());
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    content_type.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Classifies an error, from whose body the key is removed first, also its beginning at the end of a cut body.
pub(super) fn classify(lease: &Lease, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Failure> {
    let redacted = lease.secret().redact_bytes(body);
    let body = redacted.as_deref().unwrap_or(body);
    let body = &body[..body.len() - lease.secret().partial_tail(body)];
    lease.pool().classify(status, headers, body)
}

debug_with_fields!([F, B: Body] CooldownFuture<F, B>, "CooldownFuture", lease);
